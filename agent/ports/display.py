"""Port of a display."""

from __future__ import annotations

from typing import Protocol

from agent.kinds import Screen


class DisplayPort(Protocol):
    """Must: show the newest screen (older ones may be skipped), word it in ``screen.language``, draw nothing when
    nothing changed. Must not: block the event loop for more than 5 ms. Raises: ``Unreachable``, ``Broken``."""

    async def show(self, screen: Screen) -> None: ...
