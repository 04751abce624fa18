"""Serve the status socket: it shows the state of the agent to the page, the control API and a technician.

The socket is a unix stream socket with mode 0660, and carries versioned JSON lines. A watcher that connects gets the
newest OCPP frames (a ring, bounded in number and in bytes) and one picture. Then it gets each frame, and the picture
whenever it has changed, at most ten times a second. A line of the watcher, ``{"v": 1, "type": "ask", "ask": NAME,
...}``, gets one line of type ``answer``. After the answer to ``picture`` the watcher has the present picture.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from agent.model import json_limits

log = logging.getLogger(__name__)

Frame: TypeAlias = tuple[int, float | None, str, str, str, str]
"""Number, UTC, direction, link, version, text."""
QuestionHandler: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

VERSION = 1
RING = 2000
RING_BYTES = 4 * 1024 * 1024
OVERHEAD_BYTES = 250
"""What one frame of the ring costs in memory beside its text."""
FRAME_BYTES = 16 * 1024
"""The most UTF-8 bytes of one traced frame. A longer frame is cut, and a note in it shows that."""
GREETING = 16
"""This many frames of the ring are written at once to a new watcher."""
COALESCE_S = 0.1
BACKLOG_BYTES = 4 * 1024 * 1024
CLOSE_S = 5.0
"""A watcher that has ended its side has so long to read what is left."""


class StatusSocket:
    """The socket at ``path``.

    ``picture`` builds the present snapshot. Call ``mark_changed()`` when it may have changed, and ``add_frame(...)``
    for each frame.
    ``questions``: the name of a question -> the function that answers it.
    ``hold_still``: inside of this context nothing that is shown is half done.
    """

    def __init__(
        self,
        path: Path,
        picture: Callable[[], dict[str, Any]],
        utc_s: Callable[[], float | None],
        questions: Mapping[str, QuestionHandler] = MappingProxyType({}),
        hold_still: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._path = path
        self._questions: dict[str, QuestionHandler] = {"picture": self._answer_snapshot, **questions}
        self._hold_still = hold_still
        self._picture = picture
        self._utc_s = utc_s
        self._frames: deque[Frame] = deque()
        self._ring_bytes = 0
        self._clients: set[asyncio.StreamWriter] = set()
        self._newcomers: set[asyncio.StreamWriter] = set()
        self._count = 0
        self._last = b""
        self._handle: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> StatusSocket:
        """Open the socket. A path that cannot be used is logged and does not stop the station."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve_watcher, self._path)
            os.chmod(self._path, 0o660)
        except OSError as e:
            log.error("status socket %s: %s; set [station] status_socket to a shorter, writable path", self._path, e)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._server is not None:
            self._server.close()
            for client in (*self._clients, *self._newcomers):
                client.close()
            self._path.unlink(missing_ok=True)

    def add_frame(self, direction: str, link: str, version: str, text: str) -> None:
        """Add an OCPP frame. It becomes a line when a watcher is connected, or asks for it later."""
        self._count += 1
        frame = (self._count, self._utc_s(), direction, link, version, _cut_frame(text))
        self._frames.append(frame)
        self._ring_bytes += _frame_weight(frame)
        while len(self._frames) > RING or self._ring_bytes > RING_BYTES:
            self._ring_bytes -= _frame_weight(self._frames.popleft())
        if self._clients:
            line = _frame_line(frame)
            for client in list(self._clients):
                self._write_line(client, line)
        self.mark_changed()  # what the backend was sent is part of the snapshot, and no event of the engine

    @property
    def frame_lines(self) -> Iterator[bytes]:
        """The newest frames of now, oldest first, as the lines that a watcher gets.

        Each line is written when it is asked for. That may happen in any thread.
        """
        return map(_frame_line, tuple(self._frames))

    def mark_changed(self) -> None:
        if self._handle is None and self._clients:
            self._handle = asyncio.get_running_loop().call_later(COALESCE_S, self._send_due_snapshot)

    async def _answer_snapshot(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send the snapshot at once.

        A watcher that waits a tenth of a second could miss what a backend knows already. The snapshot that is due is
        sent all the same, because the change that it is due for may be still to come.
        """
        async with self._hold_still():
            self._send_snapshot()
        return {}

    def _send_due_snapshot(self) -> None:
        self._handle = None
        self._send_snapshot()

    def _send_snapshot(self) -> None:
        line = _json_line("picture", self._picture())
        if line != self._last:
            self._last = line
            for client in list(self._clients):
                self._write_line(client, line)

    async def _serve_watcher(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._newcomers.add(writer)
        try:
            await self._greet_watcher(writer)
            while line := await reader.readline():
                writer.write(_json_line("answer", await self._answer_question(line)))
                await writer.drain()  # a watcher that does not read gets no further answer
            async with asyncio.timeout(CLOSE_S):
                writer.close()
                await writer.wait_closed()
        except (OSError, ValueError):
            pass  # the watcher died, does not read, or its line was too long: that concerns the watcher only
        finally:
            self._newcomers.discard(writer)
            self._clients.discard(writer)
            writer.transport.abort()  # close() keeps what the watcher has not read

    async def _answer_question(self, line: bytes) -> dict[str, Any]:
        try:
            question = json_limits.read_json(line)
            name = question["ask"]
        except (ValueError, TypeError, KeyError):
            return {"error": 'a line is a JSON object with "ask"'}
        if not isinstance(name, str) or name not in self._questions:
            return {"error": f"nothing is known of {str(name)[:40]!r}; known: {', '.join(sorted(self._questions))}"}
        return await self._questions[name](question)

    async def _greet_watcher(self, writer: asyncio.StreamWriter) -> None:
        """Send the ring at the watcher's own pace, so that it is no backlog.

        A very slow watcher misses the frames that the ring has lost meanwhile.
        """
        sent_count = 0
        while sent_count < self._count:
            batch = list(islice((f for f in self._frames if f[0] > sent_count), GREETING))
            writer.writelines(_frame_line(frame) for frame in batch)
            sent_count = batch[-1][0]
            await writer.drain()
        self._send_snapshot()  # all watchers have the same one, so a change back to it is a change for each of them
        writer.write(self._last)
        self._newcomers.discard(writer)
        self._clients.add(writer)

    def _write_line(self, client: asyncio.StreamWriter, line: bytes) -> None:
        """Write a line, and cut off a watcher that does not read: it must not cost memory."""
        if client.transport.get_write_buffer_size() > BACKLOG_BYTES:
            self._clients.discard(client)
            client.transport.abort()
        elif not client.is_closing():
            client.write(line)


def _json_line(kind: str, body: dict[str, Any]) -> bytes:
    return json.dumps({"v": VERSION, "type": kind, **body}, separators=(",", ":")).encode() + b"\n"


def _frame_weight(frame: Frame) -> int:
    """Return the bytes that a frame takes in memory in the worst case: a character may take four."""
    return OVERHEAD_BYTES + len(frame[5]) * (1 if frame[5].isascii() else 4)


def _frame_line(frame: Frame) -> bytes:
    names = ("n", "t", "dir", "link", "version", "frame")
    return _json_line("frame", dict(zip(names, frame, strict=True)))


def _cut_frame(text: str) -> str:
    if len(text) * 4 <= FRAME_BYTES:  # no character is longer
        return text
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= FRAME_BYTES:
        return text
    kept = raw[:FRAME_BYTES].decode("utf-8", "ignore")
    return f"{kept} [{len(raw) - len(kept.encode())} bytes cut]"
