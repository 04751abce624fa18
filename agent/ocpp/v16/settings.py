"""GetConfiguration and ChangeConfiguration (OCPP 1.6 5.3, 5.8, 9). Keys are CiStrings; the
AuthorizationKey is write-only: listed without a value."""

from __future__ import annotations

from typing import Any

from agent.domain.orders import Response
from agent.domain.requests import GetVariablesRequest, SetVariablesRequest
from agent.domain.variables import VARIABLES, WrongValue
from agent.model.secret_texts import HIDDEN, names_secret
from agent.ocpp.dialects.common_rows import REJECTED
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, Refused, RequestRow, RowContext
from agent.ocpp.dialects.keys_v1x import (
    CORE,
    Key,
    find_key_16,
    format_value_16,
    is_authorization_key,
    list_keys_16,
    parse_value_16,
)
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.text import is_plain


def is_key_offered(key: Key, ctx: RowContext) -> bool:
    """Return whether this station has the key. Keys of a profile exist only where the profile
    does, those of a language where the display has the language."""
    is_language_offered = not key.language or key.language in ctx.settings.list_value("languages")
    return is_language_offered and (key.profile == CORE or ctx.settings.offers_part(key.profile))


def find_offered_key(name: str, ctx: RowContext) -> Key | None:
    """Return the key of this name, if this station has it."""
    key = find_key_16(name)
    return key if key is not None and is_key_offered(key, ctx) else None


def mask_secrets(action: str, payload: Payload) -> Payload:
    """Return the payload with ``HIDDEN`` for a secret value of ChangeConfiguration."""
    name = payload.get("key")
    if action != "ChangeConfiguration" or not isinstance(name, str):
        return payload
    key = find_key_16(name)
    is_secret = names_secret(name) or (key is not None and key.own_variable.secret)
    return {**payload, "value": HIDDEN} if is_secret else payload


def _require_plain_texts(*texts: str) -> None:
    if not all(map(is_plain, texts)):
        raise Refused(Code.PROPERTY, "control characters in a key or value")


def _decode_get_configuration(payload: Payload, ctx: RowContext) -> GetVariablesRequest:
    asked = payload.get("key") or []
    _require_plain_texts(*asked)
    most = ctx.settings.int_value("get_maximum")
    if len(asked) > most:
        raise Refused(Code.OCCURRENCE, f"at most {most} keys at once (GetConfigurationMaxKeys)")
    return GetVariablesRequest()


def _answer_get_configuration(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    asked = list(dict.fromkeys(payload.get("key") or []))
    keys = (
        [find_offered_key(name, ctx) for name in asked]
        if asked
        else [k for k in list_keys_16() if is_key_offered(k, ctx)]
    )
    values = {**reply.data, **ctx.overlay}
    listed = dict.fromkeys(k for k in keys if k is not None)
    answer: dict[str, Any] = {"configurationKey": [_encode_configuration_key(k, values) for k in listed]}
    if asked:
        answer["unknownKey"] = [name for name, key in zip(asked, keys, strict=True) if key is None]
    return answer


def _encode_configuration_key(key: Key, values: Payload) -> dict[str, Any]:
    entry: dict[str, Any] = {"key": key.key, "readonly": key.is_readonly}
    if key.parts is not None:
        entry["value"] = key.parts.join(values)
    elif key.blank:
        entry["value"] = ""
    elif key.count_of or (key.setting in values and not key.own_variable.secret):
        entry["value"] = format_value_16(key, values.get(key.setting, ""))
    return entry


def _decode_change_configuration(payload: Payload, ctx: RowContext) -> SetVariablesRequest | LocalAnswer:
    """Decode ChangeConfiguration. Connection settings belong to the first backend: another one
    would lock it out of its station."""
    _require_plain_texts(payload["key"], payload["value"])
    key = find_offered_key(payload["key"], ctx)
    if key is None:
        return LocalAnswer({"status": "NotSupported"})
    if key.is_readonly:
        return REJECTED
    if not ctx.primary and any(VARIABLES[s].own for s in (key.setting, *(key.parts.settings if key.parts else ()))):
        return REJECTED
    if key.setting == "authorization_key" and not is_authorization_key(payload["value"]):
        return REJECTED
    try:
        return SetVariablesRequest(parse_value_16(key, payload["value"]), whole=key.parts is not None)
    except WrongValue:
        return REJECTED


def _answer_change_configuration(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    key = find_offered_key(payload["key"], ctx)
    status = reply.data.get(key.setting, "Rejected") if key else "NotSupported"
    return {"status": status if status in ("Accepted", "Rejected", "RebootRequired", "NotSupported") else "Rejected"}


ROWS = (
    RequestRow("GetConfiguration", _decode_get_configuration, _answer_get_configuration),
    RequestRow("ChangeConfiguration", _decode_change_configuration, _answer_change_configuration),
)
