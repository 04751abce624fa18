"""Icons as vectors in a square of 100 x 100, drawn four times too large and scaled down, so that edges are smooth."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageDraw

_OVER = 4


class _Pen:
    """Draws in units of one hundredth of the icon; ``ink`` 255 covers, 0 cuts out."""

    def __init__(self, px: int) -> None:
        self.image = Image.new("L", (px * _OVER, px * _OVER), 0)
        self._draw = ImageDraw.Draw(self.image)
        self._k = px * _OVER / 100

    def _to_pixels(self, *xy: float) -> list[float]:
        return [v * self._k for v in xy]

    def draw_line(self, *xy: float, width: float = 9, ink: int = 255) -> None:
        points = list(zip(xy[::2], xy[1::2], strict=True))
        self._draw.line(self._to_pixels(*xy), ink, round(width * self._k), "curve")
        for x, y in points:
            self.draw_disc(x, y, width / 2, ink)

    def draw_disc(self, x: float, y: float, r: float, ink: int = 255) -> None:
        self._draw.ellipse(self._to_pixels(x - r, y - r, x + r, y + r), ink)

    def draw_ring(self, x: float, y: float, r: float, width: float = 8) -> None:
        self._draw.ellipse(self._to_pixels(x - r, y - r, x + r, y + r), outline=255, width=round(width * self._k))

    def draw_arc(self, x: float, y: float, r: float, start: float, end: float, width: float = 8) -> None:
        self._draw.arc(self._to_pixels(x - r, y - r, x + r, y + r), start, end, 255, round(width * self._k))

    def draw_polygon(self, *xy: float, ink: int = 255) -> None:
        self._draw.polygon(self._to_pixels(*xy), ink)

    def draw_box(self, x0: float, y0: float, x1: float, y1: float, r: float = 6, ink: int = 255) -> None:
        self._draw.rounded_rectangle(self._to_pixels(x0, y0, x1, y1), r * self._k, ink)


def _draw_card(p: _Pen) -> None:
    p.draw_box(4, 34, 64, 84, 7)
    p.draw_box(4, 46, 64, 55, 0, ink=0)
    p.draw_box(12, 66, 34, 73, 2, ink=0)
    for r in (14, 27, 40):
        p.draw_arc(56, 30, r, -62, 28, 7)


def _draw_hourglass(p: _Pen) -> None:
    p.draw_line(20, 10, 80, 10, width=10)
    p.draw_line(20, 90, 80, 90, width=10)
    p.draw_line(28, 12, 28, 28, 50, 50, 72, 28, 72, 12, width=7)
    p.draw_line(28, 88, 28, 72, 50, 50, 72, 72, 72, 88, width=7)
    p.draw_polygon(36, 26, 64, 26, 50, 42)
    p.draw_polygon(33, 84, 67, 84, 67, 76, 50, 64, 33, 76)


def _draw_plug(p: _Pen) -> None:
    p.draw_line(35, 8, 35, 30, width=11)
    p.draw_line(65, 8, 65, 30, width=11)
    p.draw_box(18, 30, 82, 42, 4)
    p.draw_box(24, 36, 76, 62, 4)
    p.draw_disc(50, 60, 26)
    p.draw_line(50, 80, 50, 94, width=11)


def _draw_cross(p: _Pen) -> None:
    p.draw_ring(50, 50, 46, 10)
    p.draw_line(33, 33, 67, 67, width=12)
    p.draw_line(67, 33, 33, 67, width=12)


def _draw_bolt(p: _Pen) -> None:
    p.draw_ring(50, 50, 46, 8)
    p.draw_polygon(57, 14, 26, 56, 46, 56, 41, 86, 74, 42, 53, 42)


def _draw_pause(p: _Pen) -> None:
    p.draw_ring(50, 50, 46, 10)
    p.draw_box(33, 28, 44, 72, 3)
    p.draw_box(56, 28, 67, 72, 3)


def _draw_check(p: _Pen) -> None:
    p.draw_ring(50, 50, 46, 10)
    p.draw_line(28, 52, 44, 68, 73, 34, width=12)


def _draw_warning(p: _Pen) -> None:
    p.draw_line(50, 12, 92, 86, 8, 86, 50, 12, width=10)
    p.draw_line(50, 40, 50, 60, width=10)
    p.draw_disc(50, 74, 6)


def _draw_lock(p: _Pen) -> None:
    p.draw_arc(50, 38, 27, 180, 360, 11)
    p.draw_box(23, 36, 34, 50, 0)
    p.draw_box(66, 36, 77, 50, 0)
    p.draw_box(14, 46, 86, 92, 8)
    p.draw_disc(50, 64, 8, 0)
    p.draw_line(50, 66, 50, 78, width=7, ink=0)


def _draw_cloud(p: _Pen) -> None:
    p.draw_disc(30, 60, 22)
    p.draw_disc(54, 44, 27)
    p.draw_disc(76, 60, 20)
    p.draw_box(28, 58, 78, 82, 4)
    p.draw_line(16, 16, 88, 92, width=18, ink=0)
    p.draw_line(14, 14, 90, 94, width=8)


def _draw_antenna(p: _Pen) -> None:
    p.draw_disc(50, 40, 9)
    p.draw_line(50, 40, 50, 92, width=9)
    p.draw_line(30, 92, 70, 92, width=9)
    for r in (24, 42):
        p.draw_arc(50, 40, r, -45, 45, 8)
        p.draw_arc(50, 40, r, 135, 225, 8)


def _draw_phone(p: _Pen) -> None:
    p.draw_arc(50, 88, 56, 222, 318, 17)
    p.draw_box(4, 40, 32, 66, 8)
    p.draw_box(68, 40, 96, 66, 8)
    p.image = p.image.rotate(50)


_ICONS: dict[str, Callable[[_Pen], None]] = {
    "card": _draw_card, "hourglass": _draw_hourglass, "plug": _draw_plug, "cross": _draw_cross, "bolt": _draw_bolt,
    "pause": _draw_pause,
    "check": _draw_check, "warning": _draw_warning, "lock": _draw_lock, "cloud": _draw_cloud, "phone": _draw_phone,
    "antenna": _draw_antenna,
}  # fmt: skip
NAMES = tuple(_ICONS)


@lru_cache(maxsize=64)
def icon_mask(name: str, px: int) -> Image.Image:
    """Return the icon as an L mask of ``px`` x ``px``."""
    pen = _Pen(px)
    _ICONS[name](pen)
    return pen.image.resize((px, px), Image.Resampling.BOX)
