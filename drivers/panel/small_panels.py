"""The smallest panels, 128x64 in one colour and their like: slides of a few large words that take turns. No header, no
icons, nothing that is not a word or a number; a code only where its modules are two pixels or more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from drivers.panel.canvas import Box, Canvas, Type, fit_text, wrap_text
from drivers.panel.colors import BLACK, COLOURS, INK, WHITE, Colour, Tone
from drivers.panel.fonts import drawable_text
from drivers.panel.layout import TINY, Size
from drivers.panel.message_parts import cut_message_text, split_sentences
from drivers.panel.page import OUT_OF_SERVICE_ICON, Page
from drivers.panel.qr import draw_qr, modules_per_side

MODULE_MIN_PX = 2
_LINES = 3
_MESSAGE_SLIDES = 3
"""Of a backend's message in one round."""
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


def slides_of_page(page: Page, size: Size, margin: int = 0, badge: str = "") -> list[Slide]:
    """Return the slides in the order in which they take turns: what it is, the figures, the price, what to do, whom
    to call. ``badge``: the number of the outlet that stands beside each, where several take turns."""
    whole = _inner_box(size, margin)
    inner, unit = whole.split_left(_badge_width(whole, badge))[1], TINY.unit_px((whole.width_px, whole.height_px))
    figures = [f"{f.value} {f.unit}".strip() for f in page.figures if not f.spare]
    if page.battery is not None:
        figures.append(f"{page.battery_label} {round(page.battery)} %".strip())
    message = _message_slides(page, inner, unit)
    found, hotline = [_title_slide(page, badge)], page.hotline
    if page.tone is Tone.STOP and page.icon == OUT_OF_SERVICE_ICON:
        found, hotline = [*found, *_paired_slides([hotline] if hotline else [], inner, unit)], ""
    found += message if page.message_in_front else ()
    found += _paired_slides(figures, inner, unit)
    for name, amount in page.prices:
        found.append(_price_slide(name, amount, inner, unit) if name else Slide((amount,), (_LINES,)))
    for text in (page.price, *page.price_notes, *page.lines, page.hint):
        found += _text_slides(text, inner, unit)
    found += _code_slides(page, inner, unit)
    found += () if page.message_in_front else message
    station = f"{page.station_label} {page.number}".strip() if page.number else ""
    outlet = "" if badge else page.outlet
    ends = [text for text in (outlet, station, hotline, page.languages) if text]
    return found + list(_paired_slides(ends, inner, unit))


