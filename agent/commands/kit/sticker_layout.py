"""What is where on a sticker, in millimetres from its top left corner. Painters turn it into PDF and PNG.

The artwork is this project's own and neutral: a band in a colour per brand, a tick, the number, the QR code, the
hotline, and a place for the operator's logo.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from agent.commands.kit.kit_file import Kit
from agent.model.fastclass import frozen

Color: TypeAlias = tuple[int, int, int]

WIDTH_MM, HEIGHT_MM, BLEED_MM = 105.0, 148.0, 3.0
"""A6; the coloured ground goes on into the bleed, which is cut off."""
QR_SIDE_MM = 64.0
"""With its quiet zone: readable from more than half a metre (ten times the width of the symbol)."""
QUIET_ZONE = 4
"""Modules of white around a QR code (ISO/IEC 18004)."""
BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
GREY: Color = (90, 90, 90)
TITLES = {"chargy": "Chargy OK", "superchargy": "SuperChargy OK"}
GROUNDS: dict[str, Color] = {"chargy": (11, 110, 79), "superchargy": (18, 60, 120)}


@frozen
class Area:
    left: float
    top: float
    width: float
    height: float


@frozen
class Fill:
    area: Area
    color: Color


@frozen
class Polygon:
    points: tuple[tuple[float, float], ...]
    color: Color


@frozen
class TextLine:
    """One line, as large as its area allows, in the middle of it."""

    area: Area
    text: str
    color: Color
    bold: bool = True


@frozen
class QrCode:
    area: Area
    text: str


@frozen
class Picture:
    """A picture file, as large as its area allows, in the middle of it."""

    area: Area
    path: Path


Element: TypeAlias = Fill | Polygon | TextLine | QrCode | Picture


def sticker_elements(kit: Kit, brand: str) -> Iterator[Element]:
    """Yield the elements of a sticker in the order in which they are painted."""
    ground = GROUNDS[brand]
    yield Fill(Area(-BLEED_MM, -BLEED_MM, WIDTH_MM + 2 * BLEED_MM, HEIGHT_MM + 2 * BLEED_MM), WHITE)
    yield Fill(Area(-BLEED_MM, -BLEED_MM, WIDTH_MM + 2 * BLEED_MM, 30 + BLEED_MM), ground)
    yield TextLine(Area(7, 6, 72, 18), TITLES[brand], WHITE)
    yield Polygon(((82, 15.5), (85, 12.5), (88.5, 16), (96, 7.5), (99, 10.5), (88.5, 22)), WHITE)
    yield TextLine(Area(7, 34, 91, 16), f"N° {kit.station.number}", BLACK)
    yield QrCode(Area((WIDTH_MM - QR_SIDE_MM) / 2, 51.5, QR_SIDE_MM, QR_SIDE_MM), kit.sticker_url)
    yield TextLine(Area(7, 115.5, 91, 3.5), "Hotline", GREY, bold=False)
    yield TextLine(Area(7, 121.5, 91, 9), kit.station.hotline, BLACK)
    if kit.sticker.logo is not None:
        yield Picture(Area(22, 133, 61, 11), kit.sticker.logo)
    yield Fill(Area(-BLEED_MM, HEIGHT_MM - 2, WIDTH_MM + 2 * BLEED_MM, 2 + BLEED_MM), ground)
