"""Which meter may bill, and which of its words: decision 18 as plays, and what is billed whatever a meter says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.events import (
    CablePlugged,
    CardPresented,
    ContactorOpened,
    Event,
    FaultRaised,
    MeterFailed,
    MeterKnown,
    RawMeterReading,
    StopWanted,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState, StationState
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.metrology import MeterWatch, why_exchange_refused, why_reading_untrue, why_unfit_for_billing
from agent.domain.orders import AuthorizeToken, LogNote, SetRelease
from agent.domain.reading_purposes import ReadingPurpose, begin_reading, end_reading
from agent.domain.transaction import Transaction
from agent.model.types import Fault, MeterIdentity, MeterPolicy, Reading, Stamp
from tests.domain.playbook import ACCEPTED, A, Playbook, charging, kept, make_site, wh
from tests.support.reading_purposes import LIVE, POLL, SAMPLED

SDM = MeterIdentity("Eastron", "SDM630", "4711", "1.2", 1.0, ("B",))
B_CLASS = MeterPolicy("B", 2024)
STEP = 2.0
"""Seconds between the live looks of a session."""


def play_of(policy: MeterPolicy = B_CLASS, meter: MeterIdentity | None = SDM, **options: object) -> Playbook:
    def site() -> StationState:
        site = make_site(**options)  # type: ignore[arg-type]
        for evse in site.evses.values():
            evse.metering.meter = MeterWatch(policy)
        return site

    play = Playbook(site)
    return play.skip() if meter is None else (play >> MeterKnown(1, meter)).skip()


def look(play: Playbook, energy_wh: int, power_w: float | None = None, purpose: ReadingPurpose = LIVE) -> Playbook:
    """What the driver reads now."""
    play.feed(RawMeterReading(1, purpose, wh(energy_wh, power_w)))
    return play


def looks(play: Playbook, *readings: tuple[int, float | None]) -> Playbook:
    for energy_wh, power_w in readings:
        play.t_s += STEP
        look(play, energy_wh, power_w)
    return play.skip()


def faults(play: Playbook) -> set[Fault]:
    return set(play.evse().faults)


# --- who it is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meter", "policy", "why"),
    [
        (SDM, B_CLASS, ""),
        (SDM, MeterPolicy(), ""),
        (replace(SDM, classes=("B", "C")), MeterPolicy("C"), ""),
        (SDM, MeterPolicy("A"), "class A is declared, a Eastron SDM630 is sold in B"),
        (replace(SDM, classes=()), B_CLASS, "sold in no known class"),
        (replace(SDM, mid=False), B_CLASS, "not of the MID variant"),
        (replace(SDM, mid=True), B_CLASS, ""),
        (SDM, replace(B_CLASS, firmware=("1.3", "1.4")), "the certificate names 1.3, 1.4"),
        (SDM, replace(B_CLASS, firmware=("1.2",)), ""),
        (replace(SDM, register_step_wh=100.0), B_CLASS, ""),
        (replace(SDM, register_step_wh=1000.0), B_CLASS, "counts in 1000 Wh"),
        (replace(SDM, register_step_wh=1000.0), MeterPolicy(), "counts in 1000 Wh"),
    ],
)
def test_the_class_policy(meter: MeterIdentity, policy: MeterPolicy, why: str) -> None:
    said = why_unfit_for_billing(meter, policy)
    assert (why in said) if why else said == ""


OTHER = replace(SDM, serial="4712")


@pytest.mark.parametrize(
    ("now", "billing", "policy", "taken"),
    [
        (SDM, True, B_CLASS, True),
        (OTHER, True, MeterPolicy(), False),
        (OTHER, False, MeterPolicy(), True),
        (OTHER, False, B_CLASS, False),
        (OTHER, False, replace(B_CLASS, serial="4712"), True),
        (OTHER, True, replace(B_CLASS, serial="4712"), False),
        (SDM, False, replace(B_CLASS, serial="4712"), False),
        (replace(SDM, firmware="1.3"), True, B_CLASS, False),
        (replace(SDM, firmware="1.3"), False, B_CLASS, True),
        (replace(SDM, firmware=""), True, B_CLASS, True),
        (replace(SDM, serial=""), True, B_CLASS, True),
        (replace(SDM, model="SDM630-MID"), True, B_CLASS, True),
        (replace(SDM, model="SDM72", serial=""), True, B_CLASS, False),
    ],
)
def test_who_may_take_the_place_of_the_pinned_meter(
    now: MeterIdentity, billing: bool, policy: MeterPolicy, taken: bool
) -> None:
    """In a bill no meter; otherwise the one of the station file, without a declared class any. A word of the map
    (the model) that an upgrade changed is no exchange."""
    assert (why_exchange_refused(MeterWatch(policy, pinned=SDM), now, billing) == "") == taken


def test_the_first_meter_is_pinned_on_disk_once() -> None:
    play = play_of(meter=None) >> MeterKnown(1, SDM) << kept("meter", "1", serial="4711", model="SDM630")
    assert play >> MeterKnown(1, SDM)


@pytest.mark.parametrize("now", [replace(SDM, firmware="1.3"), replace(SDM, serial="4712", firmware="1.3")])
def test_a_meter_that_is_taken_as_another_one_is_written_down(now: MeterIdentity) -> None:
    """An auditor asks since when which firmware has billed."""
    play = play_of(B_CLASS if now.serial == SDM.serial else MeterPolicy())
    play.feed(MeterKnown(1, now))
    (said,) = [o.text for o in play.log if isinstance(o, LogNote) and o.part != "outlet"]
    assert said == f"taken into service: it was SDM630 4711 (firmware 1.2), is SDM630 {now.serial} (firmware 1.3)"
    play.skip().feed(MeterKnown(1, now))
    assert len([o for o in play.log if isinstance(o, LogNote) and o.part != "outlet"]) == 1


@pytest.mark.parametrize("policy", [B_CLASS, MeterPolicy()])
def test_one_meter_bills_one_outlet(policy: MeterPolicy) -> None:
    """Reached by two addresses it would put the same energy on two bills; no station file shows that."""
    play = play_of(policy, evses=2) >> MeterKnown(2, replace(SDM, firmware="1.2"))
    assert play.skip().evse(2).faults == {Fault.METER_UNFIT}
    assert play.evse(1).faults == set()
    assert "the meter of EVSE 1" in play.evse(2).metering.meter.trouble
    play.feed(MeterKnown(2, OTHER))
    assert play.skip().evse(2).faults == set()


@pytest.mark.parametrize("other", [replace(SDM, serial=""), replace(SDM, vendor="ABB"), replace(SDM, serial="4713")])
def test_two_meters_are_two(other: MeterIdentity) -> None:
    play = play_of(MeterPolicy(), evses=2, meter=replace(SDM, serial=other.serial and "4711"))
    play.feed(MeterKnown(2, other))
    assert play.skip().evse(2).faults == set()


def test_two_that_were_swapped_are_two_again_when_both_have_reported() -> None:
    play = Playbook(evses=2)
    for evse, meter in ((1, SDM), (2, OTHER), (1, OTHER)):
        play.feed(MeterKnown(evse, meter))
    assert play.skip().evse(1).faults == {Fault.METER_UNFIT}
    play.feed(MeterKnown(2, SDM))
    assert play.skip().evse(1).faults == play.evse(2).faults == set()


def test_a_pin_does_not_lose_its_serial_number_to_a_refused_register() -> None:
    play = play_of() >> MeterKnown(1, replace(SDM, serial="", firmware=""))
    assert play.evse().metering.meter.pinned == SDM
    play.feed(MeterKnown(1, OTHER))
    assert faults(play) == {Fault.METER_EXCHANGED}


def test_an_unread_serial_number_lets_no_other_meter_into_a_bill() -> None:
    """Also where no class is declared; and on disk, for the next start."""
    play = charging(play_of(MeterPolicy()))
    play.feed(MeterKnown(1, replace(SDM, serial="")))
    play.skip().feed(MeterKnown(1, replace(SDM, serial="9999")))
    assert play.store["meter"]["1"]["serial"] == "4711"
    play.skip().feed(ContactorOpened(1))
    for n in (1, 2, 3):
        look(play, 901_000, 0.0, purpose=end_reading(n)).skip().wait(6)
    assert [bill.meter_wh for bill in play.ended()] == [1000]


def test_a_card_at_a_station_of_two_does_not_refuse_the_first_register() -> None:
    """2.x, start point Authorized: the right has no EVSE yet, its transaction no register."""
    play = play_of(evses=2, settings={"tx_start_points": ("Authorized",)})
    play.feed(CardPresented(0, A))
    (asked,) = [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(asked.request, A, ACCEPTED))
    assert not play.evse().tx.placed  # type: ignore[union-attr]
    play.skip().feed(CablePlugged(1))
    play.feed(VehicleConnected(1))
    look(play, 1_234_567, 0.0, begin_reading(play.evse().progress.begin_try))
    assert play.skip().state() is SessionState.ACTIVE


def test_a_transaction_that_has_no_evse_yet_says_nothing_of_the_register() -> None:
    """2.x, a transaction that began with a card alone: after a restart the meter's first word is believed."""
    play = play_of()
    play.evse().tx = Transaction("t1", 1, Stamp(1, play.t_s), 0, 0, Stamp(1, play.t_s), placed=False)
    look(play, 5_000_000, purpose=POLL)
    assert play.evse().metering.reading is not None
    assert play.skip().evse().metering.meter.refused == 0


