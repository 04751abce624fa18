"""Note which transaction has named a card payment: a backend that knows it learns what becomes of the money."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import TransactionOpened
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.payment import PayState
from agent.domain.payment_table import PaymentJournal
from agent.model.types import Moment


class PaymentTransactions:
    def __init__(self, site: StationState, journal: PaymentJournal) -> None:
        self._site, self._journal = site, journal

    @handles_events(TransactionOpened)
    def note_transaction(self, event: TransactionOpened, now: Moment) -> Iterator[Yielded]:
        """Note which transaction has named the payment before its vehicle came."""
        tx = self._site.evses[event.evse].tx
        p = self._journal.payment_of_token(tx.token) if tx is not None else None
        if tx is not None and p is not None and p.state is PayState.AUTHORIZED and p.transaction != tx.id:
            p.transaction = tx.id
            yield self._journal.persist_payment(p)
