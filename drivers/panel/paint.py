"""A page on a panel: header and state in one colour, content on white, station number and hotline at the foot. The
measures are the layout's (``drivers/panel/layout.py``)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from drivers.panel.canvas import Box, Canvas, Type, text_line_height
from drivers.panel.colors import COLOURS, FOOT, INK, LINE, SOFT, WHITE, Colour, Tone
from drivers.panel.fonts import drawable_text
from drivers.panel.layout import Layout, Size
from drivers.panel.page import Figure, Page
from drivers.panel.qr import QUIET_ZONE, draw_qr, modules_per_side

MODULE_MIN_PX = 4
_ENDLESS = 1 << 20
_STRIP_LINES = 3
"""Of a message in front; a longer one has pictures of its own."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A canvas, its layout, and the layout's unit in pixels on it."""

    c: Canvas
    layout: Layout
    unit: float

    @property
    def is_upright(self) -> bool:
        return self.layout.upright

    def type_of_units(self, largest: float, lines: int = 1, x: float = 0.0, y: float = 0.5, bold: bool = True) -> Type:
        """Return a type whose ``largest`` is in units."""
        return Type(largest * self.unit, 0, lines, x, y, bold)


def paint_page(page: Page, layout: Layout, size: Size, margin: int = 0, band: float = 1.0, dry: bool = False) -> Canvas:
    """Draw all of ``page`` on a panel of ``size`` (width, height); ``margin`` pixels at each side stay free of ink.
    ``band``: share of the body for the state at most. ``dry``: only records whether it fits."""
    s, body = paint_frame(page, layout, size, margin, COLOURS[page.tone], dry)
    body, page = paint_code(s, paint_message_strip(s, body, page), page)
    _paint_state_and_content(s, body, page, margin, min(band, state_share(page, layout)))
    return s.c


def paint_frame(
    page: Page, layout: Layout, size: Size, margin: int, colours: tuple[Colour, Colour], dry: bool
) -> tuple[Sheet, Box]:
    """Paint header and foot; return the box between them. ``colours``: ground and ink of the header."""
    unit = layout.unit_px((size[0] - 2 * margin, size[1] - 2 * margin))
    s = Sheet(Canvas(size, WHITE, layout.smallest * unit, dry=dry), layout, unit)
    inner = s.c.whole_box.shrink_by(margin)
    rows = 1.75 if layout.upright and page.outlet else 1
    header, rest = inner.split_top(max(26, layout.header * unit) * rows)
    body, foot = rest.split_top(rest.height_px - max(30, layout.foot * unit))
    ground, ink = colours
    s.c.fill_box(Box(0, 0, s.c.whole_box.x1, header.y1), ground)
    s.c.fill_box(Box(0, foot.y0, s.c.whole_box.x1, s.c.whole_box.y1), FOOT)
    _paint_header(s, header.shrink_by(2.5 * unit, 1.5 * unit), page, (ink, ground), rows)
    _paint_foot(s, foot.shrink_by(2.5 * unit, 1.5 * unit), page)
    return s, body


def paint_message_strip(s: Sheet, body: Box, page: Page) -> Box:
    """Paint the message in front, as a strip at the foot of ``body``; return what is left of it."""
    if not (page.message and page.message_in_front):
        return body
    pad = 1.5 * s.unit
    inner = body.shrink_by(2.5 * s.unit, 0)
    style = s.type_of_units(s.layout.hint, lines=_STRIP_LINES)
    text = drawable_text(page.message)
    px, lines, _ = s.c.fit_text_in_box(text, Box(0, 0, inner.width_px, _ENDLESS), style)
    body, strip = body.split_top(body.height_px - len(lines) * text_line_height(px) - 2 * pad)
    s.c.fill_box(Box(0, strip.y0, s.c.whole_box.x1, strip.y1), LINE)
    words = Box(inner.x0, strip.y0, inner.x1, strip.y1).shrink_by(0, pad - 2)
    s.c.draw_text(text, words, (INK, LINE), replace(style, largest=px))
    return body


