"""A cable that is stuck, a cable that is kept, and what a token that was refused may still draw."""

from dataclasses import replace
from typing import Any

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CablePlugged,
    CableRemoved,
    CardPresented,
    ContactorOpened,
    FaultCleared,
    FaultRaised,
    LinkChanged,
    MeterRead,
    RequestReceived,
    TokenAuthorized,
    TransactionAcknowledged,
    UnlockTried,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.faults import LASTING_S
from agent.domain.messages import TransactionEnded, TransactionUpdated
from agent.domain.orders import AuthorizeToken, Order, Persist, ReadMeter, Response, SetHold, SetRelease, Unlock
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.domain.requests import SetVariablesRequest, UnlockConnectorRequest
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import Fault, ScreenName, Token, Verdict
from tests.domain.playbook import (
    ACCEPTED,
    CHARGING,
    EMPTY,
    LINK,
    PLUGGED,
    REFUSED,
    A,
    B,
    C,
    Playbook,
    charging,
    energised,
    kept,
    sent_message,
    wh,
)
from tests.support.reading_purposes import LIVE

LOCKED = replace(PLUGGED, locked=True)
HOLDS = EvseTraits(counts_plugged=True, holds=True)


def ended(play: Playbook) -> Playbook:
    play = play.skip() >> CardPresented(1, A) << SetRelease << Persist >> ContactorOpened(1) << ReadMeter
    return play >> MeterRead(1, end_reading(1), wh(1200)) << Persist << sent_message(TransactionEnded) << Unlock(1)


def unlocks(play: Playbook) -> int:
    return len([o for o in play.log if isinstance(o, Unlock)])


# --- stuck -----------------------------------------------------------------------------------------------------------


def test_a_stuck_cable_is_tried_again_until_it_is_free() -> None:
    play = ended(charging(Playbook())) >> FaultRaised(1, Fault.UNLOCK_FAILURE) >> UnlockTried(1, "", False)
    for pause_s in (5, 5, 30, 60, 60):
        play = play.wait(pause_s) << Unlock(1) >> UnlockTried(1, "", False)
    play = play.wait(60) << Unlock(1) >> UnlockTried(1, "", True)
    assert play.wait(1000)


def test_the_screen_says_whom_to_call() -> None:
    play = ended(charging(Playbook())) >> FaultRaised(1, Fault.UNLOCK_FAILURE) >> UnlockTried(1, "", False)
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.OUT_OF_SERVICE, "UnlockFailure")
    assert play >> CableRemoved(1)
    assert play.screens[1].name is not ScreenName.OUT_OF_SERVICE
    assert Fault.UNLOCK_FAILURE not in play.evse().faults
    assert play.wait(1000)


def test_the_backend_hears_the_truth_and_the_lock_is_tried_again() -> None:
    play = Playbook() >> CablePlugged(1) >> VehicleConnected(1)
    play = play >> RequestReceived(LINK, "q1", UnlockConnectorRequest(1)) << Unlock(1, "q1")
    play = play >> UnlockTried(1, "q1", False) << Response(LINK, "q1", "UnlockFailed")
    assert play.wait(5) << Unlock(1) >> UnlockTried(1, "", True)
    assert play.wait(1000)


def test_no_one_unlocks_under_a_driver_who_has_begun_again() -> None:
    play = ended(charging(Playbook())) >> UnlockTried(1, "", False)
    before = unlocks(play)
    play = play >> CardPresented(1, A)
    assert play.skip().wait(1000).skip()
    assert unlocks(play) == before or play.evse().session is None


def test_an_attempt_that_fell_into_the_absence_of_the_board_is_made_up_for() -> None:
    play = ended(charging(Playbook())) >> UnlockTried(1, "", False)  # the keeper's word while the board reopens
    assert play >> BoardOpened(1, PLUGGED, play.traits) << Unlock(1) >> UnlockTried(1, "", True)


