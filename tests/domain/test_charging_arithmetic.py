"""The composite schedule against a slow reference that looks at every second, and the split of a station maximum.

The reference is written from the text of the standard alone and shares no function with the code.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.charging.composite_schedule import (
    Outlet,
    ProfileTable,
    bound_of_evse,
    bound_of_station,
    composite_schedule,
)
from agent.domain.charging.load_sharing import Budget, Claim, share_current
from agent.domain.charging.profiles import InstalledProfile, Kind, Period, Profile, Purpose, Recurrency, Schedule, Unit
from tests.support.simulated_station import CAMPAIGN

DAY_S = 86400
NOW_S = 20_000 * DAY_S
"""Midnight UTC of some day."""
VOLTS = 230.0
OUTLETS = (Outlet(1, 32.0, 3, NOW_S - 40.0, "s1"), Outlet(2, 20.0, 1, NOW_S), Outlet(3, 16.0, 3, NOW_S - 7.0, "s3"))
SPAN_S = 150


# --- the reference ---------------------------------------------------------------------------------------------------


def spoken(profile: Profile, began_s: float, second: int) -> Period | None:
    """Does the profile speak in this second, and which period?"""
    if profile.valid_from_utc_s is not None and second < profile.valid_from_utc_s:
        return None
    if profile.valid_to_utc_s is not None and not second < profile.valid_to_utc_s:
        return None
    schedule = profile.schedule
    start = schedule.start_utc_s if profile.kind is not Kind.RELATIVE else None
    passed = second - (began_s if start is None else start)
    if passed < 0:
        return None
    if profile.kind is Kind.RECURRING:
        cycle = DAY_S if profile.recurrency is Recurrency.DAILY else 7 * DAY_S
        while passed >= cycle:
            passed -= cycle
    if schedule.duration_s is not None and passed >= schedule.duration_s:
        return None
    found = None
    for period in schedule.periods:
        if period.start_s <= passed:
            found = period
    return found


def best(
    installed: list[InstalledProfile], purpose: Purpose, evse: int, session: str, began_s: float, second: int
) -> Any:
    """The highest stack level of this purpose at this place that speaks: (amperes or watts, unit) or None."""
    found: tuple[int, float, Unit] | None = None
    for i in installed:
        p = i.profile
        if p.purpose is not purpose or i.evse != evse or (purpose is Purpose.TX and p.session != session):
            continue
        period = spoken(p, began_s, second)
        if period is not None and (found is None or p.stack_level > found[0]):
            found = (p.stack_level, period.limit, p.schedule.unit)
    return None if found is None else found[1:]


def amperes(rate: tuple[float, Unit], phases: int) -> float:
    return rate[0] if rate[1] is Unit.A else rate[0] / VOLTS / phases


def evse_a(installed: list[InstalledProfile], outlet: Outlet, second: int) -> float:
    where = (outlet.session, outlet.began_s, second)
    rate = None
    if outlet.session:
        rate = best(installed, Purpose.TX, outlet.number, *where)
    rate = rate or best(installed, Purpose.TX_DEFAULT, outlet.number, *where)
    rate = rate or best(installed, Purpose.TX_DEFAULT, 0, *where)
    return min(outlet.most_a, amperes(rate, outlet.phases)) if rate else outlet.most_a


def expected(installed: list[InstalledProfile], evse: int, unit: Unit, second: int) -> float:
    station = best(installed, Purpose.STATION_MAX, 0, "", second, second)
    if evse:
        outlet = next(o for o in OUTLETS if o.number == evse)
        limit_a = evse_a(installed, outlet, second)
        if station:
            limit_a = min(limit_a, amperes(station, outlet.phases))
        return limit_a if unit is Unit.A else limit_a * VOLTS * outlet.phases
    total = 0.0
    for outlet in OUTLETS:
        own_a = evse_a(installed, outlet, second)
        total += own_a if unit is Unit.A else own_a * VOLTS * outlet.phases
    if station is None:
        return total
    station_a = amperes(station, 3)
    return min(total, station_a if unit is Unit.A else station_a * VOLTS * 3)


# --- any profiles ----------------------------------------------------------------------------------------------------


@st.composite
def schedules(draw: st.DrawFn, near: bool) -> Schedule:
    starts = sorted(draw(st.sets(st.integers(1, 120), max_size=4)))
    unit = draw(st.sampled_from(tuple(Unit)))
    limits = st.integers(0, 400).map(lambda n: n / 10) if unit is Unit.A else st.integers(0, 25000).map(float)
    periods = tuple(Period(s, draw(limits)) for s in (0, *starts))
    duration = draw(st.none() | st.integers(1, 200))
    start_s = None if near else NOW_S + draw(st.integers(-100, 120))
    return Schedule(unit, periods, duration, start_s)


@st.composite
def installed_profiles(draw: st.DrawFn) -> list[InstalledProfile]:
    found = []
    for number in range(draw(st.integers(0, 7))):
        purpose = draw(st.sampled_from(tuple(Purpose)))
        kinds = [Kind.ABSOLUTE, Kind.RECURRING, *([Kind.RELATIVE] if purpose is not Purpose.STATION_MAX else [])]
        kind = draw(st.sampled_from(kinds))
        evse = 0 if purpose is Purpose.STATION_MAX else draw(st.integers(0 if purpose is Purpose.TX_DEFAULT else 1, 3))
        schedule = draw(schedules(kind is Kind.RELATIVE))
        recurrency = None
        if kind is Kind.RECURRING:
            recurrency = draw(st.sampled_from(tuple(Recurrency)))
            back_s = draw(st.integers(0, 20)) * (DAY_S if recurrency is Recurrency.DAILY else 7 * DAY_S)
            schedule = Schedule(
                schedule.unit, schedule.periods, schedule.duration_s, (schedule.start_utc_s or 0) - back_s
            )
        since = draw(st.none() | st.integers(-50, 100))
        lasts = draw(st.none() | st.integers(1, 100))
        profile = Profile(
            number, number, purpose, kind, schedule, recurrency,
            valid_from_utc_s=None if since is None else NOW_S + since,
            valid_to_utc_s=None if lasts is None else NOW_S + (since or 0) + lasts,
            session=draw(st.sampled_from(["s1", "s3", "s9"])) if purpose is Purpose.TX else "",
        )  # fmt: skip
        found.append(InstalledProfile(evse, profile))
    return found


@settings(max_examples=2000 if CAMPAIGN else 80, deadline=None)
@given(installed_profiles(), st.sampled_from([0, 1, 2, 3]), st.sampled_from(tuple(Unit)), st.integers(1, SPAN_S))
def test_every_second_of_it_is_right(found: list[InstalledProfile], evse: int, unit: Unit, duration_s: int) -> None:
    covered_s, spans = composite_schedule(ProfileTable(tuple(found), VOLTS), OUTLETS, evse, NOW_S, duration_s, unit)
    assert covered_s == duration_s
    assert spans[0].start_s == 0
    starts = [s.start_s for s in spans]
    assert starts == sorted(set(starts))
    assert starts[-1] < duration_s
    limits = {s.start_s: s.limit for s in spans}
    limit = -1.0
    for second in range(duration_s):
        before, limit = limit, limits.get(second, limit)
        true = expected(found, evse, unit, NOW_S + second)
        assert limit <= true + 1e-6, f"second {second}: more than is allowed"
        assert limit > true - 0.1, f"second {second}: {limit}, allowed are {true}"
        assert second not in limits or before != limit, "a change that changes nothing"


@settings(max_examples=1000 if CAMPAIGN else 50, deadline=None)
@given(installed_profiles(), st.integers(0, SPAN_S))
def test_without_a_clock_no_one_gets_more_than_with_one(found: list[InstalledProfile], passed_s: int) -> None:
    """Whatever the time really is."""
    knows, guesses = ProfileTable(tuple(found), VOLTS), ProfileTable(tuple(found), VOLTS, trusted=False)
    for outlet in OUTLETS:
        own = bound_of_evse(knows, outlet, NOW_S + passed_s)
        assert bound_of_evse(guesses, outlet, NOW_S + passed_s).limit <= own.limit + 1e-9
    known, guessed = bound_of_station(knows, 3, NOW_S + passed_s), bound_of_station(guesses, 3, NOW_S + passed_s)
    assert known is None or (
        guessed is not None and guessed.limit_in_watts(VOLTS) <= known.limit_in_watts(VOLTS) + 1e-9
    )


def test_a_schedule_without_end_keeps_no_one_busy() -> None:
    """A thousand changes, then it stops and says how far it came."""
    flicker = tuple(Period(n, 10.0 + n % 2) for n in range(100))
    profile = Profile(
        1, 0, Purpose.TX_DEFAULT, Kind.RECURRING, Schedule(Unit.A, flicker, None, NOW_S), Recurrency.DAILY
    )
    covered_s, spans = composite_schedule(
        ProfileTable((InstalledProfile(0, profile),)), OUTLETS, 1, NOW_S, 2**31 - 1, Unit.A
    )
    assert 9 * DAY_S < covered_s < 11 * DAY_S
    assert len(spans) <= 1000


def test_fewer_phases_only_where_the_outlet_can() -> None:
    """3680 W on one phase are 16 A; an outlet that stays on three gets a third of it."""
    one = Profile(1, 0, Purpose.TX_DEFAULT, Kind.RELATIVE, Schedule(Unit.W, (Period(0, 3680.0, 1),)))
    installed = (InstalledProfile(0, one),)
    assert bound_of_evse(ProfileTable(installed, VOLTS), OUTLETS[0], NOW_S).limit == 3680.0 / 690
    switched = bound_of_evse(ProfileTable(installed, VOLTS, switches=True), OUTLETS[0], NOW_S)
    assert (switched.limit, switched.phases) == (16.0, 1)


# --- the split -------------------------------------------------------------------------------------------------------


def claims(count: int) -> st.SearchStrategy[list[Claim]]:
    one = st.tuples(st.integers(0, 63), st.integers(6, 10), st.booleans())
    return st.lists(one, min_size=count, max_size=6).map(
        lambda rows: [Claim(n, float(most), float(least), eager) for n, (most, least, eager) in enumerate(rows, 1)]
    )


def budgets() -> st.SearchStrategy[list[Budget]]:
    """Watts of the station and amperes of a few phases, each loaded by some of the outlets."""
    weights = st.dictionaries(st.integers(1, 6), st.sampled_from([1.0, 230.0, 690.0]), max_size=6)
    return st.lists(st.builds(Budget, st.floats(0, 60000), weights), max_size=4)


@settings(max_examples=2000 if CAMPAIGN else 100, deadline=None)
@given(budgets(), claims(1))
def test_never_above_and_nothing_wasted(bounds: list[Budget], wanted: list[Claim]) -> None:
    given_a = share_current(bounds, wanted)

    def left(bound: Budget) -> float:
        return bound.amount - sum(given_a[c.evse] * bound.weights.get(c.evse, 0.0) for c in wanted)

    assert all(left(b) >= -1e-5 for b in bounds)
    for c in wanted:
        assert given_a[c.evse] == 0.0 or c.least_a <= given_a[c.evse] <= c.most_a + 1e-9
        mine = [b for b in bounds if b.weights.get(c.evse)]
        if 0.0 < given_a[c.evse] < c.most_a - 1e-6:
            assert any(left(b) < 1e-3 for b in mine), "it could have more"
    served = [c for c in wanted if given_a[c.evse]]
    for c in wanted:
        if not given_a[c.evse] and c.most_a >= c.least_a:
            rest = [
                (b.amount - sum(s.least_a * b.weights.get(s.evse, 0.0) for s in served), b.weights.get(c.evse, 0.0))
                for b in bounds
            ]
            assert any(room < c.least_a * weight for room, weight in rest), "it waits although there is room"


def one(amount: float) -> list[Budget]:
    return [Budget(amount, {1: 1.0, 2: 1.0, 3: 1.0})]


def test_a_full_phase_holds_only_those_who_load_it() -> None:
    """Two single-phase outlets on R and S beside one on all three: 32 A each phase."""
    feed = [Budget(32.0, {1: 1.0, 3: 1.0}), Budget(32.0, {2: 1.0, 3: 1.0}), Budget(32.0, {3: 1.0})]
    assert share_current(feed, [Claim(1, 32.0), Claim(2, 10.0), Claim(3, 32.0)]) == {1: 16.0, 2: 10.0, 3: 16.0}
    assert share_current(feed, [Claim(1, 32.0), Claim(2, 32.0)]) == {1: 32.0, 2: 32.0}


def test_even_shares_and_what_one_cannot_use_goes_to_the_others() -> None:
    assert share_current(one(30.0), [Claim(1, 32.0), Claim(2, 32.0)]) == {1: 15.0, 2: 15.0}
    assert share_current(one(30.0), [Claim(1, 8.0), Claim(2, 32.0)]) == {1: 8.0, 2: 22.0}


def test_who_asks_goes_before_who_does_not_and_the_first_before_the_second() -> None:
    assert share_current(one(10.0), [Claim(1, 32.0), Claim(2, 32.0)]) == {1: 10.0, 2: 0.0}
    assert share_current(one(10.0), [Claim(1, 32.0, eager=False), Claim(2, 32.0)]) == {1: 0.0, 2: 10.0}
    assert share_current(one(20.0), [Claim(1, 32.0, eager=False), Claim(2, 12.0)]) == {1: 8.0, 2: 12.0}
