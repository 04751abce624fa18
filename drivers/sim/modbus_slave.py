"""The answering side of Modbus, byte by byte: TCP, RTU on a pseudo terminal, and RTU frames in a TCP stream.

Modbus application protocol V1.1b3; Modbus over serial line V1.02; Modbus messaging on TCP/IP V1.0b.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, runtime_checkable

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
READ_COILS, READ_HOLDING, READ_INPUT, WRITE_COIL, WRITE_ONE, WRITE_MANY = 1, 3, 4, 5, 6, 16
_SHORT = (READ_COILS, READ_HOLDING, READ_INPUT, WRITE_COIL, WRITE_ONE)
_FRAME_GAP_S = 0.03
"""Silence after which a broken RTU frame is forgotten; the standard's 3.5 characters are 4 ms at 9600 baud."""


class ModbusException(Exception):
    """The slave refuses a request. ``code``: exception code of section 7 of the application protocol."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class NoAnswer(Exception):
    """The slave gives no answer at all."""


class RegisterDevice(Protocol):
    """Registers behind a slave address. Both methods may raise ``ModbusException`` and ``NoAnswer``."""

    def read_registers(self, function: int, address: int, count: int) -> list[int]: ...

    def write_registers(self, address: int, values: list[int]) -> None: ...


@runtime_checkable
class CoilDevice(Protocol):
    """Single bits of a device that has some. Both methods may raise ``ModbusException`` and ``NoAnswer``."""

    def read_coils(self, address: int, count: int) -> list[bool]: ...

    def write_coil(self, address: int, on: bool) -> None: ...


def answer_request(pdu: bytes, device: RegisterDevice) -> bytes:
    """Return the response to a request, or an exception response. Raises ``NoAnswer``."""
    try:
        return _execute_request(pdu, device)
    except ModbusException as e:
        return bytes((pdu[0] | 0x80, e.code))


def _execute_request(pdu: bytes, device: RegisterDevice) -> bytes:
    function = pdu[0]
    if function in (READ_HOLDING, READ_INPUT):
        address, count = _parse_two_words(pdu, 5)
        if not 1 <= count <= 125:
            raise ModbusException(ILLEGAL_VALUE)
        words = device.read_registers(function, address, count)
        return bytes((function, 2 * count)) + b"".join(w.to_bytes(2, "big") for w in words)
    if function in (READ_COILS, WRITE_COIL) and isinstance(device, CoilDevice):
        return _answer_coils(pdu, device)
    if function == WRITE_ONE:
        address, value = _parse_two_words(pdu, 5)
        device.write_registers(address, [value])
        return pdu
    if function == WRITE_MANY:
        address, count = _parse_two_words(pdu[:5], 5)
        data = pdu[6:]
        if not 1 <= count <= 123 or len(data) != 2 * count or pdu[5] != 2 * count:
            raise ModbusException(ILLEGAL_VALUE)
        device.write_registers(address, [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)])
        return pdu[:5]
    raise ModbusException(ILLEGAL_FUNCTION)


def _answer_coils(pdu: bytes, device: CoilDevice) -> bytes:
    address, second = _parse_two_words(pdu, 5)
    if pdu[0] == READ_COILS:
        if not 1 <= second <= 2000:
            raise ModbusException(ILLEGAL_VALUE)
        packed = sum(1 << i for i, on in enumerate(device.read_coils(address, second)) if on)
        octets = (second + 7) // 8
        return bytes((READ_COILS, octets)) + packed.to_bytes(octets, "little")
    if second not in (0x0000, 0xFF00):
        raise ModbusException(ILLEGAL_VALUE)
    device.write_coil(address, second == 0xFF00)
    return pdu


def _parse_two_words(pdu: bytes, length: int) -> tuple[int, int]:
    if len(pdu) != length:
        raise ModbusException(ILLEGAL_VALUE)
    return int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")


def frame_checksum(frame: bytes) -> bytes:
    """Return the checksum of an RTU frame, low byte first."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            odd = value & 1
            value >>= 1
            if odd:
                value ^= 0xA001
    return bytes((value & 0xFF, value >> 8))


