"""Drawing with boxes: every text is fitted into a box, and every thing drawn is recorded with what it covers."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from PIL import Image, ImageDraw

from drivers.panel.colors import Colour
from drivers.panel.fonts import drawable_text, font_of_size
from drivers.panel.icons import icon_mask

_LEADING = 1.16
"""Line height in ems: DejaVu's ascent and descent are 0.93 and 0.24."""
_STEP = 0.93
_MEASURE_PX = 100
_GAP = 2
"""Pixels that a capital's accent and the line above it never share."""
_NEVER_FIRST, _NEVER_LAST = ":;!?»%€£$", ("+", "«")
"""What begins no line (French puts a blank before a colon), and what ends none."""
_PAUSE_S = 0.0002
"""Pause after each stroke, without which the event loop waits for the interpreter's 5 ms switch interval."""


class Box(NamedTuple):
    """Left, top, right, bottom in pixels; right and bottom excluded."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width_px(self) -> int:
        return self.x1 - self.x0

    @property
    def height_px(self) -> int:
        return self.y1 - self.y0

    def shrink_by(self, dx: float, dy: float | None = None) -> Box:
        dy = dx if dy is None else dy
        return Box(round(self.x0 + dx), round(self.y0 + dy), round(self.x1 - dx), round(self.y1 - dy))

    def split_left(self, width: float) -> tuple[Box, Box]:
        """Cut ``width`` pixels off the left; returns that piece and the rest."""
        x = min(self.x1, self.x0 + round(width))
        return Box(self.x0, self.y0, x, self.y1), Box(x, self.y0, self.x1, self.y1)

    def split_top(self, height: float) -> tuple[Box, Box]:
        y = min(self.y1, self.y0 + round(height))
        return Box(self.x0, self.y0, self.x1, y), Box(self.x0, y, self.x1, self.y1)

    def move_by(self, dx: int, dy: int) -> Box:
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def covers_box(self, other: Box) -> bool:
        return self.x0 <= other.x0 and self.y0 <= other.y0 and self.x1 >= other.x1 and self.y1 >= other.y1

    def overlaps_box(self, other: Box) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


@dataclass(frozen=True, slots=True)
class Placed:
    """One thing on the panel: ``ink`` is what it covers, ``box`` what it was given. ``whole``: nothing was cut off."""

    kind: str
    what: str
    ink: Box
    box: Box
    px: int = 0
    whole: bool = True
    colours: tuple[Colour, Colour] | None = None


@dataclass(frozen=True, slots=True)
class Type:
    """How a text is set: largest and smallest size in pixels per em (0: the canvas's smallest), lines at most, place
    in its box (0 left or top, 0.5 middle, 1 right or bottom)."""

    largest: float
    smallest: float = 0
    lines: int = 1
    x: float = 0.0
    y: float = 0.5
    bold: bool = True


class Canvas:
    """``smallest``: pixels per em of any text; what does not fit is cut, and the picture is not ``is_complete``.
    ``depth``: bits per pixel, 1 draws without grey edges. ``dry``: nothing is drawn, only placed."""

    def __init__(
        self, size: tuple[int, int], colour: Colour, smallest: float = 9, depth: int = 16, dry: bool = False
    ) -> None:
        self.size, self.dry, self._smallest = size, dry, max(1, int(smallest))
        self.image = Image.new("RGB", (1, 1) if dry else size, colour)
        self.placed: list[Placed] = []
        self._draw = ImageDraw.Draw(self.image)
        self._draw.fontmode = "1" if depth == 1 else "L"

    @property
    def whole_box(self) -> Box:
        return Box(0, 0, *self.size)

    @property
    def is_complete(self) -> bool:
        """Nothing was cut off."""
        return all(p.whole for p in self.placed)

    def has_kind(self, kind: str) -> bool:
        return any(p.kind == kind for p in self.placed)

    def fill_box(self, box: Box, colour: Colour, radius: float = 0) -> None:
        if box.width_px <= 0 or box.height_px <= 0 or self.dry:
            return
        corners = (box.x0, box.y0, box.x1 - 1, box.y1 - 1)
        if radius:
            self._draw.rounded_rectangle(corners, radius, colour)
        else:
            self._draw.rectangle(corners, colour)
        time.sleep(_PAUSE_S)

    def draw_icon(self, name: str, box: Box, colour: Colour) -> None:
        """Draw an icon as large as fits, in the middle of ``box``."""
        px = min(box.width_px, box.height_px)
        if px < 8:
            return
        x, y = box.x0 + (box.width_px - px) // 2, box.y0 + (box.height_px - px) // 2
        self.placed.append(Placed("icon", name, Box(x, y, x + px, y + px), box))
        if not self.dry:
            self.image.paste(colour, (x, y), icon_mask(name, px))
            time.sleep(_PAUSE_S)

    def paste_canvas(self, other: Canvas, at: tuple[int, int]) -> None:
        """Paste all that is on another canvas, with its upper left corner at ``at``."""
        self.placed += [replace(p, ink=p.ink.move_by(*at), box=p.box.move_by(*at)) for p in other.placed]
        if not self.dry:
            self.image.paste(other.image, at)
            time.sleep(_PAUSE_S)

    def draw_text(self, text: str, box: Box, colours: tuple[Colour, Colour], style: Type) -> Box:
        """Draw ``text`` in ``box``. ``colours``: ink and ground. Return what the text covers (an empty box for an empty
        text)."""
        text = drawable_text(text)
        if not text:
            return Box(box.x0, box.y0, box.x0, box.y0)
        px, lines, whole = self.fit_text_in_box(text, box, style)
        if box.width_px < 4 or box.height_px < 4:
            self.placed.append(Placed("text", text, Box(box.x0, box.y0, box.x0, box.y0), box, px, False, colours))
            return self.placed[-1].ink
        face, step = font_of_size(px, style.bold), text_line_height(px)
        height = step * len(lines)
        y, inks = box.y0 + (box.height_px - height) * style.y, []
        for line in lines:
            left, top, right, bottom = face.getbbox(line, anchor="ls")
            x = (
                box.x0 + (box.width_px - _line_width(line, px, style.bold)) * style.x - min(0, left)
            )  # a J reaches to the left
            # the anchor "ls" sits on the base line, so that lines do not dance with their letters' heights
            at = (round(x), round(y + step * 0.5 + px * 0.345))
            inks.append((at[0] + left, at[1] + top, at[0] + right, at[1] + bottom))
            y += step
            if not self.dry:
                self._draw.text(at, line, colours[0], face, "ls")
            time.sleep(_PAUSE_S)
        ink = Box(*(round(f(i[n] for i in inks)) for n, f in enumerate((min, min, max, max))))
        self.placed.append(Placed("text", text, ink, box, px, whole, colours))
        return ink

    def least_width(self, text: str) -> int:
        """Return the width of ``text`` in pixels, in bold at the smallest size."""
        return _line_width(drawable_text(text), self._smallest, True)

    def fit_text_in_box(self, text: str, box: Box, style: Type) -> tuple[int, tuple[str, ...], bool]:
        """Fit ``text`` into ``box`` with this panel's smallest size. See ``fit_text``."""
        return fit_text(text, box.width_px, box.height_px, replace(style, smallest=style.smallest or self._smallest))


def text_line_height(px: int) -> int:
    """Return the height of a line of text of this size, in pixels."""
    return round(px * _LEADING)


@lru_cache(maxsize=512)
def fit_text(text: str, width: int, height: int, style: Type) -> tuple[int, tuple[str, ...], bool]:
    """Return the largest size at which ``text``, broken at blanks, fits, and its lines. If even the smallest does not
    fit, the text is cut with an ellipsis (third value false)."""
    px = max(min(style.largest, _upper_size_bound(text, width, height, style)), style.smallest)
    while True:
        size = max(1, int(px))
        room = max(1, min(style.lines, int((height - _GAP) / text_line_height(size))))
        lines = wrap_text(text, width, size, style.bold)
        fits = all(_line_width(line, size, style.bold) <= width for line in lines)
        if fits and len(lines) <= room and text_line_height(size) <= height - _GAP:
            return size, tuple(lines), True
        if size <= style.smallest:
            size = max(1, min(size, int(height / _LEADING)))  # never beyond its box, even if it is too small to read
            return size, tuple(_cut_lines(lines, room, width, size, style.bold)), False
        px = max(style.smallest, min(px * _STEP, size - 1))


def _upper_size_bound(text: str, width: int, height: int, style: Type) -> float:
    """Return a size that no text that fits is larger than: larger ones are not even tried."""
    whole = _line_width(text, _MEASURE_PX, style.bold) / _MEASURE_PX
    longest = max(_line_width(word, _MEASURE_PX, style.bold) for word in text.split()) / _MEASURE_PX
    wide = width / max(longest, whole / style.lines)
    return min(1.03 * wide + 1, (height + 1) / _LEADING)


def wrap_text(text: str, width: int, px: int, bold: bool) -> list[str]:
    """Break ``text`` into lines of ``width`` pixels. A longer word is a line of its own. A number stays with its
    unit."""
    lines = [""]
    for word in unbreakable_words(text):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and _line_width(longer, px, bold) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def unbreakable_words(text: str) -> list[str]:
    """Return the words of a text, with what must stand on one line as one word."""
    words: list[str] = []
    for word in text.split():
        before = words[-1] if words else ""
        unit = before[-1:].isdigit() and len(word.rstrip(".,")) <= 3 and word[:1].isalpha()
        if before and (word[0] in _NEVER_FIRST or unit or before in _NEVER_LAST):
            words[-1] = f"{before} {word}"
        else:
            words.append(word)
    return words


def _cut_lines(lines: list[str], room: int, width: int, px: int, bold: bool) -> list[str]:
    kept = lines[:room]
    if len(lines) > room:
        kept[-1] += drawable_text("…")
    return [_shorten_line(line, width, px, bold) for line in kept]


def _shorten_line(line: str, width: int, px: int, bold: bool) -> str:
    end = drawable_text("…")
    while line.removesuffix(end) and _line_width(line, px, bold) > width:
        line = line.removesuffix(end)[:-1] + end
    return line


@lru_cache(maxsize=4096)
def _line_width(line: str, px: int, bold: bool) -> int:
    left, _, right, _ = font_of_size(px, bold).getbbox(line, anchor="ls")
    return int(max(right, font_of_size(px, bold).getlength(line)) - min(0, left)) + 1