def paint_code(s: Sheet, body: Box, page: Page) -> tuple[Box, Page]:
    """Draw the code of ``page``; return what is left of ``body``, and what is still to be shown there."""
    if qr := _qr_room(s, page, body):
        _paint_qr(s, qr, page)
        return qr.rest, replace(
            page, lines=(page.qr_caption, *page.lines)
        ) if page.qr_caption and not qr.caption else page
    return body, replace(page, lines=(page.pay_at, *page.lines)) if page.qr else page


def state_share(page: Page, layout: Layout) -> float:
    """Return the share of the body for the state: less where there is more to show below."""
    if page.figures or len(page.prices) > 1:
        return layout.band
    below = (page.lines, page.price, page.prices, page.price_notes, page.countdown, page.hint)
    return layout.band_full if any(below) else 1.0


def _paint_header(s: Sheet, box: Box, page: Page, colours: tuple[Colour, Colour], rows: float) -> None:
    """Paint the mark on the left, clock on the right, the outlet between or below them, a crossed cloud when off
    line, the languages of the button."""
    box, below = box.split_top(box.height_px / rows)
    rest = _paint_mark(s, box, page.mark, colours) if page.mark else box
    if page.clock:
        style = Type(box.height_px * 0.8, x=1.0)
        rest, clock = rest.split_left(rest.width_px - box.height_px * (2.1 if len(page.clock) < 6 else 3.2))
        s.c.draw_text(page.clock, clock, colours, style)
    if not page.online:
        rest, cloud = rest.split_left(rest.width_px - box.height_px * 1.1)
        s.c.draw_icon("cloud", cloud.shrink_by(box.height_px * 0.08), colours[0])
    outlet = below.shrink_by(0, 1) if rows > 1 else rest.shrink_by(box.height_px * 0.1, 0)
    if page.languages:
        needed = 1.06 * s.c.least_width(page.languages) + box.height_px * 0.5
        outlet, hint = outlet.split_left(max(0, outlet.width_px - needed))
        s.c.draw_text(page.languages, hint, colours, s.type_of_units(s.layout.smallest, x=0.5))
    s.c.draw_text(page.outlet, outlet, colours, Type(box.height_px * 0.9, x=0.5))


def _paint_mark(s: Sheet, box: Box, mark: str, colours: tuple[Colour, Colour]) -> Box:
    """Paint the mark; return what is left of ``box``."""
    pill, rest = box.split_left(
        max(box.height_px * 1.45 + s.c.least_width(mark), min(box.height_px * 4.1, box.width_px * 0.4))
    )
    s.c.fill_box(pill, colours[0], radius=pill.height_px / 2)
    tick, word = pill.split_left(pill.height_px)
    s.c.draw_icon("check", tick.shrink_by(pill.height_px * 0.14), colours[1])
    s.c.draw_text(mark, word.split_left(word.width_px - pill.height_px * 0.3)[0], colours[::-1], Type(box.height_px))
    return rest


def _paint_foot(s: Sheet, box: Box, page: Page) -> None:
    number, hotline = box.split_top(box.height_px / 2) if s.is_upright else box.split_left(box.width_px * 0.47)
    if page.number:
        label, value = number.split_left(number.width_px * 0.48)
        value = value.shrink_by(s.unit, 0)
        s.c.draw_text(page.station_label, label, (LINE, FOOT), s.type_of_units(7, bold=False))
        s.c.draw_text(page.number, value, (WHITE, FOOT), s.type_of_units(11.5, x=1.0 if s.is_upright else 0.0))
    if page.hotline:
        phone, value = hotline.split_left(min(box.height_px * 0.8, hotline.width_px * 0.14))
        s.c.draw_icon("phone", phone.shrink_by(0, max(0, (phone.height_px - phone.width_px) / 2)), WHITE)
        s.c.draw_text(page.hotline, value.shrink_by(0.6 * s.unit, 0), (WHITE, FOOT), s.type_of_units(10, x=1.0))


