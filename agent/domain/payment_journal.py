"""All payments that are not forgotten, and what the rules of their life (``payments.py``) are made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from agent.domain.events import Event
from agent.domain.functional_block import Yielded
from agent.domain.orders import Persist
from agent.domain.payment import Payment, PaymentTerms, PayState, payment_reference
from agent.domain.terminal_messages import PaymentApproved
from agent.domain.timers import Timer, TimerKind
from agent.model.types import EvseId, Moment, Token, TokenType

AUTH_S = 180.0
"""How long a bank (and a driver at the keys of the terminal) may take to answer (real seconds)."""
ANSWER_S = 2.0
"""How long a reopened terminal may take to report what it had received from a bank before (real
seconds)."""
CANCEL_S = 30.0
"""How long a terminal may take to give an offer back (real seconds)."""
UNUSED_S = 60.0
"""Beyond the connection time-out, which alone should end an unused authorization (real seconds)."""
ARCHIVE = "payment_archive"
"""Kind of the facts of finished payments that are not in memory."""
_CLOSED = (PayState.COMMITTED, PayState.VOIDED)


def is_other_card(p: Payment, event: PaymentApproved) -> bool:
    """Return whether the approval is for another card than the one that was read for this payment:
    a late answer for an earlier driver."""
    return event.card is not None and event.card.is_another(p.card)


class PaymentBook:
    """All payments that are not forgotten (``done``: finished ones), and which terminals can be asked. ``io_s``: domain
    seconds of a real one."""

    def __init__(self, terms: PaymentTerms, io_s: float) -> None:
        self.terms, self.io_s = terms, io_s
        self.payments: dict[str, Payment] = {}
        self.done: dict[str, Payment] = {}
        self.open: dict[EvseId, str] = {}
        """Terminals that can be asked, and the serial number of each ("": it says none)."""
        self.blind = False
        """There are records that cannot be read: not every hold of ours is known."""

    def add_payment(self, p: Payment) -> None:
        (self.done if p.is_finished else self.payments)[p.id] = p

    def find_payment(self, payment: str) -> Payment | None:
        return self.payments.get(payment) or self.done.get(payment)

    def all_payments(self) -> tuple[Payment, ...]:
        return (*self.payments.values(), *self.done.values())

    def find_abandoned_payment(self, event: PaymentApproved) -> Payment | None:
        """Return a given-up payment that this answer belongs to: an earlier process asked the
        bank."""
        asked = (PayState.AUTH_PENDING, PayState.UNCERTAIN)
        given_up = (p for p in self.all_payments() if p.terminal == event.terminal and p.state in asked)
        return next((p for p in given_up if p.withdrawn and p.reservation is None and not event.payment), None)

    def payment_of_token(self, token: Token | None) -> Payment | None:
        """Return the payment that this authorization to charge was made from."""
        return next((p for p in self.all_payments() if token is not None and token.matches_token(p.token)), None)

    def payment_of_session(self, session: str) -> Payment | None:
        return next((p for p in self.payments.values() if p.session == session and p.state is PayState.ACTIVE), None)

    def payments_at_terminal(self, terminal: EvseId, *states: PayState) -> list[Payment]:
        return [p for p in self.payments.values() if p.terminal == terminal and p.state in states]

    def why_hold_is_foreign(self, p: Payment) -> str:
        """Return why its number would refer to another payment's hold at the present terminal; "":
        it is its own."""
        if p.serial and self.open.get(p.terminal, "") not in ("", p.serial):
            return "another terminal is there"
        newer = (o for o in self.all_payments() if o.terminal == p.terminal and o.serial == p.serial and o.at > p.at)
        return "its number was given again" if any(o.reservation == p.reservation for o in newer) else ""

    def payments_without_answer(self, terminal: EvseId) -> list[Payment]:
        """Return the payments at the present terminal whose answer of the bank never arrived, the
        latest first."""
        lost = (p for p in self.done.values() if p.state is PayState.UNCERTAIN and p.reservation is None)
        here = (p for p in lost if p.terminal == terminal and p.serial in ("", self.open.get(terminal)))
        return sorted((p for p in here if not p.reviewed), key=lambda p: p.at, reverse=True)

    def is_overtaken(self, p: Payment) -> bool:
        """Return whether a later card's hold has a number already: a hold of this card would have a
        lower one."""
        reserved = (o for o in self.all_payments() if o.reservation is not None and not o.guessed)
        return any(o.terminal == p.terminal and o.serial == p.serial and o.at > p.at for o in reserved)

    def unreported_hold_numbers(self, terminal: EvseId, below: int | None = None) -> Iterator[int]:
        """Yield reservation ids of holds that may exist at the terminal without a record here:
        after the latest known one, or before the one that it has given now. A terminal counts up,
        as far as is known; if it does not, no hold has such a number. None while a bank is being
        asked there, which may use it the next moment."""
        serial = self.open.get(terminal)
        held = [p for p in self.all_payments() if p.reservation is not None]
        here = [p for p in held if not (serial and p.serial not in ("", serial))]
        known = {p.reservation for p in here}  # wherever the station file has the terminal now
        known |= {p.reservation for p in held if p.state not in _CLOSED}  # one terminal may have reported two names
        ours = [p for p in here if p.terminal == terminal]
        if serial is None or not ours or self.blind or self.payments_at_terminal(terminal, PayState.AUTH_PENDING):
            return
        latest = max(ours, key=lambda p: p.at)
        assert latest.reservation is not None
        number, step = (latest.reservation + 1, 1) if below is None else (below - 1, -1)
        while number > 0 and number not in known:
            yield number
            number += step

    def add_unknown_payment(self, event: PaymentApproved, id_: str, now: Moment) -> Payment:
        """Record money that is held without a request of ours (any more). It gets a record of its
        own, to be released."""
        token = Token(payment_reference(self.terms.prefix, id_), TokenType.LOCAL)
        p = self.payments[id_] = Payment(id_, event.terminal, token, 0, now.stamp, utc_s=now.utc_s)
        return p

    def is_repeated_approval(self, event: PaymentApproved, asked: Payment | None) -> bool:
        """Return whether the terminal has reported once more a hold that another driver charges on.
        ``asked``: the payment that the report came with. While its bank is being asked the report is
        its own, but for one with the mark of the other driver's card."""
        if asked is not None and asked.state is PayState.AUTH_PENDING and not is_other_card(asked, event):
            return False
        needed = self.payments_at_terminal(
            event.terminal, PayState.AUTHORIZED, PayState.ACTIVE, PayState.FINAL_KNOWN, PayState.COMMIT_PENDING
        )
        serial = self.open.get(event.terminal, "")
        return any(
            p is not asked and p.reservation == event.reservation and p.serial == serial and not is_other_card(p, event)
            for p in needed
        )

    def record_hold(self, p: Payment, event: PaymentApproved) -> None:
        """Record the bank's hold, under the number that the present terminal has given."""
        p.reservation, p.held_cents = event.reservation, event.amount_cents
        p.serial, p.acquirer = self.open.get(p.terminal, ""), event.acquirer

    def persist_payment(self, p: Payment) -> Persist:
        p.kept = True
        return Persist("payment", p.id, p.to_record())

    def forget_payment(self, p: Payment) -> Iterator[Yielded]:
        for where in (self.payments, self.done):
            where.pop(p.id, None)
        if p.kept:
            yield Persist("payment", p.id, None)

    def archive_payment(self, p: Payment) -> Iterator[Yielded]:
        """Keep a finished payment on disk only, for the export and the reconciliation."""
        yield Persist(ARCHIVE, p.id, p.to_record())
        yield from self.forget_payment(p)


Rule: TypeAlias = Callable[[PaymentBook, Payment, Any, Moment], Iterator[Yielded]]


def leads_to_states(*states: PayState) -> Callable[[Rule], Rule]:
    """Declare which states a rule may lead to (besides staying)."""

    def declare_targets(rule: Rule) -> Rule:
        rule.targets = states  # type: ignore[attr-defined]
        return rule

    return declare_targets


def payment_timer(kind: TimerKind, p: Payment) -> Timer:
    return Timer(kind, detail=p.id)


def ignore_event(j: PaymentBook, p: Payment, event: Event, now: Moment) -> Iterator[Yielded]:
    return iter(())
