"""What waits for the engine: events, facts of the services, and readers that want to see nothing half done.

The queue exists before the engine, so that everything which posts events can be made first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agent.domain.events import Event
from agent.model.slim_event import SlimEvent
from agent.ports.store import Put


class Pause:
    """An entry of the queue at which the engine waits while a reader looks at the state."""

    def __init__(self) -> None:
        self.reached, self.over = asyncio.Event(), asyncio.Event()


class EventQueue:
    """The queue of the engine. Only the engine takes from it."""

    def __init__(self) -> None:
        self._entries: list[Event | Pause] = []  # seldom more than some ten; an empty deque takes ten times the memory
        self._arrived = SlimEvent()
        self._facts: list[Put] = []

    def post_event(self, event: Event) -> None:
        """Queue an event. Call this from the thread of the event loop only."""
        self._put_entry(event)

    def _put_entry(self, entry: Event | Pause) -> None:
        self._entries.append(entry)
        self._arrived.set()

    def remember_fact(self, kind: str, key: str, value: dict[str, Any]) -> None:
        """Store a fact of the services themselves with the next event's transaction.

        A transaction of its own would double the wait for release.
        """
        self._facts.append(Put(kind, key, value))

    async def wait_until_handled(self) -> None:
        """Return when the engine has handled everything that was posted before: the proof that it is alive."""
        async with self.hold_still():
            pass

    @asynccontextmanager
    async def hold_still(self) -> AsyncIterator[None]:
        """Inside, everything that was posted before is handled, and nothing is half done."""
        pause = Pause()
        self._put_entry(pause)
        try:
            await pause.reached.wait()
            yield
        finally:
            pause.over.set()

    async def next_event(self) -> Event:
        """Wait for the next event, and in between for the readers that hold the engine still."""
        while isinstance(entry := await self._take_entry(), Pause):
            entry.reached.set()
            await entry.over.wait()
        return entry

    async def _take_entry(self) -> Event | Pause:
        while not self._entries:
            self._arrived.clear()
            await self._arrived.wait()
        return self._entries.pop(0)

    def take_facts(self) -> list[Put]:
        """Return the facts that are to be stored. Each is returned once."""
        facts, self._facts = self._facts, []
        return facts
