"""A display whose picture is a PNG file, for a board that has a viewer of its own (a browser, a video mixer, a panel
with its own protocol), and for a look from afar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.ports import Broken
from agent.ports.display import DisplayPort
from agent.ports.driver import Driver, Where
from drivers.panel.mounting import TURN_S, Mounting, size_complaints

DEPTHS = (1, 24)


@dataclass(frozen=True, slots=True)
class PngSettings:
    """``path``: the file; it is replaced as a whole, so that no reader ever sees half a picture. ``width``, ``height``:
    pixels. ``depth``: bits per pixel, 1 (black and white) or 24. ``rotate``, ``margin``, ``turn_s``: as of any
    panel."""

    path: str
    width: int = 800
    height: int = 480
    depth: int = 24
    rotate: int = 0
    margin: int = 0
    turn_s: float = TURN_S


def complaints(settings: PngSettings, where: Where | None = None) -> list[str]:
    """What is wrong with the settings, one line each, without touching a file."""
    wrong = [] if settings.path else ['path: is missing, for example path = "/run/chargy-agent/screen-1.png"']
    if settings.depth not in DEPTHS:
        wrong.append(f"depth: must be 1 or 24 (bits per pixel), is {settings.depth}")
    return wrong + size_complaints(settings.width, settings.height, "") + _mounting(settings).complaints()


def _mounting(settings: PngSettings) -> Mounting:
    return Mounting(settings.rotate, settings.margin, settings.turn_s)


@asynccontextmanager
async def open_display(settings: PngSettings, where: Where) -> AsyncIterator[DisplayPort]:
    """Yields the display. Raises ``Unreachable`` (the folder takes no file), ``Broken`` (settings, texts)."""
    if wrong := complaints(settings):
        raise Broken(f"display {settings.path}: " + "; ".join(wrong))

    from drivers.display_png.file import PngFile
    from drivers.panel.display import opened

    async with opened(lambda: PngFile(settings), _mounting(settings), where) as display:
        yield display


DRIVER = Driver(
    "display_png",
    "display",
    PngSettings,
    open_display,
    complaints,
    fitting="drivers.display_png.fitting:FITTING",
)
