"""Charging profiles of 2.1 (block K). What only 2.1 has is refused, never obeyed by half: a schedule that charges and
discharges, that has a limit for each phase, that is updated while it is valid, that ends off line or at a state of
charge, or that the vehicle must confirm by prices. What is left is a profile of 2.0.1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.ocpp.dialects.common_rows import REJECTED
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, Row, RowContext
from agent.ocpp.v21.derivation import derive_request_row
from agent.ocpp.v21.identifiers import refuse_unknown_types

_UNSUPPORTED_OF_PROFILE = ("dynUpdateInterval", "dynUpdateTime", "maxOfflineDuration", "invalidAfterOfflineDuration")
_UNSUPPORTED_OF_SCHEDULE = ("limitAtSoC", "randomizedDelay", "useLocalTime")
_KNOWN_OF_PERIOD = frozenset({"startPeriod", "limit", "numberPhases", "phaseToUse", "operationMode", "customData"})
CHARGING_ONLY = "ChargingOnly"


def find_unsupported_part(profile: Payload) -> str:
    """Return what in the profile this station cannot do; "" for a profile that 2.0.1 could express."""
    return next(_unsupported_parts(profile), "")


def _unsupported_parts(profile: Payload) -> Iterator[str]:
    if profile["chargingProfileKind"] == "Dynamic":
        yield "a Dynamic profile"
    yield from (name for name in _UNSUPPORTED_OF_PROFILE if profile.get(name))
    for schedule in profile["chargingSchedule"]:
        yield from (name for name in _UNSUPPORTED_OF_SCHEDULE if schedule.get(name))
        for period in schedule["chargingSchedulePeriod"]:
            if period.get("operationMode", CHARGING_ONLY) != CHARGING_ONLY:
                yield f"operationMode {period['operationMode']}"
            yield from (name for name in period if name not in _KNOWN_OF_PERIOD)
            if "limit" not in period:
                yield "a period without a limit"


def _look_at_profile(payload: Payload, ctx: RowContext) -> LocalAnswer | None:
    found = find_unsupported_part(payload["chargingProfile"])
    return LocalAnswer(_reject_part(found)) if found else None


def _look_at_start(payload: Payload, ctx: RowContext) -> LocalAnswer | None:
    """Look at RequestStartTransaction: a token of an unknown type, or a profile that cannot be obeyed."""
    refuse_unknown_types(payload, ctx)
    profile = payload.get("chargingProfile")
    return REJECTED if profile is not None and find_unsupported_part(profile) else None


def _reject_part(found: str) -> dict[str, Any]:
    why = f"{found} is not offered by this station"
    return {"status": "Rejected", "statusInfo": {"reasonCode": "UnsupportedParam", "additionalInfo": why[:1024]}}


ROWS: tuple[Row, ...] = (
    derive_request_row("SetChargingProfile", _look_at_profile),
    derive_request_row("RequestStartTransaction", _look_at_start),
)
