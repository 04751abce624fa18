"""Port of a display."""

from __future__ import annotations

from typing import Protocol

from agent.model.types import Screen


class DisplayPort(Protocol):
    """Must: show the newest screen (older ones may be skipped), word it in ``screen.language``, draw nothing when
    nothing changed. A display of one outlet is called with its one screen. A display of several outlets is called
    with a screen of each, the outlet of the newest act first: show that one at once, and each of the others within a
    bounded time (``docs/decisions/0032-shared-display.md``). Must not: block the event loop for more than 5 ms.
    Raises: ``Unreachable``, ``Broken``."""

    async def show(self, first: Screen, /, *others: Screen) -> None: ...
