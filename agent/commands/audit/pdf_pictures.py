"""Charts and pictures on the pages of a printed report."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from agent.commands.audit.chart_drawing import WIDTH, Disc, Drawing, Element, Label, Shape, Stroke
from agent.commands.audit.pdf_pages import (
    BOTTOM,
    INK,
    LINE,
    MARGIN,
    MUTED,
    PAGE_HEIGHT,
    POINT,
    TEXT_WIDTH,
    Color,
    PdfPages,
)
from agent.commands.audit.report_pictures import ShownPicture
from agent.commands.audit.report_texts import shorten_text

ROLE_COLORS: dict[str, Color] = {
    "ink": INK, "muted": MUTED, "grid": (222, 227, 233), "axis": (138, 150, 163), "power": (11, 98, 184),
    "energy": (11, 122, 75), "soc": (138, 75, 8), "station": (11, 98, 184), "backend": (138, 75, 8),
    "error": (163, 20, 31),
}  # fmt: skip


def print_drawing(pages: PdfPages, drawing: Drawing) -> None:
    """Print a chart over the whole width, smaller if it is higher than a page."""
    most = PAGE_HEIGHT - MARGIN - BOTTOM - 20
    scale = min(TEXT_WIDTH / WIDTH, most / drawing.height)
    pages.ensure_room(drawing.height * scale)
    left, top = MARGIN + (TEXT_WIDTH - WIDTH * scale) / 2, pages.y
    with pages.no_page_breaks():
        for element in drawing.elements:
            _draw_element(pages, element, lambda x, y: (left + x * scale, top + y * scale), scale)
    pages.pdf.set_dash_pattern()
    pages.pdf.set_xy(MARGIN, top + drawing.height * scale)


def _draw_element(
    pages: PdfPages, element: Element, place: Callable[[float, float], tuple[float, float]], scale: float
) -> None:
    color = ROLE_COLORS[element.role]
    pages.pdf.set_draw_color(*color)
    pages.pdf.set_fill_color(*color)
    match element:
        case Stroke(points, _, thickness, dashed):
            pages.pdf.set_line_width(thickness * scale)
            pages.pdf.set_dash_pattern(*((5 * scale, 3 * scale) if dashed else (0, 0)))
            pages.pdf.polyline([place(x, y) for x, y in points])
        case Shape(points, _):
            pages.pdf.polygon([place(x, y) for x, y in points], style="F")
        case Disc(x, y, radius, _, hollow):
            pages.pdf.set_line_width(1.6 * scale)
            pages.pdf.set_dash_pattern()
            if hollow:
                pages.pdf.set_fill_color(255, 255, 255)
            pages.pdf.circle(*place(x, y), radius * scale, style="DF" if hollow else "F")
        case Label(x, y, text, _, anchor, size, bold, most):
            pages.set_letters(size * scale / POINT, bold, color)
            shown = _fit_width(pages, " ".join(pages.printable_text(text).split()), most * scale)
            width = pages.pdf.get_string_width(shown)
            at_x, at_y = place(x, y)
            pages.pdf.text(at_x - width * {"start": 0, "middle": 0.5, "end": 1}[anchor], at_y, shown)


def _fit_width(pages: PdfPages, text: str, width: float) -> str:
    """Return the text, or as much of its beginning as ``width`` has room for."""
    shown = text
    while (wide := pages.pdf.get_string_width(shown)) > width and len(text) > 1:
        text = text[: min(int(len(text) * width / wide), len(text) - 1)].rstrip()
        shown = f"{text}…"
    return shown


def print_pictures(pages: PdfPages, pictures: Sequence[ShownPicture], columns: int, height: float) -> None:
    """Print pictures side by side, each at most ``height`` high, with its title below it."""
    gap = 6.0
    width = (TEXT_WIDTH - gap * (columns - 1)) / columns
    for begin in range(0, len(pictures), columns):
        pages.ensure_room(height + 16)
        top = pages.y
        with pages.no_page_breaks():
            ends = [
                _print_picture(pages, picture, MARGIN + number * (width + gap), top, width, height)
                for number, picture in enumerate(pictures[begin : begin + columns])
            ]
        pages.pdf.set_xy(MARGIN, max(ends) + 3)


def _print_picture(pages: PdfPages, picture: ShownPicture, x: float, y: float, width: float, height: float) -> float:
    """Print one picture; return the y below its title."""
    title = shorten_text(pages.cell_text(picture.title), 140)
    if not picture.content:
        pages.pdf.set_draw_color(*LINE)
        pages.pdf.rect(x, y, width, 20)
        end = pages.print_cell_text(picture.problem, x + 3, y + 8, width - 6, 8, color=MUTED)
        return pages.print_cell_text(title, x, max(end, y + 21.5), width, 7.5, color=MUTED)
    scale = min(width / picture.width_px, height / picture.height_px)
    shown_width, shown_height = picture.width_px * scale, picture.height_px * scale
    pages.pdf.image(io.BytesIO(picture.content), x, y, shown_width, shown_height, alt_text=title)
    return pages.print_cell_text(title, x, y + shown_height + 1, width, 7.5, color=MUTED)
