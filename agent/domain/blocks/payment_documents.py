"""Keep what the acquirer says of a payment behind the approval: the terminal's receipt, its record of the transaction.
Nothing is decided by it. A receipt that is issued later has it, one that was issued before does not change."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.functional_block import Yielded, handles_events
from agent.domain.payment import Payment
from agent.domain.payment_journal import PaymentBook
from agent.domain.terminal_messages import PaymentDocumented
from agent.model.bank_card import BankCard
from agent.model.types import Moment


class PaymentDocuments:
    def __init__(self, journal: PaymentBook) -> None:
        self._journal = journal

    @handles_events(PaymentDocumented)
    def keep_acquirer_words(self, event: PaymentDocumented, now: Moment) -> Iterator[Yielded]:
        """Keep them with the payment, unless its card was forgotten by age."""
        p = self._payment_of_hold(event)
        if p is None or p.card == BankCard(""):
            return
        said = p.acquirer.completed_by(event.acquirer)
        if said != p.acquirer:
            p.acquirer = said
            yield self._journal.persist_payment(p)

    def _payment_of_hold(self, event: PaymentDocumented) -> Payment | None:
        """Return the newest payment whose hold has this number at the terminal that is there now."""
        serial = self._journal.open.get(event.terminal, "")
        held = (p for p in self._journal.all_payments() if p.terminal == event.terminal and p.serial == serial)
        return max((p for p in held if p.reservation == event.reservation), key=lambda p: p.at, default=None)
