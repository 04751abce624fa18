"""Short answers by sound and blinking, and the settings of the lamp."""

from __future__ import annotations

import pytest

from agent.domain.events import CardPresented, FaultCleared, FaultRaised, RequestReceived, TokenAuthorized
from agent.domain.orders import Feedback, SetLamp
from agent.domain.requests import RemoteStartRequest, SetVariablesRequest
from agent.model.types import Fault, Lamp, Sign
from tests.domain.playbook import ACCEPTED, LINK, PLUGGED, REFUSED, A, B, Playbook, charging


def signs(play: Playbook) -> list[tuple[int, Sign]]:
    return [(o.evse, o.sign) for o in play.log if isinstance(o, Feedback)]


def asked(play: Playbook, verdict=ACCEPTED) -> Playbook:
    play.feed(CardPresented(1, A))
    play.feed(TokenAuthorized("token:1", A, verdict))
    return play


def test_a_card_is_answered_when_it_is_known_what_it_is_worth() -> None:
    assert signs(asked(Playbook())) == [(1, Sign.ACCEPTED)]
    assert signs(asked(Playbook(), REFUSED)) == [(1, Sign.REFUSED)]


def test_the_card_that_stops_is_accepted_and_a_strangers_is_not() -> None:
    play = charging(Playbook())
    play.log.clear()
    play.feed(CardPresented(1, B))
    play.feed(CardPresented(1, A))
    assert signs(play) == [(1, Sign.REFUSED), (1, Sign.ACCEPTED)]


def test_what_comes_from_afar_or_by_the_plug_alone_is_silent() -> None:
    play = Playbook(state=PLUGGED)
    play.feed(RequestReceived(LINK, "q", RemoteStartRequest(1, A)))
    assert signs(play) == []
    assert signs(Playbook(state=PLUGGED, free_vending=True)) == []


@pytest.mark.parametrize(("is_heard", "heard"), [(False, 0), (True, 1)])
def test_a_fault_is_reported_once_and_only_to_a_person(is_heard: bool, heard: int) -> None:
    play = Playbook(evses=2)
    if is_heard:
        play = charging(play)
    play.log.clear()
    play.feed(FaultRaised(0, Fault.GROUND_FAILURE))
    play.feed(FaultRaised(1, Fault.GROUND_FAILURE))
    play.feed(FaultRaised(1, Fault.READER_SILENT))
    assert signs(play) == [(1, Sign.FAULT)] * heard
    play.feed(FaultCleared(1, Fault.GROUND_FAILURE))
    play.feed(FaultRaised(1, Fault.GROUND_FAILURE))
    assert signs(play) == [(1, Sign.FAULT)] * 2 * heard


def test_the_settings_of_the_lamp() -> None:
    play = Playbook(settings={"blink_repeat": 5, "light_intensity": 80})
    assert [o for o in play.log if isinstance(o, SetLamp)][-1] == SetLamp(1, Lamp.GREEN, 80)
    asked(play)
    assert [o.blinks for o in play.log if isinstance(o, Feedback)] == [5]
    play.feed(RequestReceived(LINK, "q", SetVariablesRequest({"light_intensity": "30", "blink_repeat": "0"})))
    assert [o for o in play.log if isinstance(o, SetLamp)][-1].percent == 30
    play.feed(CardPresented(1, B))
    assert [o.blinks for o in play.log if isinstance(o, Feedback)][-1] == 0
