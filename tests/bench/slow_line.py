"""A line as slow as 2G between a station and its backend: a relay on loopback that delays and serialises octets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

ROUND_TRIP_S, UP_BPS, DOWN_BPS = 0.6, 20_000.0, 40_000.0
SEGMENT, HEADERS = 1448, 52
"""Octets of payload and of IP and TCP headers in a packet; a packet without payload acknowledges each."""


@dataclass
class Direction:
    """``free_s``: when the line has carried what was given to it."""

    bps: float
    free_s: float = 0.0
    octets: int = 0

    def carry(self, payload: int) -> float:
        """Return when the last octet has left the line."""
        packets = max(1, -(-payload // SEGMENT))
        octets = payload + HEADERS * packets
        self.octets += octets
        self.free_s = max(self.free_s, asyncio.get_running_loop().time()) + octets * 8 / self.bps
        return self.free_s


@dataclass
class SlowLine:
    """``port``: where the backend seems to be."""

    backend_port: int
    port: int = 0
    up: Direction = field(default_factory=lambda: Direction(UP_BPS))
    down: Direction = field(default_factory=lambda: Direction(DOWN_BPS))

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.backend_port)
        ways = (
            self._relay(reader, far_writer, self.up, self.down),
            self._relay(far_reader, writer, self.down, self.up),
        )
        await asyncio.gather(*ways, return_exceptions=True)

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction, back: Direction
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sending = asyncio.ensure_future(self._deliver(queue, writer))
        while data := await reader.read(SEGMENT):
            queue.put_nowait((way.carry(len(data)) + ROUND_TRIP_S / 2, data))
            back.carry(0)
        queue.put_nowait((0.0, b""))
        await sending

    async def _deliver(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while (item := await queue.get())[1]:
            await asyncio.sleep(max(0.0, item[0] - loop.time()))
            writer.write(item[1])
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        writer.close()


@asynccontextmanager
async def slow_line(backend_port: int) -> AsyncIterator[SlowLine]:
    line = SlowLine(backend_port)
    async with await asyncio.start_server(line.attend, "127.0.0.1", 0) as server:
        line.port = server.sockets[0].getsockname()[1]
        yield line
