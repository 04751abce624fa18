"""One connection between a payment master and a satellite, from either end: messages out in order, messages in as
events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from agent.domain.satellite_messages import MasterMessage, SatelliteMessage
from agent.services.satellites.message_codec import MalformedMessage, decode_message, encode_hello, read_hello

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection

log = logging.getLogger(__name__)

HELLO_S = 10.0
"""How long the other side may take for its first message."""
PING_S, PONG_S = 5.0, 10.0
"""How often a connection is tested, and how long the answer may take: a dead one ends after 15 s at the latest."""
PATH = "/satellite"


class SharedConnection:
    """``direction``: of the messages that come in. ``receive_message``: is given each of them. ``wait_until_handled``:
    returns when the station has handled it. Only then the next one is taken from the network, so that no number of
    messages fills the memory."""

    def __init__(
        self,
        socket: Connection,
        direction: type[SatelliteMessage] | type[MasterMessage],
        receive_message: Callable[[Any], None],
        wait_until_handled: Callable[[], Awaitable[None]],
    ) -> None:
        self._socket, self._direction, self._receive_message = socket, direction, receive_message
        self._wait_until_handled = wait_until_handled
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()

    def queue_text(self, text: str) -> None:
        self._outgoing.put_nowait(text)

    async def exchange_hello(self, program: str) -> str:
        """Introduce both sides. Return the program of the other one. Raises ``MalformedMessage``, ``TimeoutError``, and
        ``ConnectionClosed`` of ``websockets``."""
        await self._socket.send(encode_hello(program))
        async with asyncio.timeout(HELLO_S):
            return read_hello(await self._socket.recv())

    async def run(self) -> None:
        """Exchange messages until the connection ends. What cannot be read ends it as well."""
        from websockets.exceptions import ConnectionClosed

        sender = asyncio.create_task(self._send_queued())
        try:
            async for text in self._socket:
                message = decode_message(text, self._direction)
                if message is not None:
                    self._receive_message(message)
                    await self._await_handling()
        except ConnectionClosed:
            pass
        except MalformedMessage as e:
            log.error("payment: a message that cannot be read (%.200s): the connection is closed", e)
            await self._socket.close(1003)
        finally:
            sender.cancel()

    async def _await_handling(self) -> None:
        """Wait until the station has handled the last message. A connection that ends does not wait for a station that
        ends: nothing is handled there any more."""
        waits = (asyncio.create_task(self._station_handled()), asyncio.create_task(self._socket.wait_closed()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _station_handled(self) -> None:
        await self._wait_until_handled()

    async def _send_queued(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                await self._socket.send(await self._outgoing.get())
        except ConnectionClosed:
            pass