def test_a_right_that_came_to_nothing_leaves_no_cable_behind() -> None:
    """A driver who cannot leave shows the card again, and the cable is still in."""
    play = ended(charging(Playbook()))
    play = play >> UnlockTried(1, "", False)
    play = (play.skip() >> BoardChanged(1, replace(EMPTY, cable=True, locked=True))).skip() >> CardPresented(1, A)
    judged = play.unclaimed.pop()
    assert isinstance(judged, AuthorizeToken)
    play = (play >> TokenAuthorized(judged.request, A, ACCEPTED)).skip()
    grant, before = play.evse().authorization, unlocks(play)
    assert grant is not None
    play.wait(grant.until_s - play.t_s - 0.1).skip()
    assert unlocks(play) == before
    assert play.wait(0.2).skip().state() is SessionState.OCCUPIED
    assert unlocks(play) == before + 1


# --- the agent is killed before the cable is free -------------------------------------------------------------------


def close(play: Playbook) -> list[Order]:
    """The orders of the event that closes a session."""
    play = play.skip() >> CardPresented(1, A) << SetRelease << Persist >> ContactorOpened(1) << ReadMeter
    return play.feed(MeterRead(1, end_reading(1), wh(1200)))


def freed(orders: list[Order]) -> bool:
    return any(isinstance(o, Unlock) for o in orders)


def wishes(play: Playbook) -> list[str]:
    return list(play.store.get("unlock", {}))


def killed_at_the_close() -> Playbook:
    """The close is on disk, the order has not left."""
    play = charging(Playbook())
    closing = close(play)
    assert Persist("unlock", "1", {}) in closing
    assert Persist("session", "s1", None) in closing
    play.skip().restart(20)
    return play.skip()


def test_a_cable_whose_unlock_was_killed_comes_free_when_the_board_is_there_again() -> None:
    play = killed_at_the_close()
    assert freed(play.feed(BoardOpened(1, LOCKED, play.traits)))
    play.skip().feed(UnlockTried(1, "", True))
    assert wishes(play) == []
    play.skip().restart(20)
    assert not freed(play.feed(BoardOpened(1, LOCKED, play.traits)))


def test_one_that_is_stuck_is_tried_on_over_a_restart() -> None:
    play = killed_at_the_close()
    play.feed(BoardOpened(1, LOCKED, play.traits))
    play.feed(UnlockTried(1, "", False))
    play.skip().restart(20)
    assert freed(play.feed(BoardOpened(1, LOCKED, play.traits)))


def test_nothing_is_unlocked_while_the_contactor_is_not_open() -> None:
    play = killed_at_the_close()
    assert not freed(play.feed(BoardOpened(1, CHARGING, play.traits)))
    play.skip().wait(100).skip()
    assert freed(play.feed(ContactorOpened(1)))


def test_nor_at_the_close_itself() -> None:
    """The contactor did not open in time: the register is read in any case, the plug waits."""
    play = charging(Playbook()).skip() >> CardPresented(1, A) << SetRelease << Persist
    play.wait(11).skip()
    assert not freed(play.feed(MeterRead(1, end_reading(1), wh(1200))))
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.OUT_OF_SERVICE, "ContactorStuckClosed")
    play.skip().wait(100).skip()
    assert freed(play.feed(ContactorOpened(1)))
    play.skip() >> FaultCleared(1, Fault.UNLOCK_FAILURE) >> UnlockTried(1, "", True)
    play.wait(LASTING_S)
    assert play.screens[1].name is ScreenName.FINISHED
    assert wishes(play) == []


def test_one_that_was_stuck_and_comes_free_while_the_board_is_away_is_reported() -> None:
    """It is tried once more, for the answer takes the fault back."""
    play = ended(charging(Playbook())) >> FaultRaised(1, Fault.UNLOCK_FAILURE) >> UnlockTried(1, "", False)
    assert freed(play.feed(BoardOpened(1, replace(LOCKED, locked=False), play.traits)))


def test_a_cable_that_is_gone_is_forgotten() -> None:
    play = killed_at_the_close()
    assert not freed(play.feed(BoardOpened(1, EMPTY, play.traits)))
    assert wishes(play) == []
    play = killed_at_the_close()
    for event in (BoardOpened(1, CHARGING, play.traits), CableRemoved(1)):
        play.feed(event)
    assert wishes(play) == []


