"""Reads words off a screen: set in the panel's own letters at every size, they are looked for pixel by pixel."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

from drivers.panel.colors import INK, WHITE
from drivers.panel.fonts import drawable_text, font_of_size

SIZES = range(16, 120)


def shows(png: bytes, words: str) -> bool:
    """In bold, ink on white, on one line."""
    panel = Image.open(io.BytesIO(png)).convert("RGB")
    rows = [panel.crop((0, y, panel.width, y + 1)).tobytes() for y in range(panel.height)]
    return any(_found(rows, _set(drawable_text(words), px)) for px in SIZES)


def _set(words: str, px: int) -> list[bytes]:
    """Its rows, as a panel of 16 bits shows them."""
    left, top, right, bottom = (int(n) for n in font_of_size(px, True).getbbox(words, anchor="ls"))
    image = Image.new("RGB", (right - left, bottom - top), WHITE)
    ImageDraw.Draw(image).text((-left, -top), words, INK, font_of_size(px, True), "ls")
    shown = image.point([(v >> 8 - bits) * 255 // ((1 << bits) - 1) for bits in (5, 6, 5) for v in range(256)])
    return [shown.crop((0, y, shown.width, y + 1)).tobytes() for y in range(shown.height)]


def _found(rows: list[bytes], words: list[bytes]) -> bool:
    middle = len(words) // 2
    for y in range(middle, len(rows) - len(words) + middle + 1):
        x = rows[y].find(words[middle])
        while x >= 0:
            if all(rows[y - middle + k][x : x + len(w)] == w for k, w in enumerate(words)):
                return True
            x = rows[y].find(words[middle], x + 1)
    return False
