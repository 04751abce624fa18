"""GetVariables and SetVariables (OCPP 2.0.1 B05, B06). Names go back as they came. One attribute exists: Actual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.domain.asks import AskInventory, AskSet
from agent.domain.orders import Reply
from agent.ocpp.dialect import Desk, In, Payload, Refused, names_secret
from agent.ocpp.names import PLAIN
from agent.ocpp.names2 import ITEMS_MAX, Facts
from agent.ocpp.rpc import Code
from agent.ocpp.v201.model import Entry, facts, find

PASSWORD = range(16, 41)
"""Characters (A01, passwordString)."""


def _at_most(items: list[Any]) -> None:
    if len(items) > ITEMS_MAX:
        raise Refused(Code.OCCURRENCE, f"at most {ITEMS_MAX} variables at once (ItemsPerMessage)")


def _named(item: Payload) -> dict[str, Any]:
    named = {"component": item["component"], "variable": item["variable"]}
    return {**named, "attributeType": item["attributeType"]} if "attributeType" in item else named


def _entry(item: Payload, desk: Desk) -> Entry | str:
    found = find(item["component"], item["variable"], desk)
    if not isinstance(found, str) and item.get("attributeType", "Actual") != "Actual":
        return "NotSupportedAttributeType"
    return found


# --- reading ---------------------------------------------------------------------------------------------------------


def _get(payload: Payload, desk: Desk) -> AskInventory:
    _at_most(payload["getVariableData"])
    return AskInventory()


def _got(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    known = facts(reply, desk)
    return {"getVariableResult": [_read(item, known, desk) for item in payload["getVariableData"]]}


def _read(item: Payload, known: Facts, desk: Desk) -> dict[str, Any]:
    found = _entry(item, desk)
    if isinstance(found, str):
        return {"attributeStatus": found, **_named(item)}
    if found.name.secret:
        return {"attributeStatus": "Rejected", **_named(item)}
    value = found.name.text(known, found.evse)
    return {"attributeStatus": "Accepted", "attributeValue": value, **_named(item)}


# --- writing ---------------------------------------------------------------------------------------------------------


def acceptable_password(text: str) -> bool:
    return len(text) in PASSWORD and text.isprintable() and not any(c.isspace() for c in text)


def _text(entry: Entry, given: str, desk: Desk) -> str | None:
    """What the domain is asked to set; None: this may not be."""
    ours = entry.name.ours
    if ours is None or not entry.name.writable or (ours.own and not desk.primary):
        return None
    if not entry.name.secret:
        return given
    return PLAIN + given if acceptable_password(given) else None


def _wanted(payload: Payload, desk: Desk) -> Mapping[str, str]:
    wanted = {}
    for item in payload["setVariableData"]:
        entry = _entry(item, desk)
        if isinstance(entry, Entry) and (text := _text(entry, item["attributeValue"], desk)) is not None:
            wanted[entry.name.setting] = text
    return wanted


def _set(payload: Payload, desk: Desk) -> AskSet:
    _at_most(payload["setVariableData"])
    return AskSet(_wanted(payload, desk))


def _was_set(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    items = payload["setVariableData"]
    return {"setVariableResult": [{"attributeStatus": _status(i, reply, desk), **_named(i)} for i in items]}


def _status(item: Payload, reply: Reply, desk: Desk) -> str:
    found = _entry(item, desk)
    if isinstance(found, str):
        return found
    if _text(found, item["attributeValue"], desk) is None:
        return "Rejected"
    status = reply.data.get(found.name.setting, "Rejected")
    return str(status) if status in ("Accepted", "RebootRequired") else "Rejected"


def secrets(action: str, payload: Payload) -> Sequence[Any]:
    """The values in this request that must not be written anywhere. What is not built as the standard says is one."""
    text = str(payload).lower()
    if action == "SetVariables" and names_secret(text):
        items = payload.get("setVariableData")
        items = items if isinstance(items, list) else []
        found = [i.get("attributeValue") for i in items if isinstance(i, dict) and names_secret(str(i))]
        return found or (payload,)
    if action == "SetNetworkProfile" and any(name in text for name in ("password", "simpin", "'key'")):
        return list(_below(payload)) or (payload,)
    return ()


def _below(value: Any) -> Iterator[Any]:
    """The secrets of an APN or a VPN, however deep."""
    if isinstance(value, list):
        for item in value:
            yield from _below(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if "password" in name.lower() or name.lower() in ("simpin", "key"):
                yield item
            else:
                yield from _below(item)


ROWS = (
    In("GetVariables", _get, _got),
    In("SetVariables", _set, _was_set),
)
