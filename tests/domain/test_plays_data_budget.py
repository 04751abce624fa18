"""The data budget of a month: what is kept, what each limit holds back, and what no limit touches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.domain.bearers import BearerConfig
from agent.domain.events import (
    BearerReported,
    CardPresented,
    ContactorOpened,
    MeterRead,
    StopRequested,
    TrafficCounted,
)
from agent.domain.messages import MeterSampled, TransactionEnded
from agent.domain.orders import LogNote, Persist
from agent.domain.reading_purposes import end_reading
from agent.domain.traffic import MONTHS_KEPT, BudgetLevel, DataPlan, TrafficMonth, projected_bytes
from agent.model.bearer import BearerKind, BearerState, BearerStatus
from agent.model.traffic import DEFAULT_BEARER, TrafficCount
from agent.model.types import SignedReading
from tests.domain.playbook import T0_S, A, Playbook, charging, kept, wh
from tests.support.reading_purposes import SAMPLED, aligned_reading

MB = 1_000_000
PLAN = DataPlan(frozenset({DEFAULT_BEARER}), soft_bytes=2 * MB, hard_bytes=3 * MB)
DAY_S = 86400.0
MONTH = "2027-01"
"""The playbook begins on the 15th of it, at 08:00 UTC."""


def counted(sent: int = 0, bearer: str = DEFAULT_BEARER, action: str = "MeterValues") -> TrafficCounted:
    return TrafficCounted((TrafficCount(bearer, action, 1, sent, 0, 0),))


def metered(**options: Any) -> Playbook:
    return Playbook(data_plan=PLAN, settings={"sample_interval_s": 60, "clock_aligned_interval_s": 0}, **options)


def notes(play: Playbook) -> list[str]:
    return [o.text for o in play.log if isinstance(o, LogNote) and o.part == "data budget"]


def saves(play: Playbook) -> int:
    return sum(isinstance(o, Persist) and o.kind == "traffic" for o in play.log)


def use(play: Playbook, sent: int) -> Playbook:
    play.feed(counted(sent))
    return play.skip()


def advance_clock(play: Playbook, days: int) -> None:
    """So many days later by the clock on the wall, of which the station works through the last hour: each minute of
    them would draw the screen."""
    play.clock_off_s += days * DAY_S - 3600
    play.wait(3600).skip()


def samples_sent(play: Playbook, minutes: int, first_wh: int = 1001) -> int:
    """How many of the samples, one a minute, are sent."""
    before = sum(isinstance(m, MeterSampled) for m in play.sent_messages)
    for n in range(minutes):
        play.wait(60 - (play.t_s - T0_S) % 60).skip()
        play.feed(MeterRead(1, SAMPLED, wh(first_wh + n)))
        play.skip()
    return sum(isinstance(m, MeterSampled) for m in play.sent_messages) - before


# --- the tally -------------------------------------------------------------------------------------------------------


def test_counts_are_kept_by_month_day_bearer_and_action() -> None:
    play = Playbook()
    play.feed(TrafficCounted((TrafficCount("gprs", "Heartbeat", 2, 30, 60, 104), TrafficCount("lan", "ping", 2, 6, 2))))
    play.skip()
    play.feed(TrafficCounted((TrafficCount("gprs", "Heartbeat", 2, 30, 60, 104),)))
    month = play.skip().site.traffic.months[MONTH]
    assert month.actions["gprs"]["Heartbeat"].to_record() == [4, 60, 120, 208]
    assert month.days["gprs"]["15"].total_bytes == 388
    assert month.used_bytes() == 396
    assert month.used_bytes(("lan",)) == 8


def test_a_restart_goes_on_counting() -> None:
    play = use(Playbook(), 1000).restart()
    assert play.site.traffic.months[MONTH].used_bytes() == 1000
    assert use(play, 500).site.traffic.months[MONTH].used_bytes() == 1500


def test_an_unreadable_record_is_counted_from_zero_and_said() -> None:
    play = Playbook(cold=True, store={"traffic": {MONTH: {"days": 7}}})
    play.restart()
    play.skip()
    assert notes(play) == [f"{MONTH}: no record of traffic (KeyError): counted from zero"]
    assert use(play, 500).site.traffic.months[MONTH].used_bytes() == 500


def test_few_writes_and_none_without_traffic() -> None:
    """Of three idle days of 82 kB each one write after that of the start; the rest goes with what is written anyway."""
    play = Playbook()
    for _ in range(3 * 360):
        use(play, 230).wait(240).skip()
    assert saves(play) <= 2
    assert Playbook() >> StopRequested()
    assert play >> StopRequested() << kept("traffic", MONTH)
    assert play >> StopRequested()


def test_a_busy_day_forgets_at_most_a_quarter_of_a_megabyte() -> None:
    play = Playbook()
    for _ in range(100):
        use(play, 50_000)
    lost = (
        play.site.traffic.months[MONTH].used_bytes()
        - TrafficMonth.from_record(play.store["traffic"][MONTH]).used_bytes()
    )
    assert 0 <= lost <= 262_144
    assert saves(play) <= 1 + 5_000_000 // 262_144


def test_what_is_counted_before_the_time_is_known_belongs_to_the_day_when_it_is() -> None:
    play = Playbook()
    play.trusted = False
    use(use(play, 100), 200)
    assert play.site.traffic.months == {}
    play.trusted = True
    assert use(play, 1).site.traffic.months[MONTH].days[DEFAULT_BEARER]["15"].sent == 301


def test_a_new_month_begins_at_zero_and_old_ones_are_forgotten() -> None:
    play = Playbook()
    for _ in range(MONTHS_KEPT + 2):
        use(play, 1000)
        advance_clock(play, 31)
    assert len(play.site.traffic.months) == MONTHS_KEPT
    assert set(play.store["traffic"]) == set(play.site.traffic.months)
    assert all(month.used_bytes() == 1000 for month in play.site.traffic.months.values())


@pytest.mark.parametrize(
    ("since_s", "expected"),
    [(DAY_S - 1, None), (DAY_S, 17.667), (10 * DAY_S, 2.667)],
)
def test_the_projection_goes_on_as_before_and_waits_for_a_day(since_s: float, expected: float | None) -> None:
    """From the 15th at 08:00 there are 16.667 days left."""
    now = 1_800_000_000.0
    found = projected_bytes(MB, now - since_s, now)
    assert found is None if expected is None else found == pytest.approx(expected * MB, rel=1e-3)


# --- the limits ------------------------------------------------------------------------------------------------------


def test_each_crossing_is_said_once_also_over_a_restart() -> None:
    play = use(metered(), 1_900_000)
    assert notes(play) == []
    use(use(play, 200_000), 100)
    assert len(notes(play)) == 1
    assert "2.1 MB this month: the soft limit is reached" in notes(play)[0]
    assert play.site.traffic.level is BudgetLevel.SOFT
    use(play.restart().skip(), 100)
    assert len(notes(play)) == 1
    use(play, 900_000)
    assert len(notes(play)) == 2
    assert "the hard limit is reached" in notes(play)[1]


def test_behind_the_soft_limit_one_of_four_samples_is_sent() -> None:
    play = charging(metered())
    assert samples_sent(play, 8) == 8
    use(play, 2 * MB)
    assert samples_sent(play, 12, 2001) == 3


def test_behind_the_hard_limit_no_sample_is_sent_and_the_bill_is() -> None:
    play = charging(metered())
    use(play, 3 * MB)
    assert samples_sent(play, 5) == 0
    play.feed(CardPresented(1, A))
    play.feed(ContactorOpened(1))
    play.feed(MeterRead(1, end_reading(1), wh(2000)))
    play.skip()
    (ended,) = [m for m in play.sent_messages if isinstance(m, TransactionEnded)]
    assert ended.meter_wh == 2000


def test_values_for_the_end_are_kept_at_their_full_rate() -> None:
    play = Playbook(
        data_plan=PLAN,
        settings={"sample_interval_s": 60, "stop_sampled_measurands": ("Energy.Active.Import.Register",)},
    )
    charging(play)
    use(play, 3 * MB)
    assert samples_sent(play, 5) == 0
    assert len(play.session().samples) == 5


@pytest.mark.parametrize("used", [2 * MB, 3 * MB])
def test_a_signed_value_is_never_withheld(used: int) -> None:
    play = charging(metered())
    use(play, used)
    signed = SignedReading("OCMF|{}|{}")
    for n in range(4):
        play.feed(MeterRead(1, SAMPLED, replace(wh(1100 + n), signed=signed)))
        play.skip()
    assert sum(isinstance(m, MeterSampled) for m in play.sent_messages) == 4


def test_clock_aligned_values_are_stretched_too() -> None:
    play = Playbook(data_plan=PLAN, settings={"sample_interval_s": 0, "clock_aligned_interval_s": 900})
    use(play, 2 * MB)
    sent = 0
    for n in range(8):
        play.wait(900).skip()
        orders = play.feed(MeterRead(1, aligned_reading(play.t_s), wh(1000 + n)))
        sent += sum(type(o).__name__ == "Send" for o in orders)
        play.skip()
    assert sent == 2


def test_a_new_month_lifts_the_limits() -> None:
    play = charging(metered())
    use(play, 3 * MB)
    assert samples_sent(play, 2) == 0
    advance_clock(play, 20)
    use(play, 100)
    assert "below the limits again" in notes(play)[-1]
    assert samples_sent(play, 3, 3000) == 3


# --- bearers ---------------------------------------------------------------------------------------------------------


def with_bearers() -> Playbook:
    bearers = (BearerConfig("bearer[0]", BearerKind.LAN), BearerConfig("bearer[1]", BearerKind.GPRS))
    plan = DataPlan(frozenset({"gprs"}), soft_bytes=2 * MB, hard_bytes=3 * MB)
    return Playbook(data_plan=plan, bearers=bearers, settings={"sample_interval_s": 60})


def up(name: str, interface: str) -> BearerReported:
    return BearerReported(name, BearerStatus(BearerState.UP, interface=interface, address="192.0.2.1"))


def test_traffic_over_a_lan_uses_up_no_budget() -> None:
    play = with_bearers()
    play.feed(up("bearer[0]", "eth0"))
    play.feed(counted(50 * MB, "lan"))
    play.skip()
    assert play.site.traffic.level is BudgetLevel.WITHIN
    assert notes(play) == []


def test_a_used_up_budget_limits_the_modem_and_not_the_lan() -> None:
    play = with_bearers()
    play.feed(up("bearer[0]", "eth0"))
    charging(play.skip())
    play.feed(counted(4 * MB, "gprs"))
    assert samples_sent(play.skip(), 3) == 3
    play.feed(BearerReported("bearer[0]", BearerStatus(BearerState.DOWN)))
    play.feed(up("bearer[1]", "ppp0"))
    assert play.skip().site.bearer_in_use == "bearer[1]"
    assert samples_sent(play, 3, 2000) == 0
