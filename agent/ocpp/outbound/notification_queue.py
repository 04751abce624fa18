"""The queues beside the bills: security events and the statuses of files (decision 12), and meter values outside a
transaction. In order, kept over restarts and outages like what is billed. No bill is made of them, so a backend that
refuses one has had it: TransactionMessageAttempts is for transactions alone. What gets no answer on a line that is
alive is sent again a few times, and nothing of another kind waits for it."""

from __future__ import annotations

import logging
import time

from agent.domain.events import Event
from agent.ocpp.dialects.dialect import Desk, Dialect, Heard
from agent.ocpp.outbound.transaction_queue import FETCH, Billing
from agent.ocpp.transport.backoff import growing_s
from agent.ports.store import NOTES_MAX, OutboxRow, notes_of, readings_of

log = logging.getLogger("agent.ocpp")

NOTICE_ATTEMPTS = 3
NOTICE_RETRY_S = 60.0
"""Domain seconds until a notice without an answer is sent again, times its attempts."""


class Unbilled(Billing):
    """What no bill is made of. ``_kind_rests``: until when (monotonic seconds) the messages of a class are not sent."""

    def __init__(self, desk: Desk, store_retry_s: float, queue: str) -> None:
        super().__init__(desk, store_retry_s, queue)
        self._kind_rests: dict[type, float] = {}

    def is_of_bill(self, row: OutboxRow) -> bool:
        return False

    async def silent(self, row: OutboxRow, counts: bool, answered_s: float) -> None:
        attempts = row.attempts + 1
        if attempts >= NOTICE_ATTEMPTS:
            await self.bury(row, f"no answer to {attempts} CALLs")
        elif await self._stored(self._desk.outbox.attempted(row)):
            self._rows.clear()
            pause_s = growing_s(NOTICE_RETRY_S, attempts) / self._desk.clock.rate
            self._kind_rests[type(row.message)] = time.monotonic() + pause_s

    async def bury(self, row: OutboxRow, reason: str, no: bool = False, elsewhere: bool = False) -> None:
        kind = type(row.message).__name__
        log.warning("%s: a %s is given up: %s", self._desk.link, kind, ascii(reason)[1:-1][:200])
        await self.done(row, Heard())

    def reconnected(self, dialect: Dialect) -> None:
        super().reconnected(dialect)
        self._kind_rests.clear()

    def late(self, seq: int, heard: Heard | None) -> tuple[Event, ...]:
        self._kind_rests.clear()  # the backend answers again
        return super().late(seq, heard)

    # --- whose turn it is ----------------------------------------------------------------------------------------

    @property
    def pausing(self) -> bool:
        return super().pausing or self._first_due_s() > time.monotonic()

    def due_in_s(self) -> float | None:
        if not self.waiting:
            return None
        return max(0.0, self._not_before_s - time.monotonic(), self._first_due_s() - time.monotonic())

    def _first_due_s(self) -> float:
        """When the first of all that wait may be sent, as far as the resting kinds matter."""
        if not self._kind_rests or not self._all_seen:
            return 0.0
        return min((self._kind_rests.get(type(row.message), 0.0) for row in self._rows), default=0.0)

    async def head(self) -> OutboxRow | None:
        """The oldest row whose kind does not rest."""
        if not self.waiting or super().pausing:
            return None
        if not self._rows or (self._ready() is None and not self._all_seen):
            await self._fetch(NOTES_MAX if self._kind_rests else FETCH)
        return self._ready()

    @property
    def _all_seen(self) -> bool:
        """Every kind that waits is among the rows that were fetched."""
        return len(self._rows) >= min(self.waiting, NOTES_MAX)

    def _ready(self) -> OutboxRow | None:
        now_s = time.monotonic()
        return next((r for r in self._rows if self._kind_rests.get(type(r.message), 0.0) <= now_s), None)


class Notices(Unbilled):
    """Security events, statuses of firmware and log files."""

    def __init__(self, desk: Desk, store_retry_s: float = 5.0) -> None:
        super().__init__(desk, store_retry_s, notes_of(desk.link))


class MeterReadings(Unbilled):
    """Meter values outside a transaction."""

    def __init__(self, desk: Desk, store_retry_s: float = 5.0) -> None:
        super().__init__(desk, store_retry_s, readings_of(desk.link))
