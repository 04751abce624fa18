"""A display whose picture is a PNG file, for a board that has a viewer of its own (a browser, a video mixer, a panel
with its own protocol), and for a look from afar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent.model.key_rules import settings_problems
from agent.ports.display import DisplayPort
from agent.ports.driver import Driver, Where
from drivers.display_png.settings import PngSettings
from drivers.panel.mounting import size_complaints
from drivers.panel.opening import open_panel

if TYPE_CHECKING:
    from drivers.panel.display import Output


def list_complaints(settings: PngSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a file."""
    wrong = [] if settings.path else ['path: is missing, for example path = "/run/chargy-agent/screen-1.png"']
    return wrong + settings_problems(settings) + size_complaints(settings.width, settings.height, "")


@asynccontextmanager
async def open_display(settings: PngSettings, where: Where) -> AsyncIterator[DisplayPort]:
    """Yield the display. Raises ``Unreachable`` (the folder takes no file), ``Broken`` (settings, texts)."""

    def output() -> Output:
        from drivers.display_png.file import PngFile

        return PngFile(settings)

    async with open_panel(settings.path, settings, list_complaints(settings), where, output) as display:
        yield display


DRIVER = Driver(
    "display_png",
    "display",
    PngSettings,
    open_display,
    list_complaints,
    verify_kit="drivers.display_png.verify_kit:VERIFY_KIT",
)
