"""What happens to a session when the process or the board goes away. Resume only with proof, end exactly once."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CardPresented,
    ContactorOpened,
    FaultRaised,
    MeterFailed,
    MeterRead,
    RequestReceived,
    StopRequested,
)
from agent.domain.evse import SessionState
from agent.domain.messages import (
    ChargingState,
    ConnectorStatus,
    StopReason,
    TransactionEnded,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.orders import Persist, ReadMeter, Response, SetLimit, SetRelease, Unlock
from agent.domain.reading_purposes import end_reading
from agent.domain.register_snapshots import RegisterSnapshots
from agent.domain.requests import RemoteStopRequest
from agent.domain.timers import Timer, TimerKind
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.fastclass import replace
from agent.model.types import Fault, ScreenName, Stamp
from tests.domain.playbook import (
    CHARGING,
    EMPTY,
    LINK,
    PLUGGED,
    A,
    B,
    Playbook,
    charging,
    forgotten,
    kept,
    sent_message,
    wh,
)
from tests.support.domain_state import evse_record, station_state
from tests.support.reading_purposes import LIVE, POLL

COUNTS = EvseTraits(counts_plugged=True)


def there(plugged_s: float | None = None) -> EvseState:
    return EvseState(Pilot.C, pwm=False, cable=True, contactor=False, plugged_s=plugged_s)


def counting(**options: Any) -> Playbook:
    return charging(Playbook(traits=COUNTS, **options)).wait(100).skip()


def released(play: Playbook) -> bool:
    return any(isinstance(o, SetRelease) and o.on for o in play.unclaimed)


def ends(play: Playbook, meter_wh: int = 2000) -> Playbook:
    play = (
        play
        << kept("session", "s1")
        << ReadMeter(1, end_reading(1), True)
        >> MeterRead(1, end_reading(1), wh(meter_wh))
    )
    return (
        play
        << forgotten("session")
        << sent_message(
            TransactionEnded,
            session="s1",
            reason=StopReason.POWER_LOSS,
            trigger=TriggerReason.ABNORMAL_CONDITION,
            meter_wh=meter_wh,
        )
    )


def test_a_proven_plug_resumes() -> None:
    play = counting().restart(3000, state=there(plugged_s=3100.0))
    assert play << kept("session", "s1") << SetLimit << SetRelease(1, True)
    assert (play.state(), play.session().start_wh) == (SessionState.ACTIVE, 1000)
    assert play >> BoardChanged(1, CHARGING) << sent_message(TransactionUpdated, charging=ChargingState.CHARGING)


def test_a_proven_plug_resumes_however_late_the_agent_comes_to_it() -> None:
    """A machine that is busy asks the board and handles its answer seconds later: the count is that of the question."""
    play = counting().restart(3000)
    asked_at = play.now.stamp
    play.wait(3) >> BoardOpened(1, there(plugged_s=3100.0), COUNTS, asked_at, asked_at)
    assert play << kept("session", "s1") << SetLimit << SetRelease(1, True)
    assert play.state() == SessionState.ACTIVE


@pytest.mark.parametrize(("plugged_s", "resumes"), [(35_997.0, True), (35_993.0, True), (35_990.0, False)])
@pytest.mark.parametrize("restarts", [False, True])
def test_clocks_that_drift_apart_overnight_are_no_power_loss(plugged_s: float, resumes: bool, restarts: bool) -> None:
    """A second in ten hours is 28 ppm; crystals and corrected clocks do more."""
    play = counting()
    for _ in range(359):
        play.feed(MeterRead(1, LIVE, wh(1500)))
        play.skip().wait(100)
    if restarts:
        play.skip().restart(0)
    play.skip().feed(BoardOpened(1, there(plugged_s=plugged_s), COUNTS))
    assert released(play) is resumes


@pytest.mark.parametrize("seen_s", [1, 4, 8, 100])
def test_the_drift_of_a_long_absence_lets_no_other_car_in(seen_s: float) -> None:
    """It was plugged in as soon as the agent was away, and stays for a week."""
    play = charging(Playbook(traits=COUNTS)).wait(seen_s).skip()
    play.feed(MeterRead(1, LIVE, wh(1100)))
    play.feed(StopRequested())
    week_s = 7 * 86_400.0
    play.skip().restart(week_s, state=there(plugged_s=week_s - 2))
    assert not released(play)


def test_another_car_does_not_resume_however_late_the_agent_comes_to_it() -> None:
    play = counting().restart(3000)
    asked_at = play.now.stamp
    play.wait(3) >> BoardOpened(1, there(plugged_s=3098.0), COUNTS, asked_at, asked_at)
    assert not released(play)
    assert ends(play) << Unlock


@pytest.mark.parametrize(("answered_after_s", "plugged_s", "resumes"), [
    (4, 3100.0, True), (60, 3100.0, False), (60, 3153.0, False), (60, 3154.0, True),
])  # fmt: skip
def test_a_board_that_answers_late_proves_what_it_has_counted_until_then(
    answered_after_s: int, plugged_s: float, resumes: bool
) -> None:
    """The process stood still between question and answer: another car may have come meanwhile."""
    play = counting().restart(3000)
    asked_at = play.now.stamp
    play.wait(answered_after_s)
    answered_at = play.now.stamp
    play.wait(3) >> BoardOpened(1, there(plugged_s=plugged_s), COUNTS, asked_at, answered_at)
    assert released(play) is resumes


def test_the_time_of_the_plug_is_reckoned_from_the_answer() -> None:
    play = Playbook()
    seen_at = play.now.stamp
    play.wait(3) >> BoardOpened(1, there(plugged_s=5.0), COUNTS, seen_at, seen_at)
    assert play.evse().board.plugged_at == Stamp(seen_at.boot, seen_at.t_s - 5.0)


def test_a_transaction_that_goes_on_is_never_preparing_again() -> None:
    play = counting().restart(3000, state=there(plugged_s=3100.0))
    assert play.statuses[1].charging is ChargingState.SUSPENDED_EVSE
    play.skip() >> BoardChanged(1, CHARGING)
    assert play.statuses[1].charging is ChargingState.CHARGING


def test_the_resumed_session_is_sampled_on_its_old_grid() -> None:
    play = counting(settings={"sample_interval_s": 60}).restart(5, state=there(plugged_s=105.0))
    assert play.timers[Timer(TimerKind.SAMPLED_READING, 1)] == pytest.approx(1000 + 120)


def test_another_car_does_not_resume() -> None:
    play = counting().restart(3000, state=there(plugged_s=2900.0))
    assert not released(play)
    assert ends(play) << Unlock


def test_another_car_within_the_time_of_grace_does_not_resume_on_a_board_that_counts() -> None:
    play = counting().restart(5, state=there(plugged_s=3.0))
    assert ends(play) << Unlock


def test_a_board_that_lost_its_count_proves_nothing() -> None:
    play = counting().restart(5, state=there(plugged_s=None))
    assert ends(play) << Unlock


def test_without_a_counter_within_the_time_of_grace() -> None:
    play = charging(Playbook()).wait(500).skip() >> StopRequested() << SetRelease << Persist
    assert play.restart(59, state=there()) << Persist << SetLimit << SetRelease(1, True)


def test_without_a_counter_after_the_time_of_grace() -> None:
    play = charging(Playbook()).wait(500).skip() >> StopRequested() << SetRelease << Persist
    assert ends(play.restart(61, state=there())) << Unlock


def test_without_a_counter_the_grace_counts_from_when_the_vehicle_was_last_seen() -> None:
    """The meter answers long before the board does: that is no sign of the vehicle."""
    play = charging(Playbook()) >> StopRequested() << SetRelease << Persist
    play.restart(5)
    for _ in range(20):
        assert play.wait(10) >> MeterRead(1, POLL, wh(1001))
    play >> BoardOpened(1, there(), EvseTraits())
    assert not released(play)
    assert ends(play) << Unlock


def test_a_kernel_that_was_booted_again_proves_nothing() -> None:
    play = charging(Playbook()) >> StopRequested() << SetRelease << Persist
    assert ends(play.restart(5, new_boot=True, state=there())) << Unlock
    play = counting()
    assert ends(play.restart(5, new_boot=True, state=there(plugged_s=5000.0))) << Unlock


def test_a_second_stop_before_the_board_is_back_proves_nothing_either() -> None:
    """Found by a walk: SIGTERM while the session waited for its board made it look alive, even after a kernel boot."""
    play = charging(Playbook()) >> StopRequested() << SetRelease << Persist
    play.restart(5, new_boot=True) >> StopRequested() << Persist
    assert ends(play.restart(5, state=there())) << Unlock
    play = charging(Playbook()) >> StopRequested() << SetRelease << Persist
    play.restart(50) >> StopRequested() << Persist
    assert ends(play.restart(50, state=there())) << Unlock


def test_no_one_on_the_cable() -> None:
    play = counting().restart(5, state=EMPTY)
    assert ends(play)
    assert play.state() is SessionState.FREE


def test_the_energy_drawn_while_no_one_looked_is_billed() -> None:
    play = counting() >> MeterRead(1, LIVE, wh(1500))
    assert ends(play.restart(5, state=EMPTY), 1700)


def test_a_fault_in_the_first_picture_is_no_time_to_resume() -> None:
    state = EvseState(Pilot.C, pwm=False, cable=True, contactor=False, plugged_s=5000.0, faults=frozenset({Fault.TILT}))
    play = counting().restart(5, state=state)
    assert ends(play) << Unlock


def test_a_fault_that_ends_sessions_without_blocking_is_no_time_to_resume_either() -> None:
    """Release would be given and withdrawn by one event, and the engine hands withdrawals over first."""
    rejected = frozenset({Fault.CABLE_REJECTED})
    state = EvseState(Pilot.B, pwm=False, cable=True, contactor=False, plugged_s=5000.0, faults=rejected)
    play = counting().restart(5, state=state)
    assert not released(play)
    assert ends(play) << Unlock


def test_the_board_never_comes_back() -> None:
    play = counting().restart(5)
    assert play.screens[1].name is ScreenName.PAUSED
    play.wait(300)
    assert play.screens[1].name is ScreenName.PREPARING
    assert ends(play) << kept("kept_share", "1", amperes=32.0)


def test_the_board_does_not_come_back_and_its_fault_waits_for_it() -> None:
    play = counting().restart(5) >> FaultRaised(1, Fault.BOARD_SILENT)
    play.wait(100)
    play >> BoardOpened(1, there(plugged_s=5000.0), COUNTS)
    assert released(play)


def test_the_meter_does_not_come_back() -> None:
    """Silent before the board was there: its minute must not be forgotten by the resume."""
    play = counting().restart(5) >> FaultRaised(1, Fault.METER_SILENT)
    play.wait(30) >> BoardOpened(1, there(plugged_s=5000.0), COUNTS)
    assert released(play)
    assert play.skip().wait(31).skip().state() is SessionState.ENDING
    play = counting().restart(5) >> FaultRaised(1, Fault.METER_SILENT)
    assert play.wait(61).skip().state() is SessionState.ENDING


def test_stopped_by_card_or_from_afar_before_the_board_is_back() -> None:
    """The contactor of a board that was not seen yet may still be closed: its picture, or ten seconds, come first."""
    play = counting().restart(5) >> CardPresented(1, A) << kept("session")
    play = play >> BoardOpened(1, there(plugged_s=105.0), COUNTS) << ReadMeter(1, end_reading(1), True)
    assert (
        play
        >> MeterRead(1, end_reading(1), wh(1900))
        << Persist
        << sent_message(TransactionEnded, reason=StopReason.LOCAL)
        << (Unlock)
    )
    play = (
        counting().restart(5)
        >> RequestReceived(LINK, "q1", RemoteStopRequest("s1"))
        << Response(LINK, "q1", "Accepted")
        << Persist
    )
    assert play.wait(9)
    assert play.wait(1) << ReadMeter(1, end_reading(1), True)


# --- a stop that was meant before the crash --------------------------------------------------------------------------


def test_a_stop_meant_before_the_crash_keeps_its_reason_and_its_time() -> None:
    play = counting() >> CardPresented(1, A) << SetRelease << kept("session")
    stopped_s = play.t_s
    play.restart(40, state=there(plugged_s=140.0))
    play = play << ReadMeter(1, end_reading(1), True) >> MeterRead(1, end_reading(1), wh(1800)) << forgotten("session")
    assert play << sent_message(TransactionEnded, reason=StopReason.LOCAL, token=A, meter_wh=1800) << Unlock
    assert play.ended()[0].at.t_s == stopped_s


def test_crash_after_crash_ends_once() -> None:
    play = counting() >> CardPresented(1, A) << SetRelease << Persist
    for _ in range(3):
        play.restart(5, state=there(plugged_s=500.0)) << ReadMeter
    play = play >> MeterRead(1, end_reading(1), wh(1800)) << Persist << sent_message(TransactionEnded) << Unlock
    assert play.restart(5, state=there()) << Unlock  # the first one was lost
    assert len(play.ended()) == 1


def test_a_meter_that_fails_after_the_restart() -> None:
    play = counting() >> MeterRead(1, LIVE, wh(1500))
    play.wait(300).skip()
    play.restart(5, state=EMPTY)
    for n in (1, 2, 3):
        play.skip() >> MeterFailed(1, end_reading(n))
        play.skip().wait(5)
    assert [e.meter_wh for e in play.skip().ended()] == [1500]


# --- the board goes away while the agent lives -----------------------------------------------------------------------


def test_a_board_that_was_away_for_a_moment() -> None:
    play = counting() >> BoardOpened(1, there(plugged_s=101.0), COUNTS)
    assert play << Persist << SetLimit << SetRelease(1, True)


def test_a_board_that_comes_back_with_another_car() -> None:
    play = counting() >> BoardOpened(1, there(plugged_s=2.0), COUNTS)
    assert not released(play)
    assert ends(play) << Unlock


def test_a_board_that_comes_back_while_the_session_ends() -> None:
    play = counting() >> CardPresented(1, A) << SetRelease << Persist >> BoardOpened(1, PLUGGED, COUNTS)
    assert (
        play
        << ReadMeter(1, end_reading(1), True)
        >> MeterRead(1, end_reading(1), wh(1800))
        << Persist
        << sent_message(TransactionEnded, reason=StopReason.LOCAL)
        << Unlock
    )


def test_a_board_that_comes_back_with_a_closed_contactor_is_waited_for() -> None:
    welded = EvseState(Pilot.C, pwm=False, cable=True, contactor=True, plugged_s=1.0)
    play = counting() >> BoardOpened(1, welded, COUNTS) << kept("session")
    assert play >> ContactorOpened(1) << ReadMeter(1, end_reading(1), True)


@pytest.mark.parametrize(
    ("before", "state", "after"),
    [
        (EMPTY, PLUGGED, SessionState.OCCUPIED),
        (PLUGGED, EMPTY, SessionState.FREE),
        (PLUGGED, PLUGGED, SessionState.OCCUPIED),
    ],
)
def test_a_board_reopened_without_a_session(before: EvseState, state: EvseState, after: SessionState) -> None:
    play = Playbook(state=before) >> BoardOpened(1, state, EvseTraits())
    assert play
    assert play.state() is after


# --- records ---------------------------------------------------------------------------------------------------------


def record() -> dict[str, Any]:
    return copy.deepcopy(counting().store["session"]["s1"])


def poisoned_with(record: Any, evses: int = 2) -> Playbook:
    play = Playbook(evses=evses, cold=True)
    play.store = {"session": {"s1": record}}
    return play.restart(5, state=PLUGGED)


@pytest.mark.parametrize(
    "change",
    [
        {"token": None},
        {"token": {"$": "Stamp", "boot": 1, "t_s": 1.0}},
        {"started": {"$": "Nothing"}},
        {"start_wh": "much"},
        {"start_wh": float("inf")},
        {"stop": {"reason": "Tired", "trigger": "Authorized", "at": {"$": "Stamp", "boot": 1, "t_s": 1.0}}},
        {
            "stop": {
                "reason": "Tired",
                "trigger": "Authorized",
                "at": {"$": "Stamp", "boot": 1, "t_s": 1.0},
                "token": None,
                "note": "",
            }
        },
        {"samples": [{"$": "Stamp", "boot": 1, "t_s": 1.0}]},
        {"samples": 7},
        {"alive_at": []},
    ],
)
def test_a_poisoned_record_is_set_aside_and_its_evse_stays_out_of_service(change: dict[str, Any]) -> None:
    play = poisoned_with({**record(), **change}) << kept("poisoned", "s1") << forgotten("session")
    assert play
    assert play.statuses[1].faults == (Fault.RECORD_POISONED,)
    assert play.statuses[2].connector is ConnectorStatus.OCCUPIED
    assert "s1" in play.store["poisoned"]


@pytest.mark.parametrize("whole", [[], [1], "text", 7, None, {}, {"evse": []}, {"evse": {"a": 1}}])
def test_a_record_that_is_no_record(whole: Any) -> None:
    play = poisoned_with(whole) << Persist << forgotten("session")
    assert play
    assert {s.connector for n, s in play.statuses.items() if n} == {ConnectorStatus.FAULTED}


def test_a_record_of_an_evse_that_the_station_no_longer_has() -> None:
    assert poisoned_with({**record(), "evse": 2}, evses=1) << Persist << forgotten("session")


def test_a_second_open_session_of_one_evse_is_set_aside() -> None:
    play = counting()
    play.store["session"]["s2"] = {**record(), "token": {"$": "Token", "value": B.value}}
    play.restart(5) << kept("poisoned", "s2") << forgotten("session") << kept("session", "s1")
    assert play >> BoardOpened(1, there(plugged_s=5000.0), COUNTS) << ReadMeter
    assert not released(play)
    assert (
        play
        >> MeterRead(1, end_reading(1), wh(1800))
        << Persist
        << sent_message(TransactionEnded, session="s1")
        << Unlock
    )
    assert play.statuses[1].connector is ConnectorStatus.FAULTED


def test_an_unknown_field_of_a_newer_program_is_no_poison() -> None:
    play = Playbook(cold=True)
    play.store = {"session": {"s1": {**record(), "colour": "red"}}}
    assert play.restart(5).state() is SessionState.RECOVERING


def test_without_a_plug_counter_the_sign_of_life_is_fresh_enough_to_resume() -> None:
    """A snapshot every 300 s used to be older than the 60 s within which such a board may resume."""
    evse = evse_record(1)
    snapshots = RegisterSnapshots(station_state({1: evse}, resume_within_s=60.0))
    assert snapshots.interval_s(evse) <= 60.0
    evse.traits = replace(evse.traits, counts_plugged=True)
    assert snapshots.interval_s(evse) == 300.0


@pytest.mark.parametrize(
    ("text", "out"),
    [('{"evse":2,"token":{"$":"Tok\\xff', {2}), ("garbage", {1, 2}), ('{"evse":9,"to', {1, 2})],
)
def test_a_session_that_the_store_could_not_read_closes_its_evse_once(text: str, out: set[int]) -> None:
    store = {"poisoned": {"session/s1": {"record": text, "why": "is no JSON"}, "cache/x": {"record": "", "why": ""}}}
    play = Playbook(cold=True, evses=2, store=store).restart(1, state=EMPTY)
    assert play << kept("poisoned", "session/s1", told=True)
    assert {n for n in (1, 2) if Fault.RECORD_POISONED in play.evse(n).faults} == out
    assert play.restart(5, state=EMPTY)
    assert not any(Fault.RECORD_POISONED in play.evse(n).faults for n in (1, 2)), (
        "reported once: the next start is clean"
    )
