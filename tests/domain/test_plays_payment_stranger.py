"""Ways in which money could get lost that a stranger to the code looked for (decision 21)."""

from __future__ import annotations

from agent.domain.adhoc import PayState
from agent.domain.events import BoardOpened, CablePlugged, CableRemoved, OutletChosen, VehicleConnected, VehicleLeft
from agent.domain.evse import State
from agent.domain.orders import ReadMeter
from agent.domain.payment_words import VoidPayment
from tests.domain.playbook import EMPTY, Like
from tests.domain.test_plays_payment import PLUG, energised, offer, record, tapped, till


def test_a_right_that_waits_anew_is_paid_for_as_long_as_it_lives() -> None:
    """Plugged and pulled before the register was read: the right waits for another time-out, and so does its hold."""
    play = till()
    payment = tapped(play)
    play.skip().wait(290).skip()
    (play >> PLUG).skip()
    play >> VehicleLeft(1) >> CableRemoved(1)
    play.skip().wait(100).skip()
    assert play.state() is State.AUTHORISED
    (play >> PLUG).skip()
    energised(play)
    assert record(play, payment)["state"] == PayState.ACTIVE


def test_a_right_that_moves_late_takes_its_hold_along() -> None:
    play = till(evses=2)
    payment = tapped(play)
    play.skip().wait(290).skip()
    (play >> OutletChosen(2)).skip()
    play.wait(100).skip()
    assert play.state(2) is State.AUTHORISED
    play >> CablePlugged(2) >> VehicleConnected(2)
    play.skip()
    energised(play, 2)
    assert record(play, payment)["state"] == PayState.ACTIVE
