"""A hold that the bank made while the agent was away is sought by its number until it is found (decision 21)."""

from __future__ import annotations

import pytest

from agent.domain.payment_journal import ANSWER_S, AUTH_S
from agent.domain.terminal_messages import BankCardRead, PaymentApproved, PaymentCancelled, PaymentSettled, VoidPayment
from agent.model.bank_card import Settlement
from agent.model.types import Fault
from tests.domain.playbook import Playbook
from tests.domain.test_plays_payment import AMOUNT, CARD, offer, record, till, unheard


def guesses(play: Playbook, payment: str) -> list[VoidPayment]:
    return [o for o in play.log if isinstance(o, VoidPayment) and o.payment == payment]


def not_found(play: Playbook, payment: str, times: int, outcome: Settlement | None = Settlement.CLOSED) -> None:
    """It was asked so often, and the terminal knows no such hold, or says nothing."""
    assert guesses(play, payment) == [VoidPayment(0, payment, 8)] * times
    (play.skip() >> PaymentSettled(0, payment, outcome)).skip()
    assert record(play, payment)["state"] == "Uncertain"


@pytest.mark.parametrize("outcome", [Settlement.CLOSED, Settlement.REFUSED, None])
def test_a_hold_that_comes_after_the_restart_is_found_when_the_bank_must_have_answered(
    outcome: Settlement | None,
) -> None:
    """The guess was sent before the bank had spoken."""
    play = till()
    payment = unheard(play)
    play.wait(ANSWER_S + 1).skip()
    not_found(play, payment, 1, outcome)
    play.wait(AUTH_S - 30).skip()
    not_found(play, payment, 1, Settlement.CLOSED)
    play.wait(30).skip()
    assert guesses(play, payment) == [VoidPayment(0, payment, 8)] * 2
    (play >> PaymentSettled(0, payment, Settlement.DONE)).skip()
    assert record(play, payment)["state"] == "Voided"
    assert play.statuses[1].faults == ()
    play.wait(4000).skip()
    assert len(guesses(play, payment)) == 2


def test_after_that_each_hour_until_the_terminal_has_let_go() -> None:
    play = till(hold_s=10 * 3600.0)
    payment = unheard(play)
    play.wait(ANSWER_S + 1).skip()
    not_found(play, payment, 1)
    play.wait(AUTH_S).skip()
    for hour in range(16):
        not_found(play, payment, min(2 + hour, 16))
        assert Fault.PAYMENT_UNCERTAIN in play.statuses[1].faults
        play.wait(3600 if hour else 3601).skip()


def test_a_cut_of_the_mains_is_no_proof_that_the_bank_has_answered() -> None:
    """The stamps of before are of another boot: the time counts from the new start."""
    play = till()
    payment = unheard(play)
    play.skip().restart(new_boot=True)
    from tests.domain.test_plays_payment import OPENED

    (play.skip() >> OPENED).skip()
    play.wait(ANSWER_S + 1).skip()
    before = len(guesses(play, payment))
    (play >> PaymentSettled(0, payment, Settlement.CLOSED)).skip()
    play.wait(AUTH_S).skip()
    assert len(guesses(play, payment)) == before + 1


def test_not_while_another_bank_is_being_asked_but_soon_after() -> None:
    """It may give that number the next moment."""
    play = till()
    payment = unheard(play)
    play.wait(ANSWER_S + 1).skip()
    not_found(play, payment, 1)
    play.wait(AUTH_S - 10).skip()
    second = offer(play)
    (play >> BankCardRead(0, second, CARD)).skip()
    play.wait(60).skip()
    assert len(guesses(play, payment)) == 1
    (play >> PaymentCancelled(0, second)).skip()
    play.wait(60).skip()
    assert len(guesses(play, payment)) == 2


def test_a_number_that_was_given_to_the_next_card_is_not_sought() -> None:
    play = till()
    payment = unheard(play)
    play.wait(ANSWER_S + 1).skip()
    not_found(play, payment, 1)
    second = offer(play)
    (play >> BankCardRead(0, second, CARD)).skip()
    (play >> PaymentApproved(0, second, 8, AMOUNT)).skip()
    play.wait(2 * AUTH_S).skip()
    assert len(guesses(play, payment)) == 1, "nor any other: its own would be below"
