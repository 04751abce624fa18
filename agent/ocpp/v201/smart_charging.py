"""Smart charging (OCPP 2.0.1 block K): profiles of the backend. Limits of others (K11-K14) and schedules that a vehicle
negotiates (K15-K17) are not offered."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from agent.domain.charging.profiles import (
    Installed,
    Kind,
    Period,
    Profile,
    ProfileRefusal,
    Purpose,
    Recurrency,
    Schedule,
    Unit,
)
from agent.domain.messages import Message
from agent.domain.orders import Reply
from agent.domain.requests import AskClearProfiles, AskComposite, AskProfiles, AskSetProfile
from agent.model.fastclass import frozen, replace
from agent.ocpp.dialects.composite_schedule import schedule_periods
from agent.ocpp.dialects.dialect import Desk, In, Out, Payload, nothing
from agent.ocpp.dialects.optional_fields import decimal, utc_s, whole
from agent.ocpp.v201.identifiers import session_of
from agent.ocpp.wire.timestamps import rfc3339

FEATURE = "SmartCharging"
SOURCE = "CSO"
"""ChargingLimitSourceEnumType: whose profiles a backend's are."""
PARTS = 5
"""Profiles per ReportChargingProfiles: some 25 kB at most."""
_PURPOSES = {str(p): p for p in Purpose}


def _schedule(payload: Payload) -> Schedule:
    return Schedule(
        unit=Unit(payload["chargingRateUnit"]),
        periods=tuple(
            Period(int(p["startPeriod"]), decimal(p, "limit") or 0.0, whole(p, "numberPhases"), whole(p, "phaseToUse"))
            for p in payload["chargingSchedulePeriod"]
        ),
        duration_s=whole(payload, "duration"),
        start_utc_s=utc_s(payload, "startSchedule"),
        least_rate=decimal(payload, "minChargingRate"),
        number=int(payload["id"]),
    )


def profile(payload: Payload) -> Profile | ProfileRefusal:
    """ChargingProfileType, or why a backend cannot set it here (K01: external constraints; several schedules are for a
    vehicle to choose from; a start belongs to absolute and recurring ones alone). Raises ``Refused``."""
    purpose, kind = _PURPOSES.get(payload["chargingProfilePurpose"]), Kind(payload["chargingProfileKind"])
    if purpose is None:
        return ProfileRefusal("InvalidProfile", f"{payload['chargingProfilePurpose']} is not set by a backend")
    if len(payload["chargingSchedule"]) != 1:
        return ProfileRefusal("TooManyElements", "one chargingSchedule is possible")
    schedule = _schedule(payload["chargingSchedule"][0])
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
        valid_from_utc_s=utc_s(payload, "validFrom"),
        valid_to_utc_s=utc_s(payload, "validTo"),
        session=str(payload.get("transactionId", "")) if purpose is Purpose.TX else "",
    )


def of_start(payload: Payload, desk: Desk) -> Profile | bool | None:
    """The profile that a remote start brings: False when it cannot be, None when there is none or it is ignored."""
    wanted = payload.get("chargingProfile")
    if wanted is None:
        return None
    if wanted["chargingProfilePurpose"] != Purpose.TX:
        return False
    if FEATURE not in desk.settings.items_of("feature_profiles"):
        return None
    found = profile(wanted)
    return replace(found, session="") if isinstance(found, Profile) else False


def _set(payload: Payload, desk: Desk) -> AskSetProfile | dict[str, Any]:
    found = profile(payload["chargingProfile"])
    if isinstance(found, Profile) and found.purpose is Purpose.TX and not found.session:
        found = ProfileRefusal("MissingParam", "a TxProfile needs transactionId")
    if isinstance(found, ProfileRefusal):
        return _rejected(found)
    if found.session:
        found = replace(found, session=session_of(found.session, desk))
    return AskSetProfile(int(payload["evseId"]), found, replaces=False)


