"""GetVariables and SetVariables (OCPP 2.0.1 B05, B06). Names are returned as they came. One
attribute exists: Actual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.orders import Response
from agent.domain.requests import DeviceReportRequest, SetVariablesRequest
from agent.model.secret_texts import HIDDEN, names_secret
from agent.ocpp.dialects.device_model_v2x import ITEMS_MAX, ReportFacts
from agent.ocpp.dialects.dialect import Payload, Refused, RequestRow, RowContext
from agent.ocpp.dialects.keys_v1x import PLAIN
from agent.ocpp.v201.device_model import Entry, collect_facts, find_entry
from agent.ocpp.wire.calls import Code

PASSWORD = range(16, 41)
"""Characters (A01, passwordString)."""


def _limit_items(items: list[Any]) -> None:
    if len(items) > ITEMS_MAX:
        raise Refused(Code.OCCURRENCE, f"at most {ITEMS_MAX} variables at once (ItemsPerMessage)")


def _echo_variable(item: Payload) -> dict[str, Any]:
    named = {"component": item["component"], "variable": item["variable"]}
    return {**named, "attributeType": item["attributeType"]} if "attributeType" in item else named


def _find_attribute(item: Payload, ctx: RowContext) -> Entry | str:
    found = find_entry(item["component"], item["variable"], ctx)
    if not isinstance(found, str) and item.get("attributeType", "Actual") != "Actual":
        return "NotSupportedAttributeType"
    return found


# --- reading ---------------------------------------------------------------------------------------------------------


def _decode_get_variables(payload: Payload, ctx: RowContext) -> DeviceReportRequest:
    _limit_items(payload["getVariableData"])
    return DeviceReportRequest()


def _answer_get_variables(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    known = collect_facts(reply, ctx)
    return {"getVariableResult": [_read_variable(item, known, ctx) for item in payload["getVariableData"]]}


def _read_variable(item: Payload, known: ReportFacts, ctx: RowContext) -> dict[str, Any]:
    found = _find_attribute(item, ctx)
    if isinstance(found, str):
        return {"attributeStatus": found, **_echo_variable(item)}
    if found.name.is_secret:
        return {"attributeStatus": "Rejected", **_echo_variable(item)}
    value = found.name.present_text(known, found.evse)
    return {"attributeStatus": "Accepted", "attributeValue": value, **_echo_variable(item)}


# --- writing ---------------------------------------------------------------------------------------------------------


def acceptable_password(text: str) -> bool:
    return len(text) in PASSWORD and text.isprintable() and not any(c.isspace() for c in text)


def _settable_text(entry: Entry, given: str, ctx: RowContext) -> str | None:
    """Return the text that the domain is asked to set; None if it must not be set."""
    ours = entry.name.own_variable
    if ours is None or not entry.name.is_writable or (ours.own and not ctx.primary):
        return None
    if entry.name.setting != "authorization_key":
        return given
    return PLAIN + given if acceptable_password(given) else None


def _collect_settings(payload: Payload, ctx: RowContext) -> Mapping[str, str]:
    wanted = {}
    for item in payload["setVariableData"]:
        entry = _find_attribute(item, ctx)
        if isinstance(entry, Entry) and (text := _settable_text(entry, item["attributeValue"], ctx)) is not None:
            wanted[entry.name.setting] = text
    return wanted


def _decode_set_variables(payload: Payload, ctx: RowContext) -> SetVariablesRequest:
    _limit_items(payload["setVariableData"])
    return SetVariablesRequest(_collect_settings(payload, ctx))


def _answer_set_variables(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    items = payload["setVariableData"]
    return {
        "setVariableResult": [
            {"attributeStatus": _status_of_setting(i, reply, ctx), **_echo_variable(i)} for i in items
        ]
    }


def _status_of_setting(item: Payload, reply: Response, ctx: RowContext) -> str:
    found = _find_attribute(item, ctx)
    if isinstance(found, str):
        return found
    if _settable_text(found, item["attributeValue"], ctx) is None:
        return "Rejected"
    status = reply.data.get(found.name.setting, "Rejected")
    return str(status) if status in ("Accepted", "RebootRequired") else "Rejected"


def mask_secrets(action: str, payload: Payload) -> Payload:
    """Return the payload with ``HIDDEN`` for each secret of SetVariables and SetNetworkProfile."""
    items = payload.get("setVariableData")
    if action == "SetVariables" and isinstance(items, list):
        return {**payload, "setVariableData": [_masked_item(item) for item in items]}
    return _mask_network_secrets(payload) if action == "SetNetworkProfile" else payload


def _masked_item(item: Any) -> Any:
    is_secret = isinstance(item, dict) and "attributeValue" in item and names_secret(str(item))
    return {**item, "attributeValue": HIDDEN} if is_secret else item


def _mask_network_secrets(value: Any) -> Any:
    """Mask the secrets of an APN or a VPN, wherever they are."""
    if isinstance(value, dict):
        return {n: HIDDEN if _is_secret_name(n) else _mask_network_secrets(item) for n, item in value.items()}
    return [_mask_network_secrets(item) for item in value] if isinstance(value, list) else value


def _is_secret_name(name: str) -> bool:
    return "password" in name.lower() or name.lower() in ("simpin", "key")


ROWS = (
    RequestRow("GetVariables", _decode_get_variables, _answer_get_variables),
    RequestRow("SetVariables", _decode_set_variables, _answer_set_variables),
)