def test_a_meter_of_another_class_starts_nothing() -> None:
    play = play_of(meter=replace(SDM, classes=("A",)))
    assert faults(play) == {Fault.METER_UNFIT}
    assert play.statuses[1].faults == (Fault.METER_UNFIT,)
    assert "class B is declared" in play.evse().metering.meter.trouble
    assert [o.text for o in play.log if isinstance(o, LogNote) and o.part != "outlet"] == [
        play.evse().metering.meter.trouble
    ], "said once"
    assert look(play, 5000).evse().metering.reading is None, "nothing that it says is taken"
    assert play.skip() >> MeterKnown(1, SDM) << kept("meter")
    assert faults(play) == set()


def test_a_meter_exchanged_in_a_session_ends_it_with_the_last_register_of_the_old_one() -> None:
    play = charging(play_of())
    looks(play, (1003, 7000.0), (1007, 7000.0))
    play.feed(MeterKnown(1, OTHER))
    assert play.state() is SessionState.ENDING
    for n in (1, 2, 3):
        play.feed(ContactorOpened(1))
        look(play, 9_000_000, purpose=end_reading(n))
        play.skip().wait(5)
    [ended] = play.ended()
    assert ended.meter_wh == 1007
    assert ended.reading is None, "no value of the other meter is sent"


