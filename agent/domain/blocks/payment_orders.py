"""Follow what a person orders about a card payment that is not settled: ask again, release, or write off."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import Started
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.payment import (
    PayState,
)
from agent.domain.payment_receipt import ReceiptSeries
from agent.domain.payment_table import PaymentJournal
from agent.domain.settlement_orders import (
    PaymentRetryOrdered,
    PaymentVoidOrdered,
    PaymentWriteOffOrdered,
    SettlementOrdered,
)
from agent.domain.terminal_messages import PaymentReviewed
from agent.model.types import Moment


class PaymentOrders:
    def __init__(self, journal: PaymentJournal) -> None:
        self._journal = journal

    @handles_events(PaymentRetryOrdered, PaymentVoidOrdered, PaymentWriteOffOrdered)
    def follow_settlement_order(self, event: SettlementOrdered, now: Moment) -> Iterator[Yielded]:
        p = self._journal.find_payment(event.payment)
        if p is not None and p.kept:
            yield from self._journal.apply_payment_event(p, event, now)
            if p.state is not PayState.UNCERTAIN:
                yield PaymentReviewed(p.id)  # the fault is judged again


class ReceiptNumbers:
    """Go on with the numbers of receipts after a start."""

    def __init__(self, site: StationState, series: ReceiptSeries) -> None:
        self._site, self._series = site, series

    @handles_events(Started)
    def resume_receipt_numbers(self, event: Started, now: Moment) -> Iterator[Yielded]:
        yield from self._series.resume_series(event.remembered, self._site.collaborators.new_id)
