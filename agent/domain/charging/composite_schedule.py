"""What all profiles together allow: one bound for an EVSE at a moment, and the schedule of bounds that follows.

For an EVSE: the least of what the hardware can, what the bounds of the whole station leave, and the TxProfile while it
lasts, else the TxDefaultProfile (one of the EVSE's own before one of the station; among those the highest stack level).
For the station: its least bound, or the sum of its EVSEs where that is less.

Without trusted UTC it is unknown whether a profile with a date or a time of day is in force. The
cautious answer holds then: the lowest limit that may be in force.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from agent.domain.charging.profile_periods import needs_utc, next_edge_s, period_at
from agent.domain.charging.profiles import InstalledProfile, Period, Profile, Purpose, Unit
from agent.model.fastclass import frozen
from agent.model.types import STATION, EvseId

if TYPE_CHECKING:
    from agent.domain.charging.external_limit import ExternalLimit

STEPS_MAX = 1000
"""A composite schedule ends after so many changes at the latest: a request must not keep the station busy."""


@frozen
class Outlet:
    """What is asked about: an EVSE with what its hardware can. ``session``: the running one, or the open
    transaction that waits for one; ``began_s``: when it began, or would begin, on the axis of ``Table``.
    ``efficiency``: what it gives of what it draws. ``fixed``: it uses all its phases, whatever others can do.
    ``surely_a``: its vehicle takes as much, whatever the bounds."""

    number: EvseId
    most_a: float
    phases: int
    began_s: float
    session: str = ""
    efficiency: float = 1.0
    fixed: bool = False
    surely_a: float = 0.0


@frozen
class ProfileTable:
    """All installed profiles, and how to read them. ``trusted``: the axis of seconds is UTC. ``switches``: the outlets
    can charge on fewer phases than they have. ``feed_a``: what each phase of the station's feed carries.
    ``external``: the limit of an external system on the whole station."""

    installed: tuple[InstalledProfile, ...]
    nominal_v: float = 230.0
    trusted: bool = True
    switches: bool = False
    feed_a: float | None = None
    external: ExternalLimit | None = None


@frozen
class Bound:
    """At most ``limit`` of ``unit``. ``phases``: of an EVSE, how many it may use. ``least``: below it charging is no
    use, in the same unit."""

    limit: float
    unit: Unit = Unit.A
    phases: int = 3
    least: float = 0.0

    def limit_in_amperes(self, nominal_v: float) -> float:
        return self.limit if self.unit is Unit.A else self.limit / (nominal_v * self.phases)

    def limit_in_watts(self, nominal_v: float) -> float:
        return self.limit if self.unit is Unit.W else self.limit * nominal_v * self.phases

    def minimum_in_amperes(self, nominal_v: float) -> float:
        return self.least if self.unit is Unit.A else self.least / (nominal_v * self.phases)

    def limit_in_unit(self, unit: Unit, nominal_v: float) -> float:
        return self.limit_in_amperes(nominal_v) if unit is Unit.A else self.limit_in_watts(nominal_v)


@frozen
class Span:
    """From ``start_s`` seconds after the beginning of the composite schedule until the next one."""

    start_s: int
    limit: float
    phases: int = 3


# --- who speaks ----------------------------------------------------------------------------------------------------


def profiles_by_rank(table: ProfileTable, purpose: Purpose, outlet: Outlet | None = None) -> list[Profile]:
    """Return the profiles of this purpose for the outlet (None: the station). The first one in
    force wins."""
    numbers = (STATION,) if outlet is None else (outlet.number, STATION)
    session = outlet.session if outlet is not None else ""
    found = [i for i in table.installed if i.profile.purpose is purpose and i.evse in numbers]
    if purpose is Purpose.TX:
        found = [i for i in found if session and i.profile.session == session]
    found.sort(key=lambda i: (numbers.index(i.evse), -i.profile.stack_level))
    return [i.profile for i in found]


def _possible_bounds(
    table: ProfileTable, profiles: Iterable[Profile], phases: int, began_s: float, at_s: float, switches: bool
) -> Iterator[Bound]:
    """Yield the bound of the first profile that is surely in force, and of those before it that may
    be."""
    for profile in profiles:
        if not table.trusted and needs_utc(profile):
            yield min(
                (_bound_of_period(profile, p, phases, switches) for p in profile.schedule.periods),
                key=lambda b: b.limit,
            )
        elif (period := period_at(profile, began_s, at_s)) is not None:
            yield _bound_of_period(profile, period, phases, switches)
            return


def _bound_of_period(profile: Profile, period: Period, phases: int, switches: bool) -> Bound:
    used = period.used_phases(phases, switches)
    return Bound(period.limit, profile.schedule.unit, used, profile.schedule.least_rate or 0.0)


def bound_of_evse(table: ProfileTable, outlet: Outlet, at_s: float) -> Bound:
    """Return what hardware and transaction profiles allow at this EVSE, in A."""
    order = [*profiles_by_rank(table, Purpose.TX, outlet), *profiles_by_rank(table, Purpose.TX_DEFAULT, outlet)]
    switches = table.switches and not outlet.fixed
    found = list(_possible_bounds(table, order, outlet.phases, outlet.began_s, at_s, switches))
    in_a = [
        Bound(b.limit_in_amperes(table.nominal_v), Unit.A, b.phases, b.minimum_in_amperes(table.nominal_v))
        for b in found
    ]
    least = min(in_a, key=lambda b: b.limit, default=Bound(outlet.most_a, Unit.A, outlet.phases))
    return Bound(min(outlet.most_a, least.limit), Unit.A, least.phases, least.least)


def bound_of_station(table: ProfileTable, phases: int, at_s: float) -> Bound | None:
    """Return the station maximum in force, in its own unit; None: there is none."""
    found = list(
        _possible_bounds(table, profiles_by_rank(table, Purpose.STATION_MAX), phases, at_s, at_s, table.switches)
    )
    return min(found, key=lambda b: b.limit_in_watts(table.nominal_v), default=None)


def next_change_s(table: ProfileTable, outlets: Sequence[Outlet], at_s: float) -> float:
    """Return when a bound of these outlets may change next; infinity: not with time."""
    edges = [_next_profile_edge_s(table, p, at_s, at_s) for p in profiles_by_rank(table, Purpose.STATION_MAX)]
    for outlet in outlets:
        for purpose in (Purpose.TX, Purpose.TX_DEFAULT):
            edges += [
                _next_profile_edge_s(table, p, outlet.began_s, at_s) for p in profiles_by_rank(table, purpose, outlet)
            ]
    return min(edges, default=math.inf)


def _next_profile_edge_s(table: ProfileTable, profile: Profile, began_s: float, at_s: float) -> float:
    return math.inf if not table.trusted and needs_utc(profile) else next_edge_s(profile, began_s, at_s)


# --- schedules -----------------------------------------------------------------------------------------------------


def composite_schedule(
    table: ProfileTable, outlets: Sequence[Outlet], evse: EvseId, start_s: float, duration_s: int, unit: Unit
) -> tuple[int, list[Span]]:
    """Return the composite schedule of an EVSE (0: of the station) from ``start_s`` on. Returns how
    many seconds it covers, which is less than was asked for only after ``STEPS_MAX`` changes, and
    its spans; equal neighbours are one."""
    outlet = next((o for o in outlets if o.number == evse), None)
    spans: list[Span] = []
    at_s = start_s
    for _ in range(STEPS_MAX):
        limit, phases = (
            _limit_of_evse(table, outlet, at_s, unit) if outlet else _limit_of_station(table, outlets, at_s, unit)
        )
        _append_span(spans, Span(round(at_s - start_s), limit, phases))
        at_s = next_change_s(table, [outlet] if outlet else outlets, at_s)
        if at_s - start_s >= duration_s:  # a duration may be greater than any float
            return duration_s, spans
    return max(1, math.floor(at_s - start_s)), spans


def _append_span(spans: list[Span], span: Span) -> None:
    """Append a span. Of two changes within the same second the later one replaces the earlier."""
    if spans and spans[-1].start_s == span.start_s:
        spans.pop()
    if not spans or (spans[-1].limit, spans[-1].phases) != (span.limit, span.phases):
        spans.append(span)


def _limit_of_evse(table: ProfileTable, outlet: Outlet, at_s: float, unit: Unit) -> tuple[float, int]:
    own = bound_of_evse(table, outlet, at_s)
    limit = own.limit_in_unit(unit, table.nominal_v)
    for bound in station_wide_bounds(table, outlet.phases, at_s):
        drawn = Bound(bound.limit, bound.unit, own.phases).limit_in_unit(unit, table.nominal_v)
        limit = min(limit, drawn * outlet.efficiency)
    return round_down_to_tenth(max(limit, _surely_drawn(table, outlet, unit))), own.phases


def _limit_of_station(table: ProfileTable, outlets: Sequence[Outlet], at_s: float, unit: Unit) -> tuple[float, int]:
    phases = max((o.phases for o in outlets), default=3)
    surely = [_surely_drawn(table, o, unit) / o.efficiency for o in outlets]
    own = [bound_of_evse(table, o, at_s).limit_in_unit(unit, table.nominal_v) / o.efficiency for o in outlets]
    limit = sum(map(max, own, surely))
    for bound in station_wide_bounds(table, phases, at_s):
        limit = min(limit, bound.limit_in_unit(unit, table.nominal_v))
    return round_down_to_tenth(max(limit, sum(surely))), phases


def _surely_drawn(table: ProfileTable, outlet: Outlet, unit: Unit) -> float:
    return Bound(outlet.surely_a, Unit.A, outlet.phases).limit_in_unit(unit, table.nominal_v)


def station_wide_bounds(table: ProfileTable, phases: int, at_s: float) -> list[Bound]:
    """Return the bounds of the station as a whole: its feed, the limit of an external system, and a maximum that a
    backend has set. None of them lifts another one."""
    feed = None if table.feed_a is None else Bound(table.feed_a, Unit.A, phases)
    external = None if table.external is None else Bound(table.external.limit, table.external.unit, phases)
    return [b for b in (feed, external, bound_of_station(table, phases, at_s)) if b is not None]


def round_down_to_tenth(value: float) -> float:
    """Round down to a tenth, as OCPP writes rates, so that it is never more than allowed."""
    return math.floor(value * 10 + 1e-6) / 10
