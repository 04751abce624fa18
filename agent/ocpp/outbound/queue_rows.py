"""The rows of one durable queue of the store, read a few at a time. A queue pauses after a failure of
the store, and until a message may be sent again."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable

from agent.domain.variables import Settings
from agent.ocpp.dialects.dialect import RowContext
from agent.ports.store import OutboxRow, StoreError

log = logging.getLogger("agent.ocpp")

FETCH = 10
LEAST_PAUSE_S = 60.0
"""Domain seconds before a row that must not become a dead letter is sent again, whatever
TransactionMessageRetryInterval says."""


DOUBT_S = 3600.0
"""Domain seconds for which a backend that processes no heartbeat either may be out of order."""


def attempts_max(settings: Settings) -> int:
    """Return how often a message is sent (TransactionMessageAttempts)."""
    return max(1, settings.int_value("message_attempts"))


class UnansweredCalls:
    """How often the row that is sent now got no answer, and since when (monotonic seconds). ``_stumbled_since_s``:
    since when rows are not processed, and none is. ``is_doubted``: heartbeats are not processed either, which ends
    each connection. ``_given_up``: rows of this trouble."""

    def __init__(self, ctx: RowContext) -> None:
        self._ctx = ctx
        self.count, self._since_s = 0, 0.0
        self._stumbled_since_s: float | None = None
        self.is_doubted, self._given_up = False, 0

    def count_call(self, why: str = "") -> None:
        """Count a CALL. ``why``: what came instead of an answer."""
        self.count += 1
        if self.count == 1:
            self._since_s = time.monotonic()
        if why and self._stumbled_since_s is None:
            self._stumbled_since_s = time.monotonic()

    def row_answered(self) -> None:
        self.count, self._stumbled_since_s, self.is_doubted, self._given_up = 0, None, False, 0

    def row_given_up(self, why: str) -> str:
        """Count the next row from 0 on: the trouble is the same. Return how the backend ignores this row."""
        reason = self.describe_ignoring(why)
        self.count, self._given_up = 0, self._given_up + 1
        return reason

    def connection_opened(self, is_doubted: bool) -> None:
        """Forget the failures of the connection before, unless it has ended because nothing was processed."""
        if is_doubted and self._stumbled_since_s is not None:
            self.is_doubted = True
        else:
            self.row_answered()

    def end_doubt(self) -> None:
        """Note that a heartbeat was answered. The CALLs so far count: one heartbeat of many that is not processed must
        not hold up a row for good. A new doubt has its time from now on."""
        self.is_doubted = False
        if self._stumbled_since_s is not None:
            self._stumbled_since_s = time.monotonic()

    def is_row_ignored(self, answered_s: float) -> bool:
        """Return whether the backend answers other CALLs, at last at ``answered_s``, and not so many of this row. One
        that processes no heartbeat either has ``DOUBT_S`` to come to itself."""
        calls_most = attempts_max(self._ctx.settings)
        if not self.is_doubted or self._stumbled_since_s is None:
            return answered_s > self._since_s and self.count >= calls_most
        is_lasting = time.monotonic() - self._stumbled_since_s >= DOUBT_S / self._ctx.clock.rate
        return is_lasting and answered_s > self._stumbled_since_s and (self._given_up > 0 or self.count >= calls_most)

    def describe_ignoring(self, why: str) -> str:
        """Return how the backend ignores the row. ``why``: what came instead of an answer."""
        return f"no answer to {self.count} CALLs, but to others" + (f" (at last: {why})" if why else "")


class QueueRows:
    """``queue``: its name in the store. ``fetched``: the oldest rows, as far as they are read.
    ``settled``: how many rows have left the queue so far. ``_requeued``: how often rows had been
    queued again before those were read."""

    def __init__(self, ctx: RowContext, queue: str, store_retry_s: float) -> None:
        self.queue, self.settled = queue, 0
        self.fetched: list[OutboxRow] = []
        self._ctx, self._store_retry_s = ctx, store_retry_s
        self._not_before_s = 0.0
        self._requeued = 0
        self._logged_row = 0
        self._paused_for = ""

    @property
    def waiting_count(self) -> int:
        return self._ctx.outbox.queued_count(self.queue)

    async def fetch_rows(self, count: int = FETCH) -> None:
        """Read the oldest rows. The queue pauses if the store returns none."""
        self._requeued = self._ctx.outbox.requeued_count()
        try:
            self.fetched = list(await self._ctx.outbox.oldest_rows(self.queue, count))
        except StoreError as e:
            self.pause_for_store(str(e))
            return
        if self.fetched:
            self._paused_for = ""
        else:
            self.pause_for_store("the store counts waiting rows, but returns none")

    async def fetch_more_rows(self, count: int) -> None:
        """Read on until so many rows are known, if so many wait. A removal that ends meanwhile may
        change or empty the known rows: what was read follows only the row before it."""
        missing = min(count, self.waiting_count) - len(self.fetched)
        if missing <= 0 or not self.fetched:
            return
        last = self.fetched[-1].seq
        try:
            more = await self._ctx.outbox.oldest_rows(self.queue, missing, last)
        except StoreError as e:
            self.pause_for_store(str(e))
            return
        if self.fetched and self.fetched[-1].seq == last:
            self.fetched.extend(more)

    def forget_outdated(self) -> None:
        """Forget the known rows if others were queued again since: they may stand before them."""
        if self._ctx.outbox.requeued_count() != self._requeued:
            self.fetched.clear()

    def forget_rows(self, row: OutboxRow, count: int = 1) -> None:
        """Note that rows have left the queue; this row is the first of them. ``count`` besides its
        followers."""
        self.settled += count + len(row.followers)
        if count == 1:
            self.hide_rows(row)
        else:
            self.fetched.clear()

    def hide_rows(self, row: OutboxRow) -> None:
        """Leave out the row with its followers, which are about to leave the queue."""
        gone = {row.seq, *(r.seq for r in row.followers)}
        self.fetched = [r for r in self.fetched if r.seq not in gone]

    # --- pauses --------------------------------------------------------------------------------------------------

    @property
    def is_pausing(self) -> bool:
        return self.pause_left_s > 0.0

    @property
    def pause_left_s(self) -> float:
        """How many real seconds nothing is sent from now on."""
        return max(0.0, self._not_before_s - time.monotonic())

    def pause_sending(self, pause_s: float) -> None:
        """Send nothing for this time (domain seconds)."""
        self._not_before_s = time.monotonic() + pause_s / self._ctx.clock.rate

    def end_pause(self) -> None:
        self._not_before_s = 0.0

    async def try_store(self, write: Awaitable[None]) -> bool:
        """Return whether the store has accepted the write. The queue pauses if it has not."""
        try:
            await write
        except StoreError as e:
            self.pause_for_store(str(e))
            return False
        return True

    def pause_for_store(self, why: str) -> None:
        if why != self._paused_for:  # log it once: a disk may stay read-only for days
            log.error("%s: the store does not accept the state of the queue: %s", self._ctx.link, why)
            self._paused_for = why
        self._not_before_s = time.monotonic() + self._store_retry_s
        self.fetched.clear()

    def wait_for_clock(self, row: OutboxRow, why: str) -> None:
        """Pause because the time of this row cannot be written. That is not the record's fault:
        the clock may be set later."""
        self.log_row_once(row, f"waits: its time cannot be written now ({why})")
        self.pause_sending(LEAST_PAUSE_S)

    def log_row_once(self, row: OutboxRow, what: str) -> None:
        if self._logged_row != row.seq:
            self._logged_row = row.seq
            kind = type(row.message).__name__
            log.error("%s: %s of session %s %s", self._ctx.link, kind, row.session, ascii(what)[1:-1][:200])
