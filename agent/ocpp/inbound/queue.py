"""Requests that wait for their turn, limited in number and in bytes. When the queue is full the
reader waits, and TCP holds the backend back."""

from __future__ import annotations

import asyncio
from collections import deque

from agent.ocpp.wire.calls import Called, SendNow

INBOX = 100
INBOX_BYTES = 4 * 1024 * 1024


class InboundQueue:
    def __init__(self, count: int = INBOX, size_bytes: int = INBOX_BYTES) -> None:
        self.maxsize, self.max_bytes = count, size_bytes
        self.bytes = 0
        self._items: deque[tuple[Called | SendNow, int]] = deque()
        self._changed = asyncio.Condition()

    def _has_room(self, size: int) -> bool:
        """Return whether a request fits. A single request always fits: the connection limits the
        length of a frame."""
        return not self._items or (len(self._items) < self.maxsize and self.bytes + size <= self.max_bytes)

    async def put(self, item: Called | SendNow, size: int) -> None:
        """Add a request; waits while the queue is full."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_room(size))
            self._items.append((item, size))
            self.bytes += size
            self._changed.notify_all()

    async def get(self) -> Called | SendNow:
        """Return the oldest request. The event loop gets a turn first, even while other requests
        wait."""
        await asyncio.sleep(0)
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items))
            item, size = self._items.popleft()
            self.bytes -= size
            self._changed.notify_all()
            return item
