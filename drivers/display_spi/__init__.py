"""Small panels on SPI that the kernel has no frame buffer for, through luma.oled and luma.lcd (extra ``spi``).

Where the kernel has a driver for the panel (``ssd130x``, ``ili9341``, ...), ``display_framebuffer`` is the shorter way.
luma, spidev and gpiod are imported by the drawing thread when the display is opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent.model.key_rules import settings_problems
from agent.ports.display import DisplayPort
from agent.ports.driver import Driver, Where
from drivers.display_spi.chips import CHIPS
from drivers.display_spi.settings import SpiSettings
from drivers.panel.opening import open_panel

if TYPE_CHECKING:
    from drivers.panel.display import Output


def list_complaints(settings: SpiSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    wrong = settings_problems(settings)
    if settings.dc < 1:
        wrong.append(f"dc: is the number of the GPIO line data/command, 1 or more, is {settings.dc}")
    chip = CHIPS.get(settings.chip)
    if settings.bgr and chip and not (chip.partial and chip.depth > 1):
        wrong.append(f"bgr: there is no such order of colours for {settings.chip}; leave it out")
    return wrong


@asynccontextmanager
async def open_display(settings: SpiSettings, where: Where) -> AsyncIterator[DisplayPort]:
    """Yield the display. Raises ``Unreachable`` (no such bus or line), ``Broken`` (settings, texts, no library)."""

    def output() -> Output:
        from drivers.display_spi.panel import SpiPanel

        return SpiPanel(settings)

    async with open_panel(settings.chip, settings, list_complaints(settings), where, output) as display:
        yield display


DRIVER = Driver(
    "display_spi",
    "display",
    SpiSettings,
    open_display,
    list_complaints,
    verify_kit="drivers.display_spi.verify_kit:VERIFY_KIT",
    needs=("luma.oled", "luma.lcd", "spidev", "gpiod"),
    extra="chargy-agent[spi]",
)
