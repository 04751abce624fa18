"""An outlet for which one driver is being asked about, at the bank or at the backend, or is paying at the web page, is
no other driver's: no right that waits elsewhere moves there, and no card or remote start without an outlet begins
there."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.events import (
    ButtonPressed,
    ButtonsKnown,
    CablePlugged,
    CardPresented,
    MeterRead,
    RequestReceived,
    TokenAuthorized,
    VehicleConnected,
)
from agent.domain.evse import SessionState
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.payment import payment_reference
from agent.domain.reading_purposes import begin_reading
from agent.domain.requests import RemoteStartRequest, WebPaymentStartedRequest
from agent.domain.satellite_messages import GrantRefused
from agent.domain.terminal_messages import BankCardRead, CancelPayment, PaymentApproved, VoidPayment
from agent.model.types import ScreenName, Token
from tests.domain.playbook import ACCEPTED, LINK, REFUSED, A, B, Playbook, wh
from tests.domain.shared_terminal import NUMBER, SharedTerminal
from tests.domain.test_plays_payment import AMOUNT, CARD, OTHER, energised, offer, record, tapped, till
from tests.domain.test_plays_payment_choice import asked, at, no_bank, read, two

FIRST = {"payment_authorize_first": True}
WEB = Token("WEB-1")


def plugged(play: Playbook, evse: int) -> None:
    (play.skip() >> (CablePlugged(evse), VehicleConnected(evse))).skip()


def question(play: Playbook) -> AuthorizeToken:
    """What the backend was asked last."""
    return [o for o in play.log if isinstance(o, AuthorizeToken)][-1]


def accepted(play: Playbook, order: AuthorizeToken | None = None) -> None:
    order = order or question(play)
    play.skip().feed(TokenAuthorized(order.request, order.token, ACCEPTED))
    play.skip()


def badge_waits(play: Playbook, token: Token = A) -> None:
    """A badge at the reader of the station. Its right waits at outlet 1 for the first cable."""
    play.skip().feed(CardPresented(0, token))
    accepted(play)
    right = play.evse(1).authorization
    assert right is not None
    assert (right.token, right.movable_by_cable) == (token, True)


def tokens(play: Playbook) -> list[str | None]:
    """Who may charge or charges, by outlet."""
    holders = [e.session or e.authorization for e in play.site.evses.values()]
    return [holder.token.value if holder else None for holder in holders]


def reference(payment: str) -> str:
    return payment_reference("PY", payment)


def voided(play: Playbook) -> list[VoidPayment]:
    return [o for o in play.log if isinstance(o, VoidPayment)]


def hold(play: Playbook, evse: int, timeout_s: int = 120) -> str:
    """A driver begins to pay at the web page of this outlet. Returns the answer to the backend."""
    play.skip().feed(RequestReceived(LINK, "w", WebPaymentStartedRequest(evse, timeout_s)))
    answer = [o for o in play.log if isinstance(o, Response)][-1]
    play.skip()
    return answer.status


# --- a right that waits elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("asks_backend", [False, True])
@pytest.mark.parametrize("badge", [False, True])
def test_the_cable_of_a_payer_whose_bank_is_being_asked_moves_no_right_of_another(
    badge: bool, asks_backend: bool
) -> None:
    """The first driver taps and fetches the cable; the second taps and plugs in meanwhile."""
    play = two(settings=FIRST if asks_backend else {})
    if badge:
        badge_waits(play)
        first = A.value
    else:
        payment = tapped(play)
        first = reference(payment)
        if asks_backend:
            accepted(play)
    play.wait(4).skip()
    second = read(play, OTHER)
    if asks_backend:
        (play.skip() >> PaymentApproved(0, second, 8, AMOUNT)).skip()
    assert (record(play, second)["evse"], play.state(1)) == (2, SessionState.AUTHORIZED)
    plugged(play, 2)
    assert tokens(play) == [first, None]
    if asks_backend:
        accepted(play)
    else:
        (play >> PaymentApproved(0, second, 8, AMOUNT)).skip()
    energised(play, 2)
    assert tokens(play) == [first, reference(second)]
    assert record(play, second)["state"] == "Active"
    assert voided(play) == []


def test_the_button_of_an_outlet_whose_bank_is_being_asked_moves_no_right() -> None:
    play = two()
    first = tapped(play)
    play.wait(4).skip()
    second = read(play, OTHER)
    (play.skip() >> ButtonPressed("outlet-2")).skip()
    assert tokens(play) == [reference(first), None]
    (play >> PaymentApproved(0, second, 8, AMOUNT)).skip()
    assert tokens(play) == [reference(first), reference(second)]


def test_a_cable_that_answers_the_question_to_a_payer_moves_no_right_of_another() -> None:
    """One card pays already, so the next payer is asked before the bank is, and answers by plugging in."""
    play = till(3)
    plugged(play, 3)
    tapped(play)
    energised(play, 3)
    badge_waits(play)
    play.wait(4).skip()
    payment = read(play, OTHER)
    assert asked(play, "new_charge") == {2}
    plugged(play, 2)
    assert tokens(play)[:2] == [A.value, None]
    assert record(play, payment)["evse"] == 2
    (play >> PaymentApproved(0, payment, 8, AMOUNT)).skip()
    assert tokens(play)[:2] == [A.value, reference(payment)]


def test_a_right_moves_again_when_the_bank_has_declined() -> None:
    play = two()
    first = tapped(play)
    play.wait(4).skip()
    second = read(play, OTHER)
    (play.skip() >> PaymentApproved(0, second, 8, 1)).skip()  # too little is held
    plugged(play, 2)
    assert tokens(play) == [None, reference(first)]


def test_a_badge_that_is_asked_about_at_the_reader_of_the_outlet_moves_its_own_right() -> None:
    play = Playbook(evses=2)
    badge_waits(play)
    play.feed(CardPresented(2, A))
    plugged(play, 2)
    assert tokens(play) == [None, A.value]


def test_a_cable_during_the_question_is_not_that_of_a_payer_elsewhere() -> None:
    """The badge was first; its answer comes when another driver's cable is in."""
    play = two()
    play.skip().feed(CardPresented(0, A))
    order = question(play)
    assert order.evse == 1
    payment = read(play)
    assert at(play, payment) == 2
    plugged(play, 2)
    accepted(play, order)
    assert tokens(play) == [A.value, None]
    (play >> PaymentApproved(0, payment, 7, AMOUNT)).skip()
    assert tokens(play) == [A.value, reference(payment)]


