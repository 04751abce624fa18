"""GetConfiguration and ChangeConfiguration (OCPP 1.6 5.3, 5.8, 9). Keys are CiStrings; the AuthorizationKey is
write-only: listed without a value."""

from __future__ import annotations

from typing import Any

from agent.domain.orders import Reply
from agent.domain.requests import AskGet, AskSet
from agent.domain.variables import VARIABLES, WrongValue
from agent.ocpp.dialects.dialect import HIDDEN, Desk, In, Payload, Refused, names_secret
from agent.ocpp.dialects.keys_v1x import CORE, KEYS_16, Key, given_16, is_authorization_key, key_16, value_16
from agent.ocpp.wire.rpc import Code
from agent.ocpp.wire.text import is_plain


def offered(key: Key, desk: Desk) -> bool:
    """Keys of a profile exist only where the profile does, those of a language where the screen speaks it."""
    spoken = not key.language or key.language in desk.settings.items_of("languages")
    return spoken and (key.profile == CORE or desk.settings.offers(key.profile))


def known(name: str, desk: Desk) -> Key | None:
    key = key_16(name)
    return key if key is not None and offered(key, desk) else None


def masked(action: str, payload: Payload) -> Payload:
    name = payload.get("key")
    if action != "ChangeConfiguration" or not isinstance(name, str):
        return payload
    key = key_16(name)
    is_secret = names_secret(name) or (key is not None and key.variable.secret)
    return {**payload, "value": HIDDEN} if is_secret else payload


def _plain(*texts: str) -> None:
    if not all(map(is_plain, texts)):
        raise Refused(Code.PROPERTY, "control characters in a key or value")


def _get(payload: Payload, desk: Desk) -> AskGet:
    asked = payload.get("key") or []
    _plain(*asked)
    most = desk.settings.number("get_maximum")
    if len(asked) > most:
        raise Refused(Code.OCCURRENCE, f"at most {most} keys at once (GetConfigurationMaxKeys)")
    return AskGet()


def _got(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    asked = list(dict.fromkeys(payload.get("key") or []))
    keys = [known(name, desk) for name in asked] if asked else [k for k in KEYS_16 if offered(k, desk)]
    values = {**reply.data, **desk.overlay}
    listed = dict.fromkeys(k for k in keys if k is not None)
    answer: dict[str, Any] = {"configurationKey": [_entry(k, values) for k in listed]}
    if asked:
        answer["unknownKey"] = [name for name, key in zip(asked, keys, strict=True) if key is None]
    return answer


def _entry(key: Key, values: Payload) -> dict[str, Any]:
    entry: dict[str, Any] = {"key": key.key, "readonly": key.readonly}
    if key.parts is not None:
        entry["value"] = key.parts.join(values)
    elif key.blank:
        entry["value"] = ""
    elif key.count_of or (key.setting in values and not key.variable.secret):
        entry["value"] = value_16(key, values.get(key.setting, ""))
    return entry


def _change(payload: Payload, desk: Desk) -> AskSet | dict[str, Any]:
    """What the station connects with belongs to the first backend: another one would lock that one's station out."""
    _plain(payload["key"], payload["value"])
    key = known(payload["key"], desk)
    if key is None:
        return {"status": "NotSupported"}
    if key.readonly:
        return {"status": "Rejected"}
    if not desk.primary and any(VARIABLES[s].own for s in (key.setting, *(key.parts.settings if key.parts else ()))):
        return {"status": "Rejected"}
    if key.setting == "authorization_key" and not is_authorization_key(payload["value"]):
        return {"status": "Rejected"}
    try:
        return AskSet(given_16(key, payload["value"]), whole=key.parts is not None)
    except WrongValue:
        return {"status": "Rejected"}


def _changed(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    key = known(payload["key"], desk)
    status = reply.data.get(key.setting, "Rejected") if key else "NotSupported"
    return {"status": status if status in ("Accepted", "Rejected", "RebootRequired", "NotSupported") else "Rejected"}


ROWS = (
    In("GetConfiguration", _get, _got),
    In("ChangeConfiguration", _change, _changed),
)