def _was_set(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    if reply.status == "Accepted":
        return {"status": "Accepted"}
    return _rejected(reply.data.get("reason", ProfileRefusal("InternalError", "the profile was not judged")))


def _rejected(reason: ProfileRefusal) -> dict[str, Any]:
    """StatusInfoType (2.0.1 part 2, 2.42)."""
    return {"status": "Rejected", "statusInfo": {"reasonCode": reason.code, "additionalInfo": reason.text}}


def _clear(payload: Payload, desk: Desk) -> AskClearProfiles | dict[str, Any]:
    criteria = payload.get("chargingProfileCriteria", {})
    purpose = criteria.get("chargingProfilePurpose")
    number = whole(payload, "chargingProfileId")
    if number is None and purpose is not None and purpose not in _PURPOSES:
        return {"status": "Unknown"}
    return AskClearProfiles(number, whole(criteria, "evseId"), _PURPOSES.get(purpose), whole(criteria, "stackLevel"))


def _cleared(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Accepted" else "Unknown"}


# --- reports -------------------------------------------------------------------------------------------------------


@frozen
class ProfilesReport(Message):
    """One part of a report of installed profiles; ``more``: another part follows."""

    request: int
    evse: int
    more: bool
    profiles: tuple[Profile, ...]


def _told_schedule(schedule: Schedule) -> dict[str, Any]:
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
        "startSchedule": None if schedule.start_utc_s is None else rfc3339(schedule.start_utc_s),
        "duration": schedule.duration_s,
        "minChargingRate": schedule.least_rate,
    }
    return {
        "id": schedule.number,
        "chargingRateUnit": str(schedule.unit),
        "chargingSchedulePeriod": periods,
        **{k: v for k, v in optional.items() if v is not None},
    }


def _told(profile: Profile) -> dict[str, Any]:
    since, until = profile.valid_from_utc_s, profile.valid_to_utc_s
    optional = {
        "recurrencyKind": None if profile.recurrency is None else str(profile.recurrency),
        "validFrom": None if since is None else rfc3339(since),
        "validTo": None if until is None else rfc3339(until),
        "transactionId": profile.session or None,
    }
    return {
        "id": profile.id,
        "stackLevel": profile.stack_level,
        "chargingProfilePurpose": str(profile.purpose),
        "chargingProfileKind": str(profile.kind),
        "chargingSchedule": [_told_schedule(profile.schedule)],
        **{k: v for k, v in optional.items() if v is not None},
    }


def _report(message: ProfilesReport, desk: Desk) -> dict[str, Any]:
    return {
        "requestId": message.request,
        "chargingLimitSource": SOURCE,
        "evseId": message.evse,
        "tbc": message.more,
        "chargingProfile": [_told(p) for p in message.profiles],
    }


def _get(payload: Payload, desk: Desk) -> AskProfiles | dict[str, Any]:
    criterion = payload["chargingProfile"]
    purpose = criterion.get("chargingProfilePurpose")
    elsewhere = SOURCE not in criterion.get("chargingLimitSource", [SOURCE])
    if elsewhere or (purpose is not None and purpose not in _PURPOSES):
        return {"status": "NoProfiles"}
    return AskProfiles(
        ids=tuple(map(int, criterion.get("chargingProfileId", ()))),
        evse=whole(payload, "evseId"),
        purpose=_PURPOSES.get(purpose),
        stack_level=whole(criterion, "stackLevel"),
    )


def _got(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    """The answer, and the parts that are owed after it: every part speaks of one EVSE."""
    found: list[Installed] = reply.data.get("profiles", []) if reply.status == "Accepted" else []
    parts = []
    for evse, group in groupby(found, key=lambda i: i.evse):
        own = [i.profile for i in group]
        parts += [(evse, tuple(own[i : i + PARTS])) for i in range(0, len(own), PARTS)]
    for number, (evse, profiles) in enumerate(parts, 1):
        desk.owed.append(ProfilesReport(int(payload["requestId"]), evse, number < len(parts), profiles))
    return {"status": "Accepted" if parts else "NoProfiles"}


# --- the composite schedule ------------------------------------------------------------------------------------------


def _composite(payload: Payload, desk: Desk) -> AskComposite:
    unit = payload.get("chargingRateUnit")
    return AskComposite(int(payload["evseId"]), int(payload["duration"]), None if unit is None else Unit(unit))


def _is_composed(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    if reply.status != "Accepted":
        return {"status": "Rejected"}
    schedule = {
        "evseId": int(payload["evseId"]),
        "duration": reply.data["duration_s"],
        "scheduleStart": rfc3339(reply.data["start_utc_s"]),
        "chargingRateUnit": str(reply.data["unit"]),
        "chargingSchedulePeriod": schedule_periods(reply),
    }
    return {"status": "Accepted", "schedule": schedule}


ROWS = (
    In("SetChargingProfile", _set, _was_set),
    In("ClearChargingProfile", _clear, _cleared),
    In("GetChargingProfiles", _get, _got),
    Out(ProfilesReport, "ReportChargingProfiles", _report, nothing),
    In("GetCompositeSchedule", _composite, _is_composed),
)