def test_a_meter_exchanged_while_the_agent_was_down_does_not_bill_the_open_session() -> None:
    """Also where no class is declared: the register of the other meter may be higher by megawatt-hours."""
    play = charging(play_of(MeterPolicy()))
    looks(play, (1003, 7000.0))
    play.skip().wait(301)
    play.skip().restart(30)
    play.feed(MeterKnown(1, OTHER))
    play.skip().wait(400)
    for n in (1, 2, 3):
        look(play, 9_000_000, purpose=end_reading(n))
        play.skip().wait(6)
    [ended] = play.ended()
    assert ended.meter_wh == 1003


def test_the_right_meter_goes_on_after_a_restart() -> None:
    play = charging(play_of())
    looks(play, (1003, 7000.0))
    play.skip().restart(5).skip()
    assert play >> MeterKnown(1, SDM)
    assert faults(play) == set()


# --- what it says ---------------------------------------------------------------------------------------------------

MOST_W = 3 * 32 * 308.0


@pytest.mark.parametrize(
    ("energy_wh", "after_s", "why"),
    [
        (1000, 2, ""),
        (1018, 2, ""),
        (1025, 2, "the outlet can deliver"),
        (999, 2, "went back by 1 Wh"),
        (1000 + 29_568, 3600, ""),
        (1000 + 29_580, 3600, "the outlet can deliver"),
        (1000, -1, "older than the last"),
    ],
)
def test_what_cannot_be_true_after_the_last_reading(energy_wh: int, after_s: float, why: str) -> None:
    watch = MeterWatch(B_CLASS, present=SDM, base=Reading(Stamp(1, 1000.0), 1000))
    said = why_reading_untrue(watch, Reading(Stamp(1, 1000.0 + after_s), energy_wh), MOST_W)
    assert (why in said) if why else said == ""


