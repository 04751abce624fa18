"""Measures that PDF and PNG share: the size of a line of text, the modules of a QR code, the size of a picture."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from agent.commands.kit.sticker_layout import QUIET_ZONE, Area, TextLine
from agent.model.fastclass import frozen
from agent.model.installed_fonts import find_installed_font
from agent.station_file.settings import SettingsError

EM_PX = 1000
POINTS_PER_MM = 72 / 25.4


@frozen
class PlacedText:
    """``left``, ``baseline`` and ``size`` (of an em) in millimetres."""

    left: float
    baseline: float
    size: float


def font_path(bold: bool) -> str:
    """Return the font file. Raises ``SettingsError`` if none is installed."""
    path = find_installed_font(bold)
    if path is None:
        raise SettingsError(["no font to print with: install the DejaVu fonts (Debian: fonts-dejavu-core)"])
    return path


@lru_cache(maxsize=2)
def _measuring_font(bold: bool) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(font_path(bold), EM_PX, layout_engine=ImageFont.Layout.BASIC)


def place_text(line: TextLine) -> PlacedText:
    """Return where a line goes: as large as its area allows. The height of its capitals counts."""
    font = _measuring_font(line.bold)
    width = font.getlength(line.text) / EM_PX
    capitals = -font.getbbox("H", anchor="ls")[1] / EM_PX
    size = min(line.area.width / width, line.area.height / capitals)
    left = line.area.left + (line.area.width - size * width) / 2
    return PlacedText(left, line.area.top + (line.area.height + size * capitals) / 2, size)


def fit_picture(area: Area, width: float, height: float) -> Area:
    """Return the largest area in the middle of ``area`` that has the picture's proportions."""
    scale = min(area.width / width, area.height / height)
    fitted = (width * scale, height * scale)
    return Area(area.left + (area.width - fitted[0]) / 2, area.top + (area.height - fitted[1]) / 2, *fitted)


def qr_modules(text: str) -> tuple[tuple[bool, ...], ...]:
    """Return the modules of a code with its quiet zone. Level Q: a quarter of the words may be scratched.

    Raises ``SettingsError`` if the text is too long for a code that can be read at this size.
    """
    import qrcode
    from qrcode.exceptions import DataOverflowError

    code = qrcode.QRCode(version=None, error_correction=qrcode.ERROR_CORRECT_Q, border=QUIET_ZONE)
    code.add_data(text)
    try:
        code.make(fit=True)
    except (DataOverflowError, ValueError):
        raise SettingsError(["sticker.qr_url: is too long for a QR code"]) from None
    return tuple(tuple(map(bool, row)) for row in code.get_matrix())
