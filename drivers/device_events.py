"""What a device reports by itself, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from agent.ports import DeviceError

T = TypeVar("T")


class DeviceEvents(Generic[T]):
    """The events of one device. After its error there are no more: each caller gets that error."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[T | DeviceError] = asyncio.Queue()

    def add_event(self, event: T) -> None:
        self._queue.put_nowait(event)

    def end_with_error(self, error: DeviceError) -> None:
        self._queue.put_nowait(error)

    async def wait_for_events(self) -> AsyncIterator[T]:
        """Yield each event as it comes. Raises the error of the device."""
        while True:
            event = await self._queue.get()
            if isinstance(event, DeviceError):
                self._queue.put_nowait(event)  # the next caller gets the same error
                raise event
            yield event
