"""Requests that wait for their turn, limited in number and in bytes. When the queue is full the
reader waits, and TCP holds the backend back."""

from __future__ import annotations

import asyncio

from agent.model.slim_event import SlimEvent
from agent.ocpp.wire.calls import Called, SendNow

INBOX = 100
INBOX_BYTES = 4 * 1024 * 1024


class InboundQueue:
    """For one reader, which puts, and one task that answers."""

    def __init__(self, count: int = INBOX, size_bytes: int = INBOX_BYTES) -> None:
        self.maxsize, self.max_bytes = count, size_bytes
        self.bytes = 0
        self._items: list[tuple[Called | SendNow, int]] = []
        self._arrived, self._taken, self._is_closed = SlimEvent(), SlimEvent(), False

    @property
    def is_empty(self) -> bool:
        return not self._items

    def _has_room(self, size: int) -> bool:
        """Return whether a request fits. A single request always fits: the connection limits the
        length of a frame."""
        return not self._items or (len(self._items) < self.maxsize and self.bytes + size <= self.max_bytes)

    async def put(self, item: Called | SendNow, size: int) -> None:
        """Add a request; waits while the queue is full. After ``close`` it is dropped."""
        while not (self._has_room(size) or self._is_closed):
            self._taken.clear()
            await self._taken.wait()
        if self._is_closed:
            return
        self._items.append((item, size))
        self.bytes += size
        self._arrived.set()

    def close(self) -> None:
        """Drop what comes from now on: it is not answered any more, and the reader is not held up by it."""
        self._is_closed = True
        self._taken.set()

    async def get(self) -> Called | SendNow:
        """Return the oldest request. The event loop gets a turn first, even while other requests wait: who waits for an
        answer that was read before this request takes it in that turn."""
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        await asyncio.sleep(0)
        item, size = self._items.pop(0)
        self.bytes -= size
        self._taken.set()
        return item
