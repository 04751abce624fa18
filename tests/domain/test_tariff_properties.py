"""Random tariffs and sessions: what holds for every price."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.changed_tariff import change_tariff, changed_to_record, read_changed_tariff
from agent.domain.local_time import LocalOffset
from agent.domain.tariff import Rates, Tariff, Usage, Window
from agent.model.types import Stamp

FEW = settings(max_examples=60, deadline=None, derandomize=True)
SPRING_S = 1_806_195_600
"""2027-03-28T01:00:00Z, a Sunday: the clocks in Luxembourg go to three."""
WALL = LocalOffset(60, SPRING_S, 120)
LUXEMBOURG = ZoneInfo("Europe/Luxembourg")

money = st.none() | st.decimals(0, 3, places=3)
rates = st.builds(Rates, money, money, money)
Leg = tuple[int, int, bool | None]
legs = st.lists(
    st.tuples(
        st.sampled_from((1, 7, 60, 299, 300, 301, 4000)), st.integers(0, 900), st.sampled_from((True, False, None))
    ),
    max_size=25,
)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, ...]:
    """None, or a division of the whole week: work days and the weekend, each cut at some minutes of the day."""
    if draw(st.booleans()):
        return ()
    made = []
    for days in ((0, 1, 2, 3, 4), (5, 6)):
        cuts = sorted(draw(st.sets(st.sampled_from((0, 90, 120, 180, 361, 1320)), min_size=1)) | {0})
        made += [Window(days, a, b, draw(rates)) for a, b in zip(cuts, (*cuts[1:], 1440), strict=True)]
    return tuple(made)


tariffs = st.builds(
    Tariff, money, money, money, st.integers(0, 10), money, money, st.just(""), windows(),
    st.none() | st.integers(0, 300), st.none() | st.integers(300, 900),
)  # fmt: skip


def drive(usage: Usage, legs: list[Leg], start: tuple[float, int] = (SPRING_S - 4000.0, 5000)) -> list[Usage]:
    """One usage per point, the first point included."""
    at_s, wh = (usage.at_ms / 1000, usage.wh) if usage.at_ms is not None else start
    made = [usage.advance_to(at_s, wh, legs[0][2] if legs else None)]
    for n, (seconds, used_wh, _) in enumerate(legs):
        at_s, wh = at_s + seconds, wh + used_wh
        state = legs[n + 1][2] if n + 1 < len(legs) else None
        made.append(made[-1].advance_to(at_s, wh, state))
    return made


def exact(tariff: Tariff, usage: Usage) -> Fraction:
    return sum((amount for _, amount in tariff.exact_parts(usage)), start=Fraction(0))


@FEW
@given(tariffs, legs)
def test_a_cost_never_falls_and_is_never_negative(tariff: Tariff, legs: list[Leg]) -> None:
    costs = [exact(tariff, u) for u in drive(tariff.start_usage(WALL), legs)]
    assert costs[0] == 0
    assert costs == sorted(costs)
    cents = [tariff.total_cents(u) for u in drive(tariff.start_usage(WALL), legs)]
    assert cents == sorted(cents)
    for usage, total in zip(drive(tariff.start_usage(WALL), legs), cents, strict=True):
        assert sum(part for _, part in tariff.parts_in_cents(usage)) == total
        assert [kind for kind, _ in tariff.parts_in_cents(usage)] == [kind for kind, _ in tariff.exact_parts(usage)]
    assert all(c <= (tariff.max_cents if tariff.max_cents is not None else c) for c in cents)


@FEW
@given(tariffs, legs, legs)
def test_energy_and_time_add_up_over_a_split(tariff: Tariff, first: list[Leg], second: list[Leg]) -> None:
    """What is paid once is paid once, the grace begins once; all that is measured adds up, before it is rounded."""
    whole = drive(tariff.start_usage(WALL), [*first, *second])[-1]
    one = drive(tariff.start_usage(WALL), first)[-1]
    two = drive(tariff.start_usage(WALL), second, (one.at_ms or 0, one.wh) and ((one.at_ms or 0) / 1000, one.wh))[-1]
    parts = [dict(tariff.exact_parts(u)) for u in (whole, one, two)]
    for n in range(len(whole.sums)):
        assert whole.sums[n].wh == one.sums[n].wh + two.sums[n].wh
        assert whole.sums[n].charging_ms == one.sums[n].charging_ms + two.sums[n].charging_ms
    assert parts[0].get("kwh", 0) == parts[1].get("kwh", 0) + parts[2].get("kwh", 0)
    if one.energy_wh and two.energy_wh:
        assert parts[0].get("minute", 0) == parts[1].get("minute", 0) + parts[2].get("minute", 0)


steps = st.sampled_from((0, 0, 200, -200, 5000, -5000))


@FEW
@given(st.lists(st.tuples(legs, steps, st.booleans()), max_size=4))
def test_a_clock_that_is_set_changes_no_sum(parts: list[tuple[list[Leg], int, bool]]) -> None:
    """Energy and minutes of a price without windows are the same by any clock; what lies between two boots has no
    time."""
    plain = Usage().advance_to(1000.0, 0, True, Stamp(1, 0.0))
    usage = Usage().advance_to(SPRING_S, 0, True, Stamp(1, 0.0))
    boot, seen, t_s, off_s, wh, charged_ms = 1, 1, 0.0, 0.0, 0, 0
    for stretch, step_s, booted in parts:
        off_s += step_s
        boot += booted
        for seconds, used_wh, state in stretch:
            t_s, wh = t_s + seconds, wh + used_wh
            counts = usage.charging and seconds <= 300 and boot == seen
            seen = boot
            charged_ms += seconds * 1000 if counts else 0
            plain = plain.advance_to(1000.0 + t_s, wh, state, Stamp(boot, t_s))
            usage = usage.advance_to(SPRING_S + t_s + off_s, wh, state, Stamp(boot, t_s))
            assert (usage.sums, usage.stretch_ms) == (plain.sums, plain.stretch_ms)
    assert (usage.sums[0].charging_ms, usage.energy_wh) == (charged_ms, wh)
    assert Usage.from_record(json.loads(json.dumps(usage.to_record()))) == usage


@FEW
@given(tariffs, legs, st.integers(0, 25))
def test_the_disk_changes_nothing(tariff: Tariff, legs: list[Leg], cut: int) -> None:
    """After any point tariff and usage are written down and read back; the session goes on with the copy."""
    cut = min(cut, len(legs))
    points = drive(tariff.start_usage(WALL), legs)
    copy = Usage.from_record(json.loads(json.dumps(points[cut].to_record())))
    again = Tariff.from_record(json.loads(json.dumps(tariff.to_record())))
    assert (copy, again) == (points[cut], tariff)
    on = points[cut]
    for point in points[cut + 1 :]:
        copy = copy.advance_to((point.at_ms or 0) / 1000, point.wh, point.charging)
        on = on.advance_to((point.at_ms or 0) / 1000, point.wh, point.charging)
    assert copy == on == points[-1]
    assert again.exact_parts(copy) == tariff.exact_parts(points[-1])
    assert again.total_cents(copy) == tariff.total_cents(points[-1])


@FEW
@given(tariffs, st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3), st.booleans()), max_size=8))
def test_a_clerk_with_a_watch_and_a_calendar_comes_to_the_same(
    tariff: Tariff, legs: list[tuple[int, int, bool]]
) -> None:
    """Second by second over the hour in which the clocks are turned, with the calendar of the operating system."""
    start = (SPRING_S - 40.0, 0)
    seconds = [(per_s, state) for length, per_s, state in legs for _ in range(length)]
    usage = drive(tariff.start_usage(WALL), [(length, length * per_s, state) for length, per_s, state in legs], start)[
        -1
    ]
    clerk, stretch_s, energy_wh = Fraction(0), 0, 0
    had_energy = False
    ends = {sum(length for length, _, _ in legs[: n + 1]) for n in range(len(legs))}
    for s, (per_s, charging) in enumerate(seconds):
        now = datetime.fromtimestamp(start[0] + s, LUXEMBOURG)
        r = _rates(tariff, now)
        clerk += _cents(r.kwh) * per_s / 1000 + (_cents(r.minute) / 60 if charging else 0)
        if not charging and had_energy:
            clerk += _cents(r.occupancy) / 60 if stretch_s >= tariff.grace_min * 60 else 0
            stretch_s += 1
        stretch_s = 0 if charging else stretch_s
        energy_wh += per_s
        had_energy = energy_wh > 0 if s + 1 in ends else had_energy
    clerk += _cents(tariff.session) + _cents(tariff.other)
    clerk = max(clerk, Fraction(tariff.min_cents or 0)) if tariff.max_cents is None else min(
        max(clerk, Fraction(tariff.min_cents or 0)), Fraction(tariff.max_cents)
    )  # fmt: skip
    assert exact(tariff, usage) == (clerk if energy_wh else 0)


@FEW
@given(tariffs, legs, st.integers(0, 3000), st.sampled_from((0.0, 3700.0, 11_040.0)))
def test_the_ceiling_is_reached_when_it_was_said(tariff: Tariff, legs: list[Leg], ceiling: int, power_w: float) -> None:
    usage = drive(tariff.start_usage(WALL), legs)[-1]
    if usage.charging is None:
        usage = usage.advance_to((usage.at_ms or 0) / 1000, usage.wh, power_w > 0)
    headroom_s = tariff.headroom_s(usage, ceiling, power_w)
    assert headroom_s >= 0
    at_s, wh = (usage.at_ms or 0) / 1000, usage.wh
    for step in range(1, 40):  # half a minute each
        then = usage.advance_to(at_s + 30 * step, wh + int(power_w * 30 * step / 3600), usage.charging)
        if 30 * step <= headroom_s:
            usage = then
            assert exact(tariff, usage) <= ceiling + _slack(tariff)
    more_wh = tariff.ceiling_wh(usage, ceiling)
    if more_wh is not None and headroom_s > 0:
        there = usage.advance_to((usage.at_ms or 0) / 1000, usage.wh + more_wh, None)
        assert exact(tariff, there) <= max(ceiling, exact(tariff, usage), 0 if more_wh == 0 else ceiling)


plain_tariffs = st.builds(
    Tariff, money, money, money, st.just(0), money, money, st.just(""), st.just(()),
    st.none() | st.integers(0, 300), st.none() | st.integers(300, 900),
)  # fmt: skip
"""As a backend may set them: no windows, no grace."""


@FEW
@given(st.lists(st.tuples(plain_tariffs, legs), min_size=2, max_size=4))
def test_a_changed_tariff_computes_nothing_again(stretches: list[tuple[Tariff, list[Leg]]]) -> None:
    """I11.FR.08: each stretch at its own prices, the fee of the begin once, and a cost that never falls."""
    tariff, usage = stretches[0][0], stretches[0][0].start_usage()
    clerk = _cents(tariff.session) + _cents(tariff.other)
    bounded, before_cents = any(t.min_cents is not None or t.max_cents is not None for t, _ in stretches), 0
    for n, (wanted, stretch) in enumerate(stretches):
        if n:
            tariff = change_tariff(tariff, usage, wanted)
            record = json.loads(json.dumps(tariff.to_record() | changed_to_record(tariff, ())))
            assert read_changed_tariff(Tariff.from_record(record), record) == (tariff, ())
            if stretches[n - 1][0].min_cents is not None:  # a least price counts at the end, by the last tariff
                before_cents = min(before_cents, tariff.total_cents(usage))
        for point in drive(usage, stretch):
            for used, counted in zip(point.sums, usage.sums, strict=True):
                clerk += _cents(wanted.kwh) * (used.wh - counted.wh) / 1000
                clerk += _cents(wanted.minute) * (used.charging_ms - counted.charging_ms) / 60_000
                clerk += _cents(wanted.occupancy) * (used.idle_ms - counted.idle_ms) / 60_000
            usage = point
            cents = tariff.total_cents(usage)
            assert cents >= before_cents
            assert sum(part for _, part in tariff.parts_in_cents(usage)) == cents
            before_cents = cents
    if not bounded:
        assert exact(tariff, usage) == (clerk if usage.energy_wh else 0)


@FEW
@given(plain_tariffs, legs, legs)
def test_a_tariff_that_is_changed_to_itself_costs_the_same(tariff: Tariff, first: list[Leg], second: list[Leg]) -> None:
    usage = drive(tariff.start_usage(), first)[-1]
    final = drive(usage, second)[-1]
    assert change_tariff(tariff, usage, tariff).total_cents(final) == tariff.total_cents(final)


def _slack(tariff: Tariff) -> Fraction:
    """Energy is whole watt-hours, in the window in which the register turned."""
    return max(_cents(r.kwh) for r in tariff.rates_by_window()) / 1000


def _rates(tariff: Tariff, now: datetime) -> Rates:
    minute = now.hour * 60 + now.minute
    fits = [
        r
        for w, r in zip(tariff.windows, tariff.rates_by_window(), strict=False)
        if now.weekday() in w.days and w.from_min <= minute < w.to_min
    ]
    return fits[0] if tariff.windows else tariff.rates_by_window()[0]


def _cents(amount: Decimal | None) -> Fraction:
    return Fraction(amount or 0) * 100
