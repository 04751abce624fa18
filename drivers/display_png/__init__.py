"""A display whose picture is a PNG file, for a board that has a viewer of its own (a browser, a video mixer, a panel
with its own protocol), and for a look from afar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.display import DisplayPort
from agent.ports.driver import Driver, Where
from drivers.display_png.settings import PngSettings
from drivers.panel.mounting import Mounting, size_complaints


def list_complaints(settings: PngSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a file."""
    wrong = [] if settings.path else ['path: is missing, for example path = "/run/chargy-agent/screen-1.png"']
    return wrong + settings_problems(settings) + size_complaints(settings.width, settings.height, "")


def _mounting_of(settings: PngSettings) -> Mounting:
    return Mounting(settings.rotate, settings.margin, settings.turn_s)


@asynccontextmanager
async def open_display(settings: PngSettings, where: Where) -> AsyncIterator[DisplayPort]:
    """Yield the display. Raises ``Unreachable`` (the folder takes no file), ``Broken`` (settings, texts)."""
    if wrong := list_complaints(settings):
        raise Broken(f"display {settings.path}: " + "; ".join(wrong))

    from drivers.display_png.file import PngFile
    from drivers.panel.display import open_display

    async with open_display(lambda: PngFile(settings), _mounting_of(settings), where) as display:
        yield display


DRIVER = Driver(
    "display_png",
    "display",
    PngSettings,
    open_display,
    list_complaints,
    verify_kit="drivers.display_png.verify_kit:VERIFY_KIT",
)