def test_one_jump_is_dropped_and_leaves_no_trace() -> None:
    play = charging(play_of())
    looks(play, (1003, 7000.0), (1_001_003, 7000.0), (1010, 7000.0))
    assert play.session().last_wh == 1010
    assert faults(play) == set()


def test_a_jump_that_stays_ends_the_session_with_the_last_true_register() -> None:
    play = charging(play_of())
    looks(play, (1003, 7000.0), *[(1_001_003, 7000.0)] * 3)
    assert faults(play) == {Fault.METER_IMPLAUSIBLE}
    assert play.state() is SessionState.ACTIVE, "it may come to reason within the grace"
    play.wait(61)
    assert play.state() is SessionState.ENDING
    play.skip().feed(ContactorOpened(1))
    for n in (1, 2, 3):
        look(play, 1_001_003, purpose=end_reading(n))
        play.skip().wait(5)
    [ended] = play.ended()
    assert ended.meter_wh == 1003
    play.skip()
    looks(play, *[(1_001_003, 0.0)] * 4)
    assert faults(play) == set(), "without a bill it is where the next comparison begins"


def test_a_leap_is_never_billed_where_something_is_sold() -> None:
    """900 kWh in a second at an outlet of 22 kW, and no class is declared."""
    play = charging(play_of(MeterPolicy(sells=True)))
    looks(play, (1003, 7000.0), (901_003, 7000.0), (1010, 7000.0))
    assert play.session().last_wh == 1010
    looks(play, *[(901_003, 7000.0)] * 3)
    assert faults(play) == {Fault.METER_IMPLAUSIBLE}
    play.wait(61)
    play.skip().feed(ContactorOpened(1))
    for n in (1, 2, 3):
        look(play, 901_003, purpose=end_reading(n))
        play.skip().wait(5)
    [ended] = play.ended()
    assert ended.meter_wh == 1010


def test_a_register_that_stands_is_seen_where_something_is_sold() -> None:
    play = charging(play_of(MeterPolicy(sells=True)))
    looks(play, *[(1000, 22_000.0)] * 12)
    assert faults(play) == {Fault.METER_IMPLAUSIBLE}


def test_what_is_sold_demands_no_class_of_the_meter() -> None:
    assert why_unfit_for_billing(replace(SDM, classes=()), MeterPolicy(sells=True)) == ""


def test_without_a_declared_class_a_jump_is_believed_as_the_driver_saw_it() -> None:
    play = charging(play_of(MeterPolicy()))
    looks(play, (1003, 7000.0), (1_001_003, 7000.0))
    assert play.session().last_wh == 1_001_003


def test_a_value_that_was_not_read_again_is_never_reported_again() -> None:
    play = charging(play_of(MeterPolicy()))
    looks(play, (1003, 7000.0))
    old = Stamp(1, play.t_s - 10)
    assert play >> RawMeterReading(1, SAMPLED, wh(1003, at=old))
    assert play.evse().metering.reading is not None
    assert play.evse().metering.reading.at != old


def test_a_register_that_stands_while_power_flows_cannot_bill() -> None:
    """By its own power 22 kW are delivered; the count does not move."""
    play = charging(play_of())
    looks(play, *[(1000, 22_000.0)] * 12)
    assert faults(play) == {Fault.METER_IMPLAUSIBLE}
    assert "the register moved by 0 Wh" in play.evse().metering.meter.trouble
    assert play.session().last_wh == 1000
    play.wait(61)
    assert play.state() is SessionState.ENDING


