"""Durable queues that are not billed: security events, statuses of firmware and log files
(decision 12), and meter values outside a transaction. They keep their order over restarts and
outages like billed messages. A backend that refuses one has received it:
TransactionMessageAttempts is for transactions alone. A message that gets no answer on a working
connection is sent again a few times, and messages of other kinds do not wait for it."""

from __future__ import annotations

import logging
import time
from typing import Any

from agent.domain.events import Event
from agent.ocpp.dialects.dialect import Dialect, MessageRow, ResponseEffects, RowContext
from agent.ocpp.outbound.interrupted_calls import InterruptedCalls
from agent.ocpp.outbound.queue_rows import FETCH, QueueRows
from agent.ocpp.outbound.received_answers import ReceivedAnswers
from agent.ocpp.outbound.row_encoder import RowEncoder
from agent.ocpp.transport.backoff import growing_pause_s
from agent.ports.store import NOTES_MAX, OutboxRow, notes_of, readings_of

log = logging.getLogger("agent.ocpp")

NOTICE_ATTEMPTS = 3
NOTICE_RETRY_S = 60.0
"""Domain seconds until an unanswered notification is sent again, times its attempts."""


class NotificationQueue:
    """A durable queue of messages that are not billed. ``_kind_rests``: until when (monotonic
    seconds) the messages of a class are not sent."""

    def __init__(self, ctx: RowContext, queue: str, store_retry_s: float) -> None:
        self._ctx = ctx
        self.rows = QueueRows(ctx, queue, store_retry_s)
        self.encoder = RowEncoder(ctx)
        self.answers = ReceivedAnswers()
        self.losses = InterruptedCalls(ctx.link, self.rows, lambda: NOTICE_RETRY_S)
        self._kind_rests: dict[type, float] = {}
        self._unprocessed: dict[int, tuple[int, float]] = {}
        """By row: how often something came that was no answer, and since when (monotonic seconds)."""

    def connection_opened(self, dialect: Dialect, is_doubted: bool = False) -> None:
        self.rows.fetched.clear()
        self._kind_rests.clear()

    def take_late_answer(self, seq: int, effects: ResponseEffects | None) -> tuple[Event, ...]:
        """Take an answer that arrived after its time-out. It counts as an answer."""
        self._kind_rests.clear()  # the backend answers again
        self.answers.add_late(seq, effects)
        if effects and self.encoder.is_latest(seq):
            self.rows.end_pause()
        return ()

    # --- order of the rows ---------------------------------------------------------------------------------------

    @property
    def is_pausing(self) -> bool:
        return self.rows.is_pausing or self._first_due_s() > time.monotonic()

    def due_in_s(self) -> float | None:
        if not self.rows.waiting_count:
            return None
        return max(self.rows.pause_left_s, self._first_due_s() - time.monotonic())

    def _first_due_s(self) -> float:
        """Return when the first waiting row may be sent, as far as the resting kinds matter."""
        if not self._kind_rests or not self._all_kinds_fetched:
            return 0.0
        return min((self._kind_rests.get(type(row.message), 0.0) for row in self.rows.fetched), default=0.0)

    async def next_row(self) -> OutboxRow | None:
        """Return the oldest row whose kind does not rest."""
        if not self.rows.waiting_count or self.rows.is_pausing:
            return None
        if not self.rows.fetched or (self._first_ready_row() is None and not self._all_kinds_fetched):
            await self.rows.fetch_rows(NOTES_MAX if self._kind_rests else FETCH)
        return self._first_ready_row()

    @property
    def _all_kinds_fetched(self) -> bool:
        """Whether the fetched rows include every kind that waits."""
        return len(self.rows.fetched) >= min(self.rows.waiting_count, NOTES_MAX)

    def _first_ready_row(self) -> OutboxRow | None:
        now_s = time.monotonic()
        return next((r for r in self.rows.fetched if self._kind_rests.get(type(r.message), 0.0) <= now_s), None)

    # --- delivery ------------------------------------------------------------------------------------------------

    def known_answer(self, row: OutboxRow) -> tuple[ResponseEffects | None] | None:
        """Return the answer to a row that need not be sent again (``ReceivedAnswers``)."""
        return self.answers.known_answer(row)

    async def settle_unsent(self, row: OutboxRow) -> bool:
        """Return whether the row must not be sent any more: it has ended too many connections."""
        reason = self.losses.reason_to_give_up(row, NOTICE_ATTEMPTS)
        if reason:
            await self.move_to_dead_letters(row, reason)
        return bool(reason)

    async def encode_payload(
        self, row: OutboxRow, out: MessageRow, dialect: Dialect
    ) -> tuple[OutboxRow, dict[str, Any] | None]:
        """Return the payload of the row, which travels alone."""
        return row, self.encoder.encode_row(row, out, dialect)

    async def record_sending(self, row: OutboxRow) -> bool:
        """Return whether the row may be sent: a message that arrives twice does no harm."""
        return True

    def sending_interrupted(self, row: OutboxRow, answered_s: float) -> None:
        """Note that the connection ended before the row was answered."""
        self.losses.call_interrupted(row, answered_s, is_skippable=True)

    async def row_not_received(self, row: OutboxRow) -> None:
        """Do nothing: the row is sent again on the next connection."""

    def events_of_answer(self, row: OutboxRow, effects: ResponseEffects) -> list[Event]:
        """Return the events to report to the domain."""
        return list(effects.events)

    async def row_delivered(self, row: OutboxRow, effects: ResponseEffects) -> bool:
        """Remove the row from the queue. Return False if the store did not accept that: the row
        comes again, but is not sent again."""
        self.answers.keep_unstored(row, effects)
        if not await self.rows.try_store(self._ctx.outbox.remove_delivered(row, effects.facts)):
            return False
        self.answers.answer_stored(row)
        self.rows.forget_rows(row)
        self.encoder.forget_payload()
        self.answers.discard_late(row.seq)
        self._unprocessed.pop(row.seq, None)
        self.losses.forget_losses(row)
        return True

    def outlives_refusals(self, row: OutboxRow, is_unknown: bool) -> bool:
        """Return whether a refused message is sent again: a backend that refuses it has it."""
        return False

    async def row_refused(self, row: OutboxRow, why: str, code: str = "") -> None:
        await self.row_delivered(row, ResponseEffects())

    async def row_unanswered(self, row: OutboxRow, answered_s: float, why: str = "") -> None:
        """Let the messages of this kind rest. After a few attempts this one is given up."""
        if why:
            await self._row_unprocessed(row, answered_s, why)
            return
        attempts = row.attempts + 1
        if attempts >= NOTICE_ATTEMPTS:
            await self.move_to_dead_letters(row, f"no answer to {attempts} CALLs")
        elif await self.rows.try_store(self._ctx.outbox.count_attempt(row)):
            self.rows.fetched.clear()
            self._rest_kind(row, attempts)

    def _rest_kind(self, row: OutboxRow, times: int) -> None:
        pause_s = growing_pause_s(NOTICE_RETRY_S, times) / self._ctx.clock.rate
        self._kind_rests[type(row.message)] = time.monotonic() + pause_s

    async def _row_unprocessed(self, row: OutboxRow, answered_s: float, why: str) -> None:
        """Let the messages of this kind rest. That is no attempt while the backend processes nothing at all: a message
        is given up if it answers others."""
        count, since_s = self._unprocessed.get(row.seq, (0, time.monotonic()))
        self._unprocessed[row.seq] = count + 1, since_s
        if count + 1 >= NOTICE_ATTEMPTS and answered_s > since_s:
            await self.move_to_dead_letters(row, f"no answer to {count + 1} CALLs, but to others (at last: {why})")
        else:
            self._rest_kind(row, count + 1)

    async def move_to_dead_letters(
        self, row: OutboxRow, reason: str, no: bool = False, elsewhere: bool = False
    ) -> None:
        """Give up the row. It is not kept: without it no bill is wrong."""
        kind = type(row.message).__name__
        log.warning("%s: a %s is given up: %s", self._ctx.link, kind, ascii(reason)[1:-1][:200])
        await self.row_delivered(row, ResponseEffects())


def notification_queue(ctx: RowContext, store_retry_s: float) -> NotificationQueue:
    """Make the queue of security events and of the statuses of firmware and log files."""
    return NotificationQueue(ctx, notes_of(ctx.link), store_retry_s)


def meter_value_queue(ctx: RowContext, store_retry_s: float) -> NotificationQueue:
    """Make the queue of meter values outside a transaction."""
    return NotificationQueue(ctx, readings_of(ctx.link), store_retry_s)
