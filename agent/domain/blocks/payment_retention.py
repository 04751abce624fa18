"""Keep finished card payments as long as they are needed: the newest in memory, older ones on disk only, and what says
whose card it was no longer than the station file allows."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.blocks.payment_ceiling import payment_age_s
from agent.domain.events import Started, TimeCame
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import WakeMe
from agent.domain.payment import CARD_S, DAY_S, Payment, PayState
from agent.domain.payment_journal import PaymentBook
from agent.domain.timers import Timer, TimerKind
from agent.model.bank_card import AcquirerRecord, BankCard
from agent.model.types import Moment

FINISHED_MAX = 500
"""Finished payments in memory: the newest, whose hold the terminal may still report, or whose card may come again."""


class PaymentRetention:
    """Behind the block that reads the payments from the disk."""

    def __init__(self, journal: PaymentBook) -> None:
        self._journal = journal

    @handles_events(Started)
    def retain_at_start(self, event: Started, now: Moment) -> Iterator[Yielded]:
        yield from self._retain_finished_payments(now)

    @handles_timer(TimerKind.PAYMENT_PRUNING)
    def retain_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._retain_finished_payments(now)

    def _retain_finished_payments(self, now: Moment) -> Iterator[Yielded]:
        """Forget payments by age, and keep the oldest beyond the number on disk only. A payment that needs review
        stays."""
        terms = self._journal.terms
        card_s = CARD_S if terms.receipts is None else terms.receipts.card_s
        done = [p for p in self._journal.done.values() if p.reviewed or p.state is not PayState.UNCERTAIN]
        done.sort(key=lambda p: p.at)
        for n, p in enumerate(done):
            age_s = payment_age_s(p, now)
            if age_s > terms.keep_s:
                yield from self._journal.forget_payment(p)
            elif n < len(done) - FINISHED_MAX:
                yield from self._journal.archive_payment(p)
            elif age_s > card_s:
                yield from self._forget_card(p)
        yield WakeMe(Timer(TimerKind.PAYMENT_PRUNING), now.t_s + DAY_S)

    def _forget_card(self, p: Payment) -> Iterator[Yielded]:
        if p.card != BankCard("") or p.acquirer != AcquirerRecord():
            p.card, p.acquirer = BankCard(""), AcquirerRecord()
            yield self._journal.persist_payment(p)
