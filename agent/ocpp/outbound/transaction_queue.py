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
from collections import OrderedDict, deque
from collections.abc import Awaitable, Sequence
from typing import Any

from agent.domain.events import Event
from agent.domain.messages import ConnectorUnplugged, MeterSampled, TransactionEnded, is_first_with_token
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect, NotExpressible, NotExpressibleError, Out, ResponseEffects, RowContext
from agent.ocpp.outbound.version_handover import VersionHandover
from agent.ocpp.transport.backoff import growing_pause_s
from agent.ocpp.wire.calls import NOT_OFFERED
from agent.ocpp.wire.timestamps import NoTime
from agent.ports.store import OutboxRow, Put, StoreError

log = logging.getLogger("agent.ocpp")

FETCH = 10
BACKLOG = 3
"""More waiting rows than this are a backlog: then statuses no longer wait for their turn in it."""
LATE_KEPT = 64
LEAST_PAUSE_S = 60.0
"""Domain seconds before a row that must not become a dead letter is sent again, whatever
TransactionMessageRetryInterval says."""


class TransactionQueue:
    """``settled``: how many rows have left the queue so far. ``queue``: its name in the store,
    "" for the link's own."""

    def __init__(self, ctx: RowContext, store_retry_s: float = 5.0, queue: str = "") -> None:
        self.settled, self.queue = 0, queue or ctx.link
        self._ctx, self._store_retry_s = ctx, store_retry_s
        self._rows: deque[OutboxRow] = deque()
        self._not_before_s = 0.0
        self._effects: dict[int, ResponseEffects] = {}
        self._late_answers: OrderedDict[int, ResponseEffects | None] = OrderedDict()
        self._dead_letters: OrderedDict[int, OutboxRow] = OrderedDict()
        self._late_to_dead_letters: tuple[tuple[OutboxRow, ResponseEffects], ...] = ()
        """Dead letters, and what late answers to them have brought: stored before the next row is sent."""
        self._silences, self._silent_since_s = 0, 0.0
        self._logged_row = 0
        self._paused_for = ""
        self._sent: tuple[int, str, dict[str, Any]] | None = None
        self._backend_numbers, self._version = True, ""
        self._handover, self._handover_due = VersionHandover(ctx), False

    @property
    def waiting_count(self) -> int:
        return self._ctx.outbox.queued_count(self.queue)

    def status_barrier(self) -> int:
        """Return the count that ``settled`` must reach before a status that is queued now may be
        sent. 0: at once."""
        return 0 if self.waiting_count > BACKLOG or self.is_pausing else self.settled + self.waiting_count

    @property
    def is_pausing(self) -> bool:
        return time.monotonic() < self._not_before_s

    def settled_for_status(self) -> int:
        """Return ``settled`` for the comparison with a status barrier: statuses do not wait for
        a backlog or for a row that is retried later."""
        return 2**62 if self.is_pausing or self.waiting_count > BACKLOG else self.settled

    def due_in_s(self) -> float | None:
        owes = self.waiting_count or self._handover_due or self._late_to_dead_letters
        return max(0.0, self._not_before_s - time.monotonic()) if owes else None

    def connection_opened(self, dialect: Dialect) -> None:
        """Reset for a new connection: the failures of the old one no longer count."""
        self._rows.clear()
        self._silences = 0
        self._backend_numbers, self._version = dialect.backend_assigns_ids, dialect.name
        self._handover_due = self.queue == self._ctx.link

    def take_late_answer(self, seq: int, effects: ResponseEffects | None) -> tuple[Event, ...]:
        """Take an answer that arrived after its time-out. It counts as an answer; None is a
        refusal, which never replaces a good answer. Return the events to report at once: those
        about a row that is a dead letter."""
        if seq in self._dead_letters:
            self._late_to_dead_letters += ((self._dead_letters[seq], effects),) if effects else ()
            return effects.events if effects else ()
        self._late_answers[seq] = effects or self._late_answers.get(seq)
        while len(self._late_answers) > LATE_KEPT:
            self._late_answers.popitem(last=False)
        if effects and self._sent and self._sent[0] == seq:
            self._not_before_s = 0.0
        return ()

    def pop_late_answer(self, row: OutboxRow) -> ResponseEffects | None:
        """Return the late answer to an earlier CALL of this row."""
        late = self._late_answers.pop(row.seq, None)
        is_old = late is not None and self._handover.has_left_queue(row, late.version)  # it is sent again elsewhere
        return None if is_old else late

    async def next_row(self) -> OutboxRow | None:
        """Return the oldest row, if it may be sent now."""
        if (
            self.is_pausing
            or not await self._store_late_answers()
            or (self._handover_due and not await self._hand_over_sessions())
        ):
            return None
        if not self.waiting_count:
            return None
        if not self._rows:
            await self._fetch_rows(FETCH)
        return self._rows[0] if self._rows else None

    async def _store_late_answers(self) -> bool:
        """Store late answers to dead letters. A start that got its number after all is no dead
        letter: to resend it would begin a second transaction."""
        for row, effects in self._late_to_dead_letters:
            if not await self._try_store(self._ctx.outbox.put_facts(self._handover.facts_of_late_answers((effects,)))):
                return False
            is_start = self._backend_numbers and effects.version == self._version and is_first_with_token(row.message)
            if is_start and not await self._try_store(self._ctx.outbox.requeue_rows([row])):
                return False
            self._late_to_dead_letters = self._late_to_dead_letters[1:]
            self._rows.clear()
        return True

    async def _fetch_rows(self, count: int) -> None:
        try:
            self._rows = deque(await self._ctx.outbox.oldest_rows(self.queue, count))
        except StoreError as e:
            self._pause_for_store(str(e))
            return
        if self._rows:
            self._paused_for = ""
        else:
            self._pause_for_store("the store counts waiting rows, but returns none")

    async def _hand_over_sessions(self) -> bool:
        """Requeue what the present version must know first: the openings of running sessions,
        and ends that this version may have received and may receive again."""
        try:
            for session, facts in self._handover.resolved_doubts(self._version).items():
                await self._ctx.outbox.requeue_session(self._ctx.link, session, facts)
            for rows in await self._handover.unsent_openings(self._version):
                await self._requeue_opening(rows)
        except StoreError as e:
            self._pause_for_store(str(e))
            return False
        self._handover_due = False
        return True

    async def _requeue_opening(self, rows: Sequence[OutboxRow]) -> None:
        facts: Sequence[Put] = ()
        if not self._backend_numbers and self._handover.is_new_to_version(rows[0].session, self._version):
            rows, facts = self._handover.renumber_opening(rows)
        await self._ctx.outbox.requeue_rows(rows, facts)
        self._rows.clear()
        self._sent = None
        log.warning(
            "%s: session %s is sent again in OCPP %s: %d message(s)",
            self._ctx.link, rows[0].session, self._version, len(rows),
        )  # fmt: skip

    async def prepare_row(
        self, row: OutboxRow, dialect: Dialect
    ) -> tuple[Out, dict[str, Any], list[ResponseEffects | None]] | None:
        """Return the row's dialect row and payload; None if the row is settled and needs no
        sending. The third part holds an answer that is already known: then only the store is
        behind."""
        self._dead_letters.pop(row.seq, None)  # it was requeued
        known: list[ResponseEffects | None] = []
        if row.seq in self._effects:
            known = [self._effects[row.seq]]
        elif row.seq in self._late_answers:
            was_refused = self._late_answers[row.seq] is None
            late = self.pop_late_answer(row)
            known = [late] if late or was_refused else []
        out = dialect.message_row(type(row.message))
        if isinstance(out, Out):
            out = out.row_for(row.message)
        if known and isinstance(out, Out):
            return out, {}, known
        if await self._needs_handover(row):
            return None
        if self._backend_numbers and is_first_with_token(row.message) and not self._is_unnumbered_start(row):
            await self.row_delivered(
                row, ResponseEffects()
            )  # it has a number: a late answer came while it was a dead letter
            return None
        if isinstance(out, NotExpressible):
            await self.row_delivered(row, ResponseEffects())
            return None
        if out is None:
            await self.move_to_dead_letters(row, "unreadable record")
            return None
        payload = await self._encode_row(row, out, dialect)
        return None if payload is None else (out, payload, [])

    async def _needs_handover(self, row: OutboxRow) -> bool:
        """Handle a session that began in another version. Return True if this row is not sent
        now, or other rows go first."""
        if self._handover.has_left_queue(row, self._version):
            await self.row_delivered(row, ResponseEffects())
        elif doubt := self._handover.doubt_about_end(row, self._version):
            await self.move_to_dead_letters(row, doubt)
        elif owed := self._handover.messages_owed_before(row, self._version):
            try:
                if not await self._end_is_pending(row):
                    return False
                await self._requeue_opening(owed)
            except StoreError as e:
                self._pause_for_store(str(e))
        else:
            return False
        return True

    async def _end_is_pending(self, row: OutboxRow) -> bool:
        """Return whether the end of the row's session is still to be sent. If it is not, a
        person has it, or another version has sent it: a start sent here would be a transaction
        without an end. Raises ``StoreError``."""
        link = self._ctx.link
        rows = await self._ctx.outbox.rows_of_session(link, row.session)
        is_here = any(isinstance(r.message, TransactionEnded) for r in rows)
        return is_here or row.session in await self._ctx.outbox.open_sessions(link)

    async def record_sending(self, row: OutboxRow) -> bool:
        """Record that this message may reach the backend, where delivery cannot be verified
        later. Return False if the store did not accept the record."""
        facts = self._handover.facts_of_sending(row, self._version)
        return not facts or await self._try_store(self._ctx.outbox.put_facts(facts))

    def events_of_answer(self, row: OutboxRow, effects: ResponseEffects) -> list[Event]:
        """Return the events to report to the domain."""
        return self._handover.events_of_answer(row, effects)

    async def _encode_row(self, row: OutboxRow, out: Out, dialect: Dialect) -> dict[str, Any] | None:
        if self._sent and self._sent[:2] == (row.seq, dialect.name):
            return self._sent[2]
        try:
            same = row.number == self._ctx.number
            payload = out.encode(row.message, self._ctx if same else replace(self._ctx, number=row.number))
            check = dialect.schemas.request_check(out.action) if dialect.schemas and payload is not None else None
            broken = check(payload) if check else None
        except NotExpressibleError as e:
            await self.move_to_dead_letters(
                row, f"cannot be expressed in OCPP {dialect.name}: {e}", elsewhere=e.elsewhere
            )
            return None
        except NoTime as e:  # not the record's fault: the clock may be set later
            self._log_row_once(row, f"waits: its time cannot be written now ({e})")
            self._pause_sending(LEAST_PAUSE_S)
            return None
        except Exception as e:  # noqa: BLE001  one bad record must not stop the billing of all others
            await self.move_to_dead_letters(row, f"cannot be encoded: {type(e).__name__}: {e}")
            return None
        if broken is not None:
            await self.move_to_dead_letters(row, f"breaks the schema of {out.action} at {broken}")
            return None
        if payload is None:
            await self.row_delivered(row, ResponseEffects())
            return None
        self._sent = (row.seq, dialect.name, payload)
        return payload

    async def row_delivered(self, row: OutboxRow, effects: ResponseEffects) -> bool:
        """Remove the row from the queue and store the facts of its answer. Return False if the
        store did not accept them: the row comes again, but is not sent again."""
        if not effects.version:
            effects = replace(effects, version=self._version)
        if self._has_no_number(row) and isinstance(row.message, TransactionEnded) and row.message.authorised:
            return await self._end_without_number(row, effects)
        self._effects[row.seq] = effects
        self._silences = 0
        if not await self._try_store(
            self._ctx.outbox.remove_delivered(row, self._handover.facts_of_delivery(row, effects))
        ):
            return False
        del self._effects[row.seq]
        self._forget_rows(row)
        return True

    def is_billed(self, row: OutboxRow) -> bool:
        """Return whether a bill could be missing or unclear without this message. Every other
        message is sent once."""
        message = row.message
        if isinstance(message, MeterSampled):  # before the authorization 1.6 sends it outside a transaction
            return bool(message.session) and (message.authorised or not self._backend_numbers)
        return not isinstance(message, ConnectorUnplugged)

    def outlives_refusals(self, row: OutboxRow, is_unknown: bool) -> bool:
        """Return whether a refused message is sent again. ``is_unknown``: the backend does not
        offer this action at all; then separate messages with values between start and end are
        not sent again either."""
        is_between = isinstance(row.message, MeterSampled) and self._backend_numbers and not row.message.late
        return self.is_billed(row) and not (is_unknown and is_between)

    def _has_no_number(self, row: OutboxRow) -> bool:
        named = self._ctx.outbox.transaction_id(self._ctx.link, row.session, self._version) is not None
        return self._backend_numbers and not named and self._handover.is_start_refused(row, self._version)

    async def _end_without_number(self, row: OutboxRow, effects: ResponseEffects) -> bool:
        """Move a delivered end to the dead letters: the backend has it, but cannot make a bill
        of it."""
        reason = (
            "accepted without a transaction id, since its start was refused: resend it when the backend accepts starts"
        )
        self._effects[row.seq] = effects
        if not await self._try_store(
            self._ctx.outbox.dead_letter([row], reason, self._handover.facts_of_unnumbered_end(row))
        ):
            return False
        del self._effects[row.seq]
        self._forget_rows(row)
        return True

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
        if attempts >= max(1, self._ctx.settings.int_value("message_attempts")):
            running = await self._is_of_running_session(row)
            if running is None:
                return
            if not running:
                await self._give_up_row(row, f"refused {attempts} times, at last: {why}", no)
                return
            pause_s = growing_pause_s(interval_s, attempts, LEAST_PAUSE_S)
            self._log_row_once(
                row, f"refused {attempts} times ({why}), but its session still runs: sent again without limit"
            )
        if await self._try_store(
            self._ctx.outbox.count_attempt(row, self._handover.facts_of_refusal(row) if no else ())
        ):
            self._rows.clear()
            self._pause_sending(pause_s)

    async def _give_up_row(self, row: OutboxRow, reason: str, no: bool) -> None:
        """Move the row to the dead letters, with the rest of its session unless that was done
        before. The queue goes on."""
        if not self._is_unnumbered_start(row) or self._handover.is_start_required(row, self._version):
            await self.move_to_dead_letters(row, reason, no)
            return
        log.error(
            "%s: the start of session %s is a dead letter: %s; the rest is sent without a number",
            self._ctx.link, row.session, ascii(reason)[1:-1][:200],
        )  # fmt: skip
        facts = self._handover.facts_of_refused_start(row, self._version)
        if await self._try_store(self._ctx.outbox.dead_letter([row], reason, facts)):
            self._forget_rows(row)
            self._rows.clear()
            self._remember_dead_letters([row])

    async def row_unanswered(self, row: OutboxRow, counts: bool, answered_s: float) -> None:
        """Note that a working connection brought no answer. That is no attempt, unless it
        ``counts`` as one; the same payload is sent again after a pause. ``answered_s``: when the
        backend last answered another CALL (monotonic)."""
        if counts:
            await self.row_refused(row, "no valid answer")
            return
        self._silences += 1
        if self._silences == 1:
            self._silent_since_s = time.monotonic()
        is_ignored = isinstance(row.message, MeterSampled | ConnectorUnplugged) and answered_s > self._silent_since_s
        if is_ignored and self._silences >= max(1, self._ctx.settings.int_value("message_attempts")):
            await self._give_up_ignored(row)
        else:
            self._pause_sending(growing_pause_s(self._retry_interval_s(), self._silences))

    async def _give_up_ignored(self, row: OutboxRow) -> None:
        """Give up a message that the backend ignores while it answers others. It is neither a
        start nor an end: those wait behind it."""
        reason, self._silences = f"no answer to {self._silences} CALLs, but to others", 0
        if self.is_billed(row):
            await self.move_to_dead_letters(row, reason)
            return
        log.warning("%s: a %s is given up: %s", self._ctx.link, type(row.message).__name__, reason)
        await self.row_delivered(row, ResponseEffects())

    def _retry_interval_s(self) -> float:
        return float(self._ctx.settings.int_value("message_retry_interval_s"))

    def _pause_sending(self, pause_s: float) -> None:
        """Send nothing for this time (domain seconds)."""
        self._not_before_s = time.monotonic() + pause_s / self._ctx.clock.rate

    async def _is_of_running_session(self, row: OutboxRow) -> bool | None:
        """Return whether the row is the start of a session whose end does not wait behind it;
        None if the store cannot be read."""
        link = self._ctx.link
        if not self._is_unnumbered_start(row) or not self._ctx.settings.bool_value("retry_start_while_charging"):
            return False
        try:
            rows = await self._ctx.outbox.rows_of_session(link, row.session)
        except StoreError as e:
            self._pause_for_store(str(e))
            return None
        return not any(isinstance(r.message, TransactionEnded) for r in rows)

    def _is_unnumbered_start(self, row: OutboxRow) -> bool:
        """Return whether the row is a start that still needs its number. Where the backend
        assigns the ids, no message of a session can be sent without its start."""
        if not self._backend_numbers:
            return False
        named = self._ctx.outbox.transaction_id(self._ctx.link, row.session, self._version) is not None
        return is_first_with_token(row.message) and not named

    def _log_row_once(self, row: OutboxRow, what: str) -> None:
        if self._logged_row != row.seq:
            self._logged_row = row.seq
            kind = type(row.message).__name__
            log.error("%s: %s of session %s %s", self._ctx.link, kind, row.session, ascii(what)[1:-1][:200])

    async def move_to_dead_letters(
        self, row: OutboxRow, reason: str, no: bool = False, elsewhere: bool = False
    ) -> None:
        """Move the row to the dead letters; the start of a session with all rows of it.
        ``elsewhere``: only until another version is used, which may be able to express it."""
        rows: Sequence[OutboxRow] = [row]
        link = self._ctx.link
        if self._is_unnumbered_start(row):
            try:
                rows = await self._ctx.outbox.rows_of_session(link, row.session) or rows
            except StoreError as e:
                self._pause_for_store(str(e))
                return
        reason = self._handover.dead_letter_reason(rows, reason, no, self._version if elsewhere else "")
        log.error("%s: %d billed message(s) moved to the dead letters: %s", link, len(rows), ascii(reason)[1:-1][:200])
        facts = self._handover.facts_of_dead_letters(rows, self._version, elsewhere)
        if await self._try_store(self._ctx.outbox.dead_letter(rows, reason, facts)):
            self._forget_rows(row, len(rows))
            self._remember_dead_letters(rows)

    def _remember_dead_letters(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._dead_letters[row.seq] = row
            if row.seq in self._late_answers:  # it came while the row was moved to the dead letters
                self.take_late_answer(row.seq, self._late_answers.pop(row.seq))
        while len(self._dead_letters) > LATE_KEPT:
            self._dead_letters.popitem(last=False)

    def _forget_rows(self, row: OutboxRow, count: int = 1) -> None:
        self.settled += count
        self._sent = None
        self._late_answers.pop(row.seq, None)
        if count == 1:
            self._rows = deque(r for r in self._rows if r.seq != row.seq)
        else:
            self._rows.clear()

    async def _try_store(self, write: Awaitable[None]) -> bool:
        try:
            await write
        except StoreError as e:
            self._pause_for_store(str(e))
            return False
        return True

    def _pause_for_store(self, why: str) -> None:
        if why != self._paused_for:  # log it once: a disk may stay read-only for days
            log.error("%s: the store does not accept the state of the queue: %s", self._ctx.link, why)
            self._paused_for = why
        self._not_before_s = time.monotonic() + self._store_retry_s
        self._rows.clear()
