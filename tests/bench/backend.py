"""The backend of the benches: answers every CALL of OCPP 1.6 with the least valid reply and keeps the instants."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

ACCEPTED = {"idTagInfo": {"status": "Accepted"}}
REPLIES: dict[str, dict[str, Any]] = {
    "BootNotification": {"status": "Accepted", "currentTime": "2026-11-25T10:00:00Z", "interval": 86400},
    "Heartbeat": {"currentTime": "2026-11-25T10:00:00Z"},
    "Authorize": {"idTagInfo": {"status": "Invalid"}},  # so that the next tap is asked about, too
    "StartTransaction": {"transactionId": 1, **ACCEPTED},
    "StopTransaction": ACCEPTED,
    "DataTransfer": {"status": "Accepted"},
}


class Backend:
    """``heard`` is every CALL since the last ``forget``: (perf_counter seconds, action, payload). ``unanswered``:
    actions that get no reply."""

    def __init__(self) -> None:
        self.port = 0
        self.replies, self.unanswered = dict(REPLIES), set[str]()
        self.heard: deque[tuple[float, str, dict[str, Any]]] = deque(maxlen=100_000)
        self._instants: defaultdict[str, list[float]] = defaultdict(list)
        self._news = asyncio.Condition()
        self._connection: ServerConnection | None = None
        self._ids = itertools.count(1)

    async def attend(self, connection: ServerConnection) -> None:
        self._connection = connection
        try:
            async for text in connection:
                at = time.perf_counter()
                frame = json.loads(text)
                if frame[0] == 2:
                    if frame[2] not in self.unanswered:
                        reply = self.replies.get(frame[2], {})
                        await connection.send(json.dumps([3, frame[1], reply], separators=(",", ":")))
                    async with self._news:
                        self.heard.append((at, frame[2], frame[3]))
                        self._instants[frame[2]].append(at)
                        self._news.notify_all()
        except ConnectionClosed:
            pass

    async def wait_heard(self, action: str, count: int = 1, within_s: float = 30.0) -> float:
        """The instant of the ``count``-th CALL of ``action`` since ``forget``. Raises ``TimeoutError``."""
        async with asyncio.timeout(within_s), self._news:
            while len(self._instants[action]) < count:
                await self._news.wait()
            return self._instants[action][count - 1]

    def count(self, action: str) -> int:
        """How many of them since ``forget``."""
        return len(self._instants[action])

    def forget(self) -> None:
        self.heard.clear()
        self._instants.clear()

    async def ask(self, action: str, payload: dict[str, Any]) -> None:
        """Send a CALL; its answer is not waited for."""
        assert self._connection is not None
        await self._connection.send(json.dumps([2, f"b{next(self._ids)}", action, payload], separators=(",", ":")))


@asynccontextmanager
async def open_backend(compression: str | None = None) -> AsyncIterator[Backend]:
    backend = Backend()
    options: dict[str, Any] = {"subprotocols": ["ocpp1.6"], "ping_interval": None, "compression": compression}
    options["backlog"] = 1024  # a fleet connects at once
    async with serve(backend.attend, "127.0.0.1", 0, close_timeout=0.2, **options) as server:
        backend.port = next(iter(server.sockets)).getsockname()[1]
        yield backend
