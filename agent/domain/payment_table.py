"""The life of a payment as a table: state x event -> rule (decision 21). ``docs/states/payment.svg`` is drawn from it.

A rule is a generator ``(journal, payment, event, now)`` that yields orders and may change ``payment.state`` to one of
the states it declares with ``@to``. The table is total: a missing entry is a defect, never a silent surprise.

What holds whatever comes (tests/domain/test_payment_properties.py): an amount is decided once and
on disk before it is sent; one commit or void is under way per payment; a commit that was answered
is never sent again; what is not known is reported and never charged again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from agent.domain.events import Event, TimeCame
from agent.domain.functional_block import Yielded
from agent.domain.orders import WakeMe
from agent.domain.payment import (
    FINISHED,
    HOUR_S,
    MINUTE_S,
    HoldSought,
    Payment,
    PaymentPlaced,
    PaymentResumed,
    PaymentSessionBegun,
    PaymentSessionEnded,
    PaymentTerms,
    PaymentWithdrawn,
    PayState,
    RaiseWanted,
)
from agent.domain.payment_journal import (
    ANSWER_S,
    AUTH_S,
    CANCEL_S,
    PaymentBook,
    Rule,
    ignore_event,
    leads_to_states,
    payment_timer,
)
from agent.domain.session.table import IllegalEvent
from agent.domain.settlement_orders import (
    GIVEN_UP,
    PaymentRetryOrdered,
    PaymentVoidOrdered,
    PaymentWriteOffOrdered,
    settlement_order_problem,
    write_off_payment,
)
from agent.domain.terminal_messages import (
    AuthorizePayment,
    BankCardRead,
    CancelPayment,
    CommitPayment,
    PaymentApproved,
    PaymentCancelled,
    PaymentDeclined,
    PaymentRaised,
    PaymentSettled,
    RaisePayment,
    TerminalLost,
    TerminalOpened,
    VoidPayment,
)
from agent.domain.timers import TimerKind
from agent.model.bank_card import Settlement
from agent.model.types import EvseId, Moment

NEVER_CAME = "the bank's answer never came"
RAISE_TRIES, RAISE_AGAIN_S = 3, 60.0
"""How often a raise is asked for without an answer, and how long after the one before (real seconds)."""
Report: TypeAlias = Callable[[Payment, PayState, Event, Moment], Iterator[Yielded]]

# --- before anything is held -----------------------------------------------------------------------------------------


@leads_to_states(PayState.CARD_READ)
def card_read(j: PaymentBook, p: Payment, event: BankCardRead, now: Moment) -> Iterator[Yielded]:
    p.state, p.card = PayState.CARD_READ, event.card
    return iter(())


@leads_to_states(PayState.AUTH_PENDING)
def ask_bank(j: PaymentBook, p: Payment, event: PaymentPlaced, now: Moment) -> Iterator[Yielded]:
    """Ask the bank for the hold. The payment is on disk before: an answer that arrives while the
    agent is down is then at least looked for."""
    p.state, p.evse, p.movable = PayState.AUTH_PENDING, event.evse, event.movable
    p.at, p.utc_s, p.serial = now.stamp, now.utc_s, j.open.get(p.terminal, "")
    p.bank_until_s = now.t_s + AUTH_S * j.io_s
    yield j.persist_payment(p)
    yield AuthorizePayment(p.terminal, p.id)
    yield WakeMe(payment_timer(TimerKind.PAYMENT_AUTHORIZATION, p), p.bank_until_s)


def cancel_offer(j: PaymentBook, p: Payment, event: PaymentWithdrawn, now: Moment) -> Iterator[Yielded]:
    """Cancel the offer. The terminal's answer shows whether that came in time."""
    if p.withdrawn:
        return
    p.withdrawn, p.why = True, event.why
    if p.kept:
        yield j.persist_payment(p)
    else:
        yield WakeMe(payment_timer(TimerKind.PAYMENT_CANCELLATION, p), now.t_s + CANCEL_S * j.io_s)
    yield CancelPayment(p.terminal, p.id)


