"""The least central system of OCPP 1.6 that thousands of stations need: a process of its own on bare sockets.

  python -m tests.bench.lean_backend [--port N] [--heartbeat S]

It prints its port. For each line on its standard input it prints what it has seen so far as one line of JSON. It takes
every station and card. Of the frames it reads the head alone; starts and ends of transactions are read as JSON, for the
books. It shares no code with the agent.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from tests.bench.process import ROOT, cpu_s

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""
TEXT, CLOSE, PING = 1, 8, 9
CALL = re.compile(rb'\[2,"([^"]+)","(\w+)"')
KEY = re.compile(rb"(?i)\r\nsec-websocket-key: *(\S+)")
PATH = re.compile(rb"GET (\S*)")
BACKLOG = 4096


class Books:
    """What was seen of all stations. ``begun_s``: monotonic instants of the first and the last accepted station."""

    def __init__(self, heartbeat_s: int) -> None:
        self.heartbeat_s = heartbeat_s
        self.connected = self.opened = self.samples = 0
        self.calls: Counter[str] = Counter()
        self.booted_s: dict[bytes, float] = {}
        self.heard_s: dict[bytes, float] = {}
        self.longest_silence_s: defaultdict[bytes, float] = defaultdict(float)
        self.transactions: dict[int, list[Any]] = {}
        """Station, register of the begin, register of the end or None."""
        self._numbers = itertools.count(1)

    def note_call(self, station: bytes) -> None:
        now_s = time.monotonic()
        before_s = self.heard_s.get(station, now_s)
        self.longest_silence_s[station] = max(self.longest_silence_s[station], now_s - before_s)
        self.heard_s[station] = now_s

    def answer_call(self, station: bytes, action: bytes, frame: bytes) -> bytes:
        """Return the payload of the answer."""
        if action == b"BootNotification":
            self.booted_s.setdefault(station, time.monotonic())
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
            return b'{"status":"Accepted","currentTime":"%s","interval":%d}' % (now, self.heartbeat_s)
        if action == b"MeterValues":
            self.samples += frame.count(b'"sampledValue"')  # one message may have several
            return b"{}"
        if action == b"Heartbeat":
            return b'{"currentTime":"%s"}' % time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
        if action == b"Authorize":
            return b'{"idTagInfo":{"status":"Accepted"}}'
        if action == b"StartTransaction":
            number = next(self._numbers)
            self.transactions[number] = [station.decode(), json.loads(frame)[3]["meterStart"], None]
            return b'{"transactionId":%d,"idTagInfo":{"status":"Accepted"}}' % number
        if action == b"StopTransaction":
            payload = json.loads(frame)[3]
            self.transactions[payload["transactionId"]][2] = payload["meterStop"]
        return b"{}"

    def _silences_s(self) -> Iterator[float]:
        """Yield the longest time without a CALL of each station, the present one included."""
        now_s = time.monotonic()
        return (max(now_s - at_s, self.longest_silence_s[station]) for station, at_s in self.heard_s.items())

    def to_record(self) -> dict[str, Any]:
        ended = [one for one in self.transactions.values() if one[2] is not None]
        billed_wh: Counter[str] = Counter()
        for station, begin_wh, end_wh in ended:
            billed_wh[station] += end_wh - begin_wh
        instants = self.booted_s.values()
        return {
            "connected": self.connected, "opened": self.opened, "calls": dict(self.calls), "samples": self.samples,
            "accepted": len(self.booted_s), "first_s": min(instants, default=0.0), "all_s": max(instants, default=0.0),
            "longest_silence_s": max(self._silences_s(), default=0.0),
            "transactions": len(self.transactions), "ended": len(ended), "billed_wh": dict(billed_wh),
        }  # fmt: skip


class StationSocket(asyncio.Protocol):
    """One connection: text frames of a client that are not fragmented."""

    def __init__(self, books: Books) -> None:
        self._books, self._data, self._station, self._is_open = books, b"", b"", False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._books.opened += 1
        self._books.connected += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._books.connected -= 1

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._is_open and not self._accept_handshake():
            return
        while (frame := self._take_frame()) is not None:
            opcode, body = frame
            if opcode == TEXT:
                self._answer_text(body)
            elif opcode == PING:
                self._transport.write(bytes((0x8A, len(body))) + body)
            elif opcode == CLOSE:
                self._transport.write(bytes((0x88, len(body))) + body)
                self._transport.close()
                return

    def _accept_handshake(self) -> bool:
        head, found, rest = self._data.partition(b"\r\n\r\n")
        key, path = KEY.search(head), PATH.match(head)
        if not found or key is None or path is None:
            return False
        self._data, self._is_open, self._station = rest, True, path[1].rpartition(b"/")[2]
        accept = base64.b64encode(hashlib.sha1(key[1] + MAGIC, usedforsecurity=False).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: ocpp1.6\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        return True

    def _take_frame(self) -> tuple[int, bytes] | None:
        """Return opcode and content of the next whole frame (RFC 6455, 5.2)."""
        data = self._data
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        end = start + 4 + size
        if len(data) < end:
            return None
        key, body = data[start : start + 4], data[start + 4 : end]
        mask = (key * (size // 4 + 1))[:size]
        self._data = data[end:]
        plain = int.from_bytes(body, "big") ^ int.from_bytes(mask, "big")
        return data[0] & 0x0F, plain.to_bytes(size, "big")

    def _answer_text(self, frame: bytes) -> None:
        call = CALL.match(frame)
        if call is None:
            return
        books, action = self._books, call[2]
        books.calls[action.decode()] += 1
        books.note_call(self._station)
        text = b'[3,"%s",%s]' % (call[1], books.answer_call(self._station, action, frame))
        head = bytes((0x81, len(text))) if len(text) < 126 else b"\x81\x7e" + len(text).to_bytes(2, "big")
        self._transport.write(head + text)


async def run_process(port: int, heartbeat_s: int) -> None:
    books, loop = Books(heartbeat_s), asyncio.get_running_loop()
    server = await loop.create_server(lambda: StationSocket(books), "127.0.0.1", port, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(json.dumps(books.to_record()), flush=True)


# --- in the process that uses it -------------------------------------------------------------------------------------


class LeanBackend:
    """The handle of such a process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process, self.port = process, port

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has taken so far."""
        return cpu_s(self._process.pid)

    async def read_books(self) -> dict[str, Any]:
        """Return what it has seen so far (``Books.to_record``)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        found: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return found


@asynccontextmanager
async def open_lean_backend(port: int = 0, heartbeat_s: int = 86400) -> AsyncIterator[LeanBackend]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.lean_backend", "--port", str(port), "--heartbeat", str(heartbeat_s),
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=16 * 1024 * 1024,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield LeanBackend(process, int(await process.stdout.readline()))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--heartbeat", type=int, default=86400)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_process(options.port, options.heartbeat))
