"""A contactor closed without release: it is reported, no session begins there, and no plug is unlocked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.domain.events import (
    BoardChanged,
    CardPresented,
    ContactorOpened,
    FaultRaised,
    MeterFailed,
    MeterRead,
    RequestReceived,
    TokenAuthorized,
    UnlockTried,
)
from agent.domain.evse import SessionState
from agent.domain.messages import ConnectorStatus, FaultNoted
from agent.domain.orders import AuthorizeToken, ReadMeter, Response, Send, SetRelease, Unlock
from agent.domain.reading_purposes import ReadingKind, begin_reading, end_reading
from agent.domain.requests import UnlockConnectorRequest
from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, Reading, ScreenName
from tests.domain.playbook import ACCEPTED, EMPTY, LINK, NOW, PLUGGED, A, Playbook, charging, wh
from tests.domain.test_plays_charging import DEFAULT, Play, profile, put
from tests.support.reading_purposes import POLL, UNLOCK

STUCK = Fault.CONTACTOR_STUCK_CLOSED
LIVE = EvseState(Pilot.B, pwm=False, cable=True, contactor=True)
"""A vehicle that asks for nothing, and a contactor that is closed all the same."""


def unlocks(play: Playbook) -> list[Unlock]:
    return [o for o in play.log if isinstance(o, Unlock)]


def replies(play: Playbook) -> list[Any]:
    return [o.status for o in play.log if isinstance(o, Response)]


def drawing(current_a: float, energy_wh: int = 1200) -> Reading:
    return replace(wh(energy_wh), at=NOW, current_a=(current_a, 0.0, 0.0))


def over(play: Playbook, *, contactor: bool) -> Playbook:
    """A session has ended by its card; the contactor did its part, or not."""
    play.skip().feed(CardPresented(1, A))
    if contactor:
        play.skip().wait(10)
    else:
        play.skip().feed(ContactorOpened(1))
    play.skip().feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(1200)))
    assert play.state() is SessionState.ENDED
    return play.skip()


# --- sent ------------------------------------------------------------------------------------------------------------


def test_one_that_is_still_closed_when_the_agent_comes_back_is_reported_and_cleared_when_it_opens() -> None:
    play = Playbook(cold=True)
    play.restart(state=LIVE).skip().wait(9).skip()
    assert STUCK not in play.evse().faults
    play.wait(2).skip()
    assert play.statuses[1].connector is ConnectorStatus.FAULTED
    assert play.statuses[1].faults == (STUCK,)
    assert play.screens[1].name is ScreenName.OUT_OF_SERVICE
    play.feed(BoardChanged(1, PLUGGED))
    play.skip().wait(6).skip()
    assert play.statuses[1].faults == ()
    assert play.statuses[1].connector is ConnectorStatus.OCCUPIED


def test_what_the_board_calls_welded_needs_no_second_name() -> None:
    play = Playbook(cold=True)
    play.restart(state=replace(LIVE, faults=frozenset({Fault.CONTACTOR_WELDED}))).skip().wait(60).skip()
    assert play.statuses[1].faults == (Fault.CONTACTOR_WELDED,)


def test_no_one_begins_at_it() -> None:
    play = Playbook(cold=True)
    play.restart(state=LIVE).skip().wait(11).skip().feed(CardPresented(1, A))
    assert not any(isinstance(o, AuthorizeToken) for o in play.unclaimed)
    assert play.screens[1].name is ScreenName.REFUSED


@pytest.mark.parametrize("how", ["free", "card"])
def test_no_session_begins_in_the_time_that_it_has_to_open(how: str) -> None:
    """The fault is not known after a restart until the contactor has had its time. With release it would never be."""
    play = Playbook(free_vending=how == "free")
    play.restart(state=LIVE)
    if how == "card":
        play.skip().feed(CardPresented(1, A))
        play.feed(TokenAuthorized("token:1", A, ACCEPTED))
    for attempt in (1, 2, 3):
        play.skip().feed(MeterRead(1, begin_reading(attempt), wh(1200)))
        play.skip().wait(5)
    assert not [o for o in play.log if isinstance(o, SetRelease) and o.on]
    assert (play.skip().evse().session, play.evse().faults) == (None, {STUCK})


def test_a_session_begins_when_the_contactor_has_opened() -> None:
    play = Playbook(free_vending=True)
    play.restart(state=LIVE).skip().feed(MeterRead(1, begin_reading(1), wh(1200)))
    assert (play.skip().evse().session, play.screens[1].detail) == (None, "unavailable")
    play.skip().feed(ContactorOpened(1))
    play.skip().wait(6).skip().feed(MeterRead(1, begin_reading(2), wh(1200)))
    assert play.state() is SessionState.ACTIVE


def test_at_the_end_of_a_session_too() -> None:
    play = over(charging(Playbook()), contactor=True)
    assert STUCK in play.evse().faults
    play.feed(ContactorOpened(1))
    play.skip().wait(6)
    assert play.evse().faults & {STUCK} == set()


def test_in_a_pause_it_ends_the_session() -> None:
    """The limit says 0 and energy flows."""
    play = Play()
    charging(play)
    put(play, profile(DEFAULT, (0, 0.0)), 1)
    assert not play.evse().release_order.given
    play.skip().wait(11).skip()
    assert play.state() is SessionState.ENDING


def test_one_that_takes_its_time_is_none() -> None:
    play = charging(Playbook()).skip()
    play.feed(CardPresented(1, A))
    play.skip().wait(9.9).skip().feed(ContactorOpened(1))
    play.skip().wait(60).skip()
    assert STUCK not in play.evse().faults


def test_release_that_was_given_meanwhile_begins_the_time_again() -> None:
    """A pause is over before the contactor has opened."""
    play = charging(Play())
    put(play, profile(DEFAULT, (0, 0.0)), 1)
    play.skip().wait(2)
    put(play.skip(), profile(DEFAULT, (0, 16.0)), 1)
    play.skip().wait(7)
    assert play.evse().release_order.given
    play.skip().feed(CardPresented(1, A))
    assert not play.evse().release_order.given
    play.skip().wait(5).skip()
    assert STUCK not in play.evse().faults
    play.wait(6).skip()
    assert STUCK in play.evse().faults


def test_of_a_board_that_is_away_nothing_is_claimed() -> None:
    play = charging(Playbook())
    play.feed(FaultRaised(1, Fault.BOARD_SILENT))
    play.skip().wait(60).skip()
    assert not play.evse().release_order.given
    assert STUCK not in play.evse().faults


# --- no unlock -------------------------------------------------------------------------------------------------------


def test_the_backend_unlocks_nothing_while_the_contactor_is_closed() -> None:
    play = Playbook(state=LIVE).skip()
    play.feed(RequestReceived(LINK, "q", UnlockConnectorRequest(1)))
    assert (replies(play), unlocks(play)) == (["UnlockFailed"], [])
    play.skip().wait(120).skip()
    assert unlocks(play) == []
    play.feed(ContactorOpened(1))
    assert unlocks(play) == [Unlock(1)], "what was asked for is made up for"


def test_nor_with_the_session_that_it_ends() -> None:
    play = charging(Playbook())
    play.feed(RequestReceived(LINK, "q", UnlockConnectorRequest(1, stop_first=True)))
    play.skip().wait(10).skip().feed(MeterRead(1, end_reading(1), wh(1200)))
    assert (replies(play), unlocks(play)) == (["UnlockFailed"], [])
    assert Fault.UNLOCK_FAILURE in play.evse().faults
    play.skip().feed(ContactorOpened(1))
    assert unlocks(play) == [Unlock(1)]


def test_nor_while_the_meter_shows_a_current() -> None:
    play = over(charging(Playbook()), contactor=False)
    before = len(unlocks(play))
    play.feed(UnlockTried(1, "", True))
    play.skip().feed(MeterRead(1, POLL, drawing(15.8)))
    play.skip().feed(RequestReceived(LINK, "q", UnlockConnectorRequest(1)))
    assert play.unclaimed == [ReadMeter(1, UNLOCK)]
    play.skip().feed(MeterRead(1, UNLOCK, drawing(15.8, 1201)))
    assert (replies(play), len(unlocks(play))) == (["UnlockFailed"], before)
    play.skip().wait(5)
    assert ReadMeter(1, UNLOCK) in play.unclaimed, "tried again, with a fresh look"
    play.skip().feed(MeterRead(1, UNLOCK, drawing(0.0, 1201)))
    assert len(unlocks(play)) == before + 1


def test_a_meter_that_is_slow_to_follow_costs_a_driver_one_more_look() -> None:
    """The end is read as soon as the contactor has opened; some meters show an average."""
    play = charging(Playbook())
    play.feed(CardPresented(1, A))
    play.skip().feed(ContactorOpened(1))
    play.skip().feed(MeterRead(1, end_reading(1), drawing(12.0)))
    assert unlocks(play) == []
    assert ReadMeter(1, UNLOCK) in play.unclaimed
    play.skip().feed(MeterRead(1, UNLOCK, drawing(0.0)))
    assert unlocks(play) == [Unlock(1)]


def test_a_vehicle_that_takes_its_time_is_no_fault_of_the_lock() -> None:
    """A board that does not see its contactor opens it some seconds after release: so the plug comes free then."""
    play = charging(Playbook())
    play.feed(CardPresented(1, A))
    play.skip().feed(ContactorOpened(1))
    play.skip().feed(MeterRead(1, end_reading(1), drawing(16.0)))
    play.skip().feed(MeterRead(1, UNLOCK, drawing(16.0)))
    assert play.evse().faults == set()
    play.skip().wait(5)
    play.skip().feed(MeterRead(1, UNLOCK, drawing(16.0)))
    assert play.evse().faults == {Fault.UNLOCK_FAILURE}
    play.skip().wait(5)
    play.skip().feed(MeterRead(1, UNLOCK, drawing(0.0)))
    assert unlocks(play) == [Unlock(1)]


def test_where_no_cable_is_none_is_stuck() -> None:
    play = Playbook(state=replace(EMPTY, contactor=True)).skip()
    play.feed(RequestReceived(LINK, "q", UnlockConnectorRequest(1)))
    assert replies(play) == ["UnlockFailed"]
    assert play.evse().faults == set()


@pytest.mark.parametrize("request_", ["", "q"])
def test_a_meter_that_falls_silent_then_keeps_no_driver_for_ever(request_: str) -> None:
    play = over(charging(Playbook()), contactor=False)
    play.feed(UnlockTried(1, "", True))
    before = len(unlocks(play))
    play.skip().feed(MeterRead(1, POLL, drawing(15.8)))
    play.skip().feed(RequestReceived(LINK, request_ or "other", UnlockConnectorRequest(1)))
    play.skip().feed(MeterFailed(1, UNLOCK))
    assert replies(play) == ["UnlockFailed"]
    for _ in range(45):
        play.skip().wait(1)
        for o in [o for o in play.unclaimed if isinstance(o, ReadMeter) and o.purpose == UNLOCK]:
            play.skip().feed(MeterFailed(o.evse, o.purpose))
    assert len(unlocks(play)) == before + 1


def test_two_wishes_at_once_have_an_answer_each() -> None:
    """The session's own end, and the backend's."""
    play = charging(Playbook())
    play.feed(RequestReceived(LINK, "q", UnlockConnectorRequest(1, stop_first=True)))
    play.skip().feed(ContactorOpened(1))
    play.skip().feed(MeterRead(1, end_reading(1), drawing(12.0)))
    play.skip().feed(MeterRead(1, UNLOCK, drawing(0.0)))
    assert Unlock(1, "q") in unlocks(play)
    play.skip().feed(UnlockTried(1, "q", True))
    assert replies(play)[-1] == "Unlocked"


# --- released without a session ---------------------------------------------------------------------------------------

RELEASED = replace(PLUGGED, released=True)
WITHDRAWN = replace(PLUGGED, released=False)


def withdrawals(play: Playbook) -> int:
    return play.log.count(SetRelease(1, False))


def test_a_board_that_is_released_without_a_session_is_withdrawn_at_once_and_a_fault_after_three_times() -> None:
    play = Playbook(state=PLUGGED).skip()
    play.feed(BoardChanged(1, RELEASED))
    assert withdrawals(play) == 1
    play.skip().wait(2).skip()
    assert (withdrawals(play), play.evse().faults) == (2, set())
    play.wait(2).skip()
    assert (withdrawals(play), play.evse().faults) == (3, {STUCK})
    assert play.screens[1].name is ScreenName.OUT_OF_SERVICE
    play.wait(20).skip()
    assert withdrawals(play) > 3, "it is tried for as long as it lasts"
    play.feed(BoardChanged(1, WITHDRAWN))
    play.skip().wait(6).skip()
    assert play.evse().faults == set()


def test_one_that_something_else_releases_again_and_again_is_a_fault_too() -> None:
    play = Playbook(state=PLUGGED).skip()
    for times in (1, 2, 3):
        assert play.evse().faults == set()
        play.feed(BoardChanged(1, RELEASED))
        play.skip().wait(0.5).skip().feed(BoardChanged(1, WITHDRAWN))
        play.skip().wait(10).skip()
        assert withdrawals(play) == times
    assert STUCK in {o.message.fault for o in play.log if isinstance(o, Send) and isinstance(o.message, FaultNoted)}


def test_a_picture_that_is_older_than_the_withdrawal_is_no_fault_however_many_sessions() -> None:
    play = Playbook()
    for _ in range(5):
        charging(play)
        play.feed(CardPresented(1, A))
        play.skip().feed(BoardChanged(1, replace(RELEASED, contactor=True)))
        play.skip().wait(0.5).skip().feed(BoardChanged(1, WITHDRAWN))
        play.skip().wait(0.5).skip()
        for o in [o for o in play.log if isinstance(o, ReadMeter) and o.purpose.kind is ReadingKind.END][-1:]:
            play.feed(MeterRead(1, o.purpose, wh(2000)))
        play.skip().feed(BoardChanged(1, replace(EMPTY, released=False)))
        play.skip()
        assert play.state() is SessionState.FREE
    assert play.evse().faults == set()


def test_the_first_picture_counts_as_well_and_a_board_that_is_away_does_not() -> None:
    play = Playbook(state=RELEASED).skip()
    assert withdrawals(play) == 1
    play.feed(FaultRaised(1, Fault.BOARD_SILENT))
    play.skip().wait(20).skip()
    assert (withdrawals(play), STUCK in play.evse().faults) == (1, False)


def test_who_has_a_session_keeps_the_release() -> None:
    play = charging(Playbook())
    before = withdrawals(play)
    play.feed(BoardChanged(1, EvseState(Pilot.C, pwm=True, cable=True, contactor=True, released=True)))
    play.skip().wait(60).skip()
    assert withdrawals(play) == before


def test_nor_does_it_rely_on_what_the_domain_believes_of_the_release() -> None:
    play = Playbook(state=PLUGGED).skip()
    play.evse().release_order.given = True
    play.feed(BoardChanged(1, RELEASED))
    assert (withdrawals(play), play.evse().release_order.given) == (1, False)


def test_a_fault_that_is_raised_again_is_not_cleared_by_the_time_that_ran_before() -> None:
    play = Playbook(state=RELEASED).skip().wait(5).skip()
    assert STUCK in play.evse().faults
    play.feed(BoardChanged(1, WITHDRAWN))
    play.skip().wait(2).skip().feed(BoardChanged(1, RELEASED))
    play.skip().wait(30).skip()
    assert STUCK in play.evse().faults, "it is still released without a session"


def test_pictures_that_were_on_their_way_when_it_was_withdrawn_count_once() -> None:
    """Some boards report every change at once: several pictures of one look are older than the withdrawal."""
    play = Playbook(state=PLUGGED).skip()
    for asks in (True, False, True, False):
        play.feed(BoardChanged(1, replace(RELEASED, pilot=Pilot.C if asks else Pilot.B)))
        play.skip().wait(0.2).skip()
    assert (withdrawals(play), play.evse().faults) == (4, set())
    play.feed(BoardChanged(1, WITHDRAWN))
    play.skip().wait(10).skip()
    assert play.evse().faults == set()
