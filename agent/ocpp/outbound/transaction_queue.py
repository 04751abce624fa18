"""The queue of billed messages: strictly first in, first out, retried, and at last moved to the
dead letters (OCPP 1.6 4.10, 9.1).

An attempt is what the other side "fails to process": a refusal, or an invalid answer. After the
last permitted attempt the row becomes a dead letter and the queue goes on (1.6 3.7.1). The
exception is the start of a session that still runs, while ``retry_start_while_charging`` is set.
Where the backend assigns the transaction ids, the rest of a session whose start was given up is
sent with the number -1 (1.6 errata 3.18). Its end stays in the dead letters beside its start,
where a person can resend both. A lost connection and silence are no attempts: the same payload
is sent again, without limit, in a new CALL, after silence with a growing pause. But if the
backend answers other CALLs meanwhile, starts and ends do not wait without limit behind a message
that is neither; nor if it stumbles at heartbeats too, for an hour. Nor do they where the connection
ends at that message each time (``interrupted_calls.py``). An answer to any CALL of a row is the row's
answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from agent.domain.events import Event
from agent.domain.messages import (
    ConnectorUnplugged,
    MeterSampled,
    TransactionEnded,
    TransactionUpdated,
    is_first_with_token,
)
from agent.domain.variables import Settings
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect, MessageRow, ResponseEffects, RowContext
from agent.ocpp.outbound.dead_letter_answers import DeadLetterAnswers
from agent.ocpp.outbound.given_up_rows import GivenUpRows
from agent.ocpp.outbound.interrupted_calls import InterruptedCalls
from agent.ocpp.outbound.opening_requeue import OpeningRequeue
from agent.ocpp.outbound.queue_rows import LEAST_PAUSE_S, QueueRows, UnansweredCalls, attempts_max
from agent.ocpp.outbound.received_answers import ReceivedAnswers
from agent.ocpp.outbound.row_encoder import RowEncoder
from agent.ocpp.outbound.sample_merging import SampleMerging
from agent.ocpp.outbound.sample_removal import SampleRemoval
from agent.ocpp.outbound.status_queue import ALL_SETTLED
from agent.ocpp.outbound.version_handover import VersionHandover, VersionInUse
from agent.ocpp.transport.backoff import growing_pause_s
from agent.ocpp.wire.calls import NOT_OFFERED
from agent.ports.store import OutboxRow, StoreError

log = logging.getLogger("agent.ocpp")

BACKLOG = 3
"""More waiting rows than this are a backlog: then statuses no longer wait for their turn in it."""
UNNUMBERED_END = (
    "accepted without a transaction id, since its start was refused: resend it when the backend accepts starts"
)


class TransactionQueue:
    """``_in_use``: the version of the present connection. ``_handover_due``: what it must know first
    has not been requeued yet."""

    def __init__(self, ctx: RowContext, store_retry_s: float = 5.0) -> None:
        self._ctx, self._handover = ctx, VersionHandover(ctx)
        self.rows = QueueRows(ctx, ctx.link, store_retry_s)
        self.losses = InterruptedCalls(ctx.link, self.rows, lambda: _retry_interval_s(ctx.settings))
        self.encoder = RowEncoder(
            ctx, lambda row: self._handover.with_wire_number(row).number, self.losses.message_to_send
        )
        self.answers = ReceivedAnswers(self._handover.has_left_queue)
        self._merging = SampleMerging(ctx.link)
        self._removal = SampleRemoval(ctx.outbox, self.rows, self._row_removed)
        self._dead_letters = DeadLetterAnswers(ctx, self.rows, self._handover)
        self._openings = OpeningRequeue(ctx, self.rows, self.encoder, self._handover)
        self._given_up = GivenUpRows(ctx, self.rows, self._handover, self._forget_rows, self._letters_added)
        self._in_use, self._handover_due, self.unanswered = VersionInUse(), False, UnansweredCalls(ctx)
        answers, is_waiting = self.answers, self.encoder.is_latest
        ctx.unstored_effects = lambda: (*answers.unstored_effects(is_waiting), *self._dead_letters.unstored_effects())

    @property
    def waiting_count(self) -> int:
        return self.rows.waiting_count

    @property
    def is_pausing(self) -> bool:
        return self.rows.is_pausing

    def status_barrier(self) -> int:
        """Return the count that ``rows.settled`` must reach before a status that is queued now may
        be sent. 0: at once."""
        waiting = self.rows.waiting_count
        return 0 if waiting > BACKLOG or self.is_pausing else self.rows.settled + waiting

    def settled_for_status(self) -> int:
        """Return ``rows.settled`` for the comparison with a status barrier: statuses do not wait
        for a backlog or for a row that is retried later."""
        return ALL_SETTLED if self.is_pausing or self.rows.waiting_count > BACKLOG else self.rows.settled

    def due_in_s(self) -> float | None:
        owes = self.rows.waiting_count or self._handover_due or self._dead_letters.is_store_behind
        return self.rows.pause_left_s if owes else None

    def connection_opened(self, dialect: Dialect, is_doubted: bool = False) -> None:
        """Reset for a new connection. Failures count on if it is doubted whether there is a backend."""
        self.rows.fetched.clear()
        self.unanswered.connection_opened(is_doubted)
        self._in_use = VersionInUse(
            dialect.book_name, dialect.backend_assigns_ids, dialect.silence_is_attempt, dialect.name
        )
        self._handover_due = True
        self._merging.connection_opened(dialect)

    def take_late_answer(self, seq: int, effects: ResponseEffects | None) -> tuple[Event, ...]:
        """Take an answer that arrived after its time-out. It counts as an answer. Return the
        events to report at once: those about a row that is a dead letter."""
        events = self._dead_letters.take_answer(seq, effects)
        if events is not None:
            return events
        self.answers.add_late(seq, effects)
        if effects and self.encoder.is_latest(seq):
            self.rows.end_pause()
        return ()

    # --- the next row --------------------------------------------------------------------------------------------

    async def next_row(self) -> OutboxRow | None:
        """Return the oldest row, if it may be sent now, with the samples that may travel in its
        message."""
        if (
            self.is_pausing
            or not await self._dead_letters.store_answers(self._in_use)
            or (self._handover_due and not await self._hand_over_sessions())
        ):
            return None
        self.rows.forget_outdated()
        if not self.rows.fetched:
            await self._removal.wait_until_removed()
        if not self.rows.waiting_count or self.is_pausing:
            return None
        if not self.rows.fetched:
            await self.rows.fetch_rows()
        row = await self._merging.oldest_with_followers(self.rows, self._may_travel)
        return row if row is None or await self._removal.may_leave_now(row) else None

    def _may_travel(self, head: OutboxRow, last: OutboxRow) -> bool:
        """Return whether the samples of rows up to the last one may travel in the message of the
        head."""
        if self._handover.messages_owed_before(last, self._in_use.name):
            return False
        return self._in_use.backend_assigns_ids or self._handover.can_save_numbers(head)

    async def _hand_over_sessions(self) -> bool:
        try:
            await self._openings.requeue_sessions(self._in_use)
        except StoreError as e:
            self.rows.pause_for_store(str(e))
            return False
        self._handover_due = False
        return True

    def known_answer(self, row: OutboxRow) -> tuple[ResponseEffects | None] | None:
        """Return the answer to a row that need not be sent again (``ReceivedAnswers``)."""
        self._dead_letters.letter_requeued(row)  # if it was one
        return self.answers.known_answer(row)

    async def settle_unsent(self, row: OutboxRow) -> bool:
        """Settle a row that must not be sent now, or not yet. Return False if it is to be sent."""
        if await self._needs_handover(row):
            return True
        reason = self.losses.reason_to_give_up(row, attempts_max(self._ctx.settings))
        if reason and _may_be_given_up(row, self.unanswered.is_doubted):
            await self._give_up_ignored(row, reason)
            return True
        is_start = self._in_use.backend_assigns_ids and is_first_with_token(row.message)
        if is_start and not self._handover.is_unnumbered_start(row, self._in_use):
            await self.row_delivered(row, ResponseEffects())  # a late answer came while it was a dead letter
            return True
        return False

    async def _needs_handover(self, row: OutboxRow) -> bool:
        """Handle a session that began in another version. Return True if this row is not sent
        now, or other rows go first."""
        version = self._in_use.name
        if self._handover.has_left_queue(row, version):
            await self.row_delivered(row, ResponseEffects())
        elif doubt := self._handover.doubt_about_end(row, version):
            await self.move_to_dead_letters(row, doubt)
        elif owed := self._handover.messages_owed_before(row, version):
            try:
                if not await self._openings.end_is_pending(row):
                    return False
                await self._openings.requeue_opening(owed, self._in_use)
            except StoreError as e:
                self.rows.pause_for_store(str(e))
        else:
            return False
        return True

    async def record_sending(self, row: OutboxRow) -> bool:
        """Record that this message may reach the backend, where delivery cannot be verified
        later. Return False if the store did not accept the record."""
        facts = self._handover.facts_of_sending(row, self._in_use.name)
        if facts and not await self.rows.try_store(self._ctx.outbox.put_facts(facts)):
            return False
        self._merging.message_sent(row)
        return True

    async def encode_payload(
        self, row: OutboxRow, out: MessageRow, dialect: Dialect
    ) -> tuple[OutboxRow, dict[str, Any] | None]:
        """Return the payload, with the samples of those followers that find room in the message."""
        return await self.encoder.encode_with_followers(row, out, dialect, self._merging.octets_max)

    def sending_interrupted(self, row: OutboxRow, answered_s: float) -> None:
        """Note that the connection ended before the row was answered."""
        self._merging.connection_lost(row)
        is_skippable = _may_be_given_up(row, self.unanswered.is_doubted)
        if not row.followers:
            self.losses.call_interrupted(row, answered_s, is_skippable)

    async def row_not_received(self, row: OutboxRow) -> None:
        """Note that the backend cannot have the row: an end may be sent in another version."""
        if facts := self._handover.facts_of_refusal(row):
            await self.rows.try_store(self._ctx.outbox.put_facts(facts))

    # --- delivered -----------------------------------------------------------------------------------------------

    def events_of_answer(self, row: OutboxRow, effects: ResponseEffects) -> list[Event]:
        """Return the events to report to the domain."""
        return self._handover.events_of_answer(row, effects)

    async def row_delivered(self, row: OutboxRow, effects: ResponseEffects) -> bool:
        """Remove the row from the queue and store the facts of its answer. Return False if the
        store did not accept them: the row comes again, but is not sent again."""
        if not effects.version:
            effects = replace(effects, version=self._in_use.name)
        self.answers.keep_unstored(row, effects)
        is_end = isinstance(row.message, TransactionEnded) and row.message.authorized
        if is_end and self._handover.lacks_number(row, self._in_use):
            # the backend has the end, but cannot make a bill of it
            facts = self._handover.facts_of_unnumbered_end(row)
            is_stored = await self.rows.try_store(self._ctx.outbox.dead_letter([row], UNNUMBERED_END, facts))
        else:
            self.unanswered.row_answered()
            facts = self._handover.facts_of_delivery(row, effects, self._in_use)
            is_sample = not facts and _is_sample_between(row)
            if is_sample and self._in_use.backend_assigns_ids:
                # the next message may be sent meanwhile; a numbered one could take its place after a kill
                self._merging.message_delivered(row)
                await self._removal.begin_removal(row)
                return True
            outbox = self._ctx.outbox
            is_unsent = self._in_use.backend_assigns_ids and isinstance(row.message, TransactionUpdated)
            remove = outbox.remove_with_next_commit if is_sample or is_unsent else outbox.remove_delivered
            is_stored = await self.rows.try_store(remove(row, facts))
        if is_stored:
            self._merging.message_delivered(row)
            self._row_removed(row)
        return is_stored

    def _row_removed(self, row: OutboxRow) -> None:
        self.answers.answer_stored(row)
        self._forget_rows(row)

    def _forget_rows(self, row: OutboxRow, count: int = 1) -> None:
        self.rows.forget_rows(row, count)
        self._merging.rows_left((row, *row.followers))
        self.losses.forget_losses(row)
        if self.encoder.is_latest(row.seq):
            self.encoder.forget_payload()
        self.answers.discard_late(row.seq)

    # --- refused -------------------------------------------------------------------------------------------------

    def outlives_refusals(self, row: OutboxRow, is_unknown: bool) -> bool:
        """Return whether a refused message is sent again. ``is_unknown``: the backend does not
        offer this action at all; then separate messages with values between start and end are
        not sent again either."""
        is_between = isinstance(row.message, MeterSampled) and self._in_use.backend_assigns_ids and not row.message.late
        return _is_billed(row, self._in_use) and not (is_unknown and is_between)

    async def row_refused(self, row: OutboxRow, why: str, code: str = "") -> None:
        """Count one attempt more. The pause grows with the attempts (domain time). ``code``: the
        error code with which the backend refused the message, so it does not have it."""
        is_unknown = code in NOT_OFFERED
        is_repeated = self.outlives_refusals(row, is_unknown)
        if (is_repeated or not is_unknown) and self._merging.message_refused(row):
            return
        if not is_repeated:
            await self.row_delivered(row, ResponseEffects())
            return
        no = bool(code)
        self.unanswered.row_answered()
        attempts, interval_s = row.attempts + 1, _retry_interval_s(self._ctx.settings)
        pause_s = interval_s * attempts
        if attempts >= attempts_max(self._ctx.settings):
            running = await self._openings.is_of_running_session(row, self._in_use)
            if running is None:
                return
            if not running:
                reason = f"refused {attempts} times, at last: {why}"
                await self._given_up.give_up_refused(row, reason, no, self._in_use)
                return
            pause_s = growing_pause_s(interval_s, attempts, LEAST_PAUSE_S)
            self.rows.log_row_once(
                row, f"refused {attempts} times ({why}), but its session still runs: sent again without limit"
            )
        facts = self._handover.facts_of_refusal(row) if no else ()
        if await self.rows.try_store(self._ctx.outbox.count_attempt(row, facts)):
            self.rows.fetched.clear()
            self.rows.pause_sending(pause_s)

    async def row_unanswered(self, row: OutboxRow, answered_s: float, why: str = "") -> None:
        """Note that a working connection brought no answer. That is no attempt, unless the
        version counts silence as one; the same payload is sent again after a pause."""
        if why and row.followers:  # a server stumbles at a long message: the next one is shorter
            self._merging.connection_lost(row)
            return
        if self._in_use.silence_is_attempt and not why:
            await self.row_refused(row, "no valid answer")
            return
        self.unanswered.count_call(why)
        self._merging.message_unanswered(row)
        is_skippable = _may_be_given_up(row, self.unanswered.is_doubted)
        is_ignored = self.unanswered.is_row_ignored(answered_s)
        if is_skippable and is_ignored and not row.followers:
            await self._give_up_ignored(row, self.unanswered.row_given_up(why))
            return
        if is_ignored:
            self._merging.repeat_alone(row)
        if is_ignored and not is_skippable:
            self.losses.shorten_or_report(row, f"gets {self.unanswered.describe_ignoring(why)}")
        least_s = LEAST_PAUSE_S if is_ignored and why else 0.0
        self.rows.pause_sending(growing_pause_s(_retry_interval_s(self._ctx.settings), self.unanswered.count, least_s))

    # --- given up ------------------------------------------------------------------------------------------------

    async def _give_up_ignored(self, row: OutboxRow, reason: str) -> None:
        """Give up a message that the backend ignores while it answers others. It is neither a
        start nor an end: those wait behind it."""
        if _is_billed(row, self._in_use):
            await self.move_to_dead_letters(row, reason)
            return
        log.warning("%s: a %s is given up: %s", self._ctx.link, type(row.message).__name__, reason)
        await self.row_delivered(row, ResponseEffects())

    async def move_to_dead_letters(
        self, row: OutboxRow, reason: str, no: bool = False, elsewhere: bool = False
    ) -> None:
        """Move the row to the dead letters; the start of a session with all rows of it.
        ``elsewhere``: only until another version is used, which may be able to express it."""
        if not self._merging.message_refused(row):
            await self._given_up.move_to_dead_letters(row, reason, self._in_use, no, elsewhere)

    def _letters_added(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._dead_letters.letter_added(row, self.answers.discard_late(row.seq))


def _retry_interval_s(settings: Settings) -> float:
    return float(settings.int_value("message_retry_interval_s"))


def _may_be_given_up(row: OutboxRow, is_doubted: bool) -> bool:
    """Return whether the row may be given up: it is neither a start nor an end. A late record, which a bill may need,
    may be while the backend answers heartbeats (``is_doubted``: it does not)."""
    if isinstance(row.message, MeterSampled):
        return not (row.message.late and is_doubted)
    return isinstance(row.message, ConnectorUnplugged)


def _is_sample_between(row: OutboxRow) -> bool:
    """Return whether the row is a sample of a transaction, of which no bill is made."""
    return isinstance(row.message, MeterSampled) and not row.message.late


def _is_billed(row: OutboxRow, in_use: VersionInUse) -> bool:
    """Return whether a bill could be missing or unclear without this message. Every other message
    is sent once."""
    message = row.message
    if isinstance(message, MeterSampled):  # before the authorization 1.6 sends it outside a transaction
        return bool(message.session) and (message.authorized or not in_use.backend_assigns_ids)
    return not isinstance(message, ConnectorUnplugged)