class RtuSlave:
    """Cuts a byte stream into frames by length and checksum. Bytes that do not fit are noise and are discarded."""

    def __init__(self, unit: int, device: RegisterDevice) -> None:
        self._unit = unit
        self._device = device
        self._heard = b""
        self._heard_at = 0.0

    def feed_bytes(self, data: bytes, now_s: float) -> bytes:
        """Return the answers to the received bytes. ``now_s``: any clock that counts seconds."""
        if now_s - self._heard_at > _FRAME_GAP_S:
            self._heard = b""
        self._heard_at = now_s
        self._heard += data
        out = b""
        while frame := self._next_rtu_frame():
            if frame[0] == self._unit:
                try:
                    reply = frame[:1] + answer_request(frame[1:-2], self._device)
                except NoAnswer:
                    continue
                out += reply + frame_checksum(reply)
        return out

    def _next_rtu_frame(self) -> bytes | None:
        size = _rtu_request_size(self._heard)
        if size is None or len(self._heard) < size:
            return None
        frame = self._heard[:size]
        if frame_checksum(frame[:-2]) != frame[-2:]:
            self._heard = b""
            return None
        self._heard = self._heard[size:]
        return frame


def _rtu_request_size(heard: bytes) -> int | None:
    """Return the length of the first request. An unknown function takes all bytes received at once."""
    if len(heard) < 4:
        return None
    if heard[1] == WRITE_MANY:
        return 9 + heard[6] if len(heard) > 6 else None
    return 8 if heard[1] in _SHORT else len(heard)


class _SlaveConnection(asyncio.Protocol):
    """One connection. It adds itself to ``open_`` so that closing the server closes it too."""

    def __init__(self, unit: int, device: RegisterDevice, open_: set[_SlaveConnection]) -> None:
        self._unit = unit
        self._device = device
        self._open = open_
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)

    def send(self, data: bytes) -> None:
        if data and self.transport is not None:
            self.transport.write(data)


class ModbusTcpConnection(_SlaveConnection):
    """Modbus TCP. A stream that lost its framing cannot be repaired: the connection is closed."""

    _heard = b""

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= 7:
            protocol, length = int.from_bytes(self._heard[2:4], "big"), int.from_bytes(self._heard[4:6], "big")
            if protocol != 0 or not 2 <= length <= 254:
                assert self.transport is not None
                self.transport.abort()
                return
            if len(self._heard) < 6 + length:
                return
            frame, self._heard = self._heard[: 6 + length], self._heard[6 + length :]
            self._serve_frame(frame)

    def _serve_frame(self, frame: bytes) -> None:
        if frame[6] not in (self._unit, 255):
            return
        try:
            pdu = answer_request(frame[7:], self._device)
        except NoAnswer:
            return
        self.send(frame[:4] + (len(pdu) + 1).to_bytes(2, "big") + frame[6:7] + pdu)


class RtuOverTcpConnection(_SlaveConnection):
    def __init__(self, unit: int, device: RegisterDevice, open_: set[_SlaveConnection]) -> None:
        super().__init__(unit, device, open_)
        self._slave = RtuSlave(unit, device)

    def data_received(self, data: bytes) -> None:
        self.send(self._slave.feed_bytes(data, time.monotonic()))


class NetworkSlave:
    """A listening slave on the loopback; ``line`` is "tcp" or "rtu_tcp"."""

    def __init__(self, device: RegisterDevice, unit: int = 1, line: str = "tcp") -> None:
        self._device = device
        self._unit = unit
        self._front = ModbusTcpConnection if line == "tcp" else RtuOverTcpConnection
        self._fronts: set[_SlaveConnection] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: self._front(self._unit, self._device, self._fronts), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for front in list(self._fronts):
            if front.transport is not None:
                front.transport.abort()