def paint_slide(slide: Slide, size: Size, depth: int, margin: int = 0, badge: str = "", dry: bool = False) -> Canvas:
    ground, ink = _slide_colours(slide.tone, depth)
    inner = _inner_box(size, margin)
    c = Canvas(size, ground, TINY.smallest * TINY.unit_px((inner.width_px, inner.height_px)), depth, dry)
    if badge:
        number, inner = inner.split_left(_badge_width(inner, badge))
        number = number.split_left(number.width_px - _GAP)[0]
        c.fill_box(number, ink)
        c.draw_text(badge, number, (ground, ink), Type(number.height_px, x=0.5))
    if slide.qr:
        px = _module_px(slide.qr, inner)
        side = px * modules_per_side(slide.qr)
        tile, inner = inner.split_left(side)
        c.fill_box(Box(0, 0, tile.x1, c.whole_box.y1), WHITE)
        draw_qr(c, slide.qr, (tile.x0, tile.y0 + (tile.height_px - side) // 2), px)
        inner = inner.split_left(2)[1]
    shares = slide.shares or (1,) * len(slide.rows)
    for n, (text, share) in enumerate(zip(slide.rows, shares, strict=True)):
        row, inner = inner.split_top(inner.height_px * share / sum(shares[n:]))
        c.draw_text(text, row, (ink, ground), Type(c.whole_box.height_px * 0.5, lines=share, x=0.5))
    return c


def _slide_colours(tone: Tone | None, depth: int) -> tuple[Colour, Colour]:
    """Return ground and ink. In one colour a panel is dark with lit words, and what has gone wrong is shown the other
    way round."""
    if depth == 1:
        return (WHITE, BLACK) if tone is Tone.STOP else (BLACK, WHITE)
    return COLOURS[tone] if tone else (WHITE, INK)


def _badge_width(inner: Box, badge: str) -> int:
    return round(min(inner.height_px * 0.13, inner.width_px * 0.05) * (1 + len(badge))) if badge else 0


def _inner_box(size: Size, margin: int) -> Box:
    return Box(0, 0, *size).shrink_by(margin + 1)


def _title_slide(page: Page, badge: str) -> Slide:
    if page.countdown:
        return Slide((page.title, page.countdown), (2, 1), page.tone)
    if badge:
        return Slide((page.outlet, page.title), (1, 2), page.tone)
    return Slide((page.title,), (_LINES,), page.tone)


def _price_slide(name: str, amount: str, inner: Box, unit: float) -> Slide:
    """Return the slide of a price; a long name has two lines."""
    px = int(TINY.smallest * unit)
    return Slide((name, amount), (min(2, len(wrap_text(drawable_text(name), inner.width_px, px, True))), 1))


def _paired_slides(texts: list[str], inner: Box, unit: float) -> Iterator[Slide]:
    """Yield slides of two texts where each has room in a line. A text that is alone may have more lines."""
    px = int(TINY.smallest * unit)
    for n in range(0, len(texts), 2):
        pair = tuple(texts[n : n + 2])
        if len(pair) == 2 and all(len(wrap_text(drawable_text(text), inner.width_px, px, True)) == 1 for text in pair):
            yield Slide(pair, (1, 1))
        else:
            yield from (Slide((text,), (_LINES,)) for text in pair)


def _text_slides(text: str, inner: Box, unit: float) -> Iterator[Slide]:
    """Yield as many slides as the text needs. A slide ends with a sentence, and a longer sentence is cut evenly."""
    px = int(_WORDS * unit)

    def lines_of(part: str) -> list[str]:
        return wrap_text(drawable_text(part), inner.width_px, px, True)

    parts: list[str] = []
    for sentence in split_sentences(text):
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


def split_long_messages(page: Page, size: Size, margin: int = 0, badge: str = "") -> Page:
    """Return the page with messages of few slides each, a line for each slide: the rest of a longer message comes in
    the rounds after, so that price, hotline and code do not wait for the whole of it."""
    whole = _inner_box(size, margin)
    inner, unit = whole.split_left(_badge_width(whole, badge))[1], TINY.unit_px((whole.width_px, whole.height_px))
    return replace(page, messages=tuple(part for text in page.messages for part in _message_rounds(text, inner, unit)))


@lru_cache(maxsize=64)
def _message_rounds(text: str, inner: Box, unit: float) -> tuple[str, ...]:
    pieces = _cut_for_slides(text, inner, unit)
    return tuple("\n".join(pieces[n : n + _MESSAGE_SLIDES]) for n in range(0, len(pieces), _MESSAGE_SLIDES))


def _message_slides(page: Page, inner: Box, unit: float) -> list[Slide]:
    """Return the slides of a backend's message. There are none on a page that has to be read at once."""
    texts = () if page.message_yields else page.message.split("\n")
    return [Slide((piece,), (_LINES,)) for text in texts for piece in _cut_for_slides(text, inner, unit)]


def _cut_for_slides(text: str, inner: Box, unit: float) -> tuple[str, ...]:
    style = Type(_WORDS * unit, TINY.smallest * unit, _LINES)

    def fits_on_slide(piece: str) -> bool:
        return fit_text(drawable_text(piece), inner.width_px, inner.height_px, style)[2]

    return cut_message_text(text, fits_on_slide)


def _code_slides(page: Page, inner: Box, unit: float) -> Iterator[Slide]:
    """Return the code if there is room for it, otherwise its address."""
    if not page.qr:
        return
    if (px := _module_px(page.qr, inner)) >= MODULE_MIN_PX:
        beside = Type(inner.height_px * 0.5, TINY.smallest * unit, _LINES)
        room = inner.width_px - 2 - px * modules_per_side(page.qr)
        caption = page.qr_caption if fit_text(drawable_text(page.qr_caption), room, inner.height_px, beside)[2] else ""
        yield Slide((caption,), (_LINES,), qr=page.qr)
    else:
        yield from _text_slides(page.pay_at, inner, unit)


def _module_px(url: str, inner: Box) -> int:
    """Return the pixels of a module, 0 if there is no code. Most of the other half of a wide panel stays for words."""
    n = modules_per_side(url)
    return int(min(inner.height_px, inner.width_px * 0.56) // n) if n else 0
