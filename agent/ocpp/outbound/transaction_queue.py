"""The queue of what is billed: strictly first in, first out, retried, and in the end moved aside (OCPP 1.6 4.10, 9.1).

An attempt is what the other side "fails to process": a refusal, or an invalid answer. After the last permitted one the
row is buried and the queue goes on (1.6 3.7.1); but not, while ``retry_start_while_charging`` says so, the start of a
session that still runs. Where the backend numbers the transactions, the rest of a session whose start was given up goes
with the number -1 (1.6 errata 3.18), and its end stays in the dead letters beside its start: a person can resend both.
A lost connection and silence are no attempts: the same payload is sent again, for ever, in a CALL of its own, after
silence with a growing pause. But of a backend that answers other CALLs meanwhile, starts and ends do not wait for ever
behind what is neither. An answer to any CALL of a row is the row's answer.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Sequence
from typing import Any

from agent.domain.events import Event
from agent.domain.messages import ConnectorUnplugged, MeterSampled, TransactionEnded, names_token
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect, NotExpressible, NotExpressibleError, Out, ResponseEffects, RowContext
from agent.ocpp.outbound.version_handover import VersionHandover
from agent.ocpp.transport.backoff import growing_pause_s
from agent.ocpp.wire.rpc import NOT_OFFERED
from agent.ocpp.wire.timestamps import NoTime
from agent.ports.store import OutboxRow, Put, StoreError

log = logging.getLogger("agent.ocpp")

FETCH = 10
BACKLOG = 3
"""More waiting rows than this are a backlog: statuses no longer wait for their turn in it."""
LATE_KEPT = 64
LEAST_PAUSE_S = 60.0
"""Domain seconds before a row goes again that may not be buried, whatever TransactionMessageRetryInterval says."""


class TransactionQueue:
    """``settled``: how many rows have left the queue so far. ``queue``: its name in the store, "" the link's own."""

    def __init__(self, ctx: RowContext, store_retry_s: float = 5.0, queue: str = "") -> None:
        self.settled, self.queue = 0, queue or ctx.link
        self._ctx, self._store_retry_s = ctx, store_retry_s
        self._rows: deque[OutboxRow] = deque()
        self._not_before_s = 0.0
        self._heard: dict[int, ResponseEffects] = {}
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
        return self._ctx.outbox.waiting(self.queue)

    def status_barrier(self) -> int:
        """What ``settled`` has to reach before a status that is told now may go. 0: at once."""
        return 0 if self.waiting_count > BACKLOG or self.is_pausing else self.settled + self.waiting_count

    @property
    def is_pausing(self) -> bool:
        return time.monotonic() < self._not_before_s

    def settled_for_status(self) -> int:
        """``settled`` as statuses see it: a backlog or a row that is to be retried later holds nobody up."""
        return 2**62 if self.is_pausing or self.waiting_count > BACKLOG else self.settled

    def due_in_s(self) -> float | None:
        owes = self.waiting_count or self._handover_due or self._late_to_dead_letters
        return max(0.0, self._not_before_s - time.monotonic()) if owes else None

    def connection_opened(self, dialect: Dialect) -> None:
        """A new connection: nothing is owed to the old one's failures."""
        self._rows.clear()
        self._silences = 0
        self._backend_numbers, self._version = dialect.backend_assigns_ids, dialect.name
        self._handover_due = self.queue == self._ctx.link

    def take_late_answer(self, seq: int, heard: ResponseEffects | None) -> tuple[Event, ...]:
        """An answer after its time-out is an answer; None: a refusal, which never takes the place of a good one. What
        comes back is to be heard at once: it is about a row that has been buried."""
        if seq in self._dead_letters:
            self._late_to_dead_letters += ((self._dead_letters[seq], heard),) if heard else ()
            return heard.events if heard else ()
        self._late_answers[seq] = heard or self._late_answers.get(seq)
        while len(self._late_answers) > LATE_KEPT:
            self._late_answers.popitem(last=False)
        if heard and self._sent and self._sent[0] == seq:
            self._not_before_s = 0.0
        return ()

    def pop_late_answer(self, row: OutboxRow) -> ResponseEffects | None:
        """Return what an earlier CALL of this row was answered with after its time-out."""
        late = self._late_answers.pop(row.seq, None)
        is_old = late is not None and self._handover.has_left(row, late.version)  # it is told anew elsewhere
        return None if is_old else late

    async def next_row(self) -> OutboxRow | None:
        """The oldest row, if it may be sent now."""
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
        """A start that has got its number after all is no dead letter: to resend it would begin another transaction."""
        for row, heard in self._late_to_dead_letters:
            if not await self._try_store(self._ctx.outbox.noted(self._handover.facts_of_late_answers((heard,)))):
                return False
            is_start = self._backend_numbers and heard.version == self._version and names_token(row.message)
            if is_start and not await self._try_store(self._ctx.outbox.put_back([row])):
                return False
            self._late_to_dead_letters = self._late_to_dead_letters[1:]
            self._rows.clear()
        return True

    async def _fetch_rows(self, count: int) -> None:
        try:
            self._rows = deque(await self._ctx.outbox.head(self.queue, count))
        except StoreError as e:
            self._pause_for_store(str(e))
            return
        if self._rows:
            self._paused_for = ""
        else:
            self._pause_for_store("rows are said to wait, but none is there")

    async def _hand_over_sessions(self) -> bool:
        """In a version that may know nothing of the sessions that go on: they are told first. And in one that may have
        had an end: it is told again."""
        try:
            for session, facts in self._handover.resolved_doubts(self._version).items():
                await self._ctx.outbox.call_back(self._ctx.link, session, facts)
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
        await self._ctx.outbox.put_back(rows, facts)
        self._rows.clear()
        self._sent = None
        log.warning(
            "%s: session %s is told anew in OCPP %s: %d message(s)",
            self._ctx.link, rows[0].session, self._version, len(rows),
        )  # fmt: skip

    async def prepare_row(
        self, row: OutboxRow, dialect: Dialect
    ) -> tuple[Out, dict[str, Any], list[ResponseEffects | None]] | None:
        """Row and payload to send; None if the row needs no sending (it has been dealt with). The third part holds
        what has been heard of it already: then only the store is behind."""
        self._dead_letters.pop(row.seq, None)  # it has been brought back
        known: list[ResponseEffects | None] = []
        if row.seq in self._heard:
            known = [self._heard[row.seq]]
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
        if self._backend_numbers and names_token(row.message) and not self._is_unnumbered_start(row):
            await self.delivered(
                row, ResponseEffects()
            )  # it has a number: a late answer came while it was a dead letter
            return None
        if isinstance(out, NotExpressible):
            await self.delivered(row, ResponseEffects())
            return None
        if out is None:
            await self.move_to_dead_letters(row, "unreadable record")
            return None
        payload = await self._encode_row(row, out, dialect)
        return None if payload is None else (out, payload, [])

    async def _needs_handover(self, row: OutboxRow) -> bool:
        """Another version was spoken before: this row is not to be told now, or something else first."""
        if self._handover.has_left(row, self._version):
            await self.delivered(row, ResponseEffects())
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
        """Is the end of its session still to be told? Otherwise a person has it, or the version in which it has left: a
        start that is told here would be a transaction without an end. Raises ``StoreError``."""
        link = self._ctx.link
        rows = await self._ctx.outbox.of_session(link, row.session)
        is_here = any(isinstance(r.message, TransactionEnded) for r in rows)
        return is_here or row.session in await self._ctx.outbox.going_on(link)

    async def record_sending(self, row: OutboxRow) -> bool:
        """Write down that it may have been told from now on, where nobody could find out. False: not now."""
        facts = self._handover.facts_of_sending(row, self._version)
        return not facts or await self._try_store(self._ctx.outbox.noted(facts))

    def events_of_answer(self, row: OutboxRow, heard: ResponseEffects) -> list[Event]:
        """What the domain is to hear."""
        return self._handover.events_of_answer(row, heard)

    async def _encode_row(self, row: OutboxRow, out: Out, dialect: Dialect) -> dict[str, Any] | None:
        if self._sent and self._sent[:2] == (row.seq, dialect.name):
            return self._sent[2]
        try:
            same = row.number == self._ctx.number
            payload = out.encode(row.message, self._ctx if same else replace(self._ctx, number=row.number))
            check = dialect.schemas.request_check(out.action) if dialect.schemas and payload is not None else None
            broken = check(payload) if check else None
        except NotExpressibleError as e:
            await self.move_to_dead_letters(row, f"cannot be said in OCPP {dialect.name}: {e}", elsewhere=e.elsewhere)
            return None
        except NoTime as e:  # no fault of the record: the clock may know better later
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
            await self.delivered(row, ResponseEffects())
            return None
        self._sent = (row.seq, dialect.name, payload)
        return payload

    async def delivered(self, row: OutboxRow, heard: ResponseEffects) -> bool:
        """Off the queue, with the facts it brought. False: the store did not take it; the row comes again, but is not
        sent again."""
        if not heard.version:
            heard = replace(heard, version=self._version)
        if self._has_no_number(row) and isinstance(row.message, TransactionEnded) and row.message.authorised:
            return await self._end_without_number(row, heard)
        self._heard[row.seq] = heard
        self._silences = 0
        if not await self._try_store(self._ctx.outbox.done(row, self._handover.facts_of_delivery(row, heard))):
            return False
        del self._heard[row.seq]
        self._drop_rows(row)
        return True

    def is_billed(self, row: OutboxRow) -> bool:
        """Without it a bill could be missing, or not be understood. Everything else is sent once."""
        message = row.message
        if isinstance(message, MeterSampled):  # where nobody has the right yet, 1.6 tells it outside a transaction
            return bool(message.session) and (message.authorised or not self._backend_numbers)
        return not isinstance(message, ConnectorUnplugged)

    def outlives_refusals(self, row: OutboxRow, is_unknown: bool) -> bool:
        """Is it sent again when it was refused? ``is_unknown``: the backend does not offer this action at all; then
        values between start and end that are a message of their own are sent no more either."""
        is_between = isinstance(row.message, MeterSampled) and self._backend_numbers and not row.message.late
        return self.is_billed(row) and not (is_unknown and is_between)

    def _has_no_number(self, row: OutboxRow) -> bool:
        named = self._ctx.outbox.transaction_id(self._ctx.link, row.session, self._version) is not None
        return self._backend_numbers and not named and self._handover.is_refused(row, self._version)

    async def _end_without_number(self, row: OutboxRow, heard: ResponseEffects) -> bool:
        """The backend has the end, but cannot make a bill of it."""
        reason = "taken without a transaction id, since its start was refused: resend it when the backend takes starts"
        self._heard[row.seq] = heard
        if not await self._try_store(self._ctx.outbox.bury([row], reason, self._handover.facts_of_unnumbered_end(row))):
            return False
        del self._heard[row.seq]
        self._drop_rows(row)
        return True

    async def row_refused(self, row: OutboxRow, why: str, code: str = "") -> None:
        """One attempt more; the pause grows with the attempts (domain time). ``code``: the backend has said so, and
        does not have it."""
        if not self.outlives_refusals(row, code in NOT_OFFERED):
            await self.delivered(row, ResponseEffects())
            return
        no = bool(code)
        self._silences = 0
        attempts, interval_s = row.attempts + 1, self._retry_interval_s()
        pause_s = interval_s * attempts
        if attempts >= max(1, self._ctx.settings.number("message_attempts")):
            running = await self._is_of_running_session(row)
            if running is None:
                return
            if not running:
                await self._give_up(row, f"refused {attempts} times, at last: {why}", no)
                return
            pause_s = growing_pause_s(interval_s, attempts, LEAST_PAUSE_S)
            self._log_row_once(
                row, f"refused {attempts} times ({why}), but its session still runs: asked again for ever"
            )
        if await self._try_store(self._ctx.outbox.attempted(row, self._handover.facts_of_refusal(row) if no else ())):
            self._rows.clear()
            self._pause_sending(pause_s)

    async def _give_up(self, row: OutboxRow, reason: str, no: bool) -> None:
        """The queue goes on without it; what else there is of its session too, unless that was done before."""
        if not self._is_unnumbered_start(row) or self._handover.keeps_together(row, self._version):
            await self.move_to_dead_letters(row, reason, no)
            return
        log.error(
            "%s: the start of session %s is a dead letter: %s; the rest is told without a number",
            self._ctx.link, row.session, ascii(reason)[1:-1][:200],
        )  # fmt: skip
        facts = self._handover.facts_of_refused_start(row, self._version)
        if await self._try_store(self._ctx.outbox.bury([row], reason, facts)):
            self._drop_rows(row)
            self._rows.clear()
            self._remember_dead_letters([row])

    async def row_unanswered(self, row: OutboxRow, counts: bool, answered_s: float) -> None:
        """The line is alive and no answer came: no attempt, unless it ``counts`` as one; the same payload again after a
        pause. ``answered_s``: when the backend has answered another CALL last (monotonic)."""
        if counts:
            await self.row_refused(row, "no valid answer")
            return
        self._silences += 1
        if self._silences == 1:
            self._silent_since_s = time.monotonic()
        is_ignored = isinstance(row.message, MeterSampled | ConnectorUnplugged) and answered_s > self._silent_since_s
        if is_ignored and self._silences >= max(1, self._ctx.settings.number("message_attempts")):
            await self._give_up_ignored(row)
        else:
            self._pause_sending(growing_pause_s(self._retry_interval_s(), self._silences))

    async def _give_up_ignored(self, row: OutboxRow) -> None:
        """The backend answers everything but this, which is neither a start nor an end: these wait behind it."""
        reason, self._silences = f"no answer to {self._silences} CALLs, but to others", 0
        if self.is_billed(row):
            await self.move_to_dead_letters(row, reason)
            return
        log.warning("%s: a %s is given up: %s", self._ctx.link, type(row.message).__name__, reason)
        await self.delivered(row, ResponseEffects())

    def _retry_interval_s(self) -> float:
        return float(self._ctx.settings.number("message_retry_interval_s"))

    def _pause_sending(self, pause_s: float) -> None:
        """Domain seconds."""
        self._not_before_s = time.monotonic() + pause_s / self._ctx.clock.rate

    async def _is_of_running_session(self, row: OutboxRow) -> bool | None:
        """Is it the start of a session whose end does not wait behind it? None: the store does not say."""
        link = self._ctx.link
        if not self._is_unnumbered_start(row) or not self._ctx.settings.flag("retry_start_while_charging"):
            return False
        try:
            rows = await self._ctx.outbox.of_session(link, row.session)
        except StoreError as e:
            self._pause_for_store(str(e))
            return None
        return not any(isinstance(r.message, TransactionEnded) for r in rows)

    def _is_unnumbered_start(self, row: OutboxRow) -> bool:
        """Where the backend numbers the transactions, nothing of a session can ever be told without its start."""
        if not self._backend_numbers:
            return False
        named = self._ctx.outbox.transaction_id(self._ctx.link, row.session, self._version) is not None
        return names_token(row.message) and not named

    def _log_row_once(self, row: OutboxRow, what: str) -> None:
        if self._logged_row != row.seq:
            self._logged_row = row.seq
            kind = type(row.message).__name__
            log.error("%s: %s of session %s %s", self._ctx.link, kind, row.session, ascii(what)[1:-1][:200])

    async def move_to_dead_letters(
        self, row: OutboxRow, reason: str, no: bool = False, elsewhere: bool = False
    ) -> None:
        """To the dead letters; the start of a session with everything of it. ``elsewhere``: until another version is
        spoken, which may have the words."""
        rows: Sequence[OutboxRow] = [row]
        link = self._ctx.link
        if self._is_unnumbered_start(row):
            try:
                rows = await self._ctx.outbox.of_session(link, row.session) or rows
            except StoreError as e:
                self._pause_for_store(str(e))
                return
        reason = self._handover.dead_letter_reason(rows, reason, no, self._version if elsewhere else "")
        log.error("%s: %d billed message(s) moved to the dead letters: %s", link, len(rows), ascii(reason)[1:-1][:200])
        facts = self._handover.facts_of_dead_letters(rows, self._version, elsewhere)
        if await self._try_store(self._ctx.outbox.bury(rows, reason, facts)):
            self._drop_rows(row, len(rows))
            self._remember_dead_letters(rows)

    def _remember_dead_letters(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._dead_letters[row.seq] = row
            if row.seq in self._late_answers:  # it came while the row was being buried
                self.take_late_answer(row.seq, self._late_answers.pop(row.seq))
        while len(self._dead_letters) > LATE_KEPT:
            self._dead_letters.popitem(last=False)

    def _drop_rows(self, row: OutboxRow, count: int = 1) -> None:
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
        if why != self._paused_for:  # once: a disk may stay read-only for days
            log.error("%s: the store does not take what was told: %s", self._ctx.link, why)
            self._paused_for = why
        self._not_before_s = time.monotonic() + self._store_retry_s
        self._rows.clear()