@leads_to_states(PayState.VOIDED)
def offer_ended(j: PaymentBook, p: Payment, event: Event, now: Moment) -> Iterator[Yielded]:
    """End the offer: nothing is held, nothing is kept."""
    p.state = PayState.VOIDED
    yield from _discard_payment(j, p)


@leads_to_states(PayState.VOIDED)
def cancel_timed_out(j: PaymentBook, p: Payment, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.timer.kind is TimerKind.PAYMENT_CANCELLATION:
        yield from offer_ended(j, p, event, now)


@leads_to_states(PayState.DECLINED)
def bank_declined(j: PaymentBook, p: Payment, event: PaymentDeclined, now: Moment) -> Iterator[Yielded]:
    p.state, p.why = PayState.DECLINED, event.reason
    yield from _discard_payment(j, p)


def _discard_payment(j: PaymentBook, p: Payment) -> Iterator[Yielded]:
    for kind in (TimerKind.PAYMENT_AUTHORIZATION, TimerKind.PAYMENT_CANCELLATION):
        yield WakeMe(payment_timer(kind, p), None)
    yield from j.forget_payment(p)


@leads_to_states(PayState.AUTHORIZED, PayState.VOID_PENDING)
def bank_approved(j: PaymentBook, p: Payment, event: PaymentApproved, now: Moment) -> Iterator[Yielded]:
    """Record the hold. It is on disk before an authorization is given for it."""
    j.record_hold(p, event)
    if event.card is not None:
        p.card = event.card
    yield WakeMe(payment_timer(TimerKind.PAYMENT_AUTHORIZATION, p), None)
    if p.withdrawn:
        yield from _void_hold(j, p, now, p.why)
    elif p.held_cents < j.terms.least_cents or (
        p.tariff is not None and not p.tariff.leaves_energy_under(p.held_cents)
    ):
        yield from _void_hold(j, p, now, "too little is held")
    else:
        p.state = PayState.AUTHORIZED
        yield j.persist_payment(p)


@leads_to_states(PayState.VOID_PENDING)
def void_unwanted_hold(j: PaymentBook, p: Payment, event: PaymentApproved, now: Moment) -> Iterator[Yielded]:
    """Void a hold that was not asked for, or not expected any more."""
    j.record_hold(p, event)
    for kind in (TimerKind.PAYMENT_AUTHORIZATION, TimerKind.PAYMENT_CANCELLATION):
        yield WakeMe(payment_timer(kind, p), None)
    yield from _void_hold(j, p, now, "no driver waits for it")


@leads_to_states(PayState.VOID_PENDING)
def void_late_hold(j: PaymentBook, p: Payment, event: PaymentApproved, now: Moment) -> Iterator[Yielded]:
    """Void a hold that the bank approved after the payment was given up."""
    if p.reservation is None:
        yield from void_unwanted_hold(j, p, event, now)


@leads_to_states(PayState.UNCERTAIN)
def authorization_timed_out(j: PaymentBook, p: Payment, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    """Mark the payment as uncertain: it is unknown whether something is held. If so, the terminal's
    own time-out releases it."""
    if event.timer.kind is TimerKind.PAYMENT_AUTHORIZATION:
        yield from _mark_uncertain(j, p, NEVER_CAME)


@leads_to_states(PayState.VOID_PENDING)
def try_sought_hold(j: PaymentBook, p: Payment, event: HoldSought, now: Moment) -> Iterator[Yielded]:
    """Void what is held under a number without a record here: it belongs to no payment. Never while
    the bank of another payment is being asked."""
    p.state, p.reservation, p.serial, p.guessed = PayState.VOID_PENDING, event.number, j.open[p.terminal], True
    p.again_s = None
    yield WakeMe(payment_timer(TimerKind.PAYMENT_HOLD_SEARCH, p), None)
    yield from _send_settlement(j, p)


def terminal_opened_while_pending(j: PaymentBook, p: Payment, event: TerminalOpened, now: Moment) -> Iterator[Yielded]:
    """Wait shortly for a late answer. The terminal was reopened, so no bank is asked there any
    more: what it has received comes now, or never. The next card does not wait longer."""
    yield WakeMe(payment_timer(TimerKind.PAYMENT_AUTHORIZATION, p), now.t_s + ANSWER_S * j.io_s)


def resume_pending_authorization(j: PaymentBook, p: Payment, event: PaymentResumed, now: Moment) -> Iterator[Yielded]:
    """Wait for the bank's answer after a restart, without using it: the driver has seen the station
    restart."""
    p.withdrawn, p.why = True, "the agent was away"
    asked_s = p.at.t_s if p.at.boot == now.stamp.boot else now.t_s
    p.bank_until_s = asked_s + AUTH_S * j.io_s
    yield WakeMe(payment_timer(TimerKind.PAYMENT_AUTHORIZATION, p), now.t_s + AUTH_S * j.io_s)


# --- held ------------------------------------------------------------------------------------------------------------


@leads_to_states(PayState.VOID_PENDING, PayState.UNCERTAIN)
def void_unused_hold(
    j: PaymentBook, p: Payment, event: PaymentWithdrawn | PaymentResumed, now: Moment
) -> Iterator[Yielded]:
    """Void a hold that no session was begun with."""
    yield from _void_hold(j, p, now, event.why if isinstance(event, PaymentWithdrawn) else "no session was begun")


@leads_to_states(PayState.VOID_PENDING, PayState.UNCERTAIN)
def unused_hold_timed_out(j: PaymentBook, p: Payment, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.timer.kind is TimerKind.PAYMENT_UNUSED:
        yield from _void_hold(j, p, now, "no session was begun")


@leads_to_states(PayState.ACTIVE)
def session_begun(j: PaymentBook, p: Payment, event: PaymentSessionBegun, now: Moment) -> Iterator[Yielded]:
    """Note the session that the payment pays for, in the same transaction as the session's own
    record: there is never one without the other."""
    p.state, p.session = PayState.ACTIVE, event.session
    yield WakeMe(payment_timer(TimerKind.PAYMENT_UNUSED, p), None)
    yield j.persist_payment(p)


@leads_to_states(
    PayState.FINAL_KNOWN, PayState.COMMIT_PENDING, PayState.VOID_PENDING, PayState.UNCERTAIN, PayState.LEFT_TO_CSMS
)
def settle_session_cost(j: PaymentBook, p: Payment, event: PaymentSessionEnded, now: Moment) -> Iterator[Yielded]:
    """Decide what the session costs, once, and settle it; never more than what is held. What the backend settles is
    neither charged nor released here (2.1 C21.FR.06)."""
    p.owed_cents, p.why = event.owed_cents, event.why
    p.cents = min(event.owed_cents, p.held_cents)
    if p.cents and event.by_csms:
        p.state, p.why = PayState.LEFT_TO_CSMS, event.why or "the backend charges"
        yield j.persist_payment(p)
    elif p.cents:
        p.state = PayState.FINAL_KNOWN
        yield from _next_settlement_turn(j, p, now)
    else:
        yield from _void_hold(j, p, now, event.why or "nothing is due")


def raise_hold(j: PaymentBook, p: Payment, event: RaiseWanted, now: Moment) -> Iterator[Yielded]:
    """Ask the bank to hold more. What is asked for is on disk before; until the answer is on disk as well, no more is
    captured than what was held before."""
    assert p.reservation is not None
    if p.raise_under_way or p.raise_refused:
        return
    p.raise_refused = bool(j.why_hold_is_foreign(p))
    if not p.raise_refused:
        p.raising_cents, p.raise_under_way = event.total_cents, True
    yield j.persist_payment(p)
    if not p.raise_refused:
        yield RaisePayment(p.terminal, p.id, p.reservation, event.total_cents, p.serial)


def raise_answered(j: PaymentBook, p: Payment, event: PaymentRaised, now: Moment) -> Iterator[Yielded]:
    """Record what is held now. Who refuses, or holds less than asked for, is not asked again. A raise without an answer
    is repeated with the same total, some times: it may have happened, and to ask twice for a total does no harm."""
    if not p.raise_under_way:
        return
    p.raise_under_way = False
    if not event.answered:
        p.raise_tries, p.raise_again_s = p.raise_tries + 1, now.t_s + RAISE_AGAIN_S * j.io_s
        p.raise_refused = p.raise_tries >= RAISE_TRIES
    else:
        asked_cents = p.raising_cents or 0
        p.raise_tries, p.raise_again_s, p.raising_cents = 0, None, None
        p.raise_refused = event.held_cents is None or event.held_cents < asked_cents
        if event.held_cents is not None:
            p.held_cents = min(event.held_cents, max(asked_cents, p.held_cents))
    yield j.persist_payment(p)


def _void_hold(j: PaymentBook, p: Payment, now: Moment, why: str) -> Iterator[Yielded]:
    p.state, p.why, p.tries, p.asked, p.again_s = PayState.VOID_PENDING, why, 0, False, None
    yield WakeMe(payment_timer(TimerKind.PAYMENT_UNUSED, p), None)
    yield from _next_settlement_turn(j, p, now)


# --- settling --------------------------------------------------------------------------------------------------------


def _next_settlement_turn(j: PaymentBook, p: Payment, now: Moment) -> Iterator[Yielded]:
    """Take the next turn of the schedule. A terminal that is away is not asked: nothing can have
    happened there."""
    p.tries, p.turn_s = p.tries + 1, None
    if p.terminal in j.open:
        yield from _send_settlement(j, p)
    else:
        yield from _wait_for_next_turn(j, p, now)


def _send_settlement(j: PaymentBook, p: Payment) -> Iterator[Yielded]:
    """Send the commit or void. Amount and intention are on disk before the order is carried out."""
    assert p.reservation is not None
    assert not p.under_way
    if why := j.why_hold_is_foreign(p):
        yield from _mark_uncertain(j, p, why)
        return
    p.under_way, p.crossed = True, False
    if p.state is PayState.FINAL_KNOWN:
        p.state = PayState.COMMIT_PENDING
    yield j.persist_payment(p)
    yield WakeMe(payment_timer(TimerKind.PAYMENT_SETTLEMENT, p), None)
    if p.state is PayState.VOID_PENDING:
        yield VoidPayment(p.terminal, p.id, p.reservation, p.serial)
    else:
        assert p.cents
        yield CommitPayment(p.terminal, p.id, p.reservation, p.cents, p.serial)


def _wait_for_next_turn(j: PaymentBook, p: Payment, now: Moment) -> Iterator[Yielded]:
    """Wait for the next turn, if there is one. A request before it does not postpone it."""
    if p.tries > len(j.terms.schedule_s):
        yield from _mark_uncertain(j, p, "no answer within the schedule" if p.asked else "the terminal was never there")
        return
    yield j.persist_payment(p)
    if p.turn_s is None:
        p.turn_s = now.t_s + j.terms.schedule_s[p.tries - 1]
    yield WakeMe(payment_timer(TimerKind.PAYMENT_SETTLEMENT, p), max(p.turn_s, now.t_s))


@leads_to_states(PayState.COMMIT_PENDING, PayState.UNCERTAIN)
def settle_at_opened_terminal(j: PaymentBook, p: Payment, event: TerminalOpened, now: Moment) -> Iterator[Yielded]:
    """Ask at once what was not answered or could not be asked; this is no turn of the schedule. It
    is not repeated at every opening: a terminal that falls silent at this very order, and is
    reopened, would do nothing else."""
    if p.under_way or (p.again_s is not None and now.t_s < p.again_s + MINUTE_S):
        return
    p.again_s = now.t_s if p.asked else None
    yield from _send_settlement(j, p)


@leads_to_states(PayState.COMMIT_PENDING, PayState.UNCERTAIN)
def settlement_timer_expired(j: PaymentBook, p: Payment, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.timer.kind is TimerKind.PAYMENT_SETTLEMENT and not p.under_way:
        yield from _next_settlement_turn(j, p, now)


@leads_to_states(PayState.UNCERTAIN)
def resume_settlement(j: PaymentBook, p: Payment, event: PaymentResumed, now: Moment) -> Iterator[Yielded]:
    """Resume the settlement after a restart: what was asked before may have happened. It is asked
    again when the terminal is there."""
    if p.guessed:
        yield from _sought_hold_not_found(j, p, now)
        return
    p.asked = p.asked or p.state is not PayState.FINAL_KNOWN
    yield from _wait_for_next_turn(j, p, now)


@leads_to_states(PayState.COMMITTED, PayState.UNCERTAIN)
def commit_answered(j: PaymentBook, p: Payment, event: PaymentSettled, now: Moment) -> Iterator[Yielded]:
    """``CLOSED``: it was settled before. After an unanswered commit that was most likely ours, otherwise the hold is
    gone (the terminal's own time-out): in neither case is anything charged again."""
    if event.outcome is Settlement.DONE:
        p.under_way, p.state, p.why, p.settled_utc_s = False, PayState.COMMITTED, "", now.utc_s
        yield j.persist_payment(p)
    elif event.outcome is Settlement.CLOSED:
        p.under_way = False
        yield from _mark_uncertain(j, p, "settled before" if p.asked else "the hold was gone")
    else:
        yield from _retry_unanswered(j, p, event, now)


def sought_hold_found(j: PaymentBook, p: Payment, event: PaymentApproved, now: Moment) -> Iterator[Yielded]:
    """The terminal has reported the hold after all: it is no guess any more. What is under way may
    have been answered before the hold was there."""
    if p.guessed and event.reservation == p.reservation:
        p.guessed, p.crossed = False, p.under_way
        yield j.persist_payment(p)


def _sought_hold_not_found(j: PaymentBook, p: Payment, now: Moment) -> Iterator[Yielded]:
    """Note that nothing was found under that number, or that no answer came: it stays unknown. It
    is sought again when its bank must have answered (the guess may have come before the hold), and
    then each hour."""
    p.under_way, p.guessed, p.reservation = False, False, None
    yield from _mark_uncertain(j, p, NEVER_CAME)
    if p.bank_until_s is None:  # asked by an earlier process: the time is unknown
        p.bank_until_s = now.t_s + AUTH_S * j.io_s
    yield WakeMe(
        payment_timer(TimerKind.PAYMENT_HOLD_SEARCH, p),
        p.bank_until_s if now.t_s < p.bank_until_s else now.t_s + HOUR_S,
    )


@leads_to_states(PayState.VOIDED, PayState.UNCERTAIN)
def void_answered(j: PaymentBook, p: Payment, event: PaymentSettled, now: Moment) -> Iterator[Yielded]:
    """``CLOSED``: nothing is held any more, which is all that was wanted."""
    if p.guessed and event.outcome is not Settlement.DONE:
        p.again_s = now.t_s + HOUR_S if event.outcome is None else None
        yield from _sought_hold_not_found(j, p, now)
    elif event.outcome is Settlement.CLOSED and p.crossed:
        p.under_way = False
        yield from _send_settlement(j, p)
    elif event.outcome in (Settlement.DONE, Settlement.CLOSED):
        p.under_way, p.state, p.settled_utc_s = False, PayState.VOIDED, now.utc_s
        yield j.persist_payment(p)
    else:
        yield from _retry_unanswered(j, p, event, now)


def _retry_unanswered(j: PaymentBook, p: Payment, event: PaymentSettled, now: Moment) -> Iterator[Yielded]:
    if not p.under_way:
        return
    p.under_way = False
    p.asked = p.asked or event.outcome is None
    yield from _wait_for_next_turn(j, p, now)


def _mark_uncertain(j: PaymentBook, p: Payment, why: str) -> Iterator[Yielded]:
    _, given_up, reason = p.why.partition(GIVEN_UP)
    p.state, p.why = PayState.UNCERTAIN, f"{why}; {given_up}{reason}" if given_up else why
    yield WakeMe(payment_timer(TimerKind.PAYMENT_SETTLEMENT, p), None)
    yield j.persist_payment(p)


# --- what a person orders ---------------------------------------------------------------------------------------------


@leads_to_states(PayState.COMMIT_PENDING, PayState.VOID_PENDING, PayState.UNCERTAIN)
def retry_by_order(j: PaymentBook, p: Payment, event: PaymentRetryOrdered, now: Moment) -> Iterator[Yielded]:
    """Ask the terminal again, now or when it is there. The number and the amount are those of before, so that
    nothing is charged twice."""
    if p.under_way or p.guessed or settlement_order_problem(p, event):
        return
    was_given_up = p.state is PayState.UNCERTAIN
    if was_given_up:
        p.state, p.reviewed, p.tries = PayState.COMMIT_PENDING if p.cents else PayState.VOID_PENDING, False, 1
    if p.terminal in j.open:
        yield from _send_settlement(j, p)
    elif was_given_up:
        yield from _wait_for_next_turn(j, p, now)


@leads_to_states(PayState.VOID_PENDING, PayState.UNCERTAIN)
def void_by_order(j: PaymentBook, p: Payment, event: PaymentVoidOrdered, now: Moment) -> Iterator[Yielded]:
    """Give the bill up and release the hold. Never after a commit that may have happened; and what is given up is
    never charged, whatever is ordered later."""
    if not p.under_way and not settlement_order_problem(p, event):
        p.reviewed, p.cents = False, 0
        yield from _void_hold(j, p, now, f"{GIVEN_UP}{event.why}")


@leads_to_states(PayState.WRITTEN_OFF)
def write_off_by_order(j: PaymentBook, p: Payment, event: PaymentWriteOffOrdered, now: Moment) -> Iterator[Yielded]:
    """Ask the terminal no more. What is under way is waited for: its answer may be the charge."""
    if p.under_way or settlement_order_problem(p, event):
        return
    write_off_payment(p, event.why)
    for kind in (TimerKind.PAYMENT_SETTLEMENT, TimerKind.PAYMENT_HOLD_SEARCH):
        yield WakeMe(payment_timer(kind, p), None)
    yield j.persist_payment(p)


# --- the table -------------------------------------------------------------------------------------------------------

EVENTS: tuple[type[Event], ...] = (
    BankCardRead, PaymentPlaced, PaymentWithdrawn, PaymentApproved, PaymentDeclined, PaymentCancelled,
    PaymentSessionBegun, PaymentSessionEnded, PaymentSettled,
    RaiseWanted, PaymentRaised,
    HoldSought, TerminalOpened, TerminalLost, TimeCame, PaymentResumed,
    PaymentRetryOrdered, PaymentVoidOrdered, PaymentWriteOffOrdered,
)  # fmt: skip

_NOTHING: dict[type[Event], Rule] = dict.fromkeys(EVENTS, ignore_event)
_ORDERS: dict[type[Event], Rule] = {
    PaymentRetryOrdered: retry_by_order,
    PaymentVoidOrdered: void_by_order,
    PaymentWriteOffOrdered: write_off_by_order,
}
_OFFER: dict[type[Event], Rule] = {
    **_NOTHING,
    PaymentWithdrawn: cancel_offer,
    PaymentApproved: void_unwanted_hold,
    PaymentDeclined: bank_declined,
    PaymentCancelled: offer_ended,
    TerminalOpened: offer_ended,
    TerminalLost: offer_ended,
    TimeCame: cancel_timed_out,
}

TABLE: dict[PayState, dict[type[Event], Rule]] = {
    PayState.NEW: {**_OFFER, BankCardRead: card_read},
    PayState.CARD_READ: {**_OFFER, PaymentPlaced: ask_bank},
    PayState.AUTH_PENDING: {
        **_NOTHING,
        PaymentWithdrawn: cancel_offer,
        PaymentApproved: bank_approved,
        PaymentDeclined: bank_declined,
        PaymentCancelled: offer_ended,
        TerminalOpened: terminal_opened_while_pending,
        TimeCame: authorization_timed_out,
        PaymentResumed: resume_pending_authorization,
    },
    PayState.AUTHORIZED: {
        **_NOTHING,
        PaymentWithdrawn: void_unused_hold,
        PaymentSessionBegun: session_begun,
        TimeCame: unused_hold_timed_out,
        PaymentResumed: void_unused_hold,
    },
    PayState.ACTIVE: {
        **_NOTHING,
        RaiseWanted: raise_hold,
        PaymentRaised: raise_answered,
        PaymentSessionEnded: settle_session_cost,
    },
    PayState.FINAL_KNOWN: {
        **_NOTHING,
        **_ORDERS,
        TerminalOpened: settle_at_opened_terminal,
        TimeCame: settlement_timer_expired,
        PaymentResumed: resume_settlement,
    },
    PayState.COMMIT_PENDING: {
        **_NOTHING,
        **_ORDERS,
        PaymentSettled: commit_answered,
        TerminalOpened: settle_at_opened_terminal,
        TimeCame: settlement_timer_expired,
        PaymentResumed: resume_settlement,
    },
    PayState.VOID_PENDING: {
        **_NOTHING,
        **_ORDERS,
        PaymentApproved: sought_hold_found,
        PaymentSettled: void_answered,
        TerminalOpened: settle_at_opened_terminal,
        TimeCame: settlement_timer_expired,
        PaymentResumed: resume_settlement,
    },
    PayState.UNCERTAIN: {
        **_NOTHING,
        **_ORDERS,
        PaymentApproved: void_late_hold,
        HoldSought: try_sought_hold,
    },
    **dict.fromkeys(FINISHED - {PayState.UNCERTAIN, PayState.WRITTEN_OFF}, _NOTHING),
    PayState.WRITTEN_OFF: {**_NOTHING, PaymentApproved: void_late_hold},
}


class PaymentJournal(PaymentBook):
    """The book, and what becomes of its payments. ``report``: reports a change of a payment to the backends, given its
    state before, and the event."""

    def __init__(
        self, terms: PaymentTerms, io_s: float, report: Report = lambda p, before, event, now: iter(())
    ) -> None:
        super().__init__(terms, io_s)
        self._report_change = report

    def seek_unreported_holds(self, terminal: EvseId, now: Moment, below: int | None = None) -> Iterator[Yielded]:
        """Release holds that were never reported, if they are where they must be. At a terminal
        that fell silent at that it is tried again when the next number is known, or by the timer:
        it would do nothing else."""
        lost = self.payments_without_answer(terminal)
        if below is None:
            lost = [p for p in lost if (p.again_s is None or now.t_s >= p.again_s) and not self.is_overtaken(p)]
        for p, number in zip(lost, self.unreported_hold_numbers(terminal, below), strict=False):
            yield from self.apply_payment_event(p, HoldSought(p.id, number), now)

    def seek_hold_again(self, p: Payment, now: Moment) -> Iterator[Yielded]:
        """Seek the hold again when its timer expires. If another card's bank is being asked, wait
        for it; at a terminal that is away the hold is sought when it is opened."""
        p.again_s = None
        yield from self.seek_unreported_holds(p.terminal, now)
        if p.state is PayState.UNCERTAIN:
            busy = self.payments_at_terminal(p.terminal, PayState.AUTH_PENDING)
            yield WakeMe(payment_timer(TimerKind.PAYMENT_HOLD_SEARCH, p), now.t_s + (MINUTE_S if busy else HOUR_S))

    def apply_payment_event(self, p: Payment, event: Event, now: Moment) -> Iterator[Yielded]:
        """Apply one event to one payment. Raises ``IllegalEvent`` for what the table does not know."""
        before = p.state
        try:
            rule = TABLE[before][type(event)]
        except KeyError:
            raise IllegalEvent(f"payment: {type(event).__name__} in state {before}") from None
        yield from rule(self, p, event, now)
        if p.state not in (before, *getattr(rule, "targets", ())):
            raise IllegalEvent(f"payment: {rule.__name__} led from {before} to {p.state}, undeclared")
        yield from self._report_change(p, before, event, now)
        if self.find_payment(p.id) is p and p.is_finished != (p.id in self.done):
            (self.payments if p.is_finished else self.done).pop(p.id)
            self.add_payment(p)
