"""Free vending: the vehicle that is plugged in begins, when it can."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.domain.events import BoardChanged, MeterFailed, MeterRead, RequestReceived, StopWanted, UnlockTried
from agent.domain.evse import SessionState
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import ReadMeter
from agent.domain.reading_purposes import begin_reading
from agent.domain.requests import ChangeAvailabilityRequest, UnlockConnectorRequest
from agent.model.types import Fault
from tests.domain.playbook import EMPTY, LINK, PLUGGED, Playbook, wh

DOOR = frozenset({Fault.DOOR_OPEN})


def plugged() -> Playbook:
    play = Playbook(free_vending=True)
    play.feed(BoardChanged(1, PLUGGED))
    return play


def test_by_the_plug() -> None:
    play = plugged()
    assert ReadMeter(1, begin_reading(1), True) in play.unclaimed


def test_who_plugged_in_during_a_fault_begins_when_it_is_over() -> None:
    play = Playbook(free_vending=True)
    for faults in (replace(EMPTY, faults=DOOR), replace(PLUGGED, faults=DOOR), PLUGGED):
        play.feed(BoardChanged(1, faults))
    assert play.state() is SessionState.OCCUPIED
    play.skip().wait(5.1)
    assert play.state() is SessionState.BEGINNING


def test_who_plugged_in_while_it_was_closed_begins_when_it_opens() -> None:
    play = Playbook(free_vending=True)
    play.feed(RequestReceived(LINK, "a", ChangeAvailabilityRequest(1, False)))
    play.skip().feed(BoardChanged(1, PLUGGED))
    assert play.state() is SessionState.OCCUPIED
    play.skip().feed(RequestReceived(LINK, "b", ChangeAvailabilityRequest(1, True)))
    assert play.state() is SessionState.BEGINNING


def test_a_meter_that_does_not_answer_is_asked_again() -> None:
    """Not at once, and not only for the next vehicle."""
    play = plugged()
    play.skip().feed(MeterFailed(1, begin_reading(1)))
    assert play.state() is SessionState.OCCUPIED
    play.skip().wait(5.1)
    play.skip().feed(MeterRead(1, begin_reading(2), wh(1000)))
    assert play.state() is SessionState.ACTIVE


@pytest.mark.parametrize("how", ["stop", "unlock"])
def test_who_was_sent_away_is_not_begun_with_again(how: str) -> None:
    play = plugged()
    if how == "stop":
        play.feed(StopWanted(1, StopReason.REMOTE, TriggerReason.REMOTE_STOP))
    else:
        play.feed(RequestReceived(LINK, "u", UnlockConnectorRequest(1, stop_first=True)))
        play.feed(UnlockTried(1, "u", True))
    play.skip().wait(600).skip()
    assert play.state() is SessionState.OCCUPIED
    play.feed(BoardChanged(1, EMPTY))
    play.skip().feed(BoardChanged(1, PLUGGED))
    assert play.state() is SessionState.BEGINNING