def test_a_cable_during_the_question_is_not_that_of_a_badge_elsewhere() -> None:
    play = Playbook(evses=2).skip()
    play.feed(CardPresented(0, A))
    first = question(play)
    play.feed(CardPresented(2, B))
    second = question(play)
    plugged(play, 2)
    accepted(play, first)
    assert tokens(play) == [A.value, None]
    accepted(play, second)
    assert tokens(play) == [A.value, B.value]


# --- a bank card -----------------------------------------------------------------------------------------------------


def test_a_bank_card_does_not_pay_for_the_outlet_of_a_badge_that_is_asked_about() -> None:
    play = two(1)
    play.feed(CardPresented(1, A))
    order = question(play)
    payment = tapped(play)
    assert at(play, payment) == 2
    accepted(play, order)
    assert tokens(play) == [A.value, reference(payment)]
    assert voided(play) == []


def test_where_a_badge_is_asked_about_at_the_only_outlet_no_bank_is_asked() -> None:
    play = till()
    plugged(play, 1)
    play.feed(CardPresented(1, A))
    payment = read(play.skip())
    assert CancelPayment(0, payment) in play.log
    assert no_bank(play)
    accepted(play)
    assert tokens(play) == [A.value]


def test_the_hold_of_a_payer_does_not_go_to_the_cable_of_a_badge_that_is_asked_about() -> None:
    play = two()
    payment = read(play)
    assert at(play, payment) == 1
    play.feed(CardPresented(2, A))
    order = question(play)
    plugged(play, 2)
    (play >> PaymentApproved(0, payment, 7, AMOUNT)).skip()
    assert tokens(play) == [reference(payment), None]
    accepted(play, order)
    assert tokens(play) == [reference(payment), A.value]


