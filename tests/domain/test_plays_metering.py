"""Meter values while a session runs and while none does."""

from __future__ import annotations

import itertools

from agent.domain.events import (
    BoardChanged,
    CardPresented,
    ClockTrusted,
    ContactorOpened,
    FaultCleared,
    MeterFailed,
    MeterRead,
)
from agent.domain.evse import SessionState
from agent.domain.messages import MeterSampled, TransactionEnded, TransactionUpdated
from agent.domain.orders import Persist, ReadMeter, SetRelease, Unlock
from agent.domain.reading_purposes import ReadingKind, end_reading
from agent.domain.timers import Timer, TimerKind
from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, ReadingContext, Stamp
from tests.domain.playbook import T0_S, UTC0_S, A, B, Playbook, charging, sent_message, wh
from tests.support.reading_purposes import (
    LIVE,
    POLL,
    READING_TIMERS,
    SAMPLED,
    SAMPLED_END,
    aligned_end_reading,
    aligned_reading,
)

ENERGY = ("Energy.Active.Import.Register",)


def kinds_read(play: Playbook) -> list[ReadingKind]:
    return [o.purpose.kind for o in play.log if isinstance(o, ReadMeter) and o.purpose != LIVE]


def sampled(play: Playbook) -> list[MeterSampled]:
    return [m for m in play.sent_messages if isinstance(m, MeterSampled)]


# --- sampled ---------------------------------------------------------------------------------------------------------


def test_samples_come_on_a_grid_that_handling_never_shifts() -> None:
    play = charging(Playbook(settings={"sample_interval_s": 60}))
    for n in (1, 2, 3):
        assert play.timers[Timer(TimerKind.SAMPLED_READING, 1)] == T0_S + n * 60
        play.wait(60 - (play.t_s - T0_S) % 60).skip()
        play.t_s += 7.3  # a slow answer
        play >> MeterRead(1, SAMPLED, wh(1000 + n))
        play = (play << sent_message(MeterSampled, session="s1", evse=1)).skip()
    samples = [s for m in sampled(play) for s in m.samples]
    assert [s.reading.energy_wh for s in samples] == [1001, 1002, 1003]
    assert {(s.context, s.measurands) for s in samples} == {(ReadingContext.PERIODIC, ENERGY)}


def test_no_interval_no_samples() -> None:
    play = charging(Playbook(settings={"sample_interval_s": 0}))
    assert ReadingKind.SAMPLED not in kinds_read(play.wait(3600))


def test_no_measurands_no_message() -> None:
    play = charging(Playbook(settings={"sampled_measurands": ()}))
    assert play >> MeterRead(1, SAMPLED, wh(1001))


def test_a_failed_reading_is_left_out_not_invented() -> None:
    assert charging(Playbook()) >> MeterFailed(1, SAMPLED)


def test_a_sample_that_arrives_after_the_end_is_dropped() -> None:
    play = charging(Playbook()) >> CardPresented(1, A) << SetRelease << Persist >> ContactorOpened(1) << ReadMeter
    play = play >> MeterRead(1, end_reading(1), wh(1200)) << Persist << sent_message(TransactionEnded) << Unlock
    assert play >> MeterRead(1, SAMPLED, wh(1201))


def test_a_sample_that_is_read_between_the_card_and_the_end_is_not_of_the_session_any_more() -> None:
    play = charging(Playbook()) >> CardPresented(1, A) << SetRelease << Persist
    play.t_s += 0.2
    assert play >> MeterRead(1, SAMPLED, wh(1199))


def test_samples_stop_with_the_session() -> None:
    play = charging(Playbook(settings={"sample_interval_s": 60})) >> CardPresented(1, A)
    play.skip() >> ContactorOpened(1)
    play.skip() >> MeterRead(1, end_reading(1), wh(1200))
    assert not [k for k in play.timers if k.kind in READING_TIMERS]


