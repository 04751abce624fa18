"""GetVariables and SetVariables (OCPP 2.0.1 B05, B06). Names go back as they came. One attribute exists: Actual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.orders import Reply
from agent.domain.requests import AskInventory, AskSet
from agent.ocpp.dialects.device_model_v2x import ITEMS_MAX, Facts
from agent.ocpp.dialects.dialect import HIDDEN, Desk, In, Payload, Refused, names_secret
from agent.ocpp.dialects.keys_v1x import PLAIN
from agent.ocpp.v201.device_model import Entry, facts, find
from agent.ocpp.wire.rpc import Code

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
    if entry.name.setting != "authorization_key":
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


def masked(action: str, payload: Payload) -> Payload:
    items = payload.get("setVariableData")
    if action == "SetVariables" and isinstance(items, list):
        return {**payload, "setVariableData": [_masked_item(item) for item in items]}
    return _without_keys(payload) if action == "SetNetworkProfile" else payload


def _masked_item(item: Any) -> Any:
    is_secret = isinstance(item, dict) and "attributeValue" in item and names_secret(str(item))
    return {**item, "attributeValue": HIDDEN} if is_secret else item


def _without_keys(value: Any) -> Any:
    """Without the secrets of an APN or a VPN, wherever they are."""
    if isinstance(value, dict):
        return {n: HIDDEN if _is_key(n) else _without_keys(item) for n, item in value.items()}
    return [_without_keys(item) for item in value] if isinstance(value, list) else value


def _is_key(name: str) -> bool:
    return "password" in name.lower() or name.lower() in ("simpin", "key")


ROWS = (
    In("GetVariables", _get, _got),
    In("SetVariables", _set, _was_set),
)