def test_a_payer_who_chooses_the_outlet_of_a_badge_that_is_asked_about_pays_nothing() -> None:
    play = two(1, 2)
    payment = read(play)
    play.feed(CardPresented(2, A))
    order = question(play)
    (play.skip() >> ButtonPressed("outlet-2")).skip()
    assert CancelPayment(0, payment) in play.log
    assert no_bank(play)
    accepted(play, order)
    assert tokens(play) == [None, A.value]


# --- an outlet that is not named -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["badge", "remote start"])
def test_who_names_no_outlet_does_not_get_the_one_whose_bank_is_being_asked(how: str) -> None:
    """It has the newest plug."""
    play = two(2)
    payment = read(play)
    assert at(play, payment) == 2
    if how == "badge":
        play.feed(CardPresented(0, A))
        assert question(play).evse == 1
        accepted(play)
    else:
        (play.skip() >> RequestReceived(LINK, "q", RemoteStartRequest(None, A, "7", asks=False))).skip()
    assert tokens(play) == [A.value, None]
    (play >> PaymentApproved(0, payment, 8, AMOUNT)).skip()
    assert tokens(play) == [A.value, reference(payment)]
    assert voided(play) == []


def test_a_badge_waits_where_the_bank_is_being_asked_for_the_only_outlet() -> None:
    play = till()
    plugged(play, 1)
    payment = read(play)
    play.skip().feed(CardPresented(0, A))
    assert not [o for o in play.log if isinstance(o, AuthorizeToken)]
    assert play.screens[1].name is ScreenName.CHECKING
    play.feed(RequestReceived(LINK, "q", RemoteStartRequest(None, A, "7", asks=False)))
    assert Response(LINK, "q", "Rejected") in play.log
    (play.skip() >> PaymentApproved(0, payment, 8, AMOUNT)).skip()
    assert tokens(play) == [reference(payment)]


def test_a_remote_start_that_names_no_outlet_leaves_the_one_that_is_paid_for_at_the_web_page() -> None:
    play = two(2)
    assert hold(play, 2) == "Accepted"
    start = RemoteStartRequest(None, A, "7", asks=False)
    (play >> RequestReceived(LINK, "q", start)).skip()
    assert tokens(play) == [A.value, None]
    (play >> RequestReceived(LINK, "r", RemoteStartRequest(None, WEB, "8", asks=False))).skip()
    assert tokens(play) == [A.value, WEB.value], "no other is free: it is the payer's"


# --- the web page ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["cable", "button"])
@pytest.mark.parametrize("badge", [False, True])
def test_who_pays_at_the_web_page_keeps_the_outlet_when_a_right_waits_elsewhere(badge: bool, sign: str) -> None:
    """C25.FR.22."""
    play = two()
    if badge:
        badge_waits(play)
    else:
        tapped(play)
    before = tokens(play)
    assert hold(play, 2) == "Accepted"
    if sign == "cable":
        plugged(play, 2)
    else:
        (play >> ButtonPressed("outlet-2")).skip()
    assert tokens(play) == before
    assert play.evse(2).payer_until_s is not None
    play >> RequestReceived(LINK, "q", RemoteStartRequest(2, WEB, "7", asks=False))
    assert play.unclaimed[0] == Response(LINK, "q", "Accepted")
    play.skip()
    if sign == "button":
        plugged(play, 2)
    (play >> MeterRead(2, begin_reading(play.evse(2).progress.begin_try), wh(1000))).skip()
    assert tokens(play) == [before[0], WEB.value]
    assert play.session(2).web