def test_a_lock_that_is_open_already_is_not_moved() -> None:
    play = killed_at_the_close()
    assert not freed(play.feed(BoardOpened(1, replace(LOCKED, locked=False), play.traits)))
    assert wishes(play) == []


def test_another_drivers_session_keeps_its_cable() -> None:
    play = killed_at_the_close()
    play.feed(BoardOpened(1, CHARGING, play.traits))
    for event in (CardPresented(1, A), TokenAuthorized("1", A, ACCEPTED)):
        play.feed(event)
    for asked in [o for o in play.log if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(asked.request, A, ACCEPTED))
    assert not freed(play.feed(ContactorOpened(1)))
    play.feed(MeterRead(1, begin_reading(1), wh(1200)))
    assert play.state() is SessionState.ACTIVE
    assert wishes(play) == []
    play.skip().restart(5)
    assert not freed(play.feed(BoardOpened(1, LOCKED, play.traits)))


def test_a_board_that_no_one_saw_until_its_session_was_closed_frees_the_cable_when_it_comes() -> None:
    play = charging(Playbook())
    play.skip().restart(5)
    play.wait(301).skip()
    closing = play.feed(MeterRead(1, end_reading(1), wh(1200)))
    assert (freed(closing), wishes(play)) == (False, ["1"])
    assert freed(play.feed(BoardOpened(1, LOCKED, play.traits)))


# --- kept ------------------------------------------------------------------------------------------------------------


def holds(orders: list[Order]) -> list[bool]:
    return [o.on for o in orders if isinstance(o, SetHold)]


def test_a_cable_is_kept_only_where_the_backend_wants_it() -> None:
    play = charging(Playbook(traits=HOLDS))
    assert holds(play.log)[-1:] != [True]
    play = charging(Playbook(traits=HOLDS, settings={"unlock_on_ev_disconnect": False}))
    assert holds(play.log)[-1] is True
    play = play.skip() >> VehicleLeft(1) << SetRelease << Persist >> ContactorOpened(1) << ReadMeter
    assert play >> MeterRead(1, end_reading(1), wh(1200)) << Persist << sent_message(TransactionEnded)  # and no Unlock
    assert play >> RequestReceived(LINK, "q1", UnlockConnectorRequest(1)) << Unlock(1, "q1")
    assert play >> UnlockTried(1, "q1", True) << Response(LINK, "q1", "Unlocked")
    assert play >> CableRemoved(1) << SetHold(1, False)


def test_a_change_of_mind_reaches_the_board_at_once() -> None:
    play = charging(Playbook(traits=HOLDS)).skip()
    play = (
        play
        >> RequestReceived(LINK, "q1", SetVariablesRequest({"unlock_on_ev_disconnect": "false"}))
        << Persist
        << Response
    )
    play = play << SetHold(1, True)
    play = (
        play
        >> RequestReceived(LINK, "q2", SetVariablesRequest({"unlock_on_ev_disconnect": "true"}))
        << Persist
        << Response
    )
    assert play << SetHold(1, False)


def test_a_board_that_comes_back_without_a_session_frees_its_cable() -> None:
    play = Playbook(traits=HOLDS, settings={"unlock_on_ev_disconnect": False})
    play.restart(5, state=PLUGGED)
    assert holds(play.log)[-1] is False
    play = charging(Playbook(traits=HOLDS, settings={"unlock_on_ev_disconnect": False})).skip()
    play.restart(5, state=CHARGING)
    assert holds(play.log)[-1] is True


def test_a_board_that_cannot_is_not_asked() -> None:
    play = charging(Playbook(settings={"unlock_on_ev_disconnect": False}))
    play.skip().restart(5, state=EMPTY)
    assert holds(play.log) == []


# --- a token that turned out bad -------------------------------------------------------------------------------------


