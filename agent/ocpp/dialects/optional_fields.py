"""Optional fields of a payload that its schema has checked already, as plain values; None where
they are absent."""

from __future__ import annotations

from agent.ocpp.dialects.dialect import Payload, Refused
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.timestamps import parse_timestamp


def optional_integer(payload: Payload, key: str) -> int | None:
    return None if payload.get(key) is None else int(payload[key])


def optional_decimal(payload: Payload, key: str) -> float | None:
    """Return the number. Raises ``Refused``: JSON knows greater numbers than this machine."""
    try:
        return None if payload.get(key) is None else float(payload[key])
    except OverflowError:
        raise Refused(Code.PROPERTY, f"{key}: is too large") from None


def optional_utc_s(payload: Payload, key: str) -> float | None:
    """Return a date and time in seconds since 1970. Raises ``Refused``."""
    text = payload.get(key)
    found = parse_timestamp(text)
    if text is not None and found is None:
        raise Refused(Code.PROPERTY, f"{key}: is not a date and time")
    return found
