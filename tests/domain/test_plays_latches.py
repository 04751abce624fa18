"""Faults that need a person: what outlives a restart, and what it takes to be in order again. All that block
are over when the board has not shown them for a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CardPresented,
    ContactorClosed,
    FaultCleared,
    FaultsAcknowledged,
    MeterRead,
    RequestReceived,
    SupplyChanged,
)
from agent.domain.messages import ConnectorStatus, StatusChanged
from agent.domain.orders import ClearFaults, Order, ReadMeter, Response, Restart, Send
from agent.domain.requests import ResetRequest
from agent.model.types import Fault, ScreenName, Supply
from tests.domain.playbook import EMPTY, LINK, A, Like, Playbook, forgotten, kept, wh
from tests.support.reading_purposes import FAULT_RESET

HOT = replace(EMPTY, faults=frozenset({Fault.HIGH_TEMPERATURE}))
JAMMED = replace(EMPTY, faults=frozenset({Fault.LOCK_FAILURE}))
WELDED = replace(EMPTY, faults=frozenset({Fault.CONTACTOR_WELDED}))


def welded() -> Playbook:
    """The board has shown it once, and shows it no more."""
    play = Playbook() >> BoardChanged(1, WELDED) << kept("latched", "1", faults=["ContactorWelded"])
    play = play >> BoardChanged(1, EMPTY)
    assert play
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    return play


def reset(play: Playbook, ask: ResetRequest) -> Playbook:
    """The station starts again, as the order that ended it says."""
    assert play >> RequestReceived(LINK, "9", ask) << Like(Response) << Like(Restart, hard=ask.hard)
    play.store.setdefault("restart", {})["ordered"] = {"reason": "RemoteReset", "hard": ask.hard}
    return play.restart(5, state=EMPTY).skip()


def test_a_latched_fault_outlives_crash_and_power_cut_and_soft_reset() -> None:
    play = welded().restart(5, state=EMPTY).skip()
    assert play.statuses[1].faults == (Fault.CONTACTOR_WELDED,)
    play = play.restart(3600, new_boot=True, state=EMPTY).skip().wait(60).skip()
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    assert play.skip() >> CardPresented(1, A)
    assert play.screens[1].name is ScreenName.REFUSED
    play = reset(play, ResetRequest(hard=False)).wait(60).skip()
    assert play.statuses[1].connector is ConnectorStatus.FAULTED


def test_a_hard_reset_acknowledges_what_the_board_no_longer_shows() -> None:
    play = reset(welded(), ResetRequest(hard=True))
    assert play.statuses[1].connector is ConnectorStatus.FAULTED, "not before the board was looked at for a while"
    assert play.wait(6) << forgotten("latched")
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE
    assert play.restart(5, state=EMPTY).skip().statuses[1].connector is ConnectorStatus.AVAILABLE


def test_a_hard_reset_does_not_talk_away_what_is_there() -> None:
    """And what goes by itself an hour later was acknowledged by no one."""
    play = welded()
    assert play >> RequestReceived(LINK, "9", ResetRequest(hard=True)) << Like(Response) << Like(Restart)
    play.store.setdefault("restart", {})["ordered"] = {"reason": "RemoteReset", "hard": True}
    play = play.restart(5, state=WELDED).skip()
    for _ in range(12):
        play.wait(6).skip()
    assert play.statuses[1].faults == (Fault.CONTACTOR_WELDED, Fault.RESET_FAILURE)
    play = (play.skip() >> BoardChanged(1, EMPTY)).skip().wait(3600).skip()
    assert play.statuses[1].connector is ConnectorStatus.FAULTED


def test_the_board_of_a_hurried_station_has_real_time_to_show_that_it_is_over() -> None:
    """Half a second of this machine is ten of a station whose time runs twenty times as fast: it took the poll of the
    board for a refusal."""
    play = (Playbook(io_s=20.0) >> BoardChanged(1, WELDED)).skip()
    (play >> FaultsAcknowledged(1)).skip().wait(1.9 * 20.0).skip()
    (play >> BoardChanged(1, EMPTY)).skip().wait(60).skip()
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE


def test_a_reset_of_the_evse_acknowledges_too() -> None:
    play = welded().skip() >> RequestReceived(LINK, "9", ResetRequest(evse=1)) << Like(Response) << ClearFaults(1)
    play = play << ReadMeter(1, FAULT_RESET) >> MeterRead(1, FAULT_RESET, wh(1000))
    assert play.wait(6) << forgotten("latched")
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE


def test_a_board_that_takes_its_time_after_the_reset_is_asked_all_the_same() -> None:
    play = welded()
    assert play >> RequestReceived(LINK, "9", ResetRequest(hard=True)) << Like(Response) << Like(Restart)
    play.store.setdefault("restart", {})["ordered"] = {"reason": "RemoteReset", "hard": True}
    play = play.restart(5).skip()
    for _ in range(12):
        play.wait(6).skip()
    assert Fault.CONTACTOR_WELDED in play.evse().faults
    play = (play >> BoardOpened(1, EMPTY, play.traits)).skip().wait(6).skip()
    assert play.evse().faults == set()


def test_an_acknowledgement_is_of_what_was_there() -> None:
    """A weld of months later is not talked away by a board that was away for a moment."""
    play = reset(welded(), ResetRequest(hard=True))
    assert play.wait(6) << forgotten("latched")
    play = (play >> BoardChanged(1, WELDED)).skip() >> BoardOpened(1, EMPTY, play.traits)
    assert play.skip().wait(60).skip().evse().faults == {Fault.CONTACTOR_WELDED}


# --- over when it has been gone for a while --------------------------------------------------------------------------


def test_what_blocks_is_over_when_the_board_has_not_shown_it_for_five_seconds() -> None:
    play = Playbook() >> BoardChanged(1, HOT) >> BoardChanged(1, EMPTY)
    assert play.wait(4.9)
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    assert play.wait(0.2)
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE


def test_what_flickers_is_one_fault() -> None:
    """It is not reported twice, and no session may start in between."""
    play = Playbook().skip()
    began = len(play.log)
    play = play >> BoardChanged(1, HOT)
    for _ in range(5):
        play = (play.skip() >> BoardChanged(1, EMPTY)).wait(3).skip() >> BoardChanged(1, HOT)
        play = play.wait(3)
    play = (play.skip() >> BoardChanged(1, EMPTY)).wait(4.9)
    assert [described_order(o) for o in play.log[began:] if described_order(o)] == ["Faulted"]
    play = play.wait(0.2)
    assert [described_order(o) for o in play.log[began:] if described_order(o)] == ["Faulted", "Available"]


def described_order(order: Order) -> str:
    message = order.message if isinstance(order, Send) else None
    return str(message.connector) if isinstance(message, StatusChanged) else ""


def test_what_only_warns_goes_at_once() -> None:
    warm = replace(EMPTY, faults=frozenset({Fault.TEMPERATURE_DERATING}))
    play = Playbook() >> BoardChanged(1, warm) >> BoardChanged(1, EMPTY)
    assert play.evse().faults == set()


def test_a_reset_that_helped_is_none_that_failed() -> None:
    """The board drops its fault a moment after the order: that counts, without a second try."""
    play = Playbook(settings={"reset_retries": 0}) >> BoardChanged(1, HOT)
    play = play >> RequestReceived(LINK, "9", ResetRequest(evse=1)) << Like(Response) << ClearFaults(1)
    play = (play.wait(1) >> BoardChanged(1, EMPTY)).wait(5.1)
    assert play.skip().evse().faults == set()


def test_a_reset_makes_nothing_start_between_two_looks_at_a_loose_wire() -> None:
    """The fault is not shown at the very moment in which the reset looks."""
    play = Playbook(settings={"reset_retries": 0}) >> BoardChanged(1, HOT)
    play = play >> RequestReceived(LINK, "9", ResetRequest(evse=1)) << Like(Response) << ClearFaults(1)
    play = (play.wait(4.9) >> BoardChanged(1, EMPTY)).wait(0.2)
    assert play.skip().evse().faults == {Fault.HIGH_TEMPERATURE}
    play = play >> BoardChanged(1, HOT)
    assert play.wait(20).skip().evse().faults == {Fault.HIGH_TEMPERATURE}
    play = (play >> BoardChanged(1, EMPTY)).wait(5.1)
    assert play.skip().evse().faults == set()


# --- over a restart --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone_s", [None, 0.0, 4.0], ids=["still shown", "just gone", "gone for 4 s"])
def test_a_restart_does_not_make_it_over(gone_s: float | None) -> None:
    """No session starts between two looks at a loose wire because the agent was killed in between."""
    play = Playbook() >> BoardChanged(1, HOT)
    if gone_s is not None:
        play = (play >> BoardChanged(1, EMPTY)).wait(gone_s)
    play = play.restart(2, state=EMPTY).skip()
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    play = play >> CardPresented(1, A)
    assert play.screens[1].name is ScreenName.REFUSED
    play = play.wait(4.9)
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    play = play.wait(0.2)
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE
    assert not play.store["shown"]
    assert play.restart(2, state=EMPTY).skip().statuses[1].faults == ()


def test_nor_do_two() -> None:
    play = Playbook() >> BoardChanged(1, HOT) >> BoardChanged(1, EMPTY)
    for _ in range(2):
        play = play.restart(2, state=EMPTY).skip().wait(3).skip()
    assert play.statuses[1].faults == (Fault.HIGH_TEMPERATURE,)
    assert play.wait(3).statuses[1].faults == ()


def test_one_that_is_still_shown_after_the_restart_goes_by_itself_later() -> None:
    play = (Playbook() >> BoardChanged(1, HOT)).restart(2, state=HOT).skip().wait(60).skip()
    assert play.statuses[1].faults == (Fault.HIGH_TEMPERATURE,)
    play = (play >> BoardChanged(1, EMPTY)).wait(5.1)
    assert play.statuses[1].faults == ()
    assert not play.store["shown"]


def test_of_what_has_a_time_of_grace_nothing_is_kept() -> None:
    """Its time begins when it is raised."""
    play = Playbook() >> BoardChanged(1, replace(EMPTY, faults=frozenset({Fault.METER_SILENT})))
    assert not play.store.get("shown")


def test_what_another_version_has_left_there_is_nothing() -> None:
    play = Playbook(store={"shown": {"1": {"faults": ["Nonsense"]}, "9": {"faults": ["TiltX"]}, "x": {}}})
    assert play.evse().faults == set()


# --- a lock that jams again and again --------------------------------------------------------------------------------


def jam(play: Playbook, times: int) -> Playbook:
    for _ in range(times):
        play = play.skip() >> BoardChanged(1, JAMMED)
        play = (play.skip() >> BoardChanged(1, EMPTY)).wait(6)
    return play


def test_a_lock_that_has_jammed_three_times_waits_for_a_person() -> None:
    play = jam(Playbook(), 2)
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE
    play = play >> BoardChanged(1, JAMMED) << kept("latched", "1", faults=["ConnectorLockFailure"])
    play = (play >> BoardChanged(1, EMPTY)).wait(600)
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    assert play.screens[1].detail == Fault.MREC25, "plugging in once more does not help"
    play = play.restart(5, state=EMPTY).skip()
    assert play.statuses[1].faults == (Fault.LOCK_FAILURE,)
    play = play >> RequestReceived(LINK, "9", ResetRequest(evse=1)) << Like(Response) << ClearFaults(1)
    assert play.wait(6) << forgotten("latched")
    assert jam(play, 2).skip().statuses[1].connector is ConnectorStatus.AVAILABLE, "counted again"


def test_a_lock_that_held_in_between_is_counted_again() -> None:
    play = jam(Playbook(), 2) >> ContactorClosed(1)
    play = jam(play, 2)
    assert Fault.LOCK_FAILURE not in play.evse().faults


def test_a_latched_lock_goes_like_any_other_latched_fault() -> None:
    """Also when its board says that it is over by an event of its own."""
    play = jam(Playbook(), 3).skip() >> FaultCleared(1, Fault.LOCK_FAILURE)
    assert play.evse().faults == {Fault.LOCK_FAILURE}


def test_mains_that_is_lost_meanwhile_stays_lost() -> None:
    """The board does not show it any more; the power-fail input does."""
    out = replace(EMPTY, faults=frozenset({Fault.POWER_LOSS}))
    play = (Playbook() >> BoardChanged(1, out) >> BoardChanged(1, EMPTY)).wait(2)
    play = (play >> SupplyChanged(Supply(mains=False, backup=False))).skip().wait(10).skip()
    assert Fault.POWER_LOSS in play.evse().faults
