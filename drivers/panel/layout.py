"""Layouts: how a page is laid out on a panel, as a table. One row per class of panel, sizes in *units*: hundredths of
the panel, so that 800x480 and 1024x600 get the same picture, each at its own sharpness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Text sizes are units per em. ``smallest``: of any text; ``title_least``: of the main message (``with_qr``: beside
    a code). ``band_full`` and ``band``: share of the body that the state takes over little or much below it."""

    name: str
    upright: bool
    smallest: float
    title_least: float
    with_qr: float
    header: float = 12.5
    """Of one row; an upright panel has the outlet in a second one."""
    foot: float = 16
    band_full: float = 0.56
    band: float = 0.36
    title: float = 17
    line: float = 9.5
    hint: float = 7.6
    price: float = 12
    figure: float = 27
    side: float = 11
    label: float = 7.5
    strip: float = 9
    """Height of a line below the figures."""
    bar: float = 7
    qr_wide: float = 0.52
    qr_high: float = 1.0
    """Shares of the body that a QR code may take."""

    across: float = 0.75
    """Height that goes with a width of 1: on a wider panel the height counts, on a narrower one the width."""

    def unit_px(self, size: Size) -> float:
        """Return the length of one unit in pixels."""
        width, height = size
        return min(height * 0.6, width) / 100 if self.upright else min(height, width * self.across) / 100


TINY = Layout("tiny", False, smallest=20, title_least=24, with_qr=24, across=0.5)
"""128x64 and its like, in one colour or more: ``drivers/panel/small_panels.py`` shows a few large words at a time."""
SMALL = Layout("small", False, smallest=5.8, title_least=8.5, with_qr=7.5, hint=7.2, strip=10, bar=8)
SMALL_UPRIGHT = Layout(
    "small upright", True, smallest=7.2, title_least=10, with_qr=8, header=15, foot=34, band_full=0.44, title=15,
    line=11, hint=9, price=13, side=12, label=9, strip=20, bar=9.4, qr_wide=0.98, qr_high=0.66,
)  # fmt: skip
WIDE = Layout("wide", False, smallest=5, title_least=8, with_qr=7, band=0.3, strip=8.2, bar=6.8)
UPRIGHT = Layout(
    "upright", True, smallest=5, title_least=9, with_qr=8, foot=26, band_full=0.44, band=0.4, title=15, strip=14, bar=7,
    qr_wide=0.8, qr_high=0.52,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pane:
    """How an outlet is laid out that stands beside another one. ``band``: units for its name and its state; its title
    is ``title`` units per em at most, ``title_least`` at least. ``across``: outlets side by side, not one below the
    other."""

    layout: Layout
    band: float
    title: float
    title_least: float
    across: bool
    gap: float = 0.8


PANES: dict[str, Pane] = {
    "wide": Pane(replace(WIDE, line=7.5, price=8, figure=16, side=8, qr_wide=0.6), 23, 8.5, 5, across=True),
    "upright": Pane(
        replace(UPRIGHT, upright=False, line=7.5, price=8, figure=16, side=8, strip=8.2, qr_wide=0.6, qr_high=1.0),
        19, 9, 5, across=False,
    ),
}  # fmt: skip
"""By layout; on the other ones outlets take turns."""
OUTLETS_AT_ONCE = 2

SMALLEST: Size = (128, 64)
"""Pixels of the smallest panel that shows everything."""


def layout_for(size: Size, depth: int) -> Layout:
    """Return the layout for a panel. ``depth``: bits per pixel."""
    width, height = size
    if depth == 1 or min(size) < 200:
        return TINY
    if min(size) < 300:
        return SMALL_UPRIGHT if height > width else SMALL
    return UPRIGHT if height > width else WIDE
