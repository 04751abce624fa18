"""Hand-written far ends of Modbus lines for driver tests: they can break every rule, octet by octet."""

from __future__ import annotations

import asyncio
import os
import pty
import struct
import time
import tty
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field


def _remainder(octet: int) -> int:
    for _ in range(8):
        octet = (octet >> 1) ^ (0xA001 if octet & 1 else 0)
    return octet


_REMAINDERS = [_remainder(octet) for octet in range(256)]


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS by table, independent of the driver's."""
    value = 0xFFFF
    for octet in data:
        value = (value >> 8) ^ _REMAINDERS[(value ^ octet) & 0xFF]
    return struct.pack("<H", value)


def framed(unit: int, pdu: bytes) -> bytes:
    body = bytes([unit]) + pdu
    return body + crc(body)


@dataclass
class Asked:
    """One request as it arrived: its PDU, and the transaction number on TCP."""

    unit: int
    pdu: bytes
    tid: int = 0

    @property
    def function(self) -> int:
        return self.pdu[0]

    @property
    def address(self) -> int:
        return struct.unpack(">H", self.pdu[1:3])[0]

    @property
    def count(self) -> int:
        return struct.unpack(">H", self.pdu[3:5])[0]

    @property
    def values(self) -> list[int]:
        if self.function == 6:
            return [self.count]
        return list(struct.unpack(f">{self.pdu[5] // 2}H", self.pdu[6:]))


Part = tuple[float, bytes]
"""Seconds to wait after the previous part, then these octets."""


@dataclass
class Bank:
    """Registers by unit. ``script``: what to do with the next requests instead of answering well; each entry gets the
    request and the good answer (whole frame) and returns the parts to send. ``holes``: addresses that do not exist;
    ``locked``: addresses whose writing is refused with exception 3."""

    units: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    script: deque[Callable[[Asked, bytes], Iterable[Part]]] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    holes: set[int] = field(default_factory=set)
    locked: set[int] = field(default_factory=set)
    deaf: set[int] = field(default_factory=set)
    on_write: Callable[[int, int], None] = lambda address, value: None

    def put(self, unit: int, address: int, *words: int) -> None:
        for i, word in enumerate(words):
            self.units[unit][address + i] = word

    def floats(self, unit: int, address: int, *values: float) -> None:
        for i, value in enumerate(values):
            self.put(unit, address + 2 * i, *struct.unpack(">HH", struct.pack(">f", value)))

    def answer(self, asked: Asked) -> bytes:
        """The PDU of a well-behaved device."""
        registers = self.units[asked.unit]
        if asked.function in (3, 4):
            places = range(asked.address, asked.address + asked.count)
            if any(p in self.holes for p in places):
                return bytes([asked.function | 0x80, 2])
            words = [registers.get(p, 0) for p in places]
            return bytes([asked.function, 2 * len(words)]) + struct.pack(f">{len(words)}H", *words)
        if asked.address in self.locked:
            return bytes([asked.function | 0x80, 3])
        for i, value in enumerate(asked.values):
            registers[asked.address + i] = value
            self.on_write(asked.address + i, value)
        return asked.pdu[:5]

    def parts(self, asked: Asked, frame: Callable[[bytes], bytes]) -> Iterable[Part]:
        self.asked.append(asked)
        if asked.unit not in self.units or asked.unit in self.deaf:
            return []
        good = frame(self.answer(asked))
        return self.script.popleft()(asked, good) if self.script else [(0, good)]