def test_a_slow_reading_takes_its_place_after_what_was_reported_meanwhile() -> None:
    """Who sorts the events of a transaction by their time gets them in the order of their numbers."""
    play = charging(Playbook(settings={"sample_interval_s": 60}))
    read = wh(1000, at=Stamp(1, play.t_s))
    play.t_s += 0.3
    play >> BoardChanged(1, EvseState(Pilot.B, pwm=True, cable=True, contactor=False))
    play.t_s += 0.2
    play.skip() >> MeterRead(1, SAMPLED, read)
    update, sample = [m for m in play.sent_messages if isinstance(m, TransactionUpdated | MeterSampled)][-2:]
    assert isinstance(update, TransactionUpdated)
    assert isinstance(sample, MeterSampled)
    assert sample.samples[0].reading.at < update.at < (sample.at or update.at)


# --- clock-aligned ---------------------------------------------------------------------------------------------------


def test_clock_marks_carry_the_mark_as_their_time() -> None:
    play = charging(Playbook(settings={"clock_aligned_interval_s": 900}))
    play.wait(899).skip()
    assert not {ReadingKind.ALIGNED, ReadingKind.ALIGNED_END} & {*kinds_read(play)}
    play.wait(1)
    mark_s = T0_S + 900
    assert ReadMeter(1, aligned_reading(mark_s)) in play.unclaimed
    play.skip().t_s += 3
    play >> MeterRead(1, aligned_reading(mark_s), wh(1100))
    [message] = sampled(play)
    [sample] = message.samples
    assert (sample.context, sample.reading.at.t_s, message.session) == (ReadingContext.CLOCK, mark_s, "s1")
    assert (sample.reading.at.t_s - T0_S + UTC0_S) % 900 == 0
    assert play.timers[Timer(TimerKind.ALIGNED_READING)] == mark_s + 900


def test_clock_marks_also_while_no_one_charges() -> None:
    play = Playbook(evses=2, settings={"clock_aligned_interval_s": 60}).wait(60)
    assert play << ReadMeter(1, aligned_reading(1060.0)) << ReadMeter(2, aligned_reading(1060.0))
    assert play >> MeterRead(2, aligned_reading(1060.0), wh(5)) << sent_message(MeterSampled, session="", evse=2)


def test_without_trusted_time_there_are_no_marks() -> None:
    play = Playbook(settings={"clock_aligned_interval_s": 60}, cold=True)
    play.trusted = False
    play.restart(1)
    assert play.wait(200)
    play.trusted = True
    assert play >> ClockTrusted()
    assert Timer(TimerKind.ALIGNED_READING) in play.timers


def test_a_mark_before_the_session_began_is_not_of_the_session() -> None:
    play = charging(Playbook())
    play >> MeterRead(1, aligned_reading(T0_S - 0.5), wh(1000))
    assert [m.session for m in sampled(play)] == [""]


# --- for the stop ----------------------------------------------------------------------------------------------------


def test_stop_data_is_thinned_to_a_bound_and_keeps_first_and_last() -> None:
    play = charging(Playbook(settings={"sample_interval_s": 60, "stop_sampled_measurands": ENERGY}))
    for n in range(1, 1000):
        play.t_s += 60
        play.feed(MeterRead(1, SAMPLED, wh(1000 + n)))
    play.skip() >> CardPresented(1, A)
    play.skip() >> ContactorOpened(1)
    play.skip() >> MeterRead(1, end_reading(1), wh(2000))
    [ended] = play.ended()
    energies = [s.reading.energy_wh for s in ended.samples]
    assert 50 <= len(energies) <= 100
    assert (energies[0], energies[-1]) == (1001, 1999)
    assert energies == sorted(energies)
    gaps = [b - a for a, b in itertools.pairwise(energies)]
    assert max(gaps) <= 4 * 1000 / len(energies)


def test_stop_data_survives_a_crash_up_to_the_last_snapshot() -> None:
    play = charging(Playbook(settings={"stop_sampled_measurands": ENERGY})) >> MeterRead(1, SAMPLED, wh(1001))
    play.skip().wait(301).skip().restart(5)
    assert [s.reading.energy_wh for s in play.session().samples] == [1001]
    assert play.session().last_wh == 1001


