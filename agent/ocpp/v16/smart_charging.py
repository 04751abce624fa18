"""SmartCharging (OCPP 1.6 3.13, 5.5, 5.7, 5.16, 7.8-7.14). A profile is written anew in the words of 2.x; the
transaction's number becomes our session."""

from __future__ import annotations

from typing import Any

from agent.domain.charging.profiles import Kind, Period, Profile, Purpose, Recurrency, Schedule, Unit
from agent.domain.orders import Reply
from agent.domain.requests import AskClearProfiles, AskComposite, AskSetProfile
from agent.ocpp.dialects.composite_schedule import schedule_periods
from agent.ocpp.dialects.dialect import Desk, In, Payload
from agent.ocpp.dialects.optional_fields import decimal, utc_s, whole
from agent.ocpp.wire.timestamps import rfc3339

PROFILE = "SmartCharging"
_PURPOSES = {
    "ChargePointMaxProfile": Purpose.STATION_MAX,
    "TxDefaultProfile": Purpose.TX_DEFAULT,
    "TxProfile": Purpose.TX,
}
_UNKNOWN = "?"
"""The session of a transaction that nobody here knows: none has this name."""


def _session(payload: Payload, desk: Desk) -> str:
    number = payload.get("transactionId")
    if number is None:
        return ""
    return desk.outbox.session_of(desk.link, str(int(number))) or _UNKNOWN


def _schedule(payload: Payload) -> Schedule:
    return Schedule(
        unit=Unit(payload["chargingRateUnit"]),
        periods=tuple(
            Period(int(p["startPeriod"]), decimal(p, "limit") or 0.0, whole(p, "numberPhases"))
            for p in payload["chargingSchedulePeriod"]
        ),
        duration_s=whole(payload, "duration"),
        start_utc_s=utc_s(payload, "startSchedule"),
        least_rate=decimal(payload, "minChargingRate"),
    )


def profile(payload: Payload, desk: Desk) -> Profile:
    """ChargingProfile (7.8). Raises ``Refused``."""
    purpose, recurrency = _PURPOSES[payload["chargingProfilePurpose"]], payload.get("recurrencyKind")
    return Profile(
        id=int(payload["chargingProfileId"]),
        stack_level=int(payload["stackLevel"]),
        purpose=purpose,
        kind=Kind(payload["chargingProfileKind"]),
        schedule=_schedule(payload["chargingSchedule"]),
        recurrency=None if recurrency is None else Recurrency(recurrency),
        valid_from_utc_s=utc_s(payload, "validFrom"),
        valid_to_utc_s=utc_s(payload, "validTo"),
        session=_session(payload, desk) if purpose is Purpose.TX else "",
    )


def _set(payload: Payload, desk: Desk) -> AskSetProfile:
    return AskSetProfile(int(payload["connectorId"]), profile(payload["csChargingProfiles"], desk))


def _was_set(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Accepted" else "Rejected"}


def _clear(payload: Payload, desk: Desk) -> AskClearProfiles:
    purpose = payload.get("chargingProfilePurpose")
    return AskClearProfiles(
        id=whole(payload, "id"),
        evse=whole(payload, "connectorId"),
        purpose=None if purpose is None else _PURPOSES[purpose],
        stack_level=whole(payload, "stackLevel"),
    )


def _cleared(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Accepted" else "Unknown"}


def _composite(payload: Payload, desk: Desk) -> AskComposite:
    unit = payload.get("chargingRateUnit")
    return AskComposite(int(payload["connectorId"]), int(payload["duration"]), None if unit is None else Unit(unit))


def _is_composed(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    if reply.status != "Accepted":
        return {"status": "Rejected"}
    start = rfc3339(reply.data["start_utc_s"])
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
    In("SetChargingProfile", _set, _was_set),
    In("ClearChargingProfile", _clear, _cleared),
    In("GetCompositeSchedule", _composite, _is_composed),
)
