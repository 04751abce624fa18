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
that is neither. An answer to any CALL of a row is the row's answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from agent.domain.events import Event
from agent.domain.messages import ConnectorUnplugged, MeterSampled, TransactionEnded, is_first_with_token
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect, ResponseEffects, RowContext
from agent.ocpp.outbound.dead_letter_answers import DeadLetterAnswers
from agent.ocpp.outbound.opening_requeue import OpeningRequeue
from agent.ocpp.outbound.queue_rows import LEAST_PAUSE_S, QueueRows
from agent.ocpp.outbound.received_answers import ReceivedAnswers
from agent.ocpp.outbound.row_encoder import RowEncoder
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
        self._ctx = ctx
        self._handover = VersionHandover(ctx)
        self.rows = QueueRows(ctx, ctx.link, store_retry_s)
        self.encoder = RowEncoder(ctx)
        self.answers = ReceivedAnswers(self._handover.has_left_queue)
        self._dead_letters = DeadLetterAnswers(ctx, self.rows, self._handover)
        self._openings = OpeningRequeue(ctx, self.rows, self.encoder, self._handover)
        self._in_use, self._handover_due = VersionInUse(), False
        self._silences, self._silent_since_s = 0, 0.0

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
        return 2**62 if self.is_pausing or self.rows.waiting_count > BACKLOG else self.rows.settled

    def due_in_s(self) -> float | None:
        owes = self.rows.waiting_count or self._handover_due or self._dead_letters.is_store_behind
        return self.rows.pause_left_s if owes else None

    def connection_opened(self, dialect: Dialect) -> None:
        """Reset for a new connection: the failures of the old one no longer count."""
        self.rows.fetched.clear()
        self._silences = 0
        self._in_use = VersionInUse(dialect.name, dialect.backend_assigns_ids, dialect.silence_is_attempt)
        self._handover_due = True

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
        """Return the oldest row, if it may be sent now."""
        if (
            self.is_pausing
            or not await self._dead_letters.store_answers(self._in_use)
            or (self._handover_due and not await self._hand_over_sessions())
        ):
            return None
        if not self.rows.waiting_count:
            return None
        if not self.rows.fetched:
            await self.rows.fetch_rows()
        return self.rows.fetched[0] if self.rows.fetched else None

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
        if self._in_use.backend_assigns_ids and is_first_with_token(row.message) and not self._is_unnumbered_start(row):
            await self.row_delivered(
                row, ResponseEffects()
            )  # it has a number: a late answer came while it was a dead letter
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
        return not facts or await self.rows.try_store(self._ctx.outbox.put_facts(facts))

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
        if isinstance(row.message, TransactionEnded) and row.message.authorized and self._has_no_number(row):
            # the backend has the end, but cannot make a bill of it
            facts = self._handover.facts_of_unnumbered_end(row)
            is_stored = await self.rows.try_store(self._ctx.outbox.dead_letter([row], UNNUMBERED_END, facts))
        else:
            self._silences = 0
            facts = self._handover.facts_of_delivery(row, effects)
            is_stored = await self.rows.try_store(self._ctx.outbox.remove_delivered(row, facts))
        if is_stored:
            self.answers.answer_stored(row)
            self._forget_rows(row)
        return is_stored

    def _has_no_number(self, row: OutboxRow) -> bool:
        is_unnamed = self._in_use.backend_assigns_ids and not self._is_named(row)
        return is_unnamed and self._handover.is_start_refused(row, self._in_use.name)

    def _is_named(self, row: OutboxRow) -> bool:
        """Return whether the backend has given the row's session an id."""
        return self._ctx.outbox.transaction_id(self._ctx.link, row.session, self._in_use.name) is not None

    def _is_unnumbered_start(self, row: OutboxRow) -> bool:
        """Return whether the row is a start that still needs its number. Where the backend
        assigns the ids, no message of a session can be sent without its start."""
        return self._in_use.backend_assigns_ids and is_first_with_token(row.message) and not self._is_named(row)

    def _forget_rows(self, row: OutboxRow, count: int = 1) -> None:
        self.rows.forget_rows(row, count)
        self.encoder.forget_payload()
        self.answers.discard_late(row.seq)

    # --- refused -------------------------------------------------------------------------------------------------

    def _is_billed(self, row: OutboxRow) -> bool:
        """Return whether a bill could be missing or unclear without this message. Every other
        message is sent once."""
        message = row.message
        if isinstance(message, MeterSampled):  # before the authorization 1.6 sends it outside a transaction
            return bool(message.session) and (message.authorized or not self._in_use.backend_assigns_ids)
        return not isinstance(message, ConnectorUnplugged)

    def outlives_refusals(self, row: OutboxRow, is_unknown: bool) -> bool:
        """Return whether a refused message is sent again. ``is_unknown``: the backend does not
        offer this action at all; then separate messages with values between start and end are
        not sent again either."""
        is_between = isinstance(row.message, MeterSampled) and self._in_use.backend_assigns_ids and not row.message.late
        return self._is_billed(row) and not (is_unknown and is_between)

    async def row_refused(self, row: OutboxRow, why: str, code: str = "") -> None:
        """Count one attempt more. The pause grows with the attempts (domain time). ``code``: the
        error code with which the backend refused the message, so it does not have it."""
        if not self.outlives_refusals(row, code in NOT_OFFERED):
            await self.row_delivered(row, ResponseEffects())
            return
        no = bool(code)
        self._silences = 0
        attempts, interval_s = row.attempts + 1, self._retry_interval_s()
        pause_s = interval_s * attempts
        if attempts >= self._attempts_max():
            running = await self._is_of_running_session(row)
            if running is None:
                return
            if not running:
                await self._give_up_row(row, f"refused {attempts} times, at last: {why}", no)
                return
            pause_s = growing_pause_s(interval_s, attempts, LEAST_PAUSE_S)
            self.rows.log_row_once(
                row, f"refused {attempts} times ({why}), but its session still runs: sent again without limit"
            )
        facts = self._handover.facts_of_refusal(row) if no else ()
        if await self.rows.try_store(self._ctx.outbox.count_attempt(row, facts)):
            self.rows.fetched.clear()
            self.rows.pause_sending(pause_s)

    async def _is_of_running_session(self, row: OutboxRow) -> bool | None:
        """Return whether the row is the start of a session whose end does not wait behind it;
        None if the store cannot be read."""
        if not self._is_unnumbered_start(row) or not self._ctx.settings.bool_value("retry_start_while_charging"):
            return False
        try:
            rows = await self._ctx.outbox.rows_of_session(self._ctx.link, row.session)
        except StoreError as e:
            self.rows.pause_for_store(str(e))
            return None
        return not any(isinstance(r.message, TransactionEnded) for r in rows)

    async def row_unanswered(self, row: OutboxRow, answered_s: float) -> None:
        """Note that a working connection brought no answer. That is no attempt, unless the
        version counts it as one; the same payload is sent again after a pause. ``answered_s``:
        when the backend last answered another CALL (monotonic)."""
        if self._in_use.silence_is_attempt:
            await self.row_refused(row, "no valid answer")
            return
        self._silences += 1
        if self._silences == 1:
            self._silent_since_s = time.monotonic()
        is_ignored = isinstance(row.message, MeterSampled | ConnectorUnplugged) and answered_s > self._silent_since_s
        if is_ignored and self._silences >= self._attempts_max():
            await self._give_up_ignored(row)
        else:
            self.rows.pause_sending(growing_pause_s(self._retry_interval_s(), self._silences))

    def _retry_interval_s(self) -> float:
        return float(self._ctx.settings.int_value("message_retry_interval_s"))

    def _attempts_max(self) -> int:
        return max(1, self._ctx.settings.int_value("message_attempts"))

    # --- given up ------------------------------------------------------------------------------------------------

    async def _give_up_ignored(self, row: OutboxRow) -> None:
        """Give up a message that the backend ignores while it answers others. It is neither a
        start nor an end: those wait behind it."""
        reason, self._silences = f"no answer to {self._silences} CALLs, but to others", 0
        if self._is_billed(row):
            await self.move_to_dead_letters(row, reason)
            return
        log.warning("%s: a %s is given up: %s", self._ctx.link, type(row.message).__name__, reason)
        await self.row_delivered(row, ResponseEffects())

    async def _give_up_row(self, row: OutboxRow, reason: str, no: bool) -> None:
        """Move the row to the dead letters, with the rest of its session unless that was done
        before. The queue goes on."""
        version = self._in_use.name
        if not self._is_unnumbered_start(row) or self._handover.is_start_required(row, version):
            await self.move_to_dead_letters(row, reason, no)
            return
        log.error(
            "%s: the start of session %s is a dead letter: %s; the rest is sent without a number",
            self._ctx.link, row.session, ascii(reason)[1:-1][:200],
        )  # fmt: skip
        facts = self._handover.facts_of_refused_start(row, version)
        if await self.rows.try_store(self._ctx.outbox.dead_letter([row], reason, facts)):
            self._forget_rows(row)
            self.rows.fetched.clear()
            self._letters_added([row])

    async def move_to_dead_letters(
        self, row: OutboxRow, reason: str, no: bool = False, elsewhere: bool = False
    ) -> None:
        """Move the row to the dead letters; the start of a session with all rows of it.
        ``elsewhere``: only until another version is used, which may be able to express it."""
        rows: Sequence[OutboxRow] = [row]
        link, version = self._ctx.link, self._in_use.name
        if self._is_unnumbered_start(row):
            try:
                rows = await self._ctx.outbox.rows_of_session(link, row.session) or rows
            except StoreError as e:
                self.rows.pause_for_store(str(e))
                return
        reason = self._handover.dead_letter_reason(rows, reason, no, version if elsewhere else "")
        log.error("%s: %d billed message(s) moved to the dead letters: %s", link, len(rows), ascii(reason)[1:-1][:200])
        facts = self._handover.facts_of_dead_letters(rows, version, elsewhere)
        if await self.rows.try_store(self._ctx.outbox.dead_letter(rows, reason, facts)):
            self._forget_rows(row, len(rows))
            self._letters_added(rows)

    def _letters_added(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._dead_letters.letter_added(row, self.answers.discard_late(row.seq))