def tolerated() -> Playbook:
    play = charging(Playbook(settings={"stop_on_invalid_id": False, "max_energy_on_invalid_wh": 500}, traits=HOLDS))
    play = play >> MeterRead(1, LIVE, wh(1300))
    return play >> TransactionAcknowledged(LINK, "s1", "42", REFUSED) << kept("cache") << kept("session", until_wh=1800)


def test_so_much_energy_and_no_more() -> None:
    play = tolerated() >> MeterRead(1, LIVE, wh(1799))
    assert play.evse().release_order.given
    play = play >> TransactionAcknowledged(LINK, "s1", "42", REFUSED)  # said again: not more for that
    play = play >> MeterRead(1, LIVE, wh(1800)) << SetRelease(1, False) << kept("session", held=True)
    assert play << sent_message(TransactionUpdated)
    assert play >> MeterRead(1, LIVE, wh(1801))


def test_the_bound_survives_a_restart() -> None:
    play = tolerated()
    play.restart(5, state=EvseState(Pilot.C, pwm=True, cable=True, plugged_s=1000.0)).skip()
    assert play.session().until_wh == 1800
    assert play.evse().release_order.given
    play = play >> MeterRead(1, LIVE, wh(1805)) << SetRelease(1, False) << kept("session", held=True)
    assert play.skip()


def test_a_bound_reached_while_the_board_was_away_gives_no_energy() -> None:
    play = tolerated()
    play.restart(5, state=None).skip()
    play = play >> MeterRead(1, LIVE, wh(1805)) << kept("session", held=True)
    play = play >> BoardOpened(1, EvseState(Pilot.C, pwm=True, cable=True, plugged_s=1000.0), HOLDS)
    assert play.skip().state() is SessionState.ACTIVE
    assert not play.evse().release_order.given


KEEPS = {"unlock_on_ev_disconnect": False}
LEFT_BEHIND = replace(EMPTY, cable=True, locked=True)
GROUP = replace(ACCEPTED, group="G")


def left_behind(verdict: Verdict = ACCEPTED, **options: Any) -> Playbook:
    """The car has left, its session is over, and its cable is locked in the socket."""
    play = Playbook(traits=HOLDS, settings={**KEEPS, **options.pop("settings", {})}, **options)
    play.feed(CablePlugged(1))
    play.feed(VehicleConnected(1))
    play.feed(CardPresented(1, A))
    play.feed(TokenAuthorized("token:1", A, verdict))
    energised(play.skip())
    play.feed(BoardChanged(1, LEFT_BEHIND))
    play.skip().feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(1200)))
    assert play.state() is SessionState.ENDED
    assert unlocks(play) == 0
    return play.skip()


def presented(play: Playbook, token: Token, verdict: Verdict | None = None, reader: int = 1) -> Playbook:
    play.feed(CardPresented(reader, token))
    for asked in [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(asked.request, token, verdict))
    return play


def test_the_card_that_began_the_session_frees_the_cable_after_the_car_has_left() -> None:
    play = left_behind()
    play.feed(CardPresented(1, A))
    assert unlocks(play) == 1
    assert not any(isinstance(o, AuthorizeToken) for o in play.unclaimed)
    assert play.state() is SessionState.ENDED, "it begins nothing"
    play.skip().feed(UnlockTried(1, "", True))
    play.skip().feed(BoardChanged(1, EMPTY))
    assert (play.state(), play.store.get("kept_cable")) == (SessionState.FREE, {})


def test_one_that_does_not_come_free_at_once_is_tried_again() -> None:
    play = presented(left_behind(), A)
    play.skip().feed(UnlockTried(1, "", False))
    play.skip().wait(5)
    assert unlocks(play) == 2


def test_a_card_of_its_group_frees_it_too_and_no_other() -> None:
    play = presented(left_behind(GROUP), B, ACCEPTED)
    assert (unlocks(play), play.state()) == (0, SessionState.ENDED)
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "wrong_card")
    play.skip()
    assert unlocks(presented(play, C, GROUP)) == 1
    play = presented(left_behind(), B, GROUP)
    assert (unlocks(play), play.state()) == (0, SessionState.ENDED)


