"""The channel of a link over its successive connections: one CALL at a time, from the row of the
dialect to the effects of the answer. How a CALL travels is the transport's affair."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import string
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeAlias

from agent.model.fastclass import replace
from agent.model.newest_kept import remember_newest
from agent.ocpp.dialects.dialect import Dialect, MessageRow, NotExpressibleError, ResponseEffects, RowContext
from agent.ocpp.transport.transport import Closed, Transport
from agent.ocpp.wire.calls import (
    CODE_OF_RULE,
    NOT_OFFERED,
    SENT_KEPT,
    UNREADABLE,
    Answered,
    AnswerError,
    CallError,
    CallResult,
    Code,
    Dropped,
    Errored,
    Finding,
    SendNow,
    Unprocessed,
)
from agent.ocpp.wire.rpc import Kind
from agent.ports.store import OutboxRow

log = logging.getLogger("agent.ocpp")

REPEAT_LOG_S = 600.0
ALWAYS_CALLED = frozenset({"Authorize", "BootNotification", "Heartbeat"})
"""Actions that are sent even if the backend has refused them before: a driver, the registration
and the clock wait for these."""
ID_LETTERS = string.ascii_letters + string.digits
ID_PREFIX_LENGTH = 5
"""916 million prefixes: two starts of a station hardly ever share one, and an id is no longer
than needed (every byte is paid on 2G)."""


_Outcome: TypeAlias = Answered | Errored | Unprocessed


class ConnectionLost(Exception):
    """The connection is dead."""


class NotReceived(ConnectionLost):
    """The connection is dead, and the other side cannot have the CALL."""


class NotProcessed(ConnectionLost):
    """The connection is over: the other side processes neither this CALL nor the one before. ``why``: what came
    instead of an answer."""

    def __init__(self, line: str, why: str) -> None:
        super().__init__(line)
        self.why = why


class NoAnswer(Exception):
    """No answer came, but the connection works: whether the other side has received the CALL is
    unknown. ``str()`` says what came instead of an answer, "": nothing in time."""


def _unsent_by(closed: Closed, action: str) -> ConnectionLost:
    return ConnectionLost(str(closed) or f"{action} cannot be sent")


def _end_waiting(answer: asyncio.Future[_Outcome | None]) -> None:
    """End the wait without an answer. What comes from now on is a late answer."""
    if not answer.done():
        answer.set_result(None)


def action_key(out: MessageRow, subject: Any) -> tuple[str, bool]:
    """Return the action, and whether the message belongs to a session: a backend may refuse
    MeterValues outside a transaction and accept those inside one."""
    return out.action, isinstance(subject, OutboxRow) and bool(subject.session)


class CallChannel:
    """Sends CALLs, one at a time, and receives messages. Times are real seconds of the monotonic
    clock.

    ``late(subject, effects)``: an answer came after its time-out (None: a refusal, or nothing
    useful). ``refusal_code``: the error code of the answer to the latest CALL, "" for none.
    ``unknown_actions``: what the backend does not offer (``action_key``), as far as it has said
    so since its latest accepted boot. ``last_answer_s``: when the latest answer in time came."""

    def __init__(
        self,
        ctx: RowContext,
        dialect: Dialect,
        url: str,
        late: Callable[[Any, ResponseEffects | None], None],
        call_timeout_s: float,
    ) -> None:
        self.transport: Transport | None = None
        self.dialect, self.url = dialect, url
        self.dropped_messages = 0
        self.refusal_code = ""
        self.unknown_actions: set[tuple[str, bool]] = set()
        self.last_received_s = self.last_answer_s = self.last_exchange_s = self.last_clock_s = 0.0
        self._ctx, self._late_answer, self._call_timeout_s = ctx, late, call_timeout_s
        prefix = "".join(random.SystemRandom().choices(ID_LETTERS, k=ID_PREFIX_LENGTH))
        self._id_prefix, self._call_count = prefix, 0
        self._call_id = ""
        self._answer: asyncio.Future[_Outcome | None] | None = None
        self._sent_calls: dict[str, tuple[MessageRow, Any, float]] = {}
        self._logged: dict[str, float] = {}
        self._unusable: list[AnswerError] = []
        """Answers that cannot be used, until that is reported to the backend."""
        self.unprocessed: Unprocessed | None = None
        """What the latest CALL got that was no answer of OCPP, also on the connection before; None: it got one. The
        connection is in doubt, and over if the next CALL gets none either."""

    def attach_connection(self, transport: Transport) -> None:
        """Use a new connection and the dialect that was agreed on it."""
        self.transport, self.dialect = transport, transport.dialect
        self._unusable.clear()
        self._ctx.added_variables = transport.dialect.added_variables
        self._ctx.signed_data_max = transport.dialect.signed_data_max
        self.last_received_s = self.last_exchange_s = time.monotonic()

    @property
    def is_waiting(self) -> bool:
        """Whether a CALL waits for its answer."""
        return self._answer is not None and not self._answer.done()

    # --- messages --------------------------------------------------------------------------------------------------

    async def receive_message(self) -> tuple[Finding, int]:
        """Return the next message and its size. Answers to our CALLs are resolved here. Raises
        ``Closed`` at the end of the connection."""
        assert self.transport is not None
        finding, size = await self.transport.receive_message()
        self.last_received_s = time.monotonic()
        if isinstance(finding, Answered | Errored | Unprocessed):
            self._resolve_answer(finding)
            await self._report_unusable_answers()
        elif isinstance(finding, Dropped):
            self.dropped_messages += 1
        return finding, size

    async def send_response(self, response: CallResult | CallError | SendNow) -> None:
        """Answer a request of the backend. Raises ``Closed`` if the transport fails."""
        if self.transport is not None:
            await self.transport.send_response(response)

    def _resolve_answer(self, finding: _Outcome) -> None:
        if finding.id == self._call_id and self._answer is not None and not self._answer.done():
            self._answer.set_result(finding)
            return
        asked = self._sent_calls.get(finding.id)
        if asked is not None:
            self._deliver_late_answer(*asked, finding)

    def _deliver_late_answer(self, out: MessageRow, subject: Any, began_s: float, finding: _Outcome) -> None:
        """Hand over an answer for which no sender waits any more."""
        if isinstance(finding, Unprocessed):
            return
        effects = self._interpret_answer(out, subject, finding)
        if effects is not None and effects.utc_s is not None:
            self._ctx.clock.heard_utc(effects.utc_s, time.monotonic() - began_s, is_preliminary=True)
        self._late_answer(subject, effects)

    # --- one CALL --------------------------------------------------------------------------------------------------

    async def send_message(self, message: Any) -> ResponseEffects | None:
        """Send a message that is not billed. Return None if it could not be sent, or the answer
        was not useful. Raises ``NoAnswer``, ``ConnectionLost``."""
        row = self.dialect.message_row(type(message))
        if not isinstance(row, MessageRow):
            return None
        out = row.row_for(message)
        is_unknown = (out.action, False) in self.unknown_actions and out.action not in ALWAYS_CALLED
        if is_unknown and not getattr(message, "forced", False):
            return None
        try:
            payload = out.encode(message, self._ctx)
        except NotExpressibleError as e:
            self.log_seldom(f"{self._ctx.link}: {out.action} cannot be expressed in OCPP {self.dialect.name}: {e}")
            return None
        except Exception as e:  # noqa: BLE001  one message that cannot be formed must not end the agent
            why = f"{type(e).__name__}: {ascii(str(e))[1:-1][:80]}"
            self.log_seldom(f"{self._ctx.link}: own {out.action} cannot be encoded ({why}): not sent, please report")
            return None
        if payload is None:
            return ResponseEffects()
        check = self.dialect.schemas.request_check(out.action) if self.dialect.schemas else None
        if check and (broken := check(payload)):
            self.log_seldom(
                f"{self._ctx.link}: own {out.action} breaks the schema at {broken}: not sent, please report"
            )
            return None
        try:
            return await self.send_call(out, message, payload)
        except NotExpressibleError as e:
            self.log_seldom(f"{self._ctx.link}: own {out.action}: {e}: not sent, please report")
            return None

    async def try_send_message(self, message: Any) -> ResponseEffects | None:
        """Send a message that is not billed. Return None also if no answer came. Raises
        ``ConnectionLost``."""
        with contextlib.suppress(NoAnswer):
            return await self.send_message(message)
        return None

    async def send_call(self, out: MessageRow, subject: Any, payload: dict[str, Any]) -> ResponseEffects | None:
        """Send a CALL and wait for its answer. Return None if it was refused, or the answer was
        not understood. Raises ``NoAnswer``, ``ConnectionLost``, ``NotReceived``, and ``NotExpressibleError``
        for a payload that cannot be written. ``subject``: the message, or the outbox row with it. Every
        CALL has a message id of its own, a repeated one too (OCPP 2.0.1 part 4, 4.1.4; OCPP-J
        1.6, 4.1.4)."""
        if self.transport is None:
            raise ConnectionLost("no connection")
        self._call_count += 1
        id_, began_s = f"{self._id_prefix}{self._call_count:x}", time.monotonic()
        if out.is_unanswered:
            await self._send_unanswered(id_, out.action, payload)
            return ResponseEffects(version=self.dialect.book_name)
        remember_newest(self._sent_calls, id_, (out, subject, began_s), SENT_KEPT)
        answer: asyncio.Future[_Outcome | None] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._call_id = id_
        try:
            await self.transport.send_call(id_, out.action, payload, self._call_timeout_s)
            finding = await self._wait_for_answer(answer, out, began_s)
        except (asyncio.CancelledError, Closed) as e:
            found = answer.result() if answer.done() and not answer.cancelled() else None
            if found is not None:  # answered just before the connection ended
                self._deliver_late_answer(out, subject, began_s, found)
            if isinstance(e, Closed):
                raise _unsent_by(e, out.action) from e
            raise
        finally:
            answer.cancel()  # what comes from now on is a late answer
        if isinstance(finding, Unprocessed):
            self._call_unprocessed(finding)
        self.unprocessed = None
        self.last_exchange_s = self.last_answer_s = time.monotonic()
        self.refusal_code = (finding.code or Code.GENERIC) if isinstance(finding, Errored) else ""
        effects = self._interpret_answer(out, subject, finding)
        await self._report_unusable_answers()
        if effects is not None and effects.utc_s is not None:
            self.last_clock_s = self.last_exchange_s
            # a second backend must not move billed times
            round_trip_s, is_preliminary = self.last_exchange_s - began_s, not self._ctx.primary
            self._ctx.clock.heard_utc(effects.utc_s, round_trip_s, is_preliminary)
        return effects

    async def _send_unanswered(self, id_: str, action: str, payload: dict[str, Any]) -> None:
        assert self.transport is not None
        try:
            await self.transport.send_unanswered(id_, action, payload)
        except Closed as e:
            raise _unsent_by(e, action) from e

    def _call_unprocessed(self, finding: Unprocessed) -> NoReturn:
        """Raise ``NoAnswer``, or ``NotReceived``. A server that processes nothing is no backend: raise
        ``NotProcessed`` after the second CALL, and while this station is not registered."""
        if not finding.is_received:
            raise NotReceived(finding.why)
        line = f"{finding.action} is not processed ({finding.why})"
        was_in_doubt, self.unprocessed = self.unprocessed is not None, finding
        if was_in_doubt or self._ctx.boot != "Accepted":
            raise NotProcessed(line, finding.why)
        self.log_seldom(f"{self.url}: {line}")
        raise NoAnswer(finding.why)

    async def _wait_for_answer(
        self, answer: asyncio.Future[_Outcome | None], out: MessageRow, began_s: float
    ) -> _Outcome:
        timer = asyncio.get_running_loop().call_later(self._call_timeout_s, _end_waiting, answer)
        try:
            finding = await answer
        finally:
            timer.cancel()
        return finding if finding is not None else await self._call_timed_out(out, began_s)

    async def _call_timed_out(self, out: MessageRow, began_s: float) -> NoReturn:
        """Raise ``ConnectionLost`` if nothing at all came since the CALL began and nothing comes
        now, otherwise ``NoAnswer``."""
        if self.last_received_s <= began_s and not await self.is_alive():
            raise ConnectionLost("no answer to a ping") from None
        self.unprocessed = None  # the connection works
        self.log_seldom(f"{self.url}: no answer to {out.action} within {self._call_timeout_s:g} s")
        raise NoAnswer from None

    def _interpret_answer(self, out: MessageRow, subject: Any, finding: Answered | Errored) -> ResponseEffects | None:
        if isinstance(finding, Errored) and finding.code == UNREADABLE:
            self.log_seldom(f"{self.url}: malformed answer to {out.action}: {finding.description}")
            self._note_unusable(finding.id, Code.FORMAT, finding.description)
            return self._decode_answer(out.decode_malformed, out, subject, {})
        if isinstance(finding, Errored):
            self._was_refused(out.action, action_key(out, subject), finding.code)
            return None
        payload = self.dialect.preprocess_received(out.action, True, finding.payload)
        check = self.dialect.schemas.response_check(out.action, tolerant=True) if self.dialect.schemas else None
        if check and (broken := check(payload)):
            where = ascii(str(broken))[1:-1][:80]
            self.log_seldom(f"{self.url}: malformed answer to {out.action}: {where}")
            self._note_unusable(finding.id, CODE_OF_RULE.get(broken.rule, Code.PROPERTY), where)
            return self._decode_answer(out.decode_malformed, out, subject, payload)
        return self._decode_answer(out.decode_response, out, subject, payload)

    def _note_unusable(self, id_: str, code: str, where: str) -> None:
        if Kind.CALLRESULTERROR in self.dialect.kinds:
            self._unusable.append(AnswerError(id_, code, where))

    async def _report_unusable_answers(self) -> None:
        """Tell the backend which of its answers cannot be used (2.1 part 4, 4.2.3). What could be read of them counts
        all the same."""
        while self._unusable:
            error = self._unusable.pop(0)
            if self.transport is not None:
                await self.transport.send_answer_error(error)

    def _decode_answer(
        self,
        take: Callable[[Any, Any, RowContext], ResponseEffects | None],
        out: MessageRow,
        subject: Any,
        payload: Mapping[str, Any],
    ) -> ResponseEffects | None:
        message = subject.message if isinstance(subject, OutboxRow) else subject
        try:
            effects = take(message, payload, self._ctx)
        except Exception as e:  # noqa: BLE001  an answer is foreign data, whatever a row trips over in it
            self.log_seldom(f"{self.url}: answer to {out.action} cannot be understood ({type(e).__name__})")
            return None
        return None if effects is None else replace(effects, version=self.dialect.book_name)

    def _was_refused(self, action: str, key: tuple[str, bool], code: str) -> None:
        consequence = ""
        if code in NOT_OFFERED:
            self.unknown_actions.add(key)
            consequence = (
                "" if action in ALWAYS_CALLED else ": messages of it that are not billed wait for the next boot"
            )
        self.log_seldom(f"{self.url}: refused {action} with error {ascii(code)[:60]}{consequence}")

    async def is_alive(self) -> bool:
        """Return whether the other side shows a sign of life. If it does not, the connection is
        ended."""
        if self.transport is None or not await self.transport.is_alive():
            return False
        self.last_received_s = time.monotonic()
        return True

    # --- for people ------------------------------------------------------------------------------------------------

    def log_seldom(self, line: str) -> None:
        """Log a line, the same line once in ten minutes: a station that is offline for a month
        must not fill its disk."""
        now_s = time.monotonic()
        if now_s - self._logged.get(line, -REPEAT_LOG_S) < REPEAT_LOG_S:
            log.debug("%s", line)
            return
        if len(self._logged) > 100:
            self._logged.clear()
        self._logged[line] = now_s
        log.warning("%s", line)
