"""Mains lost while a back-up supply carries the board (OCPP 1.6 test case 032_1; 2.x: PowerLoss, AbnormalCondition)."""

from __future__ import annotations

import pytest

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CardPresented,
    ContactorOpened,
    FaultCleared,
    MeterRead,
    SupplyChanged,
    TokenAuthorized,
)
from agent.domain.evse import SessionState
from agent.domain.messages import ConnectorStatus, StopReason, TransactionEnded, TriggerReason
from agent.domain.orders import AuthorizeToken, Persist, ReadMeter, SetRelease, Shutdown, Unlock
from agent.domain.reading_purposes import end_reading
from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, ScreenName, Supply
from tests.domain.playbook import (
    ACCEPTED,
    CHARGING,
    EMPTY,
    LINK,
    PLUGGED,
    A,
    Playbook,
    charging,
    forgotten,
    kept,
    sent_message,
    wh,
)

MAINS, LOST = SupplyChanged(Supply(True)), SupplyChanged(Supply(False))
HOLD_S, BACKUP_S = 0.3, 15.0
LOW = EvseState(Pilot.B, pwm=False, cable=True, contactor=False, faults=frozenset({Fault.POWER_LOSS}))


def lit(play: Playbook | None = None) -> Playbook:
    return (play or Playbook()) >> MAINS


def cut(play: Playbook) -> Playbook:
    """Lost, and for good."""
    return (play >> LOST).wait(HOLD_S)


def test_a_glitch_does_nothing() -> None:
    play = charging(lit()) >> LOST
    assert play.wait(HOLD_S - 0.1) >> MAINS
    play.wait(60).skip()
    assert play.session().stop is None
    assert not play.evse().faults


def test_a_loss_ends_the_session_frees_the_cable_and_then_the_process() -> None:
    play = cut(charging(lit()))
    play << SetRelease(1, False) << kept("session", "s1")
    assert play.screens[1].detail == "PowerLoss"
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    play >> ContactorOpened(1) << ReadMeter(1, end_reading(1), True)
    play >> MeterRead(1, end_reading(1), wh(1234)) << forgotten("session")
    play << sent_message(
        TransactionEnded,
        reason=StopReason.POWER_LOSS,
        trigger=TriggerReason.ABNORMAL_CONDITION,
        meter_wh=1234,
        token=None,
    )
    assert play << Unlock(1) << Shutdown()


def test_release_is_withdrawn_before_anything_is_read_or_written() -> None:
    play = charging(lit()) >> LOST
    before = len(play.log)
    play.wait(HOLD_S)
    orders = [o for o in play.log[before:] if isinstance(o, SetRelease | ReadMeter | Persist | Unlock)]
    assert orders[0] == SetRelease(1, False)


def test_who_waits_for_a_plug_loses_the_right() -> None:
    play = lit() >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play >> TokenAuthorized("token:1", A, ACCEPTED)
    assert play.skip().state() is SessionState.AUTHORIZED
    assert cut(play) << Shutdown()
    assert play.state() is SessionState.FREE


def test_no_one_starts_in_the_dark() -> None:
    play = cut(lit()) << Shutdown()
    assert play >> CardPresented(1, A)
    assert play.screens[1].name is ScreenName.OUT_OF_SERVICE


def test_without_any_person_the_process_ends_at_once_and_only_once() -> None:
    play = cut(lit()) << Shutdown()
    assert play >> LOST >> SupplyChanged(Supply(False, True))
    assert play.wait(BACKUP_S * 2)


def test_without_a_backup_no_one_waits_for_a_second_look() -> None:
    play = lit() >> SupplyChanged(Supply(False, backup=False))
    assert play << Shutdown()


def test_a_backup_that_gives_up_during_the_hold_time_hurries() -> None:
    play = lit() >> LOST
    assert play >> SupplyChanged(Supply(False, backup=False)) << Shutdown()


def test_what_takes_too_long_is_left_to_the_next_start() -> None:
    """The meter does not answer without mains: the reason is on disk, the register is read after the boot."""
    play = cut(charging(lit())).skip() >> ContactorOpened(1)
    play.skip()
    play.wait(BACKUP_S - 0.1)
    assert play.skip().wait(0.2) << Shutdown()
    assert play.store["session"]["s1"]["stop"]["reason"] == "PowerLoss"
    play.restart(60, new_boot=True, state=EMPTY)
    play.skip() >> MeterRead(1, end_reading(1), wh(1500))
    assert [(m.meter_wh, m.reason) for m in play.ended()] == [(1500, StopReason.POWER_LOSS)]


def test_mains_back_while_sessions_end_keeps_the_process() -> None:
    play = cut(charging(lit())).skip() >> MAINS
    play.skip() >> ContactorOpened(1)
    play.skip() >> MeterRead(1, end_reading(1), wh(1100))
    assert Shutdown() not in play.log
    assert [m.reason for m in play.ended()] == [StopReason.POWER_LOSS]
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.FINISHED, "power_loss")
    assert play.skip().wait(BACKUP_S * 2)
    assert Shutdown() not in play.log


def test_mains_back_in_the_last_moment_starts_no_one_in_a_process_that_ends() -> None:
    play = cut(lit()) << Shutdown()
    assert play >> MAINS >> CardPresented(1, A)


def test_a_process_that_begins_in_the_dark_waits_and_does_not_end_again() -> None:
    play = Playbook() >> LOST
    assert play.wait(3600)
    assert Shutdown() not in play.log
    assert play.screens[1].detail == "PowerLoss"
    assert play >> MAINS
    assert play.screens[1].name is ScreenName.IDLE


def test_a_session_that_waits_for_its_board_in_the_dark_is_closed_not_resumed() -> None:
    play = charging(lit())
    play.restart(5, state=None) >> LOST
    play.skip() >> BoardOpened(1, CHARGING, play.traits)
    assert not [o for o in play.unclaimed if o == SetRelease(1, True)]
    play.skip() >> ContactorOpened(1)
    play.skip() >> MeterRead(1, end_reading(1), wh(1900))
    assert [m.reason for m in play.ended()] == [StopReason.POWER_LOSS]
    assert play.skip()


@pytest.mark.parametrize("board_first", [True, False])
def test_board_and_input_both_see_it_and_either_may_be_first(board_first: bool) -> None:
    play = lit(Playbook(state=PLUGGED))
    steps = [BoardChanged(1, LOW), LOST]
    for step in steps if board_first else steps[::-1]:
        play.feed(step)
    play.feed(SupplyChanged(Supply(False, False)))
    play.feed(BoardChanged(1, PLUGGED))
    assert play.evse().faults == {Fault.POWER_LOSS}, "the input still says lost"
    play.feed(MAINS)
    assert not play.evse().faults
    play.feed(BoardChanged(1, LOW))
    play.feed(MAINS)
    assert play.evse().faults == {Fault.POWER_LOSS}, "the board still says lost"
    play.feed(FaultCleared(1, Fault.POWER_LOSS))
    assert not play.evse().faults
