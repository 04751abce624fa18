"""Two outlets on one panel, side by side or one below the other, each in a pane of its own. Header and foot are
common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from drivers.panel.canvas import Box, Canvas, Type
from drivers.panel.colors import COLOURS, FOOT, WHITE
from drivers.panel.layout import OUTLETS_AT_ONCE, PANES, Layout, Size
from drivers.panel.page import MARKS, Page
from drivers.panel.page_parts import languages_below, split_page
from drivers.panel.paint import MODULE_MIN_PX, Sheet, paint_code, paint_content, paint_frame, paint_message_strip
from drivers.panel.qr import modules_per_side

_LARGE_PX = 6
"""Of a module of a code, if the words beside it are short enough."""


@dataclass(frozen=True, slots=True)
class PaneMeasure:
    """Places a page in a pane without drawing."""

    layout_name: str
    unit: float
    size: Size

    def __call__(self, page: Page) -> Canvas:
        return _draw_pane(page, self.layout_name, self.unit, self.size, dry=True)


def paint_panes(shown: Sequence[Page], layout: Layout, size: Size, margin: int = 0, dry: bool = False) -> Canvas:
    """Paint one page in each pane. ``dry``: only record what would stand where."""
    s, body = paint_frame(_common_page(shown), layout, size, margin, (FOOT, WHITE), dry)
    s.c.fill_box(Box(0, body.y0, s.c.whole_box.x1, body.y1), FOOT)  # the gap between the panes stays as it is
    for page, pane in zip(shown, _pane_boxes(body, s.unit, layout), strict=False):
        pane_size = (pane.width_px, pane.height_px)
        drawn = partial(_draw_pane, dry=True) if dry else _draw_pane_cached
        s.c.paste_canvas(drawn(page, layout.name, s.unit, pane_size), (pane.x0, pane.y0))
    return s.c


@lru_cache(maxsize=8)
def pane_parts(page: Page, layout: Layout, size: Size, margin: int = 0) -> tuple[Page, ...]:
    """Return the parts of ``page`` that take turns in its pane. There are none if the page does not fit in a pane, or
    not with its code in each part."""
    s, body = paint_frame(_common_page((page,)), layout, size, margin, (FOOT, WHITE), dry=True)
    pane = _pane_boxes(body, s.unit, layout)[0]
    if not s.c.is_complete:
        page = languages_below(page)
    measure_part = PaneMeasure(layout.name, s.unit, (pane.width_px, pane.height_px))
    for qr_px in range(_LARGE_PX, MODULE_MIN_PX - 1, -1) if page.qr else (0,):
        shown = split_page(replace(_in_sentences(page), qr_px=qr_px), measure_part)
        if all(c.is_complete and (c.has_kind("qr") or not modules_per_side(page.qr)) for c in map(measure_part, shown)):
            return shown
    return ()


def _in_sentences(page: Page) -> Page:
    """Return the page with its prices in sentences: a pane is too narrow for rows of names and amounts. The caption
    joins them, since a large code needs its place."""
    prices = (" ".join(filter(None, row)) for row in page.prices)
    caption = (page.qr_caption,) if page.qr else ()
    lines = filter(None, (*prices, page.price, *page.price_notes, *page.lines, *caption))
    return replace(page, price="", prices=(), price_notes=(), qr_caption="", lines=tuple(lines))


def _common_page(shown: Sequence[Page]) -> Page:
    """Return the page for header and foot. Each outlet is named in its pane."""
    marks = {page.mark for page in shown}
    mark = marks.pop() if len(marks) == 1 else "" if "" in marks else MARKS["AC"]
    languages = next(filter(None, (page.languages for page in shown)), "")
    return replace(shown[0], outlet="", mark=mark, languages=languages)


def _pane_boxes(body: Box, unit: float, layout: Layout) -> list[Box]:
    """Return equally large boxes for the panes."""
    pane, n = PANES[layout.name], OUTLETS_AT_ONCE
    gap = max(2, round(pane.gap * unit)) * (n - 1)
    w, h = ((body.width_px - gap) // n, body.height_px) if pane.across else (body.width_px, (body.height_px - gap) // n)
    x, y = (body.width_px - w, 0) if pane.across else (0, body.height_px - h)
    return [Box(0, 0, w, h).move_by(body.x0 + x * k // (n - 1), body.y0 + y * k // (n - 1)) for k in range(n)]


@lru_cache(maxsize=OUTLETS_AT_ONCE)
def _draw_pane_cached(page: Page, layout: str, unit: float, size: Size) -> Canvas:
    """Draw one pane and keep it, so that a change at one outlet draws that one only."""
    return _draw_pane(page, layout, unit, size, dry=False)


def _draw_pane(page: Page, layout: str, unit: float, size: Size, dry: bool) -> Canvas:
    pane = PANES[layout]
    s = Sheet(Canvas(size, WHITE, pane.layout.smallest * unit, dry=dry), pane.layout, unit)
    band, body = s.c.whole_box.split_top(pane.band * unit)
    ground, ink = COLOURS[page.tone]
    s.c.fill_box(band, ground)
    picture, words = band.shrink_by(1.5 * unit, 1.2 * unit).split_left(pane.band * 0.72 * unit)
    s.c.draw_icon(page.icon, picture, ink)
    name, title = words.split_left(1.5 * unit)[1].split_top(
        max(words.height_px * 0.36, pane.layout.smallest * 1.32 * unit)
    )
    if page.countdown:
        name, left = name.split_left(name.width_px * 0.5)
        s.c.draw_text(page.countdown, left, (ink, ground), Type(name.height_px, x=1.0))
    s.c.draw_text(page.outlet, name, (ink, ground), Type(name.height_px))
    s.c.draw_text(page.title, title, (ink, ground), s.type_of_units(pane.title, lines=2))
    body, page = paint_code(s, paint_message_strip(s, body, page), page)
    paint_content(s, body.shrink_by(1.5 * unit, unit), page)
    return s.c
