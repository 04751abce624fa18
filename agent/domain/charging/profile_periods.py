"""When a profile is in force, and what it allows then.

One axis of seconds for everything: UTC once the clock is trusted. Until then the axis is the stamp
clock's; then only profiles that begin with the session can be placed on it. Whether the others are
in force is unknown (``needs_utc``).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator

from agent.domain.charging.profiles import Kind, Period, Profile, Recurrency

CYCLE_S = {Recurrency.DAILY: 86400, Recurrency.WEEKLY: 7 * 86400}


def needs_utc(profile: Profile) -> bool:
    """Return whether the profile depends on the time of day or the date."""
    validity = (profile.valid_from_utc_s, profile.valid_to_utc_s)
    return any(v is not None for v in validity) or not begins_with_session(profile)


def begins_with_session(profile: Profile) -> bool:
    """Return whether the schedule begins with the session: relative profiles, and absolute ones
    without a start of their own (1.6 7.13)."""
    return profile.kind is Kind.RELATIVE or profile.schedule.start_utc_s is None


def _beginning_s(profile: Profile, began_s: float) -> float:
    start_s = profile.schedule.start_utc_s
    return began_s if begins_with_session(profile) or start_s is None else start_s


def _schedule_run_s(profile: Profile, began_s: float, at_s: float) -> tuple[float, float]:
    """Return beginning and end of the run of the schedule that ``at_s`` lies in or after."""
    start_s, duration_s = _beginning_s(profile, began_s), profile.schedule.duration_s
    if profile.kind is not Kind.RECURRING or profile.recurrency is None:
        return start_s, math.inf if duration_s is None else start_s + duration_s
    cycle_s = CYCLE_S[profile.recurrency]
    start_s += max(0, math.floor((at_s - start_s) / cycle_s)) * cycle_s
    return start_s, start_s + min(cycle_s, duration_s or cycle_s)


def period_at(profile: Profile, began_s: float, at_s: float) -> Period | None:
    """Return the period in force; None if the profile is not in force at that moment."""
    since_s, until_s = profile.valid_from_utc_s, profile.valid_to_utc_s
    if (since_s is not None and at_s < since_s) or (until_s is not None and at_s >= until_s):
        return None
    start_s, end_s = _schedule_run_s(profile, began_s, at_s)
    if not start_s <= at_s < end_s:
        return None
    periods = profile.schedule.periods
    return periods[bisect_right(periods, at_s - start_s, key=lambda p: p.start_s) - 1]


def next_edge_s(profile: Profile, began_s: float, at_s: float) -> float:
    """Return the first moment after ``at_s`` at which the profile may change; infinity if there is
    none."""
    return min((e for e in _edges_s(profile, began_s, at_s) if e > at_s), default=math.inf)


def _edges_s(profile: Profile, began_s: float, at_s: float) -> Iterator[float]:
    yield from (v for v in (profile.valid_from_utc_s, profile.valid_to_utc_s) if v is not None)
    start_s, end_s = _schedule_run_s(profile, began_s, at_s)
    yield start_s
    yield from (start_s + p.start_s for p in profile.schedule.periods if start_s + p.start_s < end_s)
    yield end_s
    if profile.kind is Kind.RECURRING and profile.recurrency is not None:
        yield start_s + CYCLE_S[profile.recurrency]
