"""A network cable between two processes on this machine, which can be pulled: TCP connections pass through it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

CHUNK_BYTES = 65536


class NetworkCable:
    """Passes the bytes of each connection to ``target_port`` unchanged while it is plugged in."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self.port = 0
        self._plugged = asyncio.Event()
        self._plugged.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._far_writers: set[asyncio.StreamWriter] = set()
        self._left_open: set[asyncio.StreamWriter] = set()
        self._refuses = False

    def pull_out(self) -> None:
        """Let no byte pass any more, as a cable that is pulled out: neither end of a connection notices."""
        self._plugged.clear()

    def reset_connections(self) -> None:
        """End all connections, as a switch does that loses its power."""
        for writer in self._writers:
            writer.transport.abort()

    def cut(self, seconds: float) -> None:
        """End each connection at its near end and refuse new ones for so long. The far end does not notice."""
        self._refuses = True
        asyncio.get_running_loop().call_later(seconds, setattr, self, "_refuses", False)
        self._left_open |= self._far_writers
        for writer in self._writers - self._far_writers:
            writer.transport.abort()

    def plug_in(self) -> None:
        """Let bytes pass again; what was on its way arrives late, as TCP repeats it."""
        self._plugged.set()

    async def pass_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            await self._plugged.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            self._drop(writer)
            return
        self._writers.add(far_writer)
        self._far_writers.add(far_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_bytes(reader, far_writer))
                group.create_task(self._pass_bytes(far_reader, writer))
        finally:
            self._drop(writer)
            self._drop(far_writer)

    async def _pass_bytes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._plugged.wait()
                writer.write(data)
                await writer.drain()
        if writer not in self._left_open:
            writer.transport.abort()

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        if writer not in self._left_open:
            self._writers.discard(writer)
            self._far_writers.discard(writer)
            writer.transport.abort()


@contextlib.asynccontextmanager
async def network_cable(target_port: int) -> AsyncIterator[NetworkCable]:
    """A cable to this port; its other end is ``port``."""
    cable = NetworkCable(target_port)
    server = await asyncio.start_server(cable.pass_connection, "127.0.0.1", 0)
    cable.port = server.sockets[0].getsockname()[1]
    try:
        yield cable
    finally:
        server.close()
        cable.plug_in()
        cable.reset_connections()
