"""A page on a panel of any size: header and state in one colour, content on white, station number and hotline at the
foot. Sizes are fractions of the panel, so that 320x240 and 1024x600, upright or not, get the same picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import Image

from drivers.panel.canvas import Box, Canvas, Colour, Placed, Type, fit
from drivers.panel.fonts import drawable
from drivers.panel.page import Page, Tone

WHITE: Colour = (255, 255, 255)
INK: Colour = (14, 18, 24)
SOFT: Colour = (84, 92, 102)
FOOT: Colour = (14, 18, 24)
LINE: Colour = (206, 212, 220)

COLOURS: dict[Tone, tuple[Colour, Colour]] = {
    Tone.FREE: ((0, 116, 62), WHITE),
    Tone.ACTIVE: ((0, 88, 170), WHITE),
    Tone.WAIT: ((255, 196, 0), INK),
    Tone.STOP: ((190, 16, 28), WHITE),
    Tone.QUIET: ((62, 70, 82), WHITE),
}
"""Ground and ink of the state band; every pair has a contrast of 4.5:1 or more (WCAG 2.1, 1.4.3)."""

QUIET_ZONE = 4
"""Modules of white around a QR code, ISO/IEC 18004."""
MODULE_MIN_PX = 4
_CAPTION = 10.0
"""Room above a QR code for its caption, in hundredths of the panel."""
_ENDLESS = 1 << 20


def paint(page: Page, size: tuple[int, int], margin: int = 0) -> Canvas:
    """Draws ``page`` on a panel of ``size`` (width, height); ``margin`` pixels at each side stay free of ink."""
    ground, ink = COLOURS[page.tone]
    c = Canvas(size, WHITE)
    inner = c.box.inset(margin)
    upright = inner.h > inner.w
    unit = min(inner.h * 0.6, inner.w) / 100 if upright else min(inner.h, inner.w * 0.75) / 100
    header, rest = inner.top(max(26, 12.5 * unit))
    body, foot = rest.top(rest.h - max(30, (26 if upright else 16) * unit))
    c.fill(Box(0, 0, c.box.x1, header.y1), ground)
    c.fill(Box(0, foot.y0, c.box.x1, c.box.y1), FOOT)
    _header(c, header.inset(2.5 * unit, 1.5 * unit), page, (ink, ground))
    _foot(c, foot.inset(2.5 * unit, 1.5 * unit), page, unit)
    if qr := _qr_room(page.qr, body, unit):
        _qr(c, qr, page, unit)
        body = qr.rest
        if not qr.caption:
            page = replace(page, lines=(page.qr_caption, *page.lines))
    _state_and_content(c, body, page, unit, margin)
    return c


def _header(c: Canvas, box: Box, page: Page, colours: tuple[Colour, Colour]) -> None:
    """The mark on the left, clock on the right, the outlet between them, and a crossed cloud when off line."""
    pill, rest = box.left(min(box.h * 4.1, box.w * 0.42))
    c.fill(pill, colours[0], radius=pill.h / 2)
    tick, word = pill.left(pill.h)
    c.icon("check", tick.inset(pill.h * 0.14), colours[1])
    c.text("Chargy OK", word.inset(0, pill.h * 0.06).left(word.w - pill.h * 0.35)[0], colours[::-1], Type(box.h, 8))
    if page.clock:
        rest, clock = rest.left(rest.w - box.h * 2.1)
        c.text(page.clock, clock, colours, Type(box.h * 0.8, 8, x=1.0))
    if not page.online:
        rest, cloud = rest.left(rest.w - box.h * 1.1)
        c.icon("cloud", cloud.inset(box.h * 0.08), colours[0])
    c.text(page.outlet, rest.inset(box.h * 0.3, 0), colours, Type(box.h * 0.9, 8, x=0.5))


def _foot(c: Canvas, box: Box, page: Page, unit: float) -> None:
    upright = c.box.h > c.box.w
    number, hotline = box.top(box.h / 2) if upright else box.left(box.w * 0.47)
    if page.number:
        label, value = number.left(min(number.w * 0.42, 26 * unit))
        c.text(page.station_label, label, (LINE, FOOT), Type(6 * unit, 9, bold=False))
        c.text(page.number, value.inset(1 * unit, 0), (WHITE, FOOT), Type(11.5 * unit, 10, x=1.0 if upright else 0.0))
    if page.hotline:
        phone, value = hotline.left(min(box.h * 0.8, hotline.w * 0.2))
        c.icon("phone", phone.inset(0, max(0, (phone.h - phone.w) / 2)), WHITE)
        c.text(page.hotline, value.inset(1.2 * unit, 0), (WHITE, FOOT), Type(10 * unit, 10, x=1.0))


def _state_and_content(c: Canvas, body: Box, page: Page, unit: float, margin: int) -> None:
    ground, ink = COLOURS[page.tone]
    upright = body.h > body.w
    share = 0.36 if page.figures else 0.44 if upright else 0.56
    if not (page.figures or page.lines or page.price):
        share = 1.0
    band, content = body.top(body.h * share)
    edge = Box(0 if body.x0 <= margin else body.x0, band.y0, band.x1, band.y1)
    right = c.box.x1 if body.x1 >= c.box.x1 - margin else body.x1
    c.fill(Box(edge.x0, edge.y0, right, edge.y1), ground)
    inner = band.inset(3 * unit, 1.5 * unit)
    if upright and c.box.w > c.box.h:  # a narrow column beside a QR code: no room for an icon
        c.text(page.title, inner, (ink, ground), Type(15 * unit, 11, lines=3))
    elif upright and not page.figures:
        picture, words = inner.top(inner.h * 0.52)
        c.icon(page.icon, picture.inset(0, 2 * unit), ink)
        c.text(page.title, words, (ink, ground), Type(15 * unit, 11, lines=3, x=0.5))
    else:
        picture, words = inner.left(min(inner.h * 0.86, inner.w * 0.28))
        c.icon(page.icon, picture, ink)
        c.text(page.title, words.inset(2.5 * unit, 0), (ink, ground), Type(17 * unit, 11, lines=3))
    _content(c, content.inset(3.5 * unit, 1.5 * unit), page, unit)


def _content(c: Canvas, box: Box, page: Page, unit: float) -> None:
    if page.figures:
        below = [*page.lines, page.hint] if page.hint else list(page.lines)
        for line in reversed(below):
            box, strip = box.top(box.h - max(20, (16 if c.box.h > c.box.w else 10.5) * unit))
            c.text(line, strip, (INK, WHITE), Type(7.2 * unit, 9, lines=3))
        _figures(c, box, page, unit)
        return
    if page.price:
        box, strip = box.top(box.h * 0.45 if page.lines else 0)
        c.text(page.price, strip, (INK, WHITE), Type(12 * unit, 9, lines=4))
    style = Type(9.5 * unit, 10, lines=4)
    shares = [len(fit(drawable(line), box.w, _ENDLESS, style)[1]) for line in page.lines]
    if box.h > (room := 16 * unit * sum(shares)):
        box = box.inset(0, (box.h - room) / 2)
    for line, piece in zip(page.lines, _rows(box, shares), strict=True):
        c.text(line, piece, (INK, WHITE), style)


def _figures(c: Canvas, box: Box, page: Page, unit: float) -> None:
    """The first figure large; the others one below the other, label left, value right."""
    first, *others = page.figures
    if page.battery is not None:
        box, bar = box.top(box.h - max(8, 5 * unit))
        _bar(c, bar.inset(0, 1 * unit), page.battery)
    upright = c.box.h > c.box.w or (box.w < 110 * unit and box.h > 30 * unit)
    if not upright and box.w < 110 * unit:
        others = []  # beside a QR code on a small panel
    if upright:
        main, side = box.top(box.h * (0.4 if c.box.h > c.box.w else 0.58))
    else:
        main, side = box.left(box.w * (0.52 if others else 1.0))
        side = side.left(4 * unit)[1]
    label, value = main.top(max(14, main.h * 0.26))
    c.text(first.label, label, (SOFT, WHITE), Type(7.5 * unit, 9, bold=False))
    number, mark = value.left(value.w * 0.72)
    ink = c.text(first.value, number, (INK, WHITE), Type(27 * unit, 12))
    c.text(first.unit, Box(ink.x1 + round(1.5 * unit), mark.y0, mark.x1, mark.y1), (INK, WHITE), Type(10 * unit, 9))
    for n, (figure, row) in enumerate(zip(others, _rows(side, [1] * len(others)), strict=True)):
        if n or upright:
            c.fill(Box(row.x0, row.y0, row.x1, row.y0 + max(1, round(unit / 3))), LINE)
        label, value = row.inset(0, 0.8 * unit).left(row.w * 0.44)
        small = Type(7 * unit, 9, bold=False)
        px = min(fit(drawable(f.label), label.w, label.h, small)[0] for f in others)
        c.text(figure.label, label, (SOFT, WHITE), replace(small, largest=px))
        c.text(f"{figure.value} {figure.unit}".strip(), value, (INK, WHITE), Type(11 * unit, 10, x=1.0))


def _bar(c: Canvas, box: Box, percent: float) -> None:
    c.fill(box, LINE, radius=box.h / 2)
    done = box.left(max(box.h, box.w * min(100.0, max(0.0, percent)) / 100))[0]
    c.fill(done, COLOURS[Tone.ACTIVE][0], radius=box.h / 2)


def _rows(box: Box, shares: list[int]) -> list[Box]:
    """``box`` cut into rows, as high as their shares."""
    rows = []
    for n, share in enumerate(shares):
        row, box = box.top(box.h * share / sum(shares[n:]))
        rows.append(row)
    return rows


@dataclass(frozen=True, slots=True)
class _Tile:
    """Where a QR code goes, ``px`` pixels per module, ``caption`` pixels above it for its caption."""

    box: Box
    rest: Box
    px: int
    caption: int


def _qr_room(url: str, body: Box, unit: float) -> _Tile | None:
    """None if there is no code, or no room at 4 pixels per module. The caption gets room if the modules stay large."""
    if not url or not (matrix := qr_matrix(url)):
        return None
    modules, caption = len(matrix) + 2 * QUIET_ZONE, round(_CAPTION * unit)
    upright = body.h > body.w
    wide, high = (body.w * 0.8, body.h * 0.5) if upright else (body.w * 0.52, body.h)
    px = int(min(wide, high - caption)) // modules
    if px <= MODULE_MIN_PX:
        px, caption = int(min(wide, high)) // modules, 0
    if px < MODULE_MIN_PX:
        return None
    rest, tile = body.top(body.h - px * modules - caption) if upright else body.left(body.w - px * modules)
    return _Tile(tile, rest, px, caption)


def _qr(c: Canvas, room: _Tile, page: Page, unit: float) -> None:
    """The code and, if there is room above it, its caption."""
    matrix, tile, px = qr_matrix(page.qr), room.box, room.px
    assert matrix
    modules = len(matrix) + 2 * QUIET_ZONE
    side = px * modules
    x, y = tile.x0 + (tile.w - side) // 2, tile.y0 + (tile.h - side + room.caption) // 2
    bits = Image.new("L", (modules, modules), 255)
    bits.putdata([0 if _dark(matrix, x, y) else 255 for y in range(modules) for x in range(modules)])
    c.image.paste(bits.resize((side, side), Image.Resampling.NEAREST).convert("RGB"), (x, y))
    box = Box(x, y, x + side, y + side)
    c.placed.append(Placed("qr", page.qr, box.inset(QUIET_ZONE * px), box, px))
    if room.caption:
        above = Box(tile.x0, tile.y0, tile.x1, y + QUIET_ZONE * px // 2)
        c.text(page.qr_caption, above.inset(QUIET_ZONE * px, 0), (INK, WHITE), Type(8.5 * unit, 9, x=0.5))


def _dark(matrix: tuple[tuple[bool, ...], ...], x: int, y: int) -> bool:
    n = len(matrix)
    x, y = x - QUIET_ZONE, y - QUIET_ZONE
    return 0 <= x < n and 0 <= y < n and matrix[y][x]


@lru_cache(maxsize=8)
def qr_matrix(url: str) -> tuple[tuple[bool, ...], ...] | None:
    """The modules of a QR code with error correction level M; None if the text is too long for one."""
    import qrcode
    from qrcode.constants import ERROR_CORRECT_M
    from qrcode.exceptions import DataOverflowError

    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=0)
    code.add_data(url)
    try:
        code.make(fit=True)
    except (DataOverflowError, ValueError):
        return None
    return tuple(tuple(bool(m) for m in row) for row in code.get_matrix())
