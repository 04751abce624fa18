"""Port of the status lamp of an outlet."""

from __future__ import annotations

from typing import Protocol

from agent.model.types import Light


class LampPort(Protocol):
    """Must: be off at open, show the newest light (a level: saying it twice does no harm), be off
    when closed: a lamp must not stay lit for an agent that is not there. Must not: blink by itself;
    block the event loop for more than 5 ms. Raises: ``Unreachable``, ``Broken``."""

    async def show(self, light: Light) -> None: ...
