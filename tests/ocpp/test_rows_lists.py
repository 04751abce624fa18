"""Golden lines of the local authorization list, in both versions; what is said is judged by jsonschema."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft6Validator

from agent.domain.messages import ConnectorStatus, ListConflicted
from agent.domain.orders import Response
from agent.domain.requests import LocalListVersionRequest, SendLocalListRequest
from agent.model.types import AuthorizationStatus, Stamp, Verdict
from agent.ocpp.dialects.dialect import Dialect, MessageRow, NotOffered, RequestRow
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from tests.ocpp.ocpp_stand_ins import UTC_S, decoded, desk

LIST_ACTIONS = ("GetLocalListVersion", "SendLocalList")

PACKAGE = Path(next(iter(importlib.util.find_spec("ocpp").submodule_search_locations)))
OK, BAD = AuthorizationStatus.ACCEPTED, AuthorizationStatus.BLOCKED


def judge(dialect: Dialect, name: str, payload: Any) -> None:
    folder, draft = ("v16", Draft4Validator) if dialect is V16 else ("v201", Draft6Validator)
    draft(json.loads((PACKAGE / folder / "schemas" / f"{name}.json").read_text("utf-8-sig"))).validate(payload)


def row(dialect: Dialect, action: str) -> RequestRow:
    found = dialect.request_row(action)
    assert isinstance(found, RequestRow)
    return found


def answered(dialect: Dialect, action: str, status: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = row(dialect, action).answer(Response("chargy", "1", status, data or {}), {}, desk())
    judge(dialect, f"{action}Response", answer)
    return answer


TAGS_16 = [
    {"idTag": "A", "idTagInfo": {"status": "Accepted", "parentIdTag": "F", "expiryDate": "2026-11-25T10:00:00Z"}},
    {"idTag": "B", "idTagInfo": {"status": "Blocked"}},
    {"idTag": "C"},
]
TOKENS_201 = [
    {
        "idToken": {"idToken": "A", "type": "ISO14443"},
        "idTokenInfo": {
            "status": "Accepted",
            "groupIdToken": {"idToken": "F", "type": "Central"},
            "cacheExpiryDateTime": "2026-11-25T10:00:00Z",
            "personalMessage": {"format": "UTF8", "content": "Moien"},
        },
    },
    {"idToken": {"idToken": "B", "type": "Central"}, "idTokenInfo": {"status": "Blocked"}},
    {"idToken": {"idToken": "C", "type": "eMAID"}},
]
ENTRIES = (("A", Verdict(OK, "F", UTC_S)), ("B", Verdict(BAD)), ("C", None))


@pytest.mark.parametrize(
    ("dialect", "payload"),
    [
        (V16, {"listVersion": 7, "updateType": "Differential", "localAuthorizationList": TAGS_16}),
        (V201, {"versionNumber": 7, "updateType": "Differential", "localAuthorizationList": TOKENS_201}),
    ],
)
def test_a_list_is_asked_of_the_domain(dialect: Dialect, payload: dict[str, Any]) -> None:
    judge(dialect, "SendLocalList" + ("" if dialect is V16 else "Request"), payload)
    send = row(dialect, "SendLocalList")
    assert send.decode(payload, desk()) == SendLocalListRequest(7, False, ENTRIES)
    bare = {k: v for k, v in payload.items() if k != "localAuthorizationList"} | {"updateType": "Full"}
    assert send.decode(bare, desk()) == SendLocalListRequest(7, True, ())
    assert "B" not in repr(send.decode(payload, desk()))  # no card in a log


@pytest.mark.parametrize("tag", ["", "A\n", "\ud800"])
def test_a_token_that_cannot_be_one_spoils_the_list(tag: str) -> None:
    one = {"listVersion": 1, "updateType": "Full", "localAuthorizationList": [{"idTag": tag}]}
    assert decoded(row(V16, "SendLocalList"), one, desk()) == {"status": "Failed"}
    two = {"versionNumber": 1, "updateType": "Full"}
    entry = {"idToken": {"idToken": tag, "type": "Local"}, "idTokenInfo": {"status": "Accepted"}}
    request = {**two, "localAuthorizationList": [entry]}
    assert decoded(row(V201, "SendLocalList"), request, desk()) == {"status": "Failed"}


@pytest.mark.parametrize(
    ("word", "in_16", "in_201"),
    [
        ("Accepted", "Accepted", "Accepted"),
        ("VersionMismatch", "VersionMismatch", "VersionMismatch"),
        ("Failed", "Failed", "Failed"),
        ("NotSupported", "NotSupported", "Failed"),
    ],
)
def test_the_answer(word: str, in_16: str, in_201: str) -> None:
    assert answered(V16, "SendLocalList", word) == {"status": in_16}
    assert answered(V201, "SendLocalList", word) == {"status": in_201}


def test_the_version() -> None:
    for dialect, key, off in ((V16, "listVersion", -1), (V201, "versionNumber", 0)):
        assert row(dialect, "GetLocalListVersion").decode({}, desk()) == LocalListVersionRequest()
        assert answered(dialect, "GetLocalListVersion", "Accepted", {"version": 5}) == {key: 5}
        assert answered(dialect, "GetLocalListVersion", "NotSupported", {"version": 0}) == {key: off}


def test_a_contradiction_is_reported_in_1_6() -> None:
    out = V16.message_row(ListConflicted)
    assert isinstance(out, MessageRow)
    payload = out.encode(ListConflicted(Stamp(1, 0.0), ConnectorStatus.UNAVAILABLE), desk())
    judge(V16, "StatusNotification", payload)
    assert payload is not None
    assert (payload["status"], payload["errorCode"], payload["connectorId"]) == ("Unavailable", "LocalListConflict", 0)


def test_switched_off_it_is_refused_politely() -> None:
    off = ("LocalAuthListManagement",)
    for dialect, answers in (
        (V16.without_features(off), ({"listVersion": -1}, {"status": "NotSupported"})),
        (V201.without_features(off), ({"versionNumber": 0}, {"status": "Failed"})),
    ):
        for action, answer in zip(LIST_ACTIONS, answers, strict=True):
            found = dialect.request_row(action)
            assert not isinstance(found, NotOffered)
            assert found is not None
            assert decoded(found, {}, desk()) == answer
