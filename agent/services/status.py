"""The status socket: what the agent believes, for the page, the control API and a technician.

A unix stream socket (0660). Versioned JSON lines: on connect every OCPP frame since the start (a ring) and one picture;
then each frame, and the picture whenever it changed, at most ten times a second.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

VERSION = 1
RING = 2000
COALESCE_S = 0.1
BACKLOG_BYTES = 4 * 1024 * 1024


class StatusSocket:
    """``picture`` builds the present one; ``changed()`` says that it may have changed; ``frame(...)`` adds a frame."""

    def __init__(self, path: Path, picture: Callable[[], dict[str, Any]], utc_s: Callable[[], float | None]) -> None:
        self._path = path
        self._picture = picture
        self._utc_s = utc_s
        self._frames: deque[bytes] = deque(maxlen=RING)
        self._clients: set[asyncio.StreamWriter] = set()
        self._count = 0
        self._last = b""
        self._handle: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> StatusSocket:
        """A path that cannot be used is told and does not stop the station."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._connected, self._path)
            os.chmod(self._path, 0o660)
        except OSError as e:
            log.error("status socket %s: %s; set [station] status_socket to a shorter, writable path", self._path, e)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._server is not None:
            self._server.close()
            for client in self._clients:
                client.close()
            self._path.unlink(missing_ok=True)

    def frame(self, direction: str, link: str, version: str, text: str) -> None:
        self._count += 1
        body = {"n": self._count, "t": self._utc_s(), "dir": direction, "link": link, "version": version, "frame": text}
        line = _line("frame", body)
        self._frames.append(line)
        for client in list(self._clients):
            self._write(client, line)

    def changed(self) -> None:
        if self._handle is None and self._clients:
            self._handle = asyncio.get_running_loop().call_later(COALESCE_S, self._tell)

    def _tell(self) -> None:
        self._handle = None
        line = _line("picture", self._picture())
        if line != self._last:
            self._last = line
            for client in list(self._clients):
                self._write(client, line)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._last = _line("picture", self._picture())
        for line in (*self._frames, self._last):
            writer.write(line)
        self._clients.add(writer)
        try:
            while await reader.read(4096):
                pass  # nothing is asked over this socket yet; a reader that closes is what we wait for
        except OSError:
            pass  # the watcher died: its business
        finally:
            self._clients.discard(writer)
            writer.close()

    def _write(self, client: asyncio.StreamWriter, line: bytes) -> None:
        """A watcher that does not read is cut off: it must not cost memory."""
        if client.transport.get_write_buffer_size() > BACKLOG_BYTES:
            self._clients.discard(client)
            client.transport.abort()
        elif not client.is_closing():
            client.write(line)


def _line(kind: str, body: dict[str, Any]) -> bytes:
    return json.dumps({"v": VERSION, "type": kind, **body}, separators=(",", ":")).encode() + b"\n"
