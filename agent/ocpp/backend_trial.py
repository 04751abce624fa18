"""One connection to a backend for a diagnosis, with the connector, the channel and the dialects of a link. It has no
queues: nothing that is billed leaves over it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.domain.messages import BootWanted, HeartbeatWanted, Message
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.ocpp.dialects.dialect import BootAnswer, ResponseEffects
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.link_parts import make_link_parts
from agent.ocpp.transport.call_channel import ConnectionLost, NoAnswer
from agent.ocpp.transport.transport import Closed, NoConnection, Transport
from agent.ocpp.wire.calls import Unprocessed

LAST_ANSWER_S = 0.2
"""An answer that was read just before the end of the connection is passed on within this time."""


class BootResult(StrEnum):
    """What became of a BootNotification or a Heartbeat. ``REFUSED``: an error was the answer. ``WRONG``: an answer that
    breaks the schema. ``UNANSWERED``: the connection works, and no answer came. ``UNPROCESSED``: what came is no answer
    of OCPP."""

    ANSWERED = "answered"
    REFUSED = "refused"
    WRONG = "wrong"
    UNANSWERED = "unanswered"
    CLOSED = "closed"
    UNPROCESSED = "unprocessed"


@frozen
class BootOutcome:
    """``utc_s``: the backend's clock. ``code``: of the error, or what came instead of an answer. ``seconds``: how long
    the answer took."""

    result: BootResult
    answer: BootAnswer | None = None
    utc_s: float | None = None
    code: str = ""
    seconds: float = 0.0


class BackendTrial:
    """The parts of a link that open a connection and register at the backend. A request of the backend stays without
    an answer: the connection is closed a moment later."""

    def __init__(self, config: LinkConfig, hooks: LinkHooks, ports: LinkPorts) -> None:
        parts = make_link_parts(config, hooks, ports, lambda subject, effects: None, config.timeouts.answer_s)
        self.connector, self._channel = parts.connector, parts.channel
        self._soap_versions = sum(bool(dialect.soap) for dialect in config.dialects)
        self._reading: asyncio.Task[None]

    @property
    def transport(self) -> Transport | None:
        """The connection that is open."""
        return self._channel.transport

    @property
    def unprocessed(self) -> Unprocessed | None:
        """What came instead of an answer."""
        return self._channel.unprocessed

    @property
    def soap_versions(self) -> int:
        """How many versions may be tried over SOAP, one connection each."""
        return self._soap_versions

    @asynccontextmanager
    async def open_connection(self) -> AsyncIterator[Transport]:
        """Connect, with the simpler offer where a link would make it. Raises ``NoConnection``."""
        try:
            transport = await self.connector.connect()
        except NoConnection as e:
            if not e.negotiation:
                raise
            transport = await self.connector.connect()
        self._channel.attach_connection(transport)
        reading = self._reading = asyncio.create_task(self._read_messages())
        try:
            yield transport
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if self._channel.transport is transport:
                self._channel.transport = None
            await transport.close()

    async def _read_messages(self) -> None:
        with contextlib.suppress(Closed):
            while True:
                await self._channel.receive_message()

    async def _send_message(self, message: Message) -> ResponseEffects | None:
        """Send a message. Raises ``NoAnswer``, and ``ConnectionLost`` also if the connection ends meanwhile."""
        sending = asyncio.ensure_future(self._channel.send_message(message))
        try:
            await asyncio.wait((sending, self._reading), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((sending,), timeout=LAST_ANSWER_S if self._reading.done() else None)
            if not sending.done():
                raise ConnectionLost("closed by the backend")
            return sending.result()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def register(self) -> BootOutcome:
        """Send BootNotification once and return what came of it."""
        return await self._ask_backend(BootWanted())

    async def ask_heartbeat(self) -> BootOutcome:
        """Send a Heartbeat and return what came of it: the least that shows a backend over SOAP."""
        return await self._ask_backend(HeartbeatWanted())

    async def _ask_backend(self, message: Message) -> BootOutcome:
        began_s = time.monotonic()
        try:
            effects = await self._send_message(message)
        except NoAnswer:
            return BootOutcome(BootResult.UNANSWERED)
        except ConnectionLost:
            if (came := self.unprocessed) is not None:
                return BootOutcome(BootResult.UNPROCESSED, code=came.why)
            return BootOutcome(BootResult.CLOSED)
        took_s = time.monotonic() - began_s
        if effects is not None and isinstance(message, HeartbeatWanted):
            return BootOutcome(BootResult.ANSWERED, None, effects.utc_s, seconds=took_s)
        if effects is None or effects.boot is None:
            code = self._channel.refusal_code
            return BootOutcome(BootResult.REFUSED if code else BootResult.WRONG, code=code, seconds=took_s)
        return BootOutcome(BootResult.ANSWERED, effects.boot, effects.utc_s, seconds=took_s)
