"""What does not fit on a panel at once is shown in turn: a page cut into faces, each of which can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any, TypeAlias

from drivers.panel import small_panels
from drivers.panel.canvas import Canvas
from drivers.panel.colors import COLOURS
from drivers.panel.layout import TINY, Layout, Size, layout_for
from drivers.panel.message_parts import Measure, add_message_parts
from drivers.panel.mounting import TURN_S
from drivers.panel.page import NOTHING, Page
from drivers.panel.paint import paint_frame, paint_page, state_share

Face: TypeAlias = Callable[..., Canvas]
"""Draws one picture; with ``dry`` it only records what would stand where."""

CODE_TURNS = 4
CODE_S = 8.0
"""A code can be scanned for so long before something else is shown in its place."""


@dataclass(frozen=True, slots=True)
class PageMeasure:
    """Places a page on a panel without drawing."""

    layout: Layout
    size: Size
    margin: int
    band: float

    def __call__(self, page: Page) -> Canvas:
        return paint_page(page, self.layout, self.size, self.margin, self.band, dry=True)


def faces_of_page(page: Page, size: Size, depth: int, margin: int = 0, numbered: bool = False) -> tuple[Face, ...]:
    """Return the pictures of ``page`` in the order in which they take turns; one if everything fits. ``size``: of the
    panel as people see it, ``depth``: its bits per pixel. ``numbered``: other outlets have their turn on this
    panel."""
    layout = layout_for(size, depth)
    if layout is TINY:
        badge = str(page.evse) if numbered else ""
        return tuple(
            partial(small_panels.paint_slide, slide, size, depth, margin, badge)
            for slide in small_panels.slides_of_page(page, size, margin, badge)
        )
    if page.languages and not paint_frame(page, layout, size, margin, COLOURS[page.tone], dry=True)[0].c.is_complete:
        page = languages_below(page)
    band = state_share(page, layout)  # the same on all, so that only the words change
    shown = split_page(page, PageMeasure(layout, size, margin, band))
    return tuple(partial(paint_page, part, layout, size, margin, band) for part in shown)


def languages_below(page: Page) -> Page:
    """Return the page with the languages below the notes on the price, where the header has no room for them."""
    return replace(page, languages="", price_notes=tuple(filter(None, (*page.price_notes, page.languages))))


def turns_of_faces(shown: tuple[Face, ...], turn_s: float = TURN_S) -> tuple[int, ...]:
    """Return for how many turns of ``turn_s`` each face stands: longer for a code that is not on all of
    them, since aiming a telephone takes more than one turn."""
    codes = [face(dry=True).has_kind("qr") for face in shown]
    code_turns = max(CODE_TURNS, ceil(CODE_S / turn_s))
    return tuple(code_turns if code and not all(codes) else 1 for code in codes)


def split_page(page: Page, measured: Measure) -> tuple[Page, ...]:
    """Split a page with its message into parts that fit."""
    return add_message_parts(page, split_page_slots, measured) if page.message else split_page_slots(page, measured)


def split_page_slots(page: Page, measured: Measure) -> tuple[Page, ...]:
    """Split a page: as many slots on each part as fit, in their order; the title is on all of them. So is a code, if
    each slot fits beside it: a person who has taken out a telephone does not wait for it to come round. ``measured``
    places a page without drawing."""

    def fits_on_panel(part: Page) -> bool:
        return measured(part).is_complete

    if fits_on_panel(page):
        return (page,)
    page = replace(page, figures=tuple(f for f in page.figures if not f.spare))
    if fits_on_panel(page):
        return (page,)
    if page.qr:
        cut = _cut_page(page, replace(page, **{**NOTHING, "qr": page.qr}), fits_on_panel)
        if all(c.is_complete and c.has_kind("qr") for c in map(measured, cut)):
            return cut
    return _cut_page(page, replace(page, **NOTHING), fits_on_panel)


def _cut_page(page: Page, bare: Page, fits: Callable[[Page], bool]) -> tuple[Page, ...]:
    """Cut the page into parts that fit. ``bare``: what is on all of them."""
    done, open_ = [], bare
    for slot in _page_slots(page, not bare.qr):
        more = _add_slot(open_, slot)
        if open_ is bare or fits(more):
            open_ = more
        else:
            done.append(open_)
            open_ = _add_slot(bare, slot)
    return (*done, open_)


def _page_slots(page: Page, code: bool) -> Iterator[dict[str, Any]]:
    """Yield what can be put on one part or another. The battery's bar goes with the first figure. ``code``: the code is
    one of them."""
    for n, figure in enumerate(page.figures):
        yield {"figures": (figure,), **({"battery": page.battery} if n == 0 else {})}
    for row in page.prices:
        yield {"prices": (row,)}
    for note in page.price_notes:
        yield {"price_notes": (note,)}
    if page.price:
        yield {"price": page.price}
    for line in page.lines:
        yield {"lines": (line,)}
    for name in ("hint", *(["qr"] if code else [])):
        if text := getattr(page, name):
            yield {name: text}


def _add_slot(page: Page, slot: dict[str, Any]) -> Page:
    joined = {name: getattr(page, name) + value if isinstance(value, tuple) else value for name, value in slot.items()}
    return replace(page, **joined)