def _paint_state_and_content(s: Sheet, body: Box, page: Page, margin: int, part: float) -> None:
    band, below = body.split_top(body.height_px * part)
    left = 0 if body.x0 <= margin else body.x0
    right = s.c.whole_box.x1 if body.x1 >= s.c.whole_box.x1 - margin else body.x1
    s.c.fill_box(Box(left, band.y0, right, band.y1), COLOURS[page.tone][0])
    _paint_state(
        s, band.shrink_by(3 * s.unit, 1.5 * s.unit), page, body.height_px > body.width_px, part > s.layout.band
    )
    paint_content(s, below.shrink_by(3.5 * s.unit, 1.5 * s.unit), page)


def _paint_state(s: Sheet, box: Box, page: Page, narrow: bool, roomy: bool) -> None:
    ground, ink = COLOURS[page.tone]
    large = s.type_of_units(s.layout.title, lines=3)
    if narrow and not s.is_upright:  # a column beside a QR code: no room for an icon
        s.c.draw_text(page.title, box, (ink, ground), s.type_of_units(15, lines=3))
    elif narrow and s.is_upright and roomy:
        picture, words = box.split_top(box.height_px * 0.52)
        s.c.draw_icon(page.icon, picture.shrink_by(0, 2 * s.unit), ink)
        s.c.draw_text(page.title, words, (ink, ground), replace(large, x=0.5))
    else:
        picture, words = box.split_left(min(box.height_px * 0.86, box.width_px * (0.2 if s.is_upright else 0.24)))
        s.c.draw_icon(page.icon, picture, ink)
        if page.countdown and not s.is_upright:
            words, left = words.split_left(words.width_px * 0.74)
            s.c.draw_text(page.countdown, left, (ink, ground), s.type_of_units(s.layout.price, lines=2, x=1.0))
        s.c.draw_text(page.title, words.split_left(2.5 * s.unit)[1], (ink, ground), large)


def paint_content(s: Sheet, box: Box, page: Page) -> None:
    notes = () if page.prices else page.price_notes
    lines = [*page.lines, *notes, *([page.hint] if page.hint else [])]
    if page.figures:
        for line in reversed(lines):
            box, strip = box.split_top(box.height_px - s.layout.strip * s.unit)
            s.c.draw_text(line, strip, (INK, WHITE), s.type_of_units(s.layout.hint, lines=3))
        if page.prices:
            box, rows = box.split_top(box.height_px * 0.5)
            _paint_prices(s, rows, page)
        _paint_figures(s, box, page)
        return
    if page.countdown and s.is_upright:
        box, strip = box.split_top(box.height_px - _row_height(s, box, 13, len(page.lines) + len(page.prices)))
        s.c.draw_text(page.countdown, strip, (INK, WHITE), s.type_of_units(s.layout.price))
    if page.prices:
        among = len(lines) + len(page.prices) + len(page.price_notes)
        box, rows = box.split_top(box.height_px * min(0.4, len(lines) * max(0.22, 1 / among)))
        _paint_prices(s, rows, page)
    elif page.price:
        box, strip = box.split_top(box.height_px * 0.45 if lines else 0)
        s.c.draw_text(page.price, strip, (INK, WHITE), s.type_of_units(s.layout.price, lines=4))
    _paint_lines(s, box, lines)


def _row_height(s: Sheet, box: Box, units: float, others: int) -> float:
    """Return the pixels for one row beside ``others``."""
    return min(units * s.unit, box.height_px / (1 + others))


def _paint_lines(s: Sheet, box: Box, lines: list[str]) -> None:
    style = s.type_of_units(s.layout.line, lines=4)
    shares = [
        len(s.c.fit_text_in_box(drawable_text(line), Box(0, 0, box.width_px, _ENDLESS), style)[1]) for line in lines
    ]
    if box.height_px > (room := 1.7 * s.layout.line * s.unit * sum(shares)):
        box = box.shrink_by(0, (box.height_px - room) / 2)
    for line, piece in zip(lines, _split_rows(box, shares), strict=True):
        s.c.draw_text(line, piece, (INK, WHITE), style)


