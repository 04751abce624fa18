"""``kit stickers``: both stickers as PDF and PNG, at true millimetres."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.kit.kit_file import Kit
from agent.commands.kit.print_measures import POINTS_PER_MM, fit_picture, font_path, place_text, qr_modules
from agent.commands.kit.sticker_layout import (
    BLEED_MM,
    HEIGHT_MM,
    TITLES,
    WIDTH_MM,
    Area,
    Element,
    Fill,
    Picture,
    Polygon,
    QrCode,
    TextLine,
    sticker_elements,
)
from agent.ports.driver import missing_module
from agent.station_file.settings import SettingsError

if TYPE_CHECKING:
    from PIL import Image

PNG_DPI = 600
MIN_MODULE_MM = 0.8
"""A smaller module is not read by older telephones from half a metre."""


def write_stickers(kit: Kit, brands: Sequence[str], copies: int, folder: Path) -> list[Path]:
    """Write PDF and PNG of each sticker; return the files. A PDF has one page for each copy.

    Raises ``SettingsError`` and ``OSError``.
    """
    require_print_extra()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for brand in brands:
        elements = list(sticker_elements(kit, brand))
        _refuse_small_codes(elements)
        stem = folder / f"sticker-{file_word(kit.station.number)}-{brand}"
        title = f"{TITLES[brand]} {kit.station.number}"
        stem.with_name(stem.name + ".pdf").write_bytes(sticker_pdf(elements, title, copies))
        picture = sticker_picture(elements)
        picture.save(stem.with_name(stem.name + ".png"), dpi=(PNG_DPI, PNG_DPI))
        written += [stem.with_name(stem.name + end) for end in (".pdf", ".png")]
    return written


def require_print_extra() -> None:
    """Raise ``SettingsError`` if the packages that print are not installed."""
    if missing := missing_module(("fpdf",), "chargy-agent[print]"):
        raise SettingsError([missing])


def file_word(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


def _refuse_small_codes(elements: Sequence[Element]) -> None:
    for code in (e for e in elements if isinstance(e, QrCode)):
        module_mm = code.area.width / len(qr_modules(code.text))
        if module_mm < MIN_MODULE_MM:
            raise SettingsError(
                [
                    f"sticker.qr_url: is so long that a module of the QR code has {module_mm:.2f} mm, less than"
                    f" {MIN_MODULE_MM} mm: use a shorter address"
                ]
            )


# --- PDF --------------------------------------------------------------------------------------------------------------


def sticker_pdf(elements: Sequence[Element], title: str, copies: int) -> bytes:
    """Return a PDF whose pages have the bleed around the sticker, and the sticker as trim box."""
    from fpdf import FPDF

    pdf = FPDF(unit="mm", format=(WIDTH_MM + 2 * BLEED_MM, HEIGHT_MM + 2 * BLEED_MM))
    pdf.set_auto_page_break(False)
    pdf.set_title(title)
    for bold in (False, True):
        pdf.add_font("sticker", "B" if bold else "", font_path(bold))
    for number in range(1, copies + 1):
        pdf.add_page()
        for element in elements:
            _PDF_PAINTERS[type(element)](pdf, element)
        box = (BLEED_MM, BLEED_MM, BLEED_MM + WIDTH_MM, BLEED_MM + HEIGHT_MM)
        pdf.pages[number].trim_box = f"[{' '.join(f'{mm * POINTS_PER_MM:.3f}' for mm in box)}]"
    return bytes(pdf.output())


def _fill_pdf(pdf: Any, fill: Fill) -> None:
    pdf.set_fill_color(*fill.color)
    area = fill.area
    pdf.rect(area.left + BLEED_MM, area.top + BLEED_MM, area.width, area.height, style="F")


def _polygon_pdf(pdf: Any, polygon: Polygon) -> None:
    pdf.set_fill_color(*polygon.color)
    pdf.polygon([(x + BLEED_MM, y + BLEED_MM) for x, y in polygon.points], style="F")


def _text_pdf(pdf: Any, line: TextLine) -> None:
    placed = place_text(line)
    pdf.set_text_color(*line.color)
    pdf.set_font("sticker", "B" if line.bold else "", placed.size * POINTS_PER_MM)
    pdf.text(placed.left + BLEED_MM, placed.baseline + BLEED_MM, line.text)


def _qr_pdf(pdf: Any, code: QrCode) -> None:
    """Draw the runs of dark modules of each row as rectangles, which stay sharp at every size."""
    matrix = qr_modules(code.text)
    side = code.area.width / len(matrix)
    pdf.set_fill_color(0, 0, 0)
    for y, row in enumerate(matrix):
        x = 0
        while x < len(row):
            run = next((n for n in range(x, len(row)) if not row[n]), len(row)) - x
            if run:
                left, top = code.area.left + x * side, code.area.top + y * side
                pdf.rect(left + BLEED_MM, top + BLEED_MM, run * side, side, style="F")
            x += run + 1


def _picture_pdf(pdf: Any, picture: Picture) -> None:
    image = open_picture(picture.path)
    area = fit_picture(picture.area, *image.size)
    pdf.image(image, area.left + BLEED_MM, area.top + BLEED_MM, area.width, area.height)


_PDF_PAINTERS: dict[type[Any], Any] = {
    Fill: _fill_pdf, Polygon: _polygon_pdf, TextLine: _text_pdf, QrCode: _qr_pdf, Picture: _picture_pdf,
}  # fmt: skip


# --- PNG --------------------------------------------------------------------------------------------------------------


def sticker_picture(elements: Sequence[Element]) -> Image.Image:
    """Return the sticker without bleed, with ``PNG_DPI``."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (_px(WIDTH_MM), _px(HEIGHT_MM)), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for element in elements:
        _PNG_PAINTERS[type(element)](image, draw, element)
    return image


