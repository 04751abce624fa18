"""Charging profiles in the words of OCPP 2.1 (ChargingProfileType), and what makes one impossible.

Times are seconds since 1970 (``..._utc_s``) or seconds since the schedule began. Rates are ampere per phase or watt
over all phases, as ``unit`` says.
"""

from __future__ import annotations

import math
from itertools import pairwise

from agent.domain.variables import Settings
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.model.types import STATION, EvseId


class Purpose(StrEnum):
    """ChargingProfilePurposeEnumType of OCPP 2.x (those that occur here)."""

    STATION_MAX = "ChargingStationMaxProfile"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"
    EXTERNAL = "ChargingStationExternalConstraints"
    """The limit of an external system. A backend reads it, and neither sets nor clears it (K01.FR.22, K10.FR.06)."""


class Kind(StrEnum):
    """ChargingProfileKindEnumType."""

    ABSOLUTE = "Absolute"
    RECURRING = "Recurring"
    RELATIVE = "Relative"


class Recurrency(StrEnum):
    """RecurrencyKindEnumType."""

    DAILY = "Daily"
    WEEKLY = "Weekly"


class Unit(StrEnum):
    """ChargingRateUnitEnumType. ``A``: per phase; ``W``: all phases together."""

    A = "A"
    W = "W"


LONGEST_S = 2**31 - 1
UNIT_WORDS = {Unit.A: "Current", Unit.W: "Power"}
"""How the setting ``profile_rate_units`` names them."""


@frozen
class Period:
    """From ``start_s`` after the schedule's beginning until the next one. ``phases`` None: as many as there are."""

    start_s: int
    limit: float
    phases: int | None = None
    phase_to_use: int | None = None

    def used_phases(self, outlet_phases: int, switches: bool) -> int:
        """Return how many phases an outlet uses. One that cannot charge on fewer phases uses all it has."""
        return min(self.phases or outlet_phases, outlet_phases) if switches else outlet_phases


@frozen
class Schedule:
    """``duration_s`` None: without end. ``start_utc_s`` None: it begins with the session.
    ``number``: the id that 2.x gives a schedule, reported as it came."""

    unit: Unit
    periods: tuple[Period, ...]
    duration_s: int | None = None
    start_utc_s: float | None = None
    least_rate: float | None = None
    """``minChargingRate``, in ``unit``: below it the vehicle charges badly."""
    number: int = 0


@frozen
class Profile:
    """``session``: which one a TxProfile is for (our own id)."""

    id: int
    stack_level: int
    purpose: Purpose
    kind: Kind
    schedule: Schedule
    recurrency: Recurrency | None = None
    valid_from_utc_s: float | None = None
    valid_to_utc_s: float | None = None
    session: str = ""


EXTERNAL_PROFILE_ID = -1
"""Of the limit of an external system: negative, so that no backend is likely to use it (K12.FR.05)."""
OPERATOR = "CSO"
"""ChargingLimitSourceEnumType: the source of a backend's profiles."""


@frozen
class InstalledProfile:
    """A profile and where it was set: an EVSE, or 0 for the station (a TxDefaultProfile there holds for every EVSE).
    ``source``: ChargingLimitSourceEnumType."""

    evse: EvseId
    profile: Profile
    source: str = OPERATOR


@frozen
class ProfileRefusal:
    """Why a profile is not taken. ``code``: StatusInfoType.reasonCode (2.0.1 appendix 5), ``text``: the sentence."""

    code: str
    text: str


def profile_problem(profile: Profile, settings: Settings) -> ProfileRefusal | None:
    """Return what is wrong with the profile itself. Of what it is set for, ``placement_problem``
    judges."""
    return _shape_problem(profile) or _limits_problem(profile, settings) or _periods_problem(profile.schedule)


def _shape_problem(profile: Profile) -> ProfileRefusal | None:
    schedule = profile.schedule
    since, until = profile.valid_from_utc_s, profile.valid_to_utc_s
    if profile.kind is Kind.RECURRING and (profile.recurrency is None or schedule.start_utc_s is None):
        return ProfileRefusal("InvalidProfile", "a recurring profile needs recurrencyKind and startSchedule")
    if since is not None and until is not None and since >= until:
        return ProfileRefusal("InvalidProfile", "validTo is not after validFrom")
    if schedule.duration_s is not None and not 0 < schedule.duration_s <= LONGEST_S:
        return ProfileRefusal("InvalidSchedule", f"duration must be 1 to {LONGEST_S}")
    return None


def _limits_problem(profile: Profile, settings: Settings) -> ProfileRefusal | None:
    most, periods_max = settings.int_value("profile_stack_level_max"), settings.int_value("profile_periods_max")
    if not 0 <= profile.stack_level <= most:
        return ProfileRefusal("InvalidStackLevel", f"stackLevel must be 0 to {most}")
    if UNIT_WORDS[profile.schedule.unit] not in settings.list_value("profile_rate_units"):
        return ProfileRefusal("UnsupportedRateUnit", f"unit {profile.schedule.unit} is not supported")
    if len(profile.schedule.periods) > periods_max:
        return ProfileRefusal("TooManyElements", f"more than {periods_max} periods")
    return None


def _periods_problem(schedule: Schedule) -> ProfileRefusal | None:
    periods = schedule.periods
    rates = [*(p.limit for p in periods), schedule.least_rate or 0.0]
    broken = {
        "the first period must start at 0": not periods or periods[0].start_s != 0,
        f"startPeriod must be at most {LONGEST_S}": bool(periods) and periods[-1].start_s > LONGEST_S,
        "startPeriod must ascend": any(a.start_s >= b.start_s for a, b in pairwise(periods)),
        "a limit must not be negative": any(not (math.isfinite(r) and r >= 0) for r in rates),
        "numberPhases must be 1 to 3": any(p.phases is not None and not 1 <= p.phases <= 3 for p in periods),
    }
    return next((ProfileRefusal("InvalidSchedule", rule) for rule, is_broken in broken.items() if is_broken), None)


def placement_problem(evse: EvseId, profile: Profile) -> ProfileRefusal | None:
    """A station maximum is the whole station's, a TxProfile one EVSE's."""
    if profile.purpose is Purpose.STATION_MAX and evse != STATION:
        return ProfileRefusal("InvalidProfile", "a station maximum is set for EVSE 0 only")
    if profile.purpose is Purpose.TX and evse == STATION:
        return ProfileRefusal("InvalidProfile", "a TxProfile is set for one EVSE")
    return None


def have_same_priority(a: Profile, b: Profile) -> bool:
    """Return whether neither goes before the other: purpose, stack level and transaction are the
    same."""
    return (a.purpose, a.stack_level, a.session) == (b.purpose, b.stack_level, b.session)


def profiles_conflict(a: InstalledProfile, b: InstalledProfile) -> bool:
    """Return whether both would be in force at the same time with the same priority (2.x K01): at
    the same EVSE, or one of them at all."""
    shared = a.evse == b.evse or STATION in (a.evse, b.evse)
    return shared and have_same_priority(a.profile, b.profile) and _validity_overlaps(a.profile, b.profile)


def _validity_overlaps(a: Profile, b: Profile) -> bool:
    return all(
        one.valid_to_utc_s is None or other.valid_from_utc_s is None or other.valid_from_utc_s < one.valid_to_utc_s
        for one, other in ((a, b), (b, a))
    )
