"""The bus shim: a proxy between a driver and its device, which may be the real one.

It loses, delays and corrupts the replies of the device. Requests of the driver pass unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from agent.ports import Unreachable
from agent.ports.verify import FaultMode, Wire

LATE_S = 1.2
"""Longer than a driver waits by default. The late answer then meets another question."""
_CHUNK = 4096


class ReplySpoiler:
    """Decides what happens to a reply. ``seed``: the same corruption in every run."""

    def __init__(self, seed: int = 1) -> None:
        self.mood = FaultMode.PASS
        self._random = random.Random(seed)

    async def deliver_reply(self, data: bytes, write: Callable[[bytes], None]) -> None:
        if self.mood is FaultMode.LATE:
            await asyncio.sleep(LATE_S)
        if out := self.spoil_reply(data):
            write(out)

    def spoil_reply(self, data: bytes) -> bytes:
        if self.mood in (FaultMode.SILENT, FaultMode.CUT):
            return b""
        if self.mood is FaultMode.NOISE:  # line ends stay, so that a driver of text lines gets something to read
            return bytes(b if b in b"\r\n" else b ^ self._random.randrange(1, 256) for b in data)
        return data[: len(data) // 2] if self.mood is FaultMode.SHORT else data


@asynccontextmanager
async def open_fault_proxy(wire: Wire) -> AsyncIterator[tuple[TcpFaultProxy | SerialFaultProxy, Wire]]:
    """Run a fault proxy. Yields it and the wire for the driver. Raises ``Unreachable`` if there is no such device."""
    made = TcpFaultProxy(wire) if wire.kind == "tcp" else SerialFaultProxy(wire)
    await made.open()
    try:
        yield made, made.here
    finally:
        await made.close()


class TcpFaultProxy:
    """``agent.ports.verify.FaultProxy`` for a connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._spoiler = ReplySpoiler()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.here = wire

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve_driver, "127.0.0.1", 0)
        self.here = Wire("tcp", host="127.0.0.1", port=self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._hang_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def set_fault_mode(self, mood: FaultMode) -> None:
        self._spoiler.mood = mood
        if mood is FaultMode.CUT:
            self._hang_up()
            await asyncio.sleep(0)

    def _hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve_driver(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            if self._spoiler.mood is not FaultMode.CUT:
                await self._relay_both_ways(reader, writer)
        except OSError:
            pass  # the device cannot be reached: the driver sees its own connection end
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _relay_both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay until one side ends the connection."""
        device, to_device = await asyncio.open_connection(self._wire.host, self._wire.port)
        self._writers.add(to_device)

        async def relay_to_device() -> None:
            while data := await reader.read(_CHUNK):
                to_device.write(data)

        async def relay_to_driver() -> None:
            while data := await device.read(_CHUNK):
                await self._spoiler.deliver_reply(data, writer.write)

        ways = [asyncio.ensure_future(relay_to_device()), asyncio.ensure_future(relay_to_driver())]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(to_device)
            to_device.transport.abort()


class SerialFaultProxy:
    """``agent.ports.verify.FaultProxy`` for a serial line: the driver gets a pseudo terminal, behind it is the port."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._spoiler = ReplySpoiler()
        self._port: Any = None
        self._master = self._slave = -1
        self._link = ""
        self._folder: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.here = wire

    async def open(self) -> None:
        import tempfile

        import serial

        w = self._wire
        try:
            self._port = serial.Serial(
                w.device, w.baud, parity=w.parity, stopbits=w.stopbits, timeout=0, exclusive=True
            )
        except (OSError, ValueError) as e:
            raise Unreachable(
                f"{w.device}: cannot be opened for the bus shim ({e}); does another program use it?"
            ) from e
        asyncio.get_running_loop().add_reader(self._port.fileno(), self._from_device)
        self._folder = tempfile.TemporaryDirectory(prefix="chargy-shim-")
        self._link = f"{self._folder.name}/line"
        self._open_pseudo_terminal()
        self.here = Wire("serial", device=self._link, baud=w.baud)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._close_pseudo_terminal()
        if self._port is not None:
            asyncio.get_running_loop().remove_reader(self._port.fileno())
            self._port.close()
            self._folder.cleanup()

    async def set_fault_mode(self, mood: FaultMode) -> None:
        self._spoiler.mood = mood
        if mood is FaultMode.CUT:
            self._close_pseudo_terminal()
        elif self._master < 0:
            self._open_pseudo_terminal()

    def _open_pseudo_terminal(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._from_driver)
        os.symlink(os.ttyname(self._slave), self._link)

    def _close_pseudo_terminal(self) -> None:
        if self._master < 0:
            return
        os.unlink(self._link)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def _from_driver(self) -> None:
        if data := _read_available(self._master):
            with contextlib.suppress(BlockingIOError):
                os.write(self._port.fileno(), data)

    def _from_device(self) -> None:
        data = _read_available(self._port.fileno())
        if data is None:  # the device is gone for good: the driver gets silence
            asyncio.get_running_loop().remove_reader(self._port.fileno())
        elif data:
            task = asyncio.ensure_future(self._spoiler.deliver_reply(data, self._to_driver))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _to_driver(self, data: bytes) -> None:
        if self._master >= 0:
            with contextlib.suppress(BlockingIOError):  # the driver does not read: the data is lost, as on a real line
                os.write(self._master, data)


def _read_available(fd: int) -> bytes | None:
    """Read what is available. Returns None if the other side has closed."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return b""
    except OSError:
        return None
