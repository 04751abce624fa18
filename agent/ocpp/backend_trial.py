"""One connection to a backend for a diagnosis, with the connector, the channel and the dialects of a link. It has no
queues: nothing that is billed leaves over it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.domain.messages import BootWanted
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.ocpp.dialects.dialect import BootAnswer, ResponseEffects
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.link_parts import make_link_parts
from agent.ocpp.transport.call_channel import ConnectionLost, NoAnswer
from agent.ocpp.transport.transport import Closed, NoConnection, Transport

LAST_ANSWER_S = 0.2
"""An answer that was read just before the end of the connection is passed on within this time."""


class BootResult(StrEnum):
    """What became of a BootNotification. ``REFUSED``: an error was the answer. ``WRONG``: an answer that breaks the
    schema. ``UNANSWERED``: the connection works, and no answer came."""

    ANSWERED = "answered"
    REFUSED = "refused"
    WRONG = "wrong"
    UNANSWERED = "unanswered"
    CLOSED = "closed"


@frozen
class BootOutcome:
    """``utc_s``: the backend's clock. ``code``: of the error. ``seconds``: how long the answer took."""

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
        self._reading: asyncio.Task[None]

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
        self._reading = asyncio.create_task(self._read_messages())
        try:
            yield transport
        finally:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._channel.transport = None
            await transport.close()

    async def _read_messages(self) -> None:
        with contextlib.suppress(Closed):
            while True:
                await self._channel.receive_message()

    async def _send_boot(self) -> ResponseEffects | None:
        """Send BootNotification. Raises ``NoAnswer``, and ``ConnectionLost`` also if the connection ends meanwhile."""
        sending = asyncio.ensure_future(self._channel.send_message(BootWanted()))
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
        began_s = time.monotonic()
        try:
            effects = await self._send_boot()
        except NoAnswer:
            return BootOutcome(BootResult.UNANSWERED)
        except ConnectionLost:
            return BootOutcome(BootResult.CLOSED)
        took_s = time.monotonic() - began_s
        if effects is None or effects.boot is None:
            code = self._channel.refusal_code
            return BootOutcome(BootResult.REFUSED if code else BootResult.WRONG, code=code, seconds=took_s)
        return BootOutcome(BootResult.ANSWERED, effects.boot, effects.utc_s, seconds=took_s)
