"""The largest frames of each kind that a far side may send, made so that each step of the way in has the most to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

LENGTH = 1024 * 1024
"""Octets of the largest message that is read."""
VALUES = 32 * 1024
SPOKEN = {"org.openchargealliance.costmsg": "SetUserPrice", "cloud.charging.open": "NotifyWebPaymentStarted"}
"""Vendors whose JSON in a text is read, and a message of each."""
SECRET = "0123456789abcdef"


def call(id_: str, action: str, payload: Any) -> str:
    return json.dumps([2, id_, action, payload], separators=(",", ":"))


def padded(make: Callable[[int], str], values: int = VALUES) -> str:
    """The largest frame of ``make(n)`` for ever more parts, within length and number of values."""
    low, high = 1, values
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(make(middle)) else (low, middle - 1)
    return make(low)


def _fits(text: str) -> bool:
    bare = "".join(part for i, part in enumerate(text.replace('\\"', "").split('"')) if not i % 2)
    return len(text.encode()) <= LENGTH and sum(map(bare.count, "[{,")) <= VALUES


def filled(before: str, part: str, after: str) -> str:
    """A text in which ``part`` is repeated up to the length of a frame, however many values that are."""
    return before + part * ((LENGTH - len(before) - len(after)) // len(part.encode())) + after


def requests(version: str, id_: str) -> Iterator[tuple[str, str]]:
    """Kind and text of CALLs with this id."""
    head = f'[2,"{id_}","DataTransfer",{{"vendorId":"v","data":'
    yield "one text", filled(head + '"', "x", '"}]')
    yield "escapes", filled(head + '"', "\\u0041", '"}]')
    yield "half characters", filled(head + '"', "\\ud800", '"}]')
    yield "characters of four octets", filled(head + '"', "\U0001f50c", '"}]')
    yield "blanks", filled(head + '"x"', " ", "}]")
    yield "lists, too many", filled(head + "[[]", ",[]", "]}]")
    yield "texts, too many", filled(head + '[""', ',""', "]}]")
    yield "numbers, too many", filled(head + "[1", ",1", "]}]")
    yield "brackets without end", filled(head, "[", "}]")
    yield "lists", padded(lambda n: head + "[[]" + ",[]" * n + "]}]")
    yield "nested lists", padded(lambda n: head + "[1" + f",{'[' * 27}{']' * 27}" * n + "]}]")
    yield "fractions", padded(lambda n: head + "[1" + ",1.2345678e-12" * n + "]}]")
    yield "whole numbers", padded(lambda n: head + "[1" + f",{'9' * 4300}" * n + "]}]")
    yield "short texts", padded(lambda n: head + "[1" + ',"x"' * n + "]}]")
    yield "names", padded(lambda n: head + json.dumps({f"n{i}": i for i in range(n)}) + "}]")
    yield "one long name", filled(f'[2,"{id_}","ClearCache",{{"', "\u00e9", '":1}]')
    yield "JSON in a text", filled(head + '"[', "[],", '[]]"}]')
    yield "addresses", padded(lambda n: head + "[1" + ',"ftp://user:password@h/x?y"' * n + "]}]")
    yield "one address", filled(head + '"', "a://b@c?", '"}]')
    yield "an unknown action", padded(lambda n: call(id_, "X" * n, {}), LENGTH)
    yield "an unknown action with addresses", filled(f'[2,"{id_}","X",["', "a://b@c?", '"]]')
    for vendor, name in SPOKEN.items():
        text = call(id_, "DataTransfer", {"vendorId": vendor, "messageId": name, "data": "@"})
        yield f"JSON of {vendor}", filled(text.partition("@")[0] + "[", "[],", '[]]"}]')
    yield from _requests_16(id_) if version == "1.6" else _requests_201(id_)


def _requests_16(id_: str) -> Iterator[tuple[str, str]]:
    key = "AuthorizationKey"
    yield "a long secret", padded(lambda n: call(id_, "ChangeConfiguration", {"key": key, "value": SECRET * n}))
    yield (
        "short texts beside a secret",
        padded(lambda n: call(id_, "ChangeConfiguration", {"key": key, "value": "x", "more": ["x"] * n})),
    )
    yield (
        "a secret of short texts",
        padded(lambda n: call(id_, "ChangeConfiguration", {"key": key, "value": ["x"] * n})),
    )
    yield "keys", padded(lambda n: call(id_, "GetConfiguration", {"key": ["HeartbeatInterval"] * n}))
    entries = {"listVersion": 1, "updateType": "Full"}
    full = {"idTagInfo": {"status": "Accepted", "expiryDate": "2030-11-25T10:00:00Z", "parentIdTag": "p"}}
    yield (
        "list entries",
        padded(lambda n: call(id_, "SendLocalList", {**entries, "localAuthorizationList": [{"idTag": "a"}] * n})),
    )
    yield "full list entries", padded(
        lambda n: call(id_, "SendLocalList", {
            **entries, "localAuthorizationList": [{"idTag": f"{i:020}", **full} for i in range(n)]
        })
    )  # fmt: skip
    yield "as many list entries as are taken", call(id_, "SendLocalList", {
        **entries, "localAuthorizationList": [{"idTag": f"{i:020}", **full} for i in range(1000)]
    })  # fmt: skip
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": "$"}
    profile = {
        "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative", "chargingSchedule": schedule,
    }  # fmt: skip
    asked = call(id_, "SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})
    yield (
        "periods",
        padded(lambda n: asked.replace('"$"', json.dumps([{"startPeriod": i, "limit": 6.1} for i in range(n)]))),
    )


def _requests_201(id_: str) -> Iterator[tuple[str, str]]:
    password = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
    item = {"attributeValue": SECRET, **password}
    yield "secrets", padded(lambda n: call(id_, "SetVariables", {"setVariableData": [item] * n}))
    yield (
        "a long secret",
        padded(lambda n: call(id_, "SetVariables", {"setVariableData": [{**item, "attributeValue": SECRET * n}]})),
    )
    yield (
        "short texts beside a secret",
        padded(lambda n: call(id_, "SetVariables", {"setVariableData": [item], "more": ["x"] * n})),
    )
    yield "variables", padded(lambda n: call(id_, "GetVariables", {"getVariableData": [password] * n}))
    yield (
        "secrets of a network",
        padded(lambda n: call(id_, "SetNetworkProfile", {"password": 1, "x": [{"password": "x"}] * n})),
    )
    info = {
        "status": "Accepted", "cacheExpiryDateTime": "2030-11-25T10:00:00Z", "chargingPriority": 1, "language1": "lb",
        "groupIdToken": {"idToken": "g", "type": "Central"},
    }  # fmt: skip
    entries = {"versionNumber": 1, "updateType": "Full"}

    def listed(n: int, **more: Any) -> str:
        tokens = [{"idToken": {"idToken": f"{i:020}", "type": "Central"}, **more} for i in range(n)]
        return call(id_, "SendLocalList", {**entries, "localAuthorizationList": tokens})

    yield "list entries", padded(listed)
    yield "full list entries", padded(lambda n: listed(n, idTokenInfo=info))
    yield "as many list entries as are taken", listed(1000, idTokenInfo=info)
    period = [{"startPeriod": i, "limit": 6.1} for i in range(1024)]
    schedules = [{"id": i, "chargingRateUnit": "A", "chargingSchedulePeriod": period} for i in range(3)]
    profile = {
        "id": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Relative",
        "chargingSchedule": schedules,
    }  # fmt: skip
    yield "periods", call(id_, "SetChargingProfile", {"evseId": 1, "chargingProfile": profile})


def others(id_: str) -> Iterator[tuple[str, str | bytes]]:
    """Kind and content of messages that are no CALL; ``id_``: of a CALL of the station's."""
    for kind, number in (("CALLRESULT", 3), ("CALLERROR", 4)):
        head = f'[{number},"{id_}",'
        yield f"{kind} with one text", filled(head + '"', "x", '"]')
        yield f"{kind} with half characters", filled(head + '{"x":"', "\\ud800", '"}]')
        yield f"{kind} with lists", padded(lambda n, head=head: head + '{"x":[1' + ",[]" * n + "]}]")
        yield f"{kind} with lists, too many", filled(head + '{"x":[1', ",[]", "]}]")
        yield f"{kind} of an unknown CALL", filled(f'[{number},"never sent",' + '["', "a://b@c?", '"]]')
    yield "brackets alone", "[" * LENGTH
    yield "quotation marks alone", '"' * LENGTH
    yield "half a text", '[2,"n","Reset",{"x":"' + "x" * (LENGTH - 21)
    yield "escaped quotation marks", filled('[2,"n","Reset",{"x":"', '\\"', "")
    yield "addresses in no JSON", filled("[2,", "a://b@c?", "")
    yield "slashes", filled("[2,", "a:/", "")
    yield "a name of a secret in no JSON", filled("[2,password,", "x", "")
    yield "octets", bytes(LENGTH)


def raw() -> Iterator[tuple[str, bytes]]:
    """Kind and octets of WebSocket frames (RFC 6455 5.2) of the least length: as many as one message has octets."""
    yield "pings", b"\x89\x00" * (LENGTH // 2)
    yield "pongs", b"\x8a\x00" * (LENGTH // 2)
    yield "fragments", b"\x01\x01[" + b"\x00\x01[" * (LENGTH // 3) + b"\x80\x00"
    yield "small messages", b"\x81\x01[" * (LENGTH // 12)