def test_without_a_bill_a_register_that_stood_still_is_looked_at_again() -> None:
    """What flowed in the session that ended for it is compared no more: the EVSE is not lost until a restart."""
    play = charging(play_of())
    looks(play, *[(1000, 22_000.0)] * 12)
    for _ in range(7):
        look(play.wait(10), 1000, 22_000.0).skip()
    assert play.state() is SessionState.ENDING
    play.feed(ContactorOpened(1))
    for n in (1, 2, 3):
        look(play, 1000, 0.0, purpose=end_reading(n)).skip().wait(6)
    [ended] = play.ended()
    assert ended.meter_wh == 1000
    looks(play.skip(), *[(1090, 0.0)] * 4)
    assert faults(play) == set()
    assert play.evse().metering.meter.trouble == ""


def test_a_meter_that_is_connected_the_wrong_way_round_cannot_bill() -> None:
    """Line and load, or a transformer: its export counts, and the driver would charge for nothing."""
    play = charging(play_of())
    looks(play, *[(1000, -22_000.0)] * 12)
    assert faults(play) == {Fault.METER_IMPLAUSIBLE}
    assert "wrong way round" in play.evse().metering.meter.trouble


def test_what_no_meter_counts_is_no_load() -> None:
    """A night without a vehicle: a few watts of noise, below the current at which a meter begins to count."""
    play = play_of()
    for n in range(12_000):
        play.t_s += 25.0
        look(play, 1000, 30.0 if n % 3 else -9.0, purpose=POLL).skip()
        assert faults(play) == set()
    assert [o for o in play.log if isinstance(o, LogNote) and o.part != "outlet"] == []


def test_what_the_station_takes_behind_its_meter_is_no_disagreement() -> None:
    """60 W that are counted, while the power is reported as 0 or as 60 W; but not a register that runs by itself."""
    for told_w in (0.0, 60.0):
        play, energy_wh = play_of(), 1000.0
        for _ in range(12_000):
            play.t_s += 25.0
            energy_wh += 60 * 25 / 3600
            look(play, int(energy_wh), told_w, purpose=POLL).skip()
            assert faults(play) == set()
    play, energy_wh = play_of(), 1000.0
    for _ in range(1000):
        play.t_s += 25.0
        energy_wh += 500 * 25 / 3600
        look(play, int(energy_wh), 0.0, purpose=POLL).skip()
    assert faults(play) == {Fault.METER_DISAGREES}


def test_a_register_that_keeps_up_is_left_in_peace() -> None:
    play = charging(play_of())
    power_w, energy = 22_000.0, 1000.0
    for _ in range(300):
        play.t_s += STEP
        energy += power_w * STEP / 3600
        look(play, int(energy), power_w).skip()
    assert faults(play) == set()
    assert play.session().last_wh == int(energy)


def test_a_register_that_differs_from_its_power_is_reported_and_never_corrected() -> None:
    """4 % less than the integral: an alarm, the bill is the register."""
    play = charging(play_of())
    power_w, energy = 22_000.0, 1000.0
    for _ in range(120):
        play.t_s += STEP
        energy += 0.96 * power_w * STEP / 3600
        look(play, int(energy), power_w).skip()
    assert faults(play) == {Fault.METER_DISAGREES}
    assert play.state() is SessionState.ACTIVE
    assert play.session().last_wh == int(energy)
    for _ in range(200):
        play.t_s += STEP
        energy += power_w * STEP / 3600
        look(play, int(energy), power_w).skip()
    assert faults(play) == set(), "the next kilowatt-hour agreed"


def test_after_a_restart_the_open_bill_says_where_the_register_may_be() -> None:
    play = charging(play_of())
    looks(play, (1003, 7000.0))
    play.skip().wait(301)
    play.skip().restart(5).skip()
    play.feed(MeterKnown(1, SDM))
    look(play.skip(), 900_000, purpose=POLL)
    assert play.session().last_wh == 1003
    look(play, 1500, purpose=POLL)
    assert play.session().last_wh == 1500


# --- loss ------------------------------------------------------------------------------------------------------------


