"""What a panel shows of its outlets, and for how long: two of them at once where both fit, otherwise one after the
other (``docs/decisions/0032-shared-display.md``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain
from math import ceil

from drivers.panel.layout import OUTLETS_AT_ONCE, PANES, TINY, Size, layout_for
from drivers.panel.outlet_panes import paint_panes, pane_parts
from drivers.panel.page import Page, count_message_rounds, page_of_message_round
from drivers.panel.page_parts import CODE_S, Face, faces_of_page, turns_of_faces
from drivers.panel.small_panels import split_long_messages

OUTLET_S = 5.0
"""An outlet without a code stands for so long at least, where another one waits for its turn."""


@dataclass(frozen=True, slots=True)
class View:
    """``pages`` that are seen together, as ``faces``; each stands for so many ``turns``."""

    pages: tuple[Page, ...]
    faces: tuple[Face, ...]
    turns: tuple[int, ...]

    @property
    def evse_numbers(self) -> tuple[int, ...]:
        return tuple(page.evse for page in self.pages)

    @property
    def page_titles(self) -> tuple[str, ...]:
        return tuple(page.title for page in self.pages)


@dataclass(frozen=True, slots=True)
class Panel:
    """``size`` as people see it, ``depth`` in bits per pixel, pixels of ``margin``, seconds of a turn."""

    size: Size
    depth: int
    margin: int
    turn_s: float


def pages_by_rounds(pages: Sequence[Page], panel: Panel) -> tuple[Page, ...]:
    """Return the pages with messages that one round has time for. ``pages``: one per outlet."""
    if layout_for(panel.size, panel.depth) is not TINY:
        return tuple(pages)
    numbered = len(pages) > 1
    return tuple(
        split_long_messages(page, panel.size, panel.margin, str(page.evse) if numbered else "") for page in pages
    )


def views_of_pages(pages: Sequence[Page], panel: Panel, round_number: int = 0) -> tuple[View, ...]:
    """Return the views of a round in the order of the outlets' numbers. ``pages``: one per outlet. Each round has one
    of the messages of a page, so that price and code come back before the next one."""
    ordered = [page_of_message_round(page, round_number) for page in sorted(pages, key=lambda page: page.evse)]
    if len({replace(page, outlet="", evse=0) for page in ordered}) == 1:
        only = ordered[0] if len(ordered) == 1 else replace(ordered[0], outlet="")
        view = _single_view(only, panel, numbered=False)
        return (view if count_message_rounds(pages) == 1 else _lengthen_last_face(view, panel.turn_s),)
    ordered = _without_second_telling(ordered)
    groups = [ordered[n : n + OUTLETS_AT_ONCE] for n in range(0, len(ordered), OUTLETS_AT_ONCE)]
    found = tuple(chain.from_iterable(_of_group(group, panel) for group in groups))
    return found if len(found) == 1 else tuple(_lengthen_last_face(view, panel.turn_s) for view in found)


def _without_second_telling(pages: Sequence[Page]) -> list[Page]:
    """Return the pages without messages of the normal cycle that an outlet before has shown in this round."""
    seen: set[str] = set()
    found = []
    for page in pages:
        again = page.message in seen and not page.message_in_front
        found.append(replace(page, message="") if again else page)
        seen |= set() if page.message_yields else {page.message}
    return found


def _of_group(group: Sequence[Page], panel: Panel) -> Iterator[View]:
    layout = layout_for(panel.size, panel.depth)
    if layout.name in PANES and len(group) == OUTLETS_AT_ONCE:
        shown = [pane_parts(page, layout, panel.size, panel.margin) for page in group]
        if all(shown):
            steps = [tuple(p[n % len(p)] for p in shown) for n in range(max(map(len, shown)))]
            painted = tuple(partial(paint_panes, step, layout, panel.size, panel.margin) for step in steps)
            yield View(tuple(group), painted, (1,) * len(painted))
            return
    yield from (_single_view(_without_repetition(page, panel), panel, numbered=True) for page in group)


def _without_repetition(page: Page, panel: Panel) -> Page:
    """Return the page without number and hotline where one outlet shows them for all. The tiny panel needs a face of
    its own for what the foot of larger panels shows."""
    needed = page.evse == 1 or not page.mark
    return page if needed or layout_for(panel.size, panel.depth) is not TINY else replace(page, number="", hotline="")


@lru_cache(maxsize=4)
def _single_view(page: Page, panel: Panel, numbered: bool) -> View:
    shown = faces_of_page(page, panel.size, panel.depth, panel.margin, numbered)
    return View((page,), shown, turns_of_faces(shown, panel.turn_s) if page.qr else (1,) * len(shown))


def _lengthen_last_face(view: View, turn_s: float) -> View:
    """Lengthen the last face, so that a view can be read before another one takes its place."""
    code = any(page.qr for page in view.pages)
    missing = ceil((CODE_S if code else OUTLET_S) / turn_s) - sum(view.turns)
    return replace(view, turns=(*view.turns[:-1], view.turns[-1] + max(0, missing)))
