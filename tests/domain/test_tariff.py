"""The ad-hoc price by the penny: what counts, from when, in which window, and where it is rounded."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from agent.domain.local_time import LocalOffset, local_offset
from agent.domain.tariff import Rates, Tariff, Usage, Window, parse_rate
from agent.domain.variables import Settings

HOUR = 3600
MORNING_S = 1_800_000_000
"""2027-01-15, a Friday, 08:00 UTC."""
DAYS = tuple(range(7))
NIGHT = Window(DAYS, 22 * 60, 6 * 60, Rates(kwh=Decimal("0.20"), minute=Decimal(0)))
DAY = Window(DAYS, 6 * 60, 22 * 60, Rates(kwh=Decimal("0.60")))
WINDOWS = Tariff(minute=Decimal("0.05"), occupancy=Decimal("0.10"), windows=(NIGHT, DAY))


def D(text: str) -> Decimal:
    return Decimal(text)


def drive(usage: Usage, *legs: tuple[int, int, bool | None], step_s: int = 60, at_s: float = MORNING_S) -> Usage:
    """Legs of (seconds, watt-hours, state), a point at least every ``step_s``."""
    wh = usage.wh or 1_000_000
    start_s = at_s if usage.at_ms is None else usage.at_ms / 1000
    for seconds, used_wh, state in legs:
        for s in [*range(0, seconds, step_s), seconds]:
            usage = usage.advance_to(start_s + s, wh + used_wh * s // seconds, state)
        start_s, wh = start_s + seconds, wh + used_wh
    return usage


def test_energy_is_billed_from_the_register() -> None:
    tariff = Tariff(kwh=D("0.45"))
    usage = (
        tariff.start_usage().advance_to(MORNING_S, 1_234_567, True).advance_to(MORNING_S + 60, 1_234_567 + 12_345, True)
    )
    assert tariff.exact_parts(usage) == (("kwh", Fraction(12_345 * 45, 1000)),)
    assert tariff.total_cents(usage) == 556  # 555.525


@pytest.mark.parametrize(("wh", "cents"), [(1_499, 1), (1_500, 2), (1_501, 2), (2_499, 2), (2_500, 3)])
def test_half_a_cent_is_rounded_up_once(wh: int, cents: int) -> None:
    tariff = Tariff(kwh=D("0.01"))
    assert tariff.total_cents(tariff.start_usage().advance_to(0, 0, True).advance_to(10, wh, True)) == cents


def test_two_halves_are_rounded_together() -> None:
    tariff = Tariff(kwh=D("0.005"), session=D("0.005"))
    usage = tariff.start_usage().advance_to(0, 0, True).advance_to(10, 1000, True)
    assert tariff.exact_parts(usage) == (("kwh", Fraction(1, 2)), ("session", Fraction(1, 2)))
    assert tariff.total_cents(usage) == 1


def test_the_parts_come_in_the_order_of_the_regulation() -> None:
    tariff = Tariff(
        kwh=D("0.4"), minute=D("0.02"), occupancy=D("0.1"), grace_min=5, session=D("0.5"), other=D("0.25"),
        other_name="Parking",
    )  # fmt: skip
    usage = drive(tariff.start_usage(), (600, 2000, True), (900, 0, False))
    assert tariff.exact_parts(usage) == (
        ("kwh", 80), ("minute", 20), ("occupancy", 100), ("session", 50), ("other", 25),
    )  # fmt: skip
    assert tariff.total_cents(usage) == 275


def test_who_got_no_energy_pays_nothing() -> None:
    tariff = Tariff(kwh=D("0.4"), minute=D("1"), occupancy=D("1"), session=D("5"), min_cents=300)
    usage = drive(tariff.start_usage(), (600, 0, True), (3600, 0, False))
    assert (tariff.exact_parts(usage), tariff.total_cents(usage)) == ((), 0)
    first = usage.advance_to(MORNING_S + 4260, usage.wh + 1, True)
    assert dict(tariff.exact_parts(first))["session"] == 500
    assert "occupancy" not in dict(tariff.exact_parts(first))  # it waited for its first energy, not with a full battery


def test_a_pause_that_the_station_makes_costs_no_time() -> None:
    tariff = Tariff(kwh=D("0.4"), minute=D("1"), occupancy=D("1"))
    usage = drive(tariff.start_usage(), (60, 1000, True), (3600, 0, None))
    assert tariff.exact_parts(usage) == (("kwh", 40), ("minute", 100))


def test_the_grace_begins_again_when_the_car_has_drawn_again() -> None:
    tariff = Tariff(kwh=D("0"), occupancy=D("0.1"), grace_min=10)
    once = drive(tariff.start_usage(), (60, 1000, True), (11 * 60, 0, False))
    assert tariff.total_cents(once) == 10
    again = drive(once, (60, 1, True), (9 * 60, 0, False))
    assert tariff.total_cents(again) == 10
    held = drive(once, (600, 0, None), (60, 0, False))  # a pause of the station's is no charging
    assert tariff.total_cents(held) == 20


def test_no_one_pays_for_time_that_no_one_watched() -> None:
    tariff = Tariff(kwh=D("0.4"), minute=D("1"), occupancy=D("1"))
    usage = tariff.start_usage().advance_to(MORNING_S, 0, True).advance_to(MORNING_S + 60, 1000, True)
    later = usage.advance_to(MORNING_S + 5 * HOUR, 3000, True)
    assert tariff.exact_parts(later) == (("kwh", 120), ("minute", 100))
    assert tariff.exact_parts(later.advance_to(MORNING_S + 5 * HOUR + 60, 3000, False))[1] == ("minute", 200)


def test_a_clock_that_is_set_costs_nothing() -> None:
    tariff = Tariff(kwh=D("0.4"), minute=D("1"))
    usage = tariff.start_usage().advance_to(MORNING_S, 0, True).advance_to(MORNING_S + 60, 1000, True)
    for set_to_s in (MORNING_S - 86_400, 0, MORNING_S + 30 * 86_400):
        there = usage.advance_to(set_to_s, 1500, True).advance_to(set_to_s + 60, 2000, True)
        assert tariff.exact_parts(there) == (("kwh", 80), ("minute", 200))


def test_a_register_that_stumbles_is_billed_once() -> None:
    tariff = Tariff(kwh=D("1"))
    usage, seen = tariff.start_usage(), []
    for s, wh in enumerate((1000, 2000, 0, 1500, 2500, 2400)):
        usage = usage.advance_to(s, wh, True)
        seen.append(usage.energy_wh)
    assert seen == [0, 1000, 1000, 1000, 1500, 1500]


def test_a_minimum_and_a_maximum_are_parts_of_their_own() -> None:
    tariff = Tariff(kwh=D("0.5"), min_cents=200, max_cents=1000)
    little, much = (tariff.start_usage().advance_to(0, 0, True).advance_to(9, wh, True) for wh in (1000, 40_000))
    assert tariff.exact_parts(little) == (("kwh", 50), ("minimum", 150))
    assert tariff.exact_parts(much) == (("kwh", 2000), ("maximum", -1000))
    assert (tariff.total_cents(little), tariff.total_cents(much)) == (200, 1000)


def test_a_bill_adds_up() -> None:
    tariff = Tariff(kwh=D("0.0035"), minute=D("0.0035"), session=D("0.0035"), max_cents=1)
    usage = drive(tariff.start_usage(), (60, 1000, True))
    assert [amount for _, amount in tariff.exact_parts(usage)] == [Fraction(35, 100)] * 3 + [Fraction(-5, 100)]
    assert tariff.parts_in_cents(usage) == (("kwh", 0), ("minute", 1), ("session", 0), ("maximum", 0))
    assert tariff.total_cents(usage) == 1


def test_vat_is_in_the_price() -> None:
    assert Tariff(vat_percent=D("17")).vat_cents(1170) == 170
    assert Tariff(vat_percent=D("17")).vat_cents(100) == 15  # 14.53
    assert Tariff().vat_cents(1170) == 0


# --- windows ---------------------------------------------------------------------------------------------------------

LUXEMBOURG = ZoneInfo("Europe/Luxembourg")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=LUXEMBOURG).timestamp()


def test_each_window_has_its_price() -> None:
    usage = drive(WINDOWS.start_usage(LocalOffset(60)), (2 * HOUR, 7200, True), at_s=at("2027-01-15T21:00"))
    assert WINDOWS.exact_parts(usage) == (("kwh", 3600 * 60 // 1000 + 3600 * 20 // 1000), ("minute", 60 * 5))


def test_energy_over_an_edge_is_parted_by_time_and_none_is_lost() -> None:
    tariff = Tariff(windows=(NIGHT, DAY))
    usage = (
        tariff.start_usage(LocalOffset(60))
        .advance_to(at("2027-01-15T21:59:00"), 0, True)
        .advance_to(at("2027-01-15T22:02:00"), 100, True)
    )
    assert [s.wh for s in usage.sums] == [67, 33]


def test_the_night_goes_on_after_midnight_and_after_sunday() -> None:
    for day in range(11, 19):
        usage = drive(WINDOWS.start_usage(LocalOffset(60)), (2 * HOUR, 200, True), at_s=at(f"2027-01-{day}T23:00"))
        assert [s.wh for s in usage.sums] == [200, 0]


def test_weekdays_are_those_on_the_wall() -> None:
    weekend = Window((5, 6), 0, 1440, Rates(kwh=D("0.1")))
    week = Window((0, 1, 2, 3, 4), 0, 1440, Rates(kwh=D("0.2")))
    tariff = Tariff(windows=(weekend, week))
    friday_night = drive(tariff.start_usage(LocalOffset(60)), (2 * HOUR, 7200, True), at_s=at("2027-01-15T23:00"))
    assert [s.wh for s in friday_night.sums] == [3600, 3600]


@pytest.mark.parametrize(
    ("begin", "turn", "before", "after"), [("2027-03-28T01:00", 1, 60, 120), ("2027-10-31T01:00", 2, 120, 60)]
)
def test_the_night_in_which_the_clock_is_turned(begin: str, turn: int, before: int, after: int) -> None:
    """From one in the morning five hours go by: in spring it is seven o'clock then, in autumn five."""
    turn_s = at(begin) + turn * HOUR
    usage = drive(
        WINDOWS.start_usage(LocalOffset(before, int(turn_s), after)), (5 * HOUR, 18_000, True), at_s=at(begin)
    )
    assert [s.wh // 3600 for s in usage.sums] == ([4, 1] if before < after else [5, 0])


def test_a_window_may_begin_in_the_moment_in_which_the_clock_is_turned() -> None:
    """In spring two o'clock is three o'clock: what costs more from three on does so at once, not an hour later."""
    early, late = (Window(DAYS, a, b, Rates(kwh=D("1"))) for a, b in ((180, 0), (0, 180)))
    turn_s = at("2027-03-28T01:00") + HOUR
    usage = Tariff(windows=(early, late)).start_usage(LocalOffset(60, int(turn_s), 120))
    assert [s.wh for s in usage.advance_to(turn_s - 30, 0, True).advance_to(turn_s + 60, 90, True).sums] == [60, 30]
    assert [s.wh for s in usage.advance_to(turn_s, 0, True).advance_to(turn_s + 1, 90, True).sums] == [90, 0]


def test_usage_is_for_its_tariff() -> None:
    with pytest.raises(ValueError, match="another tariff"):
        WINDOWS.total_cents(Tariff(kwh=D("1")).start_usage().advance_to(0, 0, True))
    with pytest.raises(ValueError, match="another tariff"):
        Tariff(grace_min=1).total_cents(Tariff().start_usage())


def test_the_clock_on_the_wall_is_the_one_of_the_screen() -> None:
    zone = LocalOffset(60, 1_806_195_600, 120)
    assert local_offset(Settings(), MORNING_S, lambda utc_s: zone) == zone
    offsets = {"time_offset": "+02:00", "time_offset_next": "+03:00", "time_offset_next_at": "2027-03-28T01:00:00Z"}
    assert local_offset(Settings(offsets), MORNING_S, lambda utc_s: zone) == LocalOffset(120, 1_806_195_600, 180)
    assert local_offset(Settings(offsets), 1_806_195_600, lambda utc_s: zone) == LocalOffset(180)
    assert local_offset(Settings({"time_offset": "-01:30"}), MORNING_S, lambda utc_s: zone) == LocalOffset(-90)


# --- under a ceiling -------------------------------------------------------------------------------------------------


def test_how_long_an_amount_lasts() -> None:
    tariff = Tariff(kwh=D("0.50"), minute=D("0.10"))
    usage = drive(tariff.start_usage(), (600, 2000, True))  # 100 + 100 cents
    assert tariff.headroom_s(usage, 2000, 11_000) == pytest.approx(1800 / (11 * 50 / 3600 + 10 / 60))
    assert tariff.headroom_s(usage, 200, 11_000) == 0.0
    assert tariff.headroom_s(usage, 199, 11_000) == 0.0
    assert tariff.headroom_s(usage, 200, 0) == 0.0
    assert Tariff(kwh=D("0.5")).headroom_s(drive(Tariff().start_usage(), (600, 2000, True)), 200, 0) == float("inf")
    assert tariff.ceiling_wh(usage, 2000) == 36_000


def test_an_idle_car_uses_up_its_grace_first() -> None:
    tariff = Tariff(kwh=D("0.50"), occupancy=D("0.10"), grace_min=10)
    usage = drive(tariff.start_usage(), (60, 1000, True), (240, 0, False))
    assert tariff.headroom_s(usage, 60, 0) == 360 + 60


def test_a_dearer_window_comes() -> None:
    usage = drive(WINDOWS.start_usage(LocalOffset(60)), (60, 100, True), at_s=at("2027-01-15T05:29"))
    assert WINDOWS.headroom_s(usage, 2 + 5 * 20 + 30, 10_000) == 1800 + 30 / (600 + 300) * HOUR


def test_what_is_due_with_the_first_watt_hour_is_kept_free() -> None:
    tariff = Tariff(kwh=D("1"), session=D("3"))
    assert tariff.headroom_s(tariff.start_usage(), 299, 11_000) == 0.0
    assert tariff.headroom_s(tariff.start_usage(), 400, 1000) == HOUR
    assert tariff.ceiling_wh(tariff.start_usage(), 400) == 1000
    assert Tariff(kwh=D("1"), min_cents=500).headroom_s(Tariff().start_usage(), 499, 1000) == 0.0


def test_a_maximum_below_the_ceiling_never_passes_it() -> None:
    tariff = Tariff(kwh=D("1"), max_cents=1000)
    assert (tariff.headroom_s(tariff.start_usage(), 1000, 1e6), tariff.ceiling_wh(tariff.start_usage(), 1000)) == (
        float("inf"),
        None,
    )
    assert tariff.headroom_s(tariff.start_usage(), 999, 9990) == HOUR


# --- on disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        {"sums": []}, {"sums": [[1, 2, -3]]}, {"sums": [[1.5, 0, 0]]}, {"charging": "yes"}, {"wh": True},
        {"at_ms": "now"}, {"plan": {"grace_ms": 0, "edges": [[5, 0]], "local": [0, None, 0]}},
        {"plan": {"grace_ms": 0, "edges": [], "local": [0, None, 0]}}, {"plan": {}},
    ],
)  # fmt: skip
def test_a_damaged_usage_is_none(damage: dict[str, object]) -> None:
    record = json.loads(json.dumps(Tariff().start_usage().advance_to(5, 7, True).to_record()))
    assert Usage.from_record(record) == Tariff().start_usage().advance_to(5, 7, True)
    with pytest.raises((KeyError, TypeError, ValueError)):
        Usage.from_record(record | damage)


