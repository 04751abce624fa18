"""Colour display behind a Linux frame buffer (``/dev/fb0``), or a plain file that holds the same bytes.

Pillow is imported by the drawing thread when the display is opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agent.model.key_rules import settings_problems
from agent.ports.display import DisplayPort
from agent.ports.driver import Driver, Where
from drivers.display_framebuffer.settings import FramebufferSettings
from drivers.panel.mounting import size_complaints
from drivers.panel.opening import open_panel

if TYPE_CHECKING:
    from drivers.panel.display import Output

DEVICES = "/dev/"


def list_complaints(settings: FramebufferSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    wrong = settings_problems(settings)
    if not settings.path:
        wrong.append('path: is missing, for example path = "/dev/fb0"')
    wrong += size_complaints(settings.width, settings.height, "ask the kernel")
    asked = not (settings.width and settings.height) or settings.format == "auto"
    if not wrong and asked and not (settings.path.startswith(DEVICES) or Path(settings.path).is_char_device()):
        wrong.append(
            f"path: {settings.path} is a plain file: set width, height and format, which its bytes do not show"
        )
    return wrong


@asynccontextmanager
async def open_display(settings: FramebufferSettings, where: Where) -> AsyncIterator[DisplayPort]:
    """Yield the display. Raises ``Unreachable`` (no such device), ``Broken`` (settings, texts)."""

    def output() -> Output:
        from drivers.display_framebuffer.raster import Framebuffer

        return Framebuffer(settings)

    async with open_panel(settings.path, settings, list_complaints(settings), where, output) as display:
        yield display


DRIVER = Driver(
    "display_framebuffer",
    "display",
    FramebufferSettings,
    open_display,
    list_complaints,
    verify_kit="drivers.display_framebuffer.verify_kit:VERIFY_KIT",
)
