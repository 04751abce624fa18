"""Durable queues that are not billed: security events, statuses of firmware and log files
(decision 12), and meter values outside a transaction. They keep their order over restarts and
outages like billed messages. A backend that refuses one has received it:
TransactionMessageAttempts is for transactions alone. A message that gets no answer on a working
connection is sent again a few times, and messages of other kinds do not wait for it."""

from __future__ import annotations

import logging
import time

from agent.domain.events import Event
from agent.ocpp.dialects.dialect import Dialect, ResponseEffects, RowContext
from agent.ocpp.outbound.transaction_queue import FETCH, TransactionQueue
from agent.ocpp.transport.backoff import growing_pause_s
from agent.ports.store import NOTES_MAX, OutboxRow, notes_of, readings_of

log = logging.getLogger("agent.ocpp")

NOTICE_ATTEMPTS = 3
NOTICE_RETRY_S = 60.0
"""Domain seconds until an unanswered notification is sent again, times its attempts."""


class UnbilledQueue(TransactionQueue):
    """A durable queue of messages that are not billed. ``_kind_rests``: until when (monotonic
    seconds) the messages of a class are not sent."""

    def __init__(self, ctx: RowContext, store_retry_s: float, queue: str) -> None:
        super().__init__(ctx, store_retry_s, queue)
        self._kind_rests: dict[type, float] = {}

    def is_billed(self, row: OutboxRow) -> bool:
        return False

    async def row_unanswered(self, row: OutboxRow, counts: bool, answered_s: float) -> None:
        attempts = row.attempts + 1
        if attempts >= NOTICE_ATTEMPTS:
            await self.move_to_dead_letters(row, f"no answer to {attempts} CALLs")
        elif await self._try_store(self._ctx.outbox.count_attempt(row)):
            self._rows.clear()
            pause_s = growing_pause_s(NOTICE_RETRY_S, attempts) / self._ctx.clock.rate
            self._kind_rests[type(row.message)] = time.monotonic() + pause_s

    async def move_to_dead_letters(
        self, row: OutboxRow, reason: str, no: bool = False, elsewhere: bool = False
    ) -> None:
        kind = type(row.message).__name__
        log.warning("%s: a %s is given up: %s", self._ctx.link, kind, ascii(reason)[1:-1][:200])
        await self.row_delivered(row, ResponseEffects())

    def connection_opened(self, dialect: Dialect) -> None:
        super().connection_opened(dialect)
        self._kind_rests.clear()

    def take_late_answer(self, seq: int, effects: ResponseEffects | None) -> tuple[Event, ...]:
        self._kind_rests.clear()  # the backend answers again
        return super().take_late_answer(seq, effects)

    # --- order of the rows --------------------------------------------------------------------------------------

    @property
    def is_pausing(self) -> bool:
        return super().is_pausing or self._first_due_s() > time.monotonic()

    def due_in_s(self) -> float | None:
        if not self.waiting_count:
            return None
        return max(0.0, self._not_before_s - time.monotonic(), self._first_due_s() - time.monotonic())

    def _first_due_s(self) -> float:
        """Return when the first waiting row may be sent, as far as the resting kinds matter."""
        if not self._kind_rests or not self._all_kinds_fetched:
            return 0.0
        return min((self._kind_rests.get(type(row.message), 0.0) for row in self._rows), default=0.0)

    async def next_row(self) -> OutboxRow | None:
        """Return the oldest row whose kind does not rest."""
        if not self.waiting_count or super().is_pausing:
            return None
        if not self._rows or (self._first_ready_row() is None and not self._all_kinds_fetched):
            await self._fetch_rows(NOTES_MAX if self._kind_rests else FETCH)
        return self._first_ready_row()

    @property
    def _all_kinds_fetched(self) -> bool:
        """Whether the fetched rows include every kind that waits."""
        return len(self._rows) >= min(self.waiting_count, NOTES_MAX)

    def _first_ready_row(self) -> OutboxRow | None:
        now_s = time.monotonic()
        return next((r for r in self._rows if self._kind_rests.get(type(r.message), 0.0) <= now_s), None)


class NotificationQueue(UnbilledQueue):
    """Security events and the statuses of firmware and log files."""

    def __init__(self, ctx: RowContext, store_retry_s: float = 5.0) -> None:
        super().__init__(ctx, store_retry_s, notes_of(ctx.link))


class MeterValueQueue(UnbilledQueue):
    """Meter values outside a transaction."""

    def __init__(self, ctx: RowContext, store_retry_s: float = 5.0) -> None:
        super().__init__(ctx, store_retry_s, readings_of(ctx.link))