def _paint_prices(s: Sheet, box: Box, page: Page) -> None:
    """Paint rows of name and amount in one size, so that none seems to weigh more, and the notes below."""
    shares: list[float] = [1] * len(page.prices)
    shares += [
        (1.1 if n == 0 else 0.9) + 0.9 * (s.c.least_width(t) // box.width_px) for n, t in enumerate(page.price_notes)
    ]
    highest = s.layout.price * 1.35 * s.unit * sum(shares)
    if box.height_px > highest:
        box = box.shrink_by(0, (box.height_px - highest) / 2)
    rows = _split_rows(box, shares)
    part = _names_part(s, page)
    halves = [
        row.split_left(row.width_px * (part if name else 0)) for (name, _), row in zip(page.prices, rows, strict=False)
    ]
    names, amounts = s.type_of_units(s.layout.price, bold=False), s.type_of_units(s.layout.price, x=1.0)
    px = min(
        (s.c.fit_text_in_box(drawable_text(text), half, style)[0]
         for row, pair in zip(page.prices, halves, strict=True)
         for text, half, style in zip(row, pair, (names, amounts), strict=True) if text),
        default=0,
    )  # fmt: skip
    for (name, amount), (left, right), row in zip(page.prices, halves, rows, strict=False):
        if row.y0 > box.y0:
            s.c.fill_box(Box(row.x0, row.y0, row.x1, row.y0 + max(1, round(s.unit / 3))), LINE)
        s.c.draw_text(name, left, (INK, WHITE), replace(names, largest=px))
        s.c.draw_text(amount, right, (INK, WHITE), replace(amounts, largest=px, x=1.0 if name else 0.0))
    note_type = s.type_of_units(s.layout.hint * 1.1, lines=3)
    if px:  # never larger than what costs something
        note_type = replace(note_type, largest=min(note_type.largest, px))
    for note, row in zip(page.price_notes, rows[len(page.prices) :], strict=True):
        s.c.draw_text(note, row, (INK, WHITE), note_type)


def _names_part(s: Sheet, page: Page) -> float:
    """Return which part of the width the names in rows of prices have, so that name and amount can be equally large."""
    names, amounts = (max((s.c.least_width(row[n]) for row in page.prices), default=0) for n in (0, 1))
    return names / max(1.0, names + amounts + 2 * s.unit)


def _paint_figures(s: Sheet, box: Box, page: Page) -> None:
    """Paint the first figure large; the others one below the other, label left, value right."""
    first, *others = page.figures
    unit = s.unit
    if page.battery is not None:
        box, bar = box.split_top(box.height_px - s.layout.bar * unit)
        _paint_battery_bar(s, bar, page.battery, page.battery_label)
    column = s.is_upright or (box.width_px < 110 * unit and box.height_px > 30 * unit)
    if column:
        most = max(0.44, 2 / (2 + len(others))) if s.is_upright else 0.58
        main, side = box.split_top(box.height_px * (most if others else 1.0))
    else:
        main, side = box.split_left(box.width_px * (0.5 if others else 1.0))
        side = side.split_left(3 * unit)[1]
    _paint_main_figure(s, main, first)
    rows, values = _split_rows(side, [1] * len(others)), side.width_px * 0.54
    values = max([values, *(s.c.least_width(_value_with_unit(f)) + 1.0 for f in others)])
    for n, (figure, row) in enumerate(zip(others, rows, strict=True)):
        if n or column:
            s.c.fill_box(Box(row.x0, row.y0, row.x1, row.y0 + max(1, round(unit / 3))), LINE)
        label, value = row.shrink_by(0, 0.6 * unit).split_left(row.width_px - values)
        small = s.type_of_units(7, bold=False)
        px = min(s.c.fit_text_in_box(drawable_text(f.label), label, small)[0] for f in others)
        s.c.draw_text(figure.label, label, (SOFT, WHITE), replace(small, largest=px))
        s.c.draw_text(_value_with_unit(figure), value, (INK, WHITE), s.type_of_units(s.layout.side, x=1.0))


def _value_with_unit(figure: Figure) -> str:
    return f"{figure.value} {figure.unit}".strip()


def _paint_main_figure(s: Sheet, box: Box, figure: Figure) -> None:
    label, value = box.split_top(max(s.layout.smallest * 1.3 * s.unit, box.height_px * 0.26))
    s.c.draw_text(figure.label, label, (SOFT, WHITE), s.type_of_units(s.layout.label, bold=False))
    number, mark = value.split_left(value.width_px * (0.72 if figure.unit else 1.0))
    ink = s.c.draw_text(figure.value, number, (INK, WHITE), s.type_of_units(s.layout.figure))
    right = Box(ink.x1 + round(1.5 * s.unit), mark.y0, mark.x1, mark.y1)
    s.c.draw_text(figure.unit, right, (INK, WHITE), s.type_of_units(10))


def _paint_battery_bar(s: Sheet, box: Box, percent: float, label: str) -> None:
    """Paint the battery of the car: its name, a bar, the number."""
    name, rest = box.split_left(s.c.least_width(label) * 1.1 + 2 * s.unit)
    s.c.draw_text(label, name, (SOFT, WHITE), s.type_of_units(s.layout.label, bold=False))
    bar, number = rest.split_left(rest.width_px - s.c.least_width("100 %") * 1.2)
    bar = bar.shrink_by(0, bar.height_px * 0.2)
    s.c.fill_box(bar, LINE, radius=bar.height_px / 2)
    done = bar.split_left(max(bar.height_px, bar.width_px * min(100.0, max(0.0, percent)) / 100))[0]
    s.c.fill_box(done, COLOURS[Tone.ACTIVE][0], radius=bar.height_px / 2)
    s.c.draw_text(f"{round(percent)} %", number, (INK, WHITE), s.type_of_units(s.layout.side, x=1.0))


def _split_rows(box: Box, shares: list[int] | list[float]) -> list[Box]:
    """Cut ``box`` into rows, as high as their shares."""
    rows = []
    for n, share in enumerate(shares):
        row, box = box.split_top(box.height_px * share / sum(shares[n:]))
        rows.append(row)
    return rows


# --- QR codes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tile:
    """Where a QR code goes, ``px`` pixels per module, with ``caption`` pixels above it (0: no room for the caption)."""

    box: Box
    rest: Box
    px: int
    caption: int
    quality: str = ""


def _qr_room(s: Sheet, page: Page, body: Box) -> _Tile | None:
    """Return the room for the code with the error correction that is wanted, or else with the usual one, whose modules
    are fewer."""
    return _qr_tile(s, page, body, page.qr_quality) or (_qr_tile(s, page, body, "") if page.qr_quality else None)


def _qr_tile(s: Sheet, page: Page, body: Box, quality: str) -> _Tile | None:
    """Return the place of the code; None if there is no code, or no room at 4 pixels per module. The caption gets
    room if the modules stay large."""
    n, caption = modules_per_side(page.qr, quality), round(1.2 * s.layout.hint * s.unit) if page.qr_caption else 0
    if not n:
        return None
    wide, high = body.width_px * s.layout.qr_wide, body.height_px * s.layout.qr_high
    px = int(min(wide, high - caption)) // n
    if px <= MODULE_MIN_PX:
        px, caption = int(min(wide, high)) // n, 0
    if px < MODULE_MIN_PX:
        return None
    px = min(px, page.qr_px or px)
    room = px * n + caption
    words = s.c.least_width(page.qr_caption) + 2.5 * s.unit if caption else 0
    across = max(px * n, min(wide, words))
    rest, tile = body.split_top(body.height_px - room) if s.is_upright else body.split_left(body.width_px - across)
    return _Tile(tile, rest, px, caption, quality)


def _paint_qr(s: Sheet, room: _Tile, page: Page) -> None:
    """Paint the code and its caption above, which may stand in the outer half of its quiet zone."""
    tile, px = room.box, room.px
    side = px * modules_per_side(page.qr, room.quality)
    x, y = tile.x0 + (tile.width_px - side) // 2, tile.y0 + (tile.height_px - side + room.caption) // 2
    draw_qr(s.c, page.qr, (x, y), px, room.quality)
    if room.caption:
        above = Box(tile.x0, max(tile.y0, y - room.caption), tile.x1, y + QUIET_ZONE * px // 2)
        s.c.draw_text(page.qr_caption, above.shrink_by(s.unit, 0), (INK, WHITE), s.type_of_units(s.layout.hint, x=0.5))