class PtyLine:
    """A serial line: ``path`` is what the driver opens."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._buffer = b""
        self._tasks: set[asyncio.Task[None]] = set()
        self._fd = -1
        self._kept = -1
        """The driver's side. While it is open, the number of the line is not given to another test's line."""
        self.path = ""

    async def __aenter__(self) -> PtyLine:
        self.plug()
        return self

    def plug(self) -> None:
        self._fd, driver_fd = pty.openpty()
        tty.setraw(self._fd)
        tty.setraw(driver_fd)
        os.set_blocking(self._fd, False)  # the driver may flush what made this end readable
        self.path = os.ttyname(driver_fd)
        self._release_number()
        self._kept = driver_fd
        os.set_blocking(self._fd, False)  # what made it readable may have been flushed by the time it is read
        asyncio.get_running_loop().add_reader(self._fd, self._heard)

    def unplug(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        self.unplug()
        self._release_number()

    def _release_number(self) -> None:
        if self._kept >= 0:
            os.close(self._kept)
            self._kept = -1

    def _heard(self) -> None:
        try:
            self._buffer += os.read(self._fd, 1024)
        except BlockingIOError:
            return
        except OSError:
            self._buffer = b""  # no process has the other end open
            asyncio.get_running_loop().remove_reader(self._fd)
            asyncio.get_running_loop().call_later(0.005, self._listen_again)
            return
        while (size := self._request_size()) and len(self._buffer) >= size:
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            assert crc(frame[:-2]) == frame[-2:], "the driver sent a bad checksum"
            asked = Asked(frame[0], frame[1:-2])
            parts = self.bank.parts(asked, lambda pdu, unit=frame[0]: framed(unit, pdu))
            task = asyncio.create_task(self._say(parts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _listen_again(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._heard)

    def _request_size(self) -> int:
        if len(self._buffer) < 8:
            return 0
        return 9 + self._buffer[6] if self._buffer[1] == 16 else 8

    async def _say(self, parts: Iterable[Part]) -> None:
        for delay_s, octets in parts:
            await asyncio.sleep(delay_s)
            if octets and self._fd >= 0:
                os.write(self._fd, octets)


class TcpLine:
    """Modbus TCP, or RTU frames through TCP with ``rtu``."""

    def __init__(self, bank: Bank, rtu: bool = False) -> None:
        self.bank = bank
        self.port = 0
        self.connections = 0
        self._rtu = rtu
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> TcpLine:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drop()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def drop(self) -> None:
        """The device loses its power."""
        if self._server:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                asked, frame = await (self._rtu_request(reader) if self._rtu else self._request(reader))
                for delay_s, octets in self.bank.parts(asked, frame):
                    await asyncio.sleep(delay_s)
                    writer.write(octets)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the driver went away
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> tuple[Asked, Callable[[bytes], bytes]]:
        tid, protocol, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
        assert protocol == 0
        pdu = await reader.readexactly(length - 1)
        return Asked(unit, pdu, tid), lambda p: struct.pack(">HHHB", tid, 0, len(p) + 1, unit) + p

    async def _rtu_request(self, reader: asyncio.StreamReader) -> tuple[Asked, Callable[[bytes], bytes]]:
        frame = await reader.readexactly(8)
        if frame[1] == 16:
            frame += await reader.readexactly(frame[6] + 1)
        return Asked(frame[0], frame[1:-2]), lambda p: framed(frame[0], p)


# --- ways to misbehave: entries of ``Bank.script`` ----------------------------------------------------------------


def silent(asked: Asked, good: bytes) -> list[Part]:
    return []


def fine(asked: Asked, good: bytes) -> list[Part]:
    return [(0, good)]


def late(seconds: float) -> Callable[[Asked, bytes], list[Part]]:
    return lambda asked, good: [(seconds, good)]


def before_a_block(seconds: float) -> Callable[[Asked, bytes], Iterable[Part]]:
    """Answer at once, then hold the event loop: the driver reads the answer when its time is over."""

    def answer(asked: Asked, good: bytes) -> Iterator[Part]:
        yield 0, good
        time.sleep(seconds)

    return answer


def bad_crc(asked: Asked, good: bytes) -> list[Part]:
    return [(0, good[:-1] + bytes([good[-1] ^ 0xFF]))]


def truncated(asked: Asked, good: bytes) -> list[Part]:
    return [(0, good[:-3])]


def in_two_pieces(asked: Asked, good: bytes) -> list[Part]:
    return [(0, good[:3]), (0.02, good[3:])]


def other_unit(asked: Asked, good: bytes) -> list[Part]:
    return [(0, framed(asked.unit + 1, good[1:-2]))]


def other_function(asked: Asked, good: bytes) -> list[Part]:
    return [(0, framed(asked.unit, bytes([7 - asked.function]) + good[2:-2]))]


def fewer_registers(asked: Asked, good: bytes) -> list[Part]:
    pdu = good[1:-2]
    return [(0, framed(asked.unit, bytes([pdu[0], pdu[1] - 2]) + pdu[2:-2]))]


def noise_before(noise: bytes) -> Callable[[Asked, bytes], list[Part]]:
    return lambda asked, good: [(0, noise + good)]


def noise_after(asked: Asked, good: bytes) -> list[Part]:
    return [(0, good + b"\xff\x00\x55")]


def echo(asked: Asked, good: bytes) -> list[Part]:
    """A half-duplex adapter that hears itself."""
    return [(0, framed(asked.unit, asked.pdu)), (0.005, good)]


def exception(code: int) -> Callable[[Asked, bytes], list[Part]]:
    return lambda asked, good: [(0, framed(asked.unit, bytes([asked.function | 0x80, code])))]


def tcp_exception(code: int) -> Callable[[Asked, bytes], list[Part]]:
    return lambda asked, good: [(0, good[:4] + b"\x00\x03" + good[6:7] + bytes([asked.function | 0x80, code]))]


def reads(words: list[int]) -> Callable[[Asked, bytes], list[Part]]:
    """Well-formed RTU answer with other contents."""
    pdu = struct.pack(f">{len(words)}H", *words)
    return lambda asked, good: [(0, framed(asked.unit, bytes([asked.function, len(pdu)]) + pdu))]