def _px(mm: float) -> int:
    return round(mm / 25.4 * PNG_DPI)


def _px_box(area: Area) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom; the last two belong to the area, as Pillow wants them."""
    return _px(area.left), _px(area.top), _px(area.left + area.width) - 1, _px(area.top + area.height) - 1


def _fill_png(image: Any, draw: Any, fill: Fill) -> None:
    draw.rectangle(_px_box(fill.area), fill=fill.color)


def _polygon_png(image: Any, draw: Any, polygon: Polygon) -> None:
    draw.polygon([(_px(x), _px(y)) for x, y in polygon.points], fill=polygon.color)


def _text_png(image: Any, draw: Any, line: TextLine) -> None:
    from PIL import ImageFont

    placed = place_text(line)
    font = ImageFont.truetype(font_path(line.bold), _px(placed.size), layout_engine=ImageFont.Layout.BASIC)
    draw.text((_px(placed.left), _px(placed.baseline)), line.text, fill=line.color, font=font, anchor="ls")


def _qr_png(image: Any, draw: Any, code: QrCode) -> None:
    matrix = qr_modules(code.text)
    side = code.area.width / len(matrix)
    for y, row in enumerate(matrix):
        for x in (n for n, dark in enumerate(row) if dark):
            box = Area(code.area.left + x * side, code.area.top + y * side, side, side)
            draw.rectangle(_px_box(box), fill=(0, 0, 0))


def _picture_png(image: Any, draw: Any, picture: Picture) -> None:
    logo = open_picture(picture.path)
    box = _px_box(fit_picture(picture.area, *logo.size))
    scaled = logo.resize((box[2] - box[0] + 1, box[3] - box[1] + 1))
    image.paste(scaled, box[:2], scaled)


_PNG_PAINTERS: dict[type[Any], Any] = {
    Fill: _fill_png, Polygon: _polygon_png, TextLine: _text_png, QrCode: _qr_png, Picture: _picture_png,
}  # fmt: skip


def open_picture(path: Path) -> Image.Image:
    """Return the logo with transparency. Raises ``SettingsError`` if it is no picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.convert("RGBA")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as e:
        raise SettingsError([f"sticker.logo: {path}: is no picture that can be printed (PNG or JPEG): {e}"]) from None
