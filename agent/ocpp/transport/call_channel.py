"""One connection after the other, as the link uses it: frames out and in with their trace, and one CALL at a time."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import string
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import HIDDEN, Desk, Dialect, Heard, Out, Unspeakable
from agent.ocpp.transport.websocket import Closed, WebSocket
from agent.ocpp.wire.masking import without_openings, written
from agent.ocpp.wire.rpc import NOT_OFFERED, SENT_KEPT, UNREADABLE, Answered, Code, Dropped, Errored, Finding, Rpc
from agent.ports.store import OutboxRow

log = logging.getLogger("agent.ocpp")

REPEAT_LOG_S = 600.0
ALWAYS_CALLED = frozenset({"Authorize", "BootNotification", "Heartbeat"})
"""A driver, the registration and the clock wait for these, whatever was answered before."""
ID_LETTERS = string.ascii_letters + string.digits
ID_PREFIX_LENGTH = 5
"""916 million prefixes: two starts of a station hardly ever share one, and an id is not longer than it has to be (every
byte is paid on 2G)."""


class Gone(Exception):
    """The connection is dead."""


class Silent(Exception):
    """Nobody answered in time, but the line is alive: whether the other side has taken it is not known."""


def offered_as(out: Out, subject: Any) -> tuple[str, bool]:
    """The action, and whether it tells something of a session: a backend may refuse MeterValues outside a transaction
    and take those in one."""
    return out.action, isinstance(subject, OutboxRow) and bool(subject.session)


class Line:
    """``late(subject, heard)``: an answer came after its time-out (None: a refusal, or nothing useful). ``refusal``:
    the error code that the latest CALL was answered with, "" for none. ``unknown_actions``: what the backend does not
    offer (``offered_as``), as far as it has said so since its latest accepted boot. ``answered_s``: when the
    latest answer in time came. Times are real seconds of the monotonic clock."""

    def __init__(
        self,
        desk: Desk,
        dialect: Dialect,
        url: str,
        trace: Callable[[str, str, str, str], None],
        late: Callable[[Any, Heard | None], None],
        call_timeout_s: float,
        pong_s: float,
    ) -> None:
        self.ws: WebSocket | None = None
        self.dialect, self.url = dialect, url
        self.rpc = Rpc()
        self.refusal = ""
        self.unknown_actions: set[tuple[str, bool]] = set()
        self.received_s = self.answered_s = self.exchanged_s = self.clock_heard_s = 0.0
        self._desk, self._trace, self._late = desk, trace, late
        self._call_timeout_s, self._pong_s = call_timeout_s, pong_s
        prefix = "".join(random.SystemRandom().choices(ID_LETTERS, k=ID_PREFIX_LENGTH))
        self._message_ids = (f"{prefix}{number:x}" for number in itertools.count(1))
        self._answer: asyncio.Future[Answered | Errored] | None = None
        self._asked: OrderedDict[str, tuple[Out, Any]] = OrderedDict()
        self._logged: dict[str, float] = {}

    def attach(self, ws: WebSocket, dialect: Dialect) -> None:
        self.ws, self.dialect = ws, dialect
        self.rpc.codes = dialect.codes
        self.rpc.reconnected()
        self.received_s = self.exchanged_s = time.monotonic()

    # --- frames ----------------------------------------------------------------------------------------------------

    async def send(self, text: str) -> None:
        if self.ws is None:
            return
        self._trace("out", self._desk.link, self.dialect.name, without_openings(text))
        try:
            await self.ws.send(text)
        except Closed:
            pass  # the reader notices the same and ends the conversation

    def receive(self, data: str | bytes) -> Finding:
        """What came in; answers to our CALLs are dealt with here."""
        self.received_s = time.monotonic()
        try:
            finding = self.rpc.receive(data)
        except Exception:  # no frame may end the agent, and with it the charging sessions
            log.exception("%s: a frame of %d characters cannot be judged: dropped, please report", self.url, len(data))
            finding = Dropped("a frame that cannot be judged")
        self._trace("in", self._desk.link, self.dialect.name, self._written(data, finding))
        if isinstance(finding, Answered | Errored):
            self._answered(finding)
        return finding

    def _written(self, data: str | bytes, finding: Finding) -> str:
        try:
            return written(data, finding, self.dialect)
        except Exception:  # the same: what cannot be masked is not shown, and is answered
            log.exception("%s: a frame of %d characters cannot be masked: please report", self.url, len(data))
            return HIDDEN

    def _answered(self, finding: Answered | Errored) -> None:
        if not finding.late:
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(finding)
            return
        asked = self._asked.get(finding.id)
        if asked is not None:
            self._overtaken(*asked, finding)

    def _overtaken(self, out: Out, subject: Any, finding: Answered | Errored) -> None:
        """An answer for which nobody waits any more."""
        self._late(subject, self._understood(out, subject, finding))

    # --- one CALL --------------------------------------------------------------------------------------------------

    async def tell(self, message: Any) -> Heard | None:
        """Say something that is not billed. None: it could not be said, or was answered with nothing useful. Raises
        ``Silent``, ``Gone``."""
        row = self.dialect.outgoing(type(message))
        if not isinstance(row, Out):
            return None
        out = row.of(message)
        is_unknown = (out.action, False) in self.unknown_actions and out.action not in ALWAYS_CALLED
        if is_unknown and not getattr(message, "forced", False):
            return None
        try:
            payload = out.encode(message, self._desk)
        except Unspeakable as e:
            self.say(f"{self._desk.link}: {out.action} cannot be said in OCPP {self.dialect.name}: {e}")
            return None
        except Exception as e:  # noqa: BLE001  one message that cannot be formed must not end the agent
            why = f"{type(e).__name__}: {ascii(str(e))[1:-1][:80]}"
            self.say(f"{self._desk.link}: own {out.action} cannot be encoded ({why}): not sent, please report")
            return None
        if payload is None:
            return Heard()
        check = self.dialect.schemas.request(out.action) if self.dialect.schemas else None
        if check and (broken := check(payload)):
            self.say(f"{self._desk.link}: own {out.action} breaks the schema at {broken}: not sent, please report")
            return None
        try:
            return await self.call(out, message, payload)
        except Unspeakable as e:
            self.say(f"{self._desk.link}: own {out.action}: {e}: not sent, please report")
            return None

    async def call(self, out: Out, subject: Any, payload: dict[str, Any]) -> Heard | None:
        """Send and wait. None: refused, or not understood. Raises ``Silent``, ``Gone``, and ``Unspeakable`` for what is
        no JSON. ``subject``: the message, or the outbox row that it is in. Every CALL has a message id of its own, a
        repeated one too (OCPP 2.0.1 part 4, 4.1.4; OCPP-J 1.6, 4.1.4)."""
        id_, began_s = next(self._message_ids), time.monotonic()
        try:
            text = self.rpc.call(id_, out.action, payload, began_s + self._call_timeout_s)
        except (ValueError, TypeError) as e:
            raise Unspeakable(f"no JSON ({ascii(str(e))[1:-1][:80]})") from e
        self._remember(id_, out, subject)
        self._answer = asyncio.get_running_loop().create_future()
        await self.send(text)
        try:
            async with asyncio.timeout(self._call_timeout_s):
                finding = await self._answer
        except asyncio.CancelledError:
            if self._answer.done() and not self._answer.cancelled():  # answered in the last moment of the connection
                self._overtaken(out, subject, self._answer.result())
            raise
        except TimeoutError:
            self.rpc.expire(float("inf"))
            if self.received_s <= began_s and not await self.pong():
                raise Gone from None
            self.say(f"{self.url}: no answer to {out.action} within {self._call_timeout_s:g} s")
            raise Silent from None
        self.exchanged_s = self.answered_s = time.monotonic()
        self.refusal = (finding.code or Code.GENERIC) if isinstance(finding, Errored) else ""
        heard = self._understood(out, subject, finding)
        if heard is not None and heard.utc_s is not None:
            self.clock_heard_s = self.exchanged_s
            if self._desk.primary:  # one that only looks on moves no bill
                self._desk.clock.heard_utc(heard.utc_s, self.exchanged_s - began_s)
        return heard

    def _remember(self, id_: str, out: Out, subject: Any) -> None:
        self._asked[id_] = (out, subject)
        self._asked.move_to_end(id_)
        while len(self._asked) > SENT_KEPT:
            self._asked.popitem(last=False)

    def _understood(self, out: Out, subject: Any, finding: Answered | Errored) -> Heard | None:
        if isinstance(finding, Errored) and finding.code == UNREADABLE:
            self.say(f"{self.url}: malformed answer to {out.action}: {finding.description}")
            return self._taken(out.malformed, out, subject, {})
        if isinstance(finding, Errored):
            self._was_refused(out.action, offered_as(out, subject), finding.code)
            return None
        payload = self.dialect.reads(out.action, True, finding.payload)
        check = self.dialect.schemas.answer(out.action, tolerant=True) if self.dialect.schemas else None
        if check and (broken := check(payload)):
            self.say(f"{self.url}: malformed answer to {out.action}: {ascii(str(broken))[1:-1][:80]}")
            return self._taken(out.malformed, out, subject, payload)
        return self._taken(out.heard, out, subject, payload)

    def _taken(
        self, take: Callable[[Any, Any, Desk], Heard | None], out: Out, subject: Any, payload: Mapping[str, Any]
    ) -> Heard | None:
        message = subject.message if isinstance(subject, OutboxRow) else subject
        try:
            heard = take(message, payload, self._desk)
        except Exception as e:  # noqa: BLE001  an answer is foreign data, whatever a row trips over in it
            self.say(f"{self.url}: answer to {out.action} makes no sense ({type(e).__name__})")
            return None
        return None if heard is None else replace(heard, version=self.dialect.name)

    def _was_refused(self, action: str, key: tuple[str, bool], code: str) -> None:
        consequence = ""
        if code in NOT_OFFERED:
            self.unknown_actions.add(key)
            consequence = "" if action in ALWAYS_CALLED else ": what no bill needs of it waits for the next boot"
        self.say(f"{self.url}: refused {action} with error {ascii(code)[:60]}{consequence}")

    async def pong(self) -> bool:
        """Does anybody answer a ping? If not, the connection is given up without ceremony."""
        ws = self.ws
        if ws is None:
            return False
        try:
            async with asyncio.timeout(self._pong_s):
                await ws.ping()
        except (TimeoutError, Closed):
            ws.transport.abort()
            return False
        self.received_s = time.monotonic()
        return True

    # --- for people ------------------------------------------------------------------------------------------------

    def say(self, line: str) -> None:
        """The same line once in ten minutes; a station that is offline for a month must not fill its disk."""
        now_s = time.monotonic()
        if now_s - self._logged.get(line, -REPEAT_LOG_S) < REPEAT_LOG_S:
            log.debug("%s", line)
            return
        if len(self._logged) > 100:
            self._logged.clear()
        self._logged[line] = now_s
        log.warning("%s", line)
