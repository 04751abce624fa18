"""The cheapest WebSocket client that is still one (RFC 6455): text frames and pings; no fragments, no extensions."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import Callable

TEXT, PING, PONG = 1, 9, 10


def masked(opcode: int, body: bytes) -> bytes:
    """A client frame. XOR over the whole body as one integer: no loop in Python."""
    key = os.urandom(4)
    size = len(body)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    else:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    pad = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(body, "big") ^ int.from_bytes(pad, "big")
    return head + key + mixed.to_bytes(size, "big")


def unmasked(data: bytearray) -> tuple[int, bytes] | None:
    """Take one whole server frame off the front of ``data``; None while it is incomplete."""
    if len(data) < 2:
        return None
    size, start = data[1] & 0x7F, 2
    if size == 126:
        if len(data) < 4:
            return None
        size, start = int.from_bytes(data[2:4], "big"), 4
    if len(data) < start + size:
        return None
    opcode, body = data[0] & 0x0F, bytes(data[start : start + size])
    del data[: start + size]
    return opcode, body


class Client(asyncio.Protocol):
    """``on_text`` gets each text; ``opened`` is done after the handshake."""

    def __init__(self, host: str, path: str, on_text: Callable[[str], None]) -> None:
        self._host, self._path, self._on_text = host, path, on_text
        self._data = bytearray()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {self._path} HTTP/1.1", f"Host: {self._host}", "Connection: Upgrade", "Upgrade: websocket",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: ocpp1.6", "", "",
        )  # fmt: skip
        transport.write("\r\n".join(lines).encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.opened.done():
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head.split(b"\r\n")[0], head
            self._data = bytearray(rest)
            self.opened.set_result(None)
        while frame := unmasked(self._data):
            opcode, body = frame
            if opcode == TEXT:
                self._on_text(body.decode())
            elif opcode == PING:
                self._transport.write(masked(PONG, body))

    def send(self, text: str) -> None:
        self._transport.write(masked(TEXT, text.encode()))