# --- the register ----------------------------------------------------------------------------------------------------


def test_a_meter_that_runs_backwards_bills_nothing_and_ends_the_session() -> None:
    play = charging(Playbook()) >> MeterRead(1, LIVE, wh(1500)) >> MeterRead(1, SAMPLED, wh(900))
    assert play.statuses[1].faults == (Fault.METER_IMPLAUSIBLE,)
    assert sampled(play) == []
    assert play.wait(61).skip().state() is SessionState.ENDING
    play >> ContactorOpened(1) << ReadMeter
    play = play >> MeterRead(1, end_reading(1), wh(901)) << Persist << sent_message(TransactionEnded, meter_wh=1500)
    assert play << Unlock


def test_a_meter_that_comes_to_reason_is_forgiven() -> None:
    play = charging(Playbook()) >> MeterRead(1, LIVE, wh(1500)) >> MeterRead(1, LIVE, wh(900))
    assert play >> MeterRead(1, LIVE, wh(1501))
    assert play.statuses[1].faults == ()
    assert play.wait(120).skip().state() is SessionState.ACTIVE


def test_an_exchanged_meter_begins_a_session_with_its_own_register() -> None:
    play = Playbook() >> MeterRead(1, POLL, wh(900_000))
    play = charging(play, B, meter_wh=3)
    assert play.session().start_wh == 3
    assert play.screens[1].values["energy_wh"] == 0
    assert play >> FaultCleared(1, Fault.METER_IMPLAUSIBLE)


def test_the_screen_follows_the_meter() -> None:
    play = charging(Playbook())
    play.wait(2)
    assert play << ReadMeter(1, LIVE) >> MeterRead(1, LIVE, wh(1004, power_w=7400.4))
    assert (play.screens[1].values["energy_wh"], play.screens[1].values["power_w"]) == (4, 7400)


def test_values_for_the_end_may_have_an_interval_of_their_own() -> None:
    """2.x TxEndedInterval: what is sent every 60 s is not kept; what is kept every 100 s is not sent."""
    play = Playbook(settings={
        "sample_interval_s": 60, "stop_sample_interval_s": 100, "stop_sampled_measurands": ("Voltage",),
        "clock_aligned_interval_s": 0, "stop_clock_interval_s": 900, "stop_aligned_measurands": ("Current.Import",),
    })  # fmt: skip
    charging(play)
    play.wait(99).skip()
    play.feed(MeterRead(1, SAMPLED, wh(1001)))
    assert any(isinstance(m, MeterSampled) for m in play.sent_messages)
    sent_count = len(play.sent_messages)
    assert play.session().samples == ()
    play.skip().wait(1)
    assert SAMPLED_END in [o.purpose for o in play.unclaimed if isinstance(o, ReadMeter)]
    play.feed(MeterRead(1, SAMPLED_END, wh(1002)))
    assert [s.measurands for s in play.session().samples] == [("Voltage",)]
    assert len(play.sent_messages) == sent_count
    play.skip().wait(899).feed(MeterRead(1, aligned_end_reading(play.t_s), wh(1003)))
    assert [s.context for s in play.session().samples] == [ReadingContext.PERIODIC, ReadingContext.CLOCK]
    assert len(play.sent_messages) == sent_count


def test_a_station_that_nothing_looks_at_reads_and_shows_nothing_between_its_samples():
    for has_viewers in (True, False):
        play = charging(Playbook(has_viewers=has_viewers))
        assert (Timer(TimerKind.LIVE_READING, 1) in play.timers) is has_viewers
        assert (Timer(TimerKind.FULL_MINUTE) in play.timers) is has_viewers
        assert bool(play.screens) is bool(play.lamps) is has_viewers
        assert Timer(TimerKind.SAMPLED_READING, 1) in play.timers
