"""Controllers of panels: a name that luma knows, and the panel that is sold with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """``family``: ``oled`` or ``lcd``. ``depth``: bits per pixel. ``dark``: a set bit is a dark dot (LCD), so that lit
    words on a dark ground are sent the other way round. ``partial``: the controller's class in luma can write a part of
    the panel; the others get the whole picture when something has changed."""

    family: str
    width: int
    height: int
    depth: int = 1
    dark: bool = False
    partial: bool = False


CHIPS: dict[str, Chip] = {
    "ssd1306": Chip("oled", 128, 64),
    "ssd1309": Chip("oled", 128, 64),
    "sh1106": Chip("oled", 128, 64),
    "ssd1322": Chip("oled", 256, 64, partial=True),
    "ssd1351": Chip("oled", 128, 128, 16, partial=True),
    "st7567": Chip("lcd", 128, 64, dark=True),
    "st7735": Chip("lcd", 160, 128, 18, partial=True),
    "st7789": Chip("lcd", 240, 240, 18),
    "ili9341": Chip("lcd", 320, 240, 18, partial=True),
    "ili9486": Chip("lcd", 320, 480, 18, partial=True),
    "ili9488": Chip("lcd", 480, 320, 18, partial=True),
}
