"""Smart charging (OCPP 2.0.1 block K): profiles of the backend, and the limit of an external system
(K11-K13). The station is no local controller (K14), and schedules that a vehicle negotiates
(K15-K17) are not offered."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from agent.domain.charging.profiles import (
    InstalledProfile,
    Kind,
    Period,
    Profile,
    ProfileRefusal,
    Purpose,
    Recurrency,
    Schedule,
    Unit,
)
from agent.domain.messages import ChargingProfilesReport, ExternalLimitReleased, ExternalLimitSet, Message
from agent.domain.orders import Response
from agent.domain.requests import (
    ChargingProfilesRequest,
    ClearChargingProfilesRequest,
    CompositeScheduleRequest,
    SetChargingProfileRequest,
)
from agent.model.fastclass import replace
from agent.ocpp.dialects.common_rows import answer_one_of
from agent.ocpp.dialects.composite_schedule import schedule_periods
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Payload, RequestRow, RowContext, decode_empty_response
from agent.ocpp.dialects.optional_fields import optional_decimal, optional_integer, optional_utc_s
from agent.ocpp.v201.identifiers import session_of
from agent.ocpp.wire.timestamps import format_rfc3339

FEATURE = "SmartCharging"
PARTS = 5
"""Profiles per ReportChargingProfiles: some 25 kB at most."""
_PURPOSES = {str(p): p for p in Purpose}
_SETTABLE = {name: purpose for name, purpose in _PURPOSES.items() if purpose is not Purpose.EXTERNAL}


def _decode_charging_schedule(payload: Payload) -> Schedule:
    return Schedule(
        unit=Unit(payload["chargingRateUnit"]),
        periods=tuple(
            Period(
                int(p["startPeriod"]),
                optional_decimal(p, "limit") or 0.0,
                optional_integer(p, "numberPhases"),
                optional_integer(p, "phaseToUse"),
            )
            for p in payload["chargingSchedulePeriod"]
        ),
        duration_s=optional_integer(payload, "duration"),
        start_utc_s=optional_utc_s(payload, "startSchedule"),
        least_rate=optional_decimal(payload, "minChargingRate"),
        number=int(payload["id"]),
    )


def decode_charging_profile(payload: Payload) -> Profile | ProfileRefusal:
    """Decode ChargingProfileType, or return why a backend cannot set it here (K01: external
    constraints; several schedules are for a vehicle to choose from; a start belongs to absolute
    and recurring ones alone). Raises ``Refused``."""
    purpose, kind = _SETTABLE.get(payload["chargingProfilePurpose"]), Kind(payload["chargingProfileKind"])
    if purpose is None:
        return ProfileRefusal("InvalidProfile", f"{payload['chargingProfilePurpose']} is not set by a backend")
    if len(payload["chargingSchedule"]) != 1:
        return ProfileRefusal("TooManyElements", "one chargingSchedule is possible")
    schedule = _decode_charging_schedule(payload["chargingSchedule"][0])
    if (kind is Kind.RELATIVE) != (schedule.start_utc_s is None):
        return ProfileRefusal("InvalidSchedule", "a Relative profile has no startSchedule, every other one needs it")
    if purpose is Purpose.STATION_MAX and kind is Kind.RELATIVE:
        return ProfileRefusal("InvalidProfile", "a station maximum cannot be Relative: the station has no transaction")
    recurrency = payload.get("recurrencyKind")
    return Profile(
        id=int(payload["id"]),
        stack_level=int(payload["stackLevel"]),
        purpose=purpose,
        kind=kind,
        schedule=schedule,
        recurrency=None if recurrency is None else Recurrency(recurrency),
        valid_from_utc_s=optional_utc_s(payload, "validFrom"),
        valid_to_utc_s=optional_utc_s(payload, "validTo"),
        session=str(payload.get("transactionId", "")) if purpose is Purpose.TX else "",
    )


def decode_start_profile(payload: Payload, ctx: RowContext) -> Profile | bool | None:
    """Decode the profile of a remote start: False when it is not valid, None when there is none
    or it is ignored."""
    wanted = payload.get("chargingProfile")
    if wanted is None:
        return None
    if wanted["chargingProfilePurpose"] != Purpose.TX:
        return False
    if FEATURE not in ctx.settings.list_value("feature_profiles"):
        return None
    found = decode_charging_profile(wanted)
    return replace(found, session="") if isinstance(found, Profile) else False


def _decode_set_charging_profile(payload: Payload, ctx: RowContext) -> SetChargingProfileRequest | LocalAnswer:
    found = decode_charging_profile(payload["chargingProfile"])
    if isinstance(found, Profile) and found.purpose is Purpose.TX and not found.session:
        found = ProfileRefusal("MissingParam", "a TxProfile needs transactionId")
    if isinstance(found, ProfileRefusal):
        return LocalAnswer(_reject_profile(found))
    if found.session:
        found = replace(found, session=session_of(found.session, ctx))
    return SetChargingProfileRequest(int(payload["evseId"]), found, replaces=False, binding_phases=True)


def _answer_set_charging_profile(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    if reply.status == "Accepted":
        return {"status": "Accepted"}
    return _reject_profile(reply.data.get("reason", ProfileRefusal("InternalError", "the profile was not judged")))


def _reject_profile(reason: ProfileRefusal) -> dict[str, Any]:
    """Reject with StatusInfoType (2.0.1 part 2, 2.42)."""
    return {"status": "Rejected", "statusInfo": {"reasonCode": reason.code, "additionalInfo": reason.text}}


def _decode_clear_charging_profile(payload: Payload, ctx: RowContext) -> ClearChargingProfilesRequest | LocalAnswer:
    criteria = payload.get("chargingProfileCriteria", {})
    purpose = criteria.get("chargingProfilePurpose")
    number = optional_integer(payload, "chargingProfileId")
    if number is None and purpose is not None and purpose not in _SETTABLE:
        return LocalAnswer({"status": "Unknown"})  # K10.FR.08
    return ClearChargingProfilesRequest(
        number, optional_integer(criteria, "evseId"), _SETTABLE.get(purpose), optional_integer(criteria, "stackLevel")
    )


# --- reports -------------------------------------------------------------------------------------------------------


def _encode_charging_schedule(schedule: Schedule) -> dict[str, Any]:
    periods = [
        {
            "startPeriod": p.start_s,
            "limit": p.limit,
            **({"numberPhases": p.phases} if p.phases is not None else {}),
            **({"phaseToUse": p.phase_to_use} if p.phase_to_use is not None else {}),
        }
        for p in schedule.periods
    ]
    optional = {
        "startSchedule": None if schedule.start_utc_s is None else format_rfc3339(schedule.start_utc_s),
        "duration": schedule.duration_s,
        "minChargingRate": schedule.least_rate,
    }
    return {
        "id": schedule.number,
        "chargingRateUnit": str(schedule.unit),
        "chargingSchedulePeriod": periods,
        **{k: v for k, v in optional.items() if v is not None},
    }


def _encode_charging_profile(profile: Profile) -> dict[str, Any]:
    since, until = profile.valid_from_utc_s, profile.valid_to_utc_s
    optional = {
        "recurrencyKind": None if profile.recurrency is None else str(profile.recurrency),
        "validFrom": None if since is None else format_rfc3339(since),
        "validTo": None if until is None else format_rfc3339(until),
        "transactionId": profile.session or None,
    }
    return {
        "id": profile.id,
        "stackLevel": profile.stack_level,
        "chargingProfilePurpose": str(profile.purpose),
        "chargingProfileKind": str(profile.kind),
        "chargingSchedule": [_encode_charging_schedule(profile.schedule)],
        **{k: v for k, v in optional.items() if v is not None},
    }


def _encode_profiles_report(message: ChargingProfilesReport, ctx: RowContext) -> dict[str, Any]:
    return {
        "requestId": message.request,
        "chargingLimitSource": message.source,
        "evseId": message.evse,
        "tbc": message.more,
        "chargingProfile": [_encode_charging_profile(p) for p in message.profiles],
    }


def _decode_get_charging_profiles(payload: Payload, ctx: RowContext) -> ChargingProfilesRequest | LocalAnswer:
    criterion = payload["chargingProfile"]
    purpose = criterion.get("chargingProfilePurpose")
    if purpose is not None and purpose not in _PURPOSES:
        return LocalAnswer({"status": "NoProfiles"})
    return ChargingProfilesRequest(
        ids=tuple(map(int, criterion.get("chargingProfileId", ()))),
        evse=optional_integer(payload, "evseId"),
        purpose=_PURPOSES.get(purpose),
        stack_level=optional_integer(criterion, "stackLevel"),
        sources=tuple(criterion.get("chargingLimitSource", ())),
    )


def _found_profiles(reply: Response) -> list[InstalledProfile]:
    found: list[InstalledProfile] = reply.data.get("profiles", []) if reply.status == "Accepted" else []
    return found


def _answer_get_charging_profiles(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    return {"status": "Accepted" if _found_profiles(reply) else "NoProfiles"}


def _report_profiles(reply: Response, payload: Payload, ctx: RowContext) -> list[Message]:
    """Return the parts of the report; every part is about one EVSE and one source."""
    parts = []
    for (evse, source), group in groupby(_found_profiles(reply), key=lambda i: (i.evse, i.source)):
        own = [i.profile for i in group]
        parts += [(evse, source, tuple(own[i : i + PARTS])) for i in range(0, len(own), PARTS)]
    request = int(payload["requestId"])
    return [
        ChargingProfilesReport(request, evse, number < len(parts), profiles, source)
        for number, (evse, source, profiles) in enumerate(parts, 1)
    ]


# --- the limit of an external system ---------------------------------------------------------------------------------


def _encode_external_limit(message: ExternalLimitSet, ctx: RowContext) -> dict[str, Any]:
    """Encode the limit of the whole station: without an EVSE (K12)."""
    notice: dict[str, Any] = {"chargingLimit": {"chargingLimitSource": message.source}}
    if message.schedule is not None:
        notice["chargingSchedule"] = [_encode_charging_schedule(message.schedule)]
    return notice


def _encode_released_limit(message: ExternalLimitReleased, ctx: RowContext) -> dict[str, Any]:
    return {"chargingLimitSource": message.source}


# --- the composite schedule ------------------------------------------------------------------------------------------


def _decode_get_composite_schedule(payload: Payload, ctx: RowContext) -> CompositeScheduleRequest:
    unit = payload.get("chargingRateUnit")
    return CompositeScheduleRequest(
        int(payload["evseId"]), int(payload["duration"]), None if unit is None else Unit(unit)
    )


def _answer_get_composite_schedule(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    if reply.status != "Accepted":
        return {"status": "Rejected"}
    schedule = {
        "evseId": int(payload["evseId"]),
        "duration": reply.data["duration_s"],
        "scheduleStart": format_rfc3339(reply.data["start_utc_s"]),
        "chargingRateUnit": str(reply.data["unit"]),
        "chargingSchedulePeriod": schedule_periods(reply),
    }
    return {"status": "Accepted", "schedule": schedule}


ROWS = (
    RequestRow("SetChargingProfile", _decode_set_charging_profile, _answer_set_charging_profile),
    RequestRow("ClearChargingProfile", _decode_clear_charging_profile, answer_one_of("Accepted", otherwise="Unknown")),
    RequestRow(
        "GetChargingProfiles",
        _decode_get_charging_profiles,
        _answer_get_charging_profiles,
        follow_up=_report_profiles,
    ),
    MessageRow(ChargingProfilesReport, "ReportChargingProfiles", _encode_profiles_report, decode_empty_response),
    RequestRow("GetCompositeSchedule", _decode_get_composite_schedule, _answer_get_composite_schedule),
    MessageRow(ExternalLimitSet, "NotifyChargingLimit", _encode_external_limit, decode_empty_response),
    MessageRow(ExternalLimitReleased, "ClearedChargingLimit", _encode_released_limit, decode_empty_response),
)