def test_a_tariff_survives_the_disk() -> None:
    whole = Tariff(
        D("0.45"), D("0.02"), D("0.10"), 15, D("0.50"), D("0.05"), "Mëscht", (NIGHT, DAY), 50, 5000, "CHF", D("8.1")
    )
    for tariff in (Tariff(), whole, WINDOWS):
        record = json.loads(json.dumps(tariff.to_record()))
        assert Tariff.from_record(record) == tariff
        assert "." not in json.dumps(record) or '"0.' in json.dumps(record)  # no number with a point
    for damage in ({"kwh": "-1"}, {"kwh": "NaN"}, {"kwh": [1]}, {"grace_min": -1}, {"windows": [[1]]}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Tariff.from_record(whole.to_record() | damage)


@pytest.mark.parametrize("wrong", ["", "x", "-0.1", "1e6", "NaN", "Infinity", True, None, [], 0.1 + 0.2, "0.0000001"])
def test_what_is_no_rate(wrong: object) -> None:
    with pytest.raises(ValueError):
        parse_rate(wrong)


def test_a_rate_is_what_was_written() -> None:
    assert [str(parse_rate(v)) for v in (0.45, "0.45", 1, "1e-6", 0.1, "-0")] == [
        "0.45",
        "0.45",
        "1",
        "0.000001",
        "0.1",
        "0",
    ]
