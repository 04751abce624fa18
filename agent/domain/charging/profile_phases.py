"""Whether outlets can keep to the phases that a charging profile names (OCPP 2.x K01.FR.43 to K01.FR.48)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from agent.domain.charging.profiles import Period, Profile, ProfileRefusal, Purpose
from agent.domain.evse import FEED, EvseRecord


def phases_problem(profile: Profile, evses: Iterable[EvseRecord], phase_switching: bool) -> ProfileRefusal | None:
    """Return which of the AC EVSEs would use more phases than ``numberPhases`` (K01.FR.43), or another phase than
    ``phaseToUse`` (K01.FR.48). A DC EVSE ignores both (K01.FR.44). ``phase_switching``: outlets can charge on fewer
    phases than they have. No outlet does so for a profile of the station as a whole."""
    switches = phase_switching and profile.purpose is not Purpose.STATION_MAX
    outlets = [e for e in evses if not e.config.dc]
    problems = (_problem_of_period(p, e, switches) for p, e in product(profile.schedule.periods, outlets))
    return next((ProfileRefusal("InvalidSchedule", text) for text in problems if text), None)


def _problem_of_period(period: Period, evse: EvseRecord, switches: bool) -> str:
    used = period.used_phases(evse.config.phases, switches)
    if period.phases is not None and used > period.phases:
        return f"numberPhases {period.phases}: EVSE {evse.number} uses {used} phases"
    loaded = [FEED.index(phase) + 1 for phase in evse.feed_phases_loaded_by(used)]
    if period.phase_to_use is not None and loaded != [period.phase_to_use]:
        return f"phaseToUse {period.phase_to_use}: EVSE {evse.number} is not known to use this phase alone"
    return ""