@pytest.mark.parametrize("badge", [False, True])
def test_an_outlet_that_is_being_asked_about_is_not_paid_for_at_the_web_page(badge: bool) -> None:
    play = till()
    plugged(play, 1)
    if badge:
        play.feed(CardPresented(1, A))
    else:
        payment = offer(play)
        play.feed(BankCardRead(0, payment, CARD))
    play.skip().feed(RequestReceived(LINK, "w", WebPaymentStartedRequest(1, 120)))
    assert Response(LINK, "w", "Rejected", {"reason": "connectorNotAvailable"}) in play.log
    assert play.evse(1).payer_until_s is None
    if badge:
        accepted(play)
        assert tokens(play) == [A.value]
    else:
        (play.skip() >> PaymentApproved(0, payment, 7, AMOUNT)).skip()
        assert tokens(play) == [reference(payment)]
        assert voided(play) == []


def test_the_payer_of_the_web_page_keeps_the_outlet_while_the_remote_start_is_asked_about() -> None:
    play = Playbook().skip()
    assert hold(play, 1, 60) == "Accepted"
    play.feed(RequestReceived(LINK, "q", RemoteStartRequest(1, WEB, "7", asks=True)))
    order = question(play)
    assert hold(play, 1, 120) == "Accepted"
    play.feed(TokenAuthorized(order.request, WEB, REFUSED))
    assert hold(play, 1, 120) == "Accepted"


# --- the outlets of a satellite --------------------------------------------------------------------------------------


def test_a_satellite_refuses_a_grant_where_a_badge_is_asked_about() -> None:
    pair = SharedTerminal()
    pair.plug()
    pair.feed_satellite(CardPresented(1, A))
    order = question(pair.satellite)
    payment = pair.tap()
    pair.deliver()
    assert GrantRefused(payment, "unavailable") in pair.sent
    assert VoidPayment(0, payment, 7) in pair.master.log
    pair.feed_satellite(TokenAuthorized(order.request, A, ACCEPTED))
    assert tokens(pair.satellite) == [A.value, None]


def test_a_right_at_a_satellite_does_not_move_to_the_outlet_of_a_grant_that_is_asked_about() -> None:
    pair = SharedTerminal(settings=FIRST)
    badge_waits(pair.satellite)
    pair.deliver()
    pair.feed_master(ButtonsKnown((f"outlet-{NUMBER + 1}",)))
    pair.feed_master(ButtonPressed(f"outlet-{NUMBER + 1}"))
    payment = pair.tap()
    assert pair.payment(payment)["evse"] == NUMBER + 1
    pair.deliver()
    order: Any = question(pair.satellite)
    assert order.request == f"grant:{payment}"
    pair.plug(2)
    assert tokens(pair.satellite) == [A.value, None]
    pair.feed_satellite(TokenAuthorized(order.request, order.token, ACCEPTED))
    assert tokens(pair.satellite) == [A.value, reference(payment)]


# --- an outlet that the driver has named -----------------------------------------------------------------------------


def test_a_badge_begins_at_the_outlet_of_its_button_and_at_no_other() -> None:
    """The hold of the driver whose bank is being asked is given back (decision 21)."""
    play = two(1, 2)
    payment = read(play)
    (play.skip() >> ButtonPressed("outlet-2")).skip()
    assert at(play, payment) == 2
    (play.wait(40).skip() >> ButtonPressed("outlet-2")).skip()
    play.feed(CardPresented(0, A))
    assert question(play).evse == 2


def test_a_badge_whose_driver_has_named_an_outlet_of_a_satellite_begins_at_no_other() -> None:
    """A badge is for an outlet of the station that reads it."""
    pair = SharedTerminal()
    for event in (CablePlugged(1), VehicleConnected(1), ButtonPressed(f"outlet-{NUMBER}"), CardPresented(0, A)):
        pair.feed_master(event)
    assert not [o for o in pair.master.log if isinstance(o, AuthorizeToken)]
    assert pair.master.screens[1].name is ScreenName.REFUSED


def test_a_bank_card_pays_for_the_outlet_of_its_button_and_for_no_other() -> None:
    play = two(1, 2)
    (play.skip() >> ButtonPressed("outlet-2")).skip()
    play.feed(CardPresented(0, A))
    assert question(play).evse == 2
    (play.skip() >> ButtonPressed("outlet-2")).skip()
    payment = read(play)
    assert no_bank(play)
    assert CancelPayment(0, payment) in play.log