def test_its_own_card_frees_it_off_line() -> None:
    play = left_behind()
    play.feed(LinkChanged(LINK, False))
    assert unlocks(presented(play.skip(), A)) == 1


def test_it_is_still_kept_for_its_card_after_a_kill() -> None:
    play = left_behind()
    play.restart(20, state=LEFT_BEHIND)
    assert holds(play.log)[-1] is True
    assert unlocks(presented(play.skip(), B, ACCEPTED)) == 0
    assert unlocks(presented(play.skip(), A)) == 1


def test_a_record_of_one_that_cannot_be_read_is_dropped() -> None:
    play = left_behind()
    play.store["kept_cable"]["1"] = {"token": {"$": "Nonsense"}}
    play.store["kept_cable"]["7"] = {}
    play.restart(20, state=LEFT_BEHIND)
    assert play.store["kept_cable"] == {}


def test_with_the_car_back_on_the_cable_the_card_begins_again() -> None:
    play = left_behind()
    play.feed(BoardChanged(1, LOCKED))
    presented(play.skip(), A, ACCEPTED)
    assert (play.state(), unlocks(play)) == (SessionState.BEGINNING, 0)
    play.skip().feed(MeterRead(1, begin_reading(2), wh(1200)))
    assert play.store["kept_cable"] == {}


def test_a_cable_that_was_taken_is_kept_for_none() -> None:
    play = left_behind()
    play.feed(BoardChanged(1, EMPTY))
    presented(play.skip(), B, ACCEPTED)
    assert play.state() is SessionState.AUTHORIZED
    play = left_behind()
    play.restart(20, state=EMPTY)
    assert play.store["kept_cable"] == {}


def test_a_change_of_mind_frees_what_is_kept() -> None:
    play = left_behind()
    play.feed(RequestReceived(LINK, "q", SetVariablesRequest({"unlock_on_ev_disconnect": "true"})))
    assert unlocks(play) == 1


def test_a_session_that_outlived_the_car_and_is_stopped_by_its_card_frees_the_cable() -> None:
    """2.x E10: the driver comes back for the cable, not for the car."""
    play = charging(Playbook(traits=HOLDS, settings={**KEEPS, "stop_on_ev_disconnect": False}))
    play.feed(BoardChanged(1, LEFT_BEHIND))
    assert (play.state(), unlocks(play)) == (SessionState.ACTIVE, 0)
    play.skip().feed(CardPresented(1, A))
    play.skip().feed(MeterRead(1, end_reading(1), wh(1200)))
    assert unlocks(play) == 1


def test_who_has_no_card_is_not_kept_from_going() -> None:
    play = Playbook(traits=HOLDS, settings=KEEPS, free_vending=True)
    play.feed(CablePlugged(1))
    play.feed(VehicleConnected(1))
    energised(play.skip())
    play.feed(BoardChanged(1, LEFT_BEHIND))
    play.skip().feed(MeterRead(1, end_reading(1), wh(1200)))
    assert unlocks(play) == 1


def test_a_reader_for_the_whole_station_sends_the_owner_to_the_cable_and_others_elsewhere() -> None:
    play = left_behind(GROUP, evses=2)
    presented(play, B, ACCEPTED, reader=0)
    assert (play.state(1), play.state(2)) == (SessionState.ENDED, SessionState.AUTHORIZED)
    assert unlocks(presented(play.skip(), A, reader=0)) == 1


def test_a_board_that_was_opened_while_a_session_ended_is_ordered_again_to_hold_its_cable() -> None:
    """It may have forgotten, and would free the cable whose car has left."""
    play = Playbook(traits=HOLDS, settings={"unlock_on_ev_disconnect": False})
    play = charging(play)
    play.confirms = False
    play.skip().feed(VehicleLeft(1))
    assert play.state() is SessionState.ENDING
    orders = play.skip().feed(BoardOpened(1, replace(EMPTY, cable=True, locked=True, released=False), HOLDS))
    assert SetHold(1, True) in orders
