"""The smallest panels, 128x64 in one colour and their like: slides of a few large words that take turns. No header, no
icons, nothing that is not a word or a number; a code only where its modules are two pixels or more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.panel.canvas import Box, Canvas, Type, fit, wrapped
from drivers.panel.colors import BLACK, COLOURS, INK, WHITE, Colour, Tone
from drivers.panel.fonts import drawable
from drivers.panel.layout import TINY, Size
from drivers.panel.page import OUT_OF_SERVICE_ICON, Page
from drivers.panel.qr import draw_qr, modules

MODULE_MIN_PX = 2
_LINES = 3
_ENDS, _ABBREVIATED = ".!?", ("Min", "inkl", "incl", "MwSt")
_GAP = 2
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


def slides(page: Page, size: Size, margin: int = 0, badge: str = "") -> list[Slide]:
    """In the order in which they take turns: what it is, the figures, the price, what to do, whom to call. ``badge``:
    the number of the outlet that stands beside each, where several take turns."""
    whole = _inner(size, margin)
    inner, unit = whole.left(_badge_width(whole, badge))[1], TINY.unit((whole.w, whole.h))
    figures = [f"{f.value} {f.unit}".strip() for f in page.figures if not f.spare]
    if page.battery is not None:
        figures.append(f"{page.battery_label} {round(page.battery)} %".strip())
    found = [_title(page, badge), *_pairs(figures, inner, unit)]
    hotline = page.hotline
    if page.tone is Tone.STOP and page.icon == OUT_OF_SERVICE_ICON:
        found, hotline = [*found, *_pairs([hotline] if hotline else [], inner, unit)], ""
    for name, amount in page.prices:
        found.append(_priced(name, amount, inner, unit) if name else Slide((amount,), (_LINES,)))
    for text in (page.price, *page.price_notes, *page.lines, page.hint):
        found += _spread(text, inner, unit)
    found += _code(page, inner, unit)
    station = f"{page.station_label} {page.number}".strip() if page.number else ""
    outlet = "" if badge else page.outlet
    ends = [text for text in (outlet, station, hotline, page.languages) if text]
    return found + list(_pairs(ends, inner, unit))


def paint(slide: Slide, size: Size, depth: int, margin: int = 0, badge: str = "", dry: bool = False) -> Canvas:
    ground, ink = _colours(slide.tone, depth)
    inner = _inner(size, margin)
    c = Canvas(size, ground, TINY.smallest * TINY.unit((inner.w, inner.h)), depth, dry)
    if badge:
        number, inner = inner.left(_badge_width(inner, badge))
        number = number.left(number.w - _GAP)[0]
        c.fill(number, ink)
        c.text(badge, number, (ground, ink), Type(number.h, x=0.5))
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


def _badge_width(inner: Box, badge: str) -> int:
    return round(min(inner.h * 0.13, inner.w * 0.05) * (1 + len(badge))) if badge else 0


def _inner(size: Size, margin: int) -> Box:
    return Box(0, 0, *size).inset(margin + 1)


def _title(page: Page, badge: str) -> Slide:
    if page.countdown:
        return Slide((page.title, page.countdown), (2, 1), page.tone)
    if badge:
        return Slide((page.outlet, page.title), (1, 2), page.tone)
    return Slide((page.title,), (_LINES,), page.tone)


def _priced(name: str, amount: str, inner: Box, unit: float) -> Slide:
    """A long name has two lines."""
    px = int(TINY.smallest * unit)
    return Slide((name, amount), (min(2, len(wrapped(drawable(name), inner.w, px, True))), 1))


def _pairs(texts: list[str], inner: Box, unit: float) -> Iterator[Slide]:
    """Two on a slide where each has room in a line; one that is alone may have more lines."""
    px = int(TINY.smallest * unit)
    for n in range(0, len(texts), 2):
        pair = tuple(texts[n : n + 2])
        if len(pair) == 2 and all(len(wrapped(drawable(text), inner.w, px, True)) == 1 for text in pair):
            yield Slide(pair, (1, 1))
        else:
            yield from (Slide((text,), (_LINES,)) for text in pair)


def _spread(text: str, inner: Box, unit: float) -> Iterator[Slide]:
    """Over as many slides as it needs: a slide ends with a sentence, and a longer sentence is cut evenly."""
    px = int(_WORDS * unit)

    def lines_of(part: str) -> list[str]:
        return wrapped(drawable(part), inner.w, px, True)

    parts: list[str] = []
    for sentence in sentences(text):
        if parts and len(lines_of(f"{parts[-1]} {sentence}")) <= _LINES:
            parts[-1] += f" {sentence}"
        else:
            parts.append(sentence)
    for part in parts:
        lines = lines_of(part)
        count = -(-len(lines) // _LINES)
        for n in range(count):
            words = lines[len(lines) * n // count : len(lines) * (n + 1) // count]
            yield Slide((" ".join(words),), (_LINES,))


def sentences(text: str) -> list[str]:
    """In their order. A point within an abbreviation ends none."""
    found: list[str] = [""]
    for word in text.split():
        found[-1] = f"{found[-1]} {word}".lstrip()
        stem = word.rstrip(_ENDS)
        if stem != word and "." not in stem and stem not in _ABBREVIATED:
            found.append("")
    return [sentence for sentence in found if sentence]


def _code(page: Page, inner: Box, unit: float) -> Iterator[Slide]:
    """The code if there is room for it, otherwise where it leads."""
    if not page.qr:
        return
    if (px := _module_px(page.qr, inner)) >= MODULE_MIN_PX:
        beside = Type(inner.h * 0.5, TINY.smallest * unit, _LINES)
        room = inner.w - 2 - px * modules(page.qr)
        caption = page.qr_caption if fit(drawable(page.qr_caption), room, inner.h, beside)[2] else ""
        yield Slide((caption,), (_LINES,), qr=page.qr)
    else:
        yield from _spread(page.pay_at, inner, unit)


def _module_px(url: str, inner: Box) -> int:
    """Most of the other half of a wide panel stays for words."""
    n = modules(url)
    return int(min(inner.h, inner.w * 0.56) // n) if n else 0