def test_without_a_register_nothing_starts() -> None:
    play = play_of()
    charging_begin = play.evse().progress.begin_try
    for event in begin_events():
        play.feed(event)
    play.feed(MeterFailed(1, begin_reading(charging_begin + 1)))
    assert play.state() is SessionState.OCCUPIED
    assert not any(isinstance(o, SetRelease) and o.on for o in play.log)
    assert play.sent_messages == []
    play.skip()


def begin_events() -> list[Event]:
    return [
        CablePlugged(1),
        VehicleConnected(1),
        CardPresented(1, A),
        TokenAuthorized("token:1", A, ACCEPTED),
    ]


@pytest.mark.parametrize("grace_s", [0, 20, 60])
def test_the_grace_of_a_lost_meter_is_a_setting(grace_s: int) -> None:
    play = charging(play_of(settings={"meter_grace_s": grace_s}))
    looks(play, (1003, 7000.0))
    play.feed(FaultRaised(1, Fault.METER_SILENT))
    play.skip()
    if grace_s:
        play.wait(grace_s - 1)
        assert play.state() is SessionState.ACTIVE
        play.skip().wait(2)
    assert play.state() is SessionState.ENDING
    play.skip().feed(ContactorOpened(1))
    for n in (1, 2, 3):
        play.feed(MeterFailed(1, end_reading(n)))
        play.skip().wait(6)
    [ended] = play.ended()
    assert (ended.meter_wh, ended.reading) == (1003, None)


# --- whatever a meter says -----------------------------------------------------------------------------------------

WORDS = st.one_of(
    st.tuples(st.just("true"), st.floats(0, 22_000)),
    st.tuples(st.just("wild"), st.floats(0, 1e9)),
    st.tuples(st.just("lost"), st.just(0.0)),
    st.tuples(st.just("stale"), st.floats(0, 30)),
    st.tuples(st.just("other"), st.just(0.0)),
    st.tuples(st.just("same"), st.just(0.0)),
    st.tuples(st.just("restart"), st.floats(1, 30)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=30), st.sampled_from(["read", "lost", "wild"]))
def test_a_bill_is_made_of_registers_that_were_read(words: list[tuple[str, float]], end: str) -> None:
    """Losses, recoveries, wild values, stale values, another meter, restarts: the bill begins with the register of the
    begin and ends with one that the meter had and that the outlet could have delivered; never less, never invented."""
    play = charging(play_of())
    began_s, energy, had, wild = play.t_s, 1000.0, {1000}, 0
    for word, much in words:
        play.skip()
        play.t_s += STEP
        energy += (much if word == "true" else 5000.0) * STEP / 3600
        if word == "true":
            had.add(int(energy))
            look(play, int(energy), much)
        elif word == "wild":
            wild += 1
            look(play, int(much), 7000.0)
        elif word == "lost":
            play.feed(MeterFailed(1, LIVE))
        elif word == "stale":
            play.feed(RawMeterReading(1, LIVE, wh(max(had), at=Stamp(1, play.t_s - STEP - much))))
        elif word == "restart":
            play.restart(much)
            play.feed(MeterKnown(1, SDM))
        else:
            play.feed(MeterKnown(1, OTHER if word == "other" else SDM))
    finish(play, int(energy), end)
    had.add(int(energy))
    possible_wh = 1000 + MOST_W * (play.t_s - began_s) / 3600 + 10
    for bill in play.ended():
        assert bill.meter_wh >= 1000
        assert bill.meter_wh <= possible_wh
        assert wild or bill.meter_wh in had


def finish(play: Playbook, energy_wh: int, how: str) -> None:
    play.skip().feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, A))
    play.skip().feed(ContactorOpened(1))
    for n in (1, 2, 3):
        if how == "lost":
            play.feed(MeterFailed(1, end_reading(n)))
        else:
            look(play, energy_wh if how == "read" else 10**9, purpose=end_reading(n))
        play.skip().wait(6)
    play.skip().feed(VehicleLeft(1))
    play.skip().wait(400)
    play.skip()
