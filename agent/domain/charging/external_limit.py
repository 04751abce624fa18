"""A limit that an external system sets on the whole station (OCPP 2.0.1 K11 to K13), and what the station file says of
it. Only a station with an energy manager imports this."""

from __future__ import annotations

from typing import TypeAlias

from agent.domain.charging.composite_schedule import round_down_to_tenth
from agent.domain.charging.profiles import (
    EXTERNAL_PROFILE_ID,
    InstalledProfile,
    Kind,
    Period,
    Profile,
    Purpose,
    Schedule,
    Unit,
)
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.model.types import STATION, Moment


class SilencePolicy(StrEnum):
    """What holds when the energy manager has been silent for too long."""

    KEEP = "keep"
    """Its last limit, until it reports again."""
    FALL_BACK = "fall_back"
    """A fixed limit of the station file."""
    RELEASE = "release"
    """No limit."""


@frozen
class ExternalLimitConfig:
    """What the station file says. ``unit``: of the limit and of ``fallback``. ``source``: ChargingLimitSourceEnumType,
    never ``CSO`` (K11.FR.05). ``silent_s``: so many real seconds without a report are silence. ``fallback``: the limit
    of ``SilencePolicy.FALL_BACK``, and of a station that has never heard one; None: such a station has no limit.
    ``highest``: more is no limit of this station, but a value of another kind. ``rate_links``: those whose versions
    can report a changed charging rate."""

    unit: Unit = Unit.A
    source: str = "EMS"
    silent_s: float = 60.0
    on_silence: SilencePolicy = SilencePolicy.KEEP
    fallback: float | None = None
    highest: float = 1e7
    rate_links: frozenset[str] = frozenset()


@frozen
class ExternalLimit:
    """At most ``limit`` of ``unit`` for the whole station: amperes of each phase, or watts. ``since_t_s``: since when,
    on the stamp clock of this boot."""

    limit: float
    unit: Unit
    source: str
    since_t_s: float

    def installed_profile(self, now: Moment) -> InstalledProfile:
        """Return the limit as the charging profile that a backend reads (K11.FR.06)."""
        return InstalledProfile(STATION, self._charging_profile(now), self.source)

    def charging_schedule(self, now: Moment) -> Schedule:
        """Return the limit as a schedule without end. Its start is not known before UTC is."""
        start_utc_s = None if now.utc_s is None else now.utc_s - max(0.0, now.t_s - self.since_t_s)
        return Schedule(self.unit, (Period(0, round_down_to_tenth(self.limit)),), None, start_utc_s, number=1)

    def _charging_profile(self, now: Moment) -> Profile:
        return Profile(EXTERNAL_PROFILE_ID, 0, Purpose.EXTERNAL, Kind.ABSOLUTE, self.charging_schedule(now))


Rate: TypeAlias = float | None
"""A limit as a number of a known unit; None: there is none."""


def differs_significantly(before: Rate, after: Rate, percent: float) -> bool:
    """Return whether a change is one that a backend is informed of (LimitChangeSignificance): by more than so many
    percent of the value before. A limit that begins or ends always is."""
    if before is None or after is None:
        return before is not after
    return abs(after - before) > before * percent / 100 + 1e-9
