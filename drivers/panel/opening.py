"""How a driver opens a panel. Pillow is imported when the panel is opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from agent.ports import Broken
from agent.ports.display import DisplayPort
from agent.ports.driver import Where
from drivers.panel.mounting import Mounting

if TYPE_CHECKING:
    from drivers.panel.display import Output


class PanelSettings(Protocol):
    """The keys that every driver of a panel has. See ``Mounting``."""

    @property
    def rotate(self) -> int: ...
    @property
    def margin(self) -> int: ...
    @property
    def turn_s(self) -> float: ...


@asynccontextmanager
async def open_panel(
    name: str, settings: PanelSettings, complaints: Sequence[str], where: Where, output: Callable[[], Output]
) -> AsyncIterator[DisplayPort]:
    """Yield the display over ``output``, which is called in the drawing thread. Raises ``Unreachable``, and ``Broken``
    if there are complaints about the settings."""
    if complaints:
        raise Broken(f"display {name}: " + "; ".join(complaints))

    from drivers.panel.display import open_display

    async with open_display(output, Mounting(settings.rotate, settings.margin, settings.turn_s), where) as display:
        yield display
