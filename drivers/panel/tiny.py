"""The smallest panels, 128x64 in one colour and their like: slides of a few large words that take turns. No header, no
icons, nothing that is not a word or a number; a code only where its modules are two pixels or more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.panel.canvas import Box, Canvas, Type, wrapped
from drivers.panel.colours import BLACK, COLOURS, INK, WHITE, Colour, Tone
from drivers.panel.fonts import drawable
from drivers.panel.layout import TINY, Size
from drivers.panel.page import Page
from drivers.panel.qr import draw_qr, modules

MODULE_MIN_PX = 2
_LINES = 3
_WORDS = 22
"""Units per em at which a sentence is cut into slides; only a word longer than a line is smaller."""


@dataclass(frozen=True, slots=True)
class Slide:
    """``rows``: texts one below the other, as high as their ``shares`` and broken into so many lines at most. ``tone``:
    of the state, on the slide that names it. ``qr``: a code beside the words."""

    rows: tuple[str, ...]
    shares: tuple[int, ...] = ()
    tone: Tone | None = None
    qr: str = ""


def slides(page: Page, size: Size, margin: int = 0) -> list[Slide]:
    """In the order in which they take turns: what it is, the figures, the price, what to do, whom to call."""
    inner = _inner(size, margin)
    figures = [f"{f.value} {f.unit}".strip() for f in page.figures if not f.spare]
    if page.battery is not None:
        figures.append(f"{page.battery_label} {round(page.battery)} %".strip())
    found = [_title(page), *_pairs(figures)]
    for name, amount in page.prices:
        found.append(Slide((name, amount)) if name else Slide((amount,), (_LINES,)))
    for text in (page.price, *page.price_notes, *page.lines, page.hint):
        found += _spread(text, inner)
    found += _code(page, inner)
    station = f"{page.station_label} {page.number}".strip() if page.number else ""
    return found + list(_pairs([text for text in (page.outlet, station, page.hotline) if text]))


def paint(slide: Slide, size: Size, depth: int, margin: int = 0, dry: bool = False) -> Canvas:
    ground, ink = _colours(slide.tone, depth)
    inner = _inner(size, margin)
    c = Canvas(size, ground, TINY.smallest * TINY.unit((inner.w, inner.h)), depth, dry)
    if slide.qr:
        px = _module_px(slide.qr, inner)
        side = px * modules(slide.qr)
        tile, inner = inner.left(side)
        c.fill(Box(0, 0, tile.x1, c.box.y1), WHITE)
        draw_qr(c, slide.qr, (tile.x0, tile.y0 + (tile.h - side) // 2), px)
        inner = inner.left(2)[1]
    shares = slide.shares or (1,) * len(slide.rows)
    for n, (text, share) in enumerate(zip(slide.rows, shares, strict=True)):
        row, inner = inner.top(inner.h * share / sum(shares[n:]))
        c.text(text, row, (ink, ground), Type(c.box.h * 0.5, lines=share, x=0.5))
    return c


def _colours(tone: Tone | None, depth: int) -> tuple[Colour, Colour]:
    """Ground and ink. In one colour a panel is dark with lit words, and what has gone wrong is said the other way
    round."""
    if depth == 1:
        return (WHITE, BLACK) if tone is Tone.STOP else (BLACK, WHITE)
    return COLOURS[tone] if tone else (WHITE, INK)


def _inner(size: Size, margin: int) -> Box:
    return Box(0, 0, *size).inset(margin + 1)


def _title(page: Page) -> Slide:
    if page.countdown:
        return Slide((page.title, page.countdown), (2, 1), page.tone)
    return Slide((page.title,), (_LINES,), page.tone)


def _pairs(texts: list[str]) -> Iterator[Slide]:
    """Two on a slide; one that is alone may have more lines."""
    for n in range(0, len(texts), 2):
        pair = tuple(texts[n : n + 2])
        yield Slide(pair, (1, 1) if len(pair) == 2 else (_LINES,))


def _spread(text: str, inner: Box) -> Iterator[Slide]:
    """A sentence over as many slides as it needs, evenly."""
    if not text.split():
        return
    px = int(_WORDS * TINY.unit((inner.w, inner.h)))
    lines = wrapped(drawable(text), inner.w, px, True)
    count = -(-len(lines) // _LINES)
    for n in range(count):
        part = lines[len(lines) * n // count : len(lines) * (n + 1) // count]
        yield Slide((" ".join(part),), (_LINES,))


def _code(page: Page, inner: Box) -> Iterator[Slide]:
    """The code if there is room for it, otherwise where it leads."""
    if not page.qr:
        return
    if _module_px(page.qr, inner) >= MODULE_MIN_PX:
        yield Slide((page.qr_caption,), (_LINES,), qr=page.qr)
    else:
        yield from _spread(page.pay_at, inner)


def _module_px(url: str, inner: Box) -> int:
    """Half of a wide panel stays for words."""
    n = modules(url)
    return int(min(inner.h, inner.w * 0.5) // n) if n else 0
