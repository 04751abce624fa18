"""SmartCharging (OCPP 1.6 3.13, 5.5, 5.7, 5.16, 7.8-7.14). A profile is translated into the
words of 2.x; the transaction's id becomes our session."""

from __future__ import annotations

from typing import Any

from agent.domain.charging.profiles import Kind, Period, Profile, Purpose, Recurrency, Schedule, Unit
from agent.domain.messages import ExternalLimitReleased, ExternalLimitSet
from agent.domain.orders import Response
from agent.domain.requests import ClearChargingProfilesRequest, CompositeScheduleRequest, SetChargingProfileRequest
from agent.ocpp.dialects.common_rows import answer_one_of
from agent.ocpp.dialects.composite_schedule import schedule_periods
from agent.ocpp.dialects.dialect import NotExpressible, Payload, RequestRow, RowContext
from agent.ocpp.dialects.optional_fields import optional_decimal, optional_integer, optional_utc_s
from agent.ocpp.wire.timestamps import format_rfc3339

PROFILE = "SmartCharging"
_PURPOSES = {
    "ChargePointMaxProfile": Purpose.STATION_MAX,
    "TxDefaultProfile": Purpose.TX_DEFAULT,
    "TxProfile": Purpose.TX,
}
_UNKNOWN = "?"
"""The session of an unknown transaction: no session has this name."""


def _find_session(payload: Payload, ctx: RowContext) -> str:
    number = payload.get("transactionId")
    if number is None:
        return ""
    return ctx.session_of(str(int(number))) or _UNKNOWN


def _decode_charging_schedule(payload: Payload) -> Schedule:
    return Schedule(
        unit=Unit(payload["chargingRateUnit"]),
        periods=tuple(
            Period(int(p["startPeriod"]), optional_decimal(p, "limit") or 0.0, optional_integer(p, "numberPhases"))
            for p in payload["chargingSchedulePeriod"]
        ),
        duration_s=optional_integer(payload, "duration"),
        start_utc_s=optional_utc_s(payload, "startSchedule"),
        least_rate=optional_decimal(payload, "minChargingRate"),
    )


def decode_charging_profile(payload: Payload, ctx: RowContext) -> Profile:
    """Decode ChargingProfile (7.8). Raises ``Refused``."""
    purpose, recurrency = _PURPOSES[payload["chargingProfilePurpose"]], payload.get("recurrencyKind")
    return Profile(
        id=int(payload["chargingProfileId"]),
        stack_level=int(payload["stackLevel"]),
        purpose=purpose,
        kind=Kind(payload["chargingProfileKind"]),
        schedule=_decode_charging_schedule(payload["chargingSchedule"]),
        recurrency=None if recurrency is None else Recurrency(recurrency),
        valid_from_utc_s=optional_utc_s(payload, "validFrom"),
        valid_to_utc_s=optional_utc_s(payload, "validTo"),
        session=_find_session(payload, ctx) if purpose is Purpose.TX else "",
    )


def _decode_set_charging_profile(payload: Payload, ctx: RowContext) -> SetChargingProfileRequest:
    return SetChargingProfileRequest(
        int(payload["connectorId"]), decode_charging_profile(payload["csChargingProfiles"], ctx)
    )


def _decode_clear_charging_profile(payload: Payload, ctx: RowContext) -> ClearChargingProfilesRequest:
    purpose = payload.get("chargingProfilePurpose")
    return ClearChargingProfilesRequest(
        id=optional_integer(payload, "id"),
        evse=optional_integer(payload, "connectorId"),
        purpose=None if purpose is None else _PURPOSES[purpose],
        stack_level=optional_integer(payload, "stackLevel"),
    )


def _decode_get_composite_schedule(payload: Payload, ctx: RowContext) -> CompositeScheduleRequest:
    unit = payload.get("chargingRateUnit")
    return CompositeScheduleRequest(
        int(payload["connectorId"]), int(payload["duration"]), None if unit is None else Unit(unit)
    )


def _answer_get_composite_schedule(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    if reply.status != "Accepted":
        return {"status": "Rejected"}
    start = format_rfc3339(reply.data["start_utc_s"])
    schedule = {
        "duration": reply.data["duration_s"],
        "startSchedule": start,
        "chargingRateUnit": str(reply.data["unit"]),
        "chargingSchedulePeriod": schedule_periods(reply),
    }
    return {
        "status": "Accepted",
        "connectorId": int(payload["connectorId"]),
        "scheduleStart": start,
        "chargingSchedule": schedule,
    }


ROWS = (
    RequestRow("SetChargingProfile", _decode_set_charging_profile, answer_one_of("Accepted")),
    RequestRow("ClearChargingProfile", _decode_clear_charging_profile, answer_one_of("Accepted", otherwise="Unknown")),
    RequestRow("GetCompositeSchedule", _decode_get_composite_schedule, _answer_get_composite_schedule),
    NotExpressible(ExternalLimitSet, "1.6 has no message for it; the composite schedule shows what it leaves"),
    NotExpressible(ExternalLimitReleased, "1.6 has no message for it"),
)
