"""Ways in which money could get lost that a stranger to the code looked for (decision 21)."""

from __future__ import annotations

from agent.domain.adhoc import PayState
from agent.domain.events import (
    CablePlugged,
    CableRemoved,
    ContactorOpened,
    MeterRead,
    OutletChosen,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import State
from agent.domain.payment_words import CommitPayment
from agent.kinds import Fault
from tests.domain.playbook import EMPTY, wh
from tests.domain.test_plays_payment import PLUG, charge, energised, paid, record, tapped, till


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


def test_a_session_ends_before_the_terminal_lets_go_of_its_money() -> None:
    """Who parks for days: what nobody has settled in time the terminal gives back by itself."""
    play = till(hold_s=48 * 3600.0)
    payment = paid(play)
    charge(play, 3000, 3600)
    charge(play, 3000, 46 * 3600)
    assert play.state() is State.ACTIVE
    charge(play, 3000, 3600)
    assert play.state() is State.ENDING
    play.skip().feed(ContactorOpened(1))
    play.feed(MeterRead(1, f"end:{play.evse().end_try}", wh(3000)))
    assert CommitPayment(0, payment, 7, 100) in play.log


def test_a_payment_that_the_store_could_not_read_is_reported() -> None:
    play = till()
    play.store["poisoned"] = {"payment/s9": {"record": '{"state": "Acti', "why": "no JSON"}}
    play.skip().restart(state=EMPTY).skip()
    assert play.statuses[1].faults == (Fault.PAYMENT_UNCERTAIN,)
    play.restart(state=EMPTY).skip()
    assert play.statuses[1].faults == ()
