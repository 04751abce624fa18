"""The same bank card once more: it ends its session, but not because it was held too long (decision 21)."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.events import ButtonPressed, CablePlugged, ContactorOpened, MeterRead, VehicleConnected
from agent.domain.evse import SessionState
from agent.domain.messages import StopReason
from agent.domain.orders import Feedback
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.domain.repeated_card import BEGUN_S
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    PaymentApproved,
    PaymentCancelled,
    VoidPayment,
)
from agent.model.bank_card import BankCard
from agent.model.types import ScreenName, Sign
from tests.domain.playbook import Like, Playbook, wh
from tests.domain.test_plays_payment import (
    AMOUNT,
    CARD,
    OTHER,
    PLUG,
    charge,
    energised,
    offer,
    paid,
    record,
    tapped,
    till,
    unplugged,
)
from tests.support.reading_purposes import LIVE


def read_again(play: Playbook, card: BankCard = CARD) -> Playbook:
    """The offer of the moment reads this card, and ends."""
    again = offer(play)
    play.skip().feed(BankCardRead(0, again, card))
    assert CancelPayment(0, again) in play.log, "no bank is asked"
    play.skip().feed(PaymentCancelled(0, again))
    return play.skip()


def stop_of(play: Playbook) -> Any:
    stop = play.session().stop
    return stop.reason if stop is not None else None


def test_a_card_that_was_held_too_long_does_not_end_what_it_has_begun() -> None:
    play = till()
    paid(play)
    read_again(play)
    assert play.state() is SessionState.ACTIVE
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "just_begun")
    assert not [o for o in play.log if isinstance(o, Feedback) and o.sign is Sign.REFUSED], "it was not refused"
    play.wait(10).skip()
    assert play.screens[1].name is ScreenName.CHARGING
    read_again(play)
    assert stop_of(play) is StopReason.LOCAL


@pytest.mark.parametrize("energy", [False, True])
def test_before_energy_it_takes_half_a_minute(energy: bool) -> None:
    """A vehicle of direct current that is stopped while it prepares has to be plugged in again."""
    play = till()
    (play >> PLUG).skip()
    tapped(play)
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    play.skip().wait(15).skip()
    if energy:
        play.feed(MeterRead(1, LIVE, wh(1010)))
    read_again(play)
    assert (stop_of(play) is StopReason.LOCAL) is energy
    if not energy:
        play.wait(16).skip()
        read_again(play)
        assert stop_of(play) is StopReason.LOCAL


@pytest.mark.parametrize(("evses", "over"), [(1, True), (2, True), (2, False)])
def test_a_card_that_was_held_too_long_does_not_begin_another_after_it_has_ended_one(evses: int, over: bool) -> None:
    """Neither at the outlet whose car is still there nor at the free one beside it."""
    play = till(evses)
    paid(play)
    play.wait(60).skip()
    read_again(play)
    if over:
        ended(play)
        read_again(play)
    else:  # a slow end: the card has said enough
        play.wait(15).skip()
        read_again(play)
        ended(play)
    play.wait(BEGUN_S + 1).skip()
    again = offer(play)
    play.feed(BankCardRead(0, again, CARD))
    play.feed(ButtonPressed("outlet-1"))  # the answer where the other outlet is free
    assert AuthorizePayment(0, again) in play.log, "later it is a new charge"


def test_another_card_may_begin_at_once() -> None:
    play = till(2)
    paid(play)
    play.wait(60).skip()
    read_again(play)
    ended(play)
    other = offer(play)
    play.feed(BankCardRead(0, other, OTHER))
    play.feed(ButtonPressed("outlet-2"))
    assert AuthorizePayment(0, other) in play.log


def ended(play: Playbook) -> None:
    play.feed(ContactorOpened(1))
    play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(3000)))
    assert play.skip().state() is SessionState.ENDED


def test_a_session_that_outlived_a_restart_is_ended_at_once() -> None:
    from tests.domain.test_plays_payment import OPENED, EvseAt

    play = till()
    paid(play)
    play.wait(60).skip()
    play.restart(20, state=EvseAt(play)).skip()
    (play >> OPENED).skip()
    assert play.state() is SessionState.ACTIVE
    read_again(play)
    assert stop_of(play) is StopReason.LOCAL


def test_the_pause_is_real_time() -> None:
    """At a clock that runs ten times as fast it is ten times as many seconds of the domain."""
    play = till(io_s=10.0)
    (play >> PLUG).skip()
    tapped(play)
    energised(play)
    play.wait(99).skip()
    read_again(play)
    assert stop_of(play) is None
    play.wait(2).skip()
    read_again(play)
    assert stop_of(play) is StopReason.LOCAL


# --- a terminal that repeats an approval ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "is_other_asked"),
    [(None, False), (CARD, False), (CARD, True)],
    ids=["without a mark", "with its mark", "while the next bank is asked"],
)
def test_an_approval_that_is_reported_again_keeps_the_hold(card: BankCard | None, is_other_asked: bool) -> None:
    """The driver charges on it: to void it would release the money that the session costs."""
    play = till(evses=2)
    charging = paid(play)
    other = offer(play)
    assert other != charging
    if is_other_asked:
        (play.skip() >> (CablePlugged(2), VehicleConnected(2))).skip()
        play.feed(BankCardRead(0, other, OTHER))
        assert record(play, other)["state"] == "AuthPending"
    play.skip().feed(PaymentApproved(0, other, 7, AMOUNT, card=card))
    assert not [o for o in play.log if isinstance(o, VoidPayment)]
    assert (record(play, charging)["state"], play.state()) == ("Active", SessionState.ACTIVE)
    play.skip()
    if is_other_asked:
        play.feed(PaymentApproved(0, other, 8, AMOUNT, card=OTHER))
        assert record(play, other)["state"] == "Authorised"
    else:
        play.wait(30).skip()
        assert tapped(play.skip(), OTHER, number=8) != other, "the terminal has ended the offer: there is another one"
    charge(play.skip(), 3000, 100)
    unplugged(play, 3000)
    assert Like(CommitPayment, payment=charging) in play.log


def test_an_approval_that_is_reported_again_ends_no_question_about_another_card() -> None:
    """The terminal goes on waiting for the bank of the card that it has read."""
    play = till(evses=2)
    paid(play)
    other = offer(play)
    play.feed(BankCardRead(0, other, OTHER))
    assert play.screens[2].name is ScreenName.CHOOSE_OUTLET
    play.skip().feed(PaymentApproved(0, other, 7, AMOUNT, card=CARD))
    assert offer(play) == other, "no other one"
    assert play.screens[2].name is ScreenName.CHOOSE_OUTLET
