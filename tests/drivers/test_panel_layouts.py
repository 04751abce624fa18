"""Every screen, in every language, on every panel: complete, nothing on top of another, large enough, with contrast."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model import installed_fonts
from agent.model.types import Screen, ScreenName
from agent.ports.driver import StationFacts
from drivers.panel import canvas as canvas_module
from drivers.panel.canvas import Canvas, Placed, Type, fit_text, wrap_text
from drivers.panel.colors import COLOURS, Colour
from drivers.panel.fonts import drawable_text
from drivers.panel.layout import TINY, layout_for
from drivers.panel.page import Page, page_of_screen
from drivers.panel.page_parts import Face, faces_of_page, turns_of_faces
from drivers.panel.qr import QUIET_ZONE, qr_matrix
from tests.drivers.screens import CASES, LANGUAGES, LONG, PRICES, QR_URL, Case, every_size, hurry, said
from tests.drivers.screens import words as words_of
from tests.support.simulated_station import CAMPAIGN

PANELS = (
    (128, 64, 1), (256, 64, 1), (160, 128, 16), (240, 135, 16), (240, 320, 16), (320, 240, 16), (480, 272, 16),
    (480, 800, 16), (800, 480, 16), (600, 1024, 16), (1024, 600, 16),
)  # fmt: skip
"""Width, height, bits per pixel."""
LIKE_ANOTHER = ((240, 135, 16), (480, 272, 16), (600, 1024, 16), (1024, 600, 16))
"""Of the shape of a panel that has every case in every language."""
ROOMY = ((480, 272, 16), (480, 800, 16), (800, 480, 16), (600, 1024, 16), (1024, 600, 16))
"""On these a code has its place beside whatever is said."""
AAA = 7.0
"""Contrast ratio of WCAG 2.1, success criterion 1.4.6."""
panels = pytest.mark.parametrize("panel", PANELS, ids=lambda p: "{}x{}x{}".format(*p))
STRANGE = (
    "price_line", "tariff_kwh_micro", "tariff_other_name", "tariff_grace_min", "tariff_vat_percent", "bill_kwh_micro",
    "billed_vat_percent", "billed_other_name",
    "tariff_next_at_utc_s", "tariff_next_kwh_micro", "currency", "tariff_currency", "number", "hotline",
    "token_tail", "qr_url", "evse",
    "energy_wh", "since_s", "soc_percent", "power_w",
)  # fmt: skip
languages = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@cache
def looks(panel: tuple[int, int, int], language: str) -> list[tuple[Case, Page, list[Canvas]]]:
    """Each case, its page, and its faces: measured, not drawn. On a panel like another one each language has a third of
    the cases, and another third than the next; the campaign has all."""
    some = slice(None) if CAMPAIGN or panel not in LIKE_ANOTHER else slice(LANGUAGES.index(language) % 3, None, 3)
    pages = [(case, said(case, language)) for case in CASES[some]]
    return [(case, p, [face(dry=True) for face in faces_of_page(p, panel[:2], panel[2])]) for case, p in pages]


def texts_of(whole: Page) -> list[str]:
    """Everything that has to be said, except that which a code or a small panel may leave out."""
    rows = [text for row in whole.prices for text in row]
    figures = [part for f in whole.figures if not f.spare for part in f.value.split()]
    return [
        whole.title, whole.countdown, whole.price, *whole.price_notes, whole.hint, whole.number, whole.hotline,
        whole.outlet, *whole.lines, *rows, *figures, whole.languages,
    ]  # fmt: skip


def words(*texts: str) -> list[str]:
    return " ".join(map(drawable_text, texts)).split()


def check_layout(c: Canvas, what: str) -> None:
    for p in c.placed:
        assert p.whole, f"{what}: {p.what!r} is cut off"
        assert c.whole_box.covers_box(p.ink), f"{what}: {p.what!r} leaves the panel: {p.ink}"
        assert p.box.x0 - 1 <= p.ink.x0 <= p.ink.x1 <= p.box.x1 + 1, f"{what}: {p.what!r} is too wide: {p.ink} {p.box}"
        assert p.box.y0 - 1 <= p.ink.y0 <= p.ink.y1 <= p.box.y1 + 1, f"{what}: {p.what!r} is too high: {p.ink} {p.box}"
    for a, b in itertools.combinations(c.placed, 2):
        assert not a.ink.overlaps_box(b.ink), f"{what}: {a.what!r} {a.ink} lies on {b.what!r} {b.ink}"


@panels
@languages
def test_every_screen_is_complete(language: str, panel: tuple[int, int, int]) -> None:
    layout = layout_for(panel[:2], panel[2])
    unit = layout.unit_px(panel[:2])
    for (name, detail, _), whole, shown in looks(panel, language):
        what = f"{name} {detail} {language} {panel}"
        for c in shown:
            check_layout(c, what)
            assert all(p.px >= int(layout.smallest * unit) - 1 for p in c.placed if p.kind == "text"), what
        seen = words(*(p.what for c in shown for p in c.placed if p.kind == "text"))
        for text in texts_of(whole):
            assert all(word in seen for word in words(text)), f"{what}: {text!r} is not shown, only {seen}"
        if whole.qr:
            codes = [p for c in shown for p in c.placed if p.kind == "qr"]
            assert codes or set(words(whole.pay_at)) <= set(seen), f"{what}: no page shows how to pay"


def details(language: str) -> list[Case]:
    """Whatever the texts have words for, beside the cases that are looked at on every panel."""
    words = words_of(language).words
    refused = [d for d, w in words["refused"].items() if isinstance(w, dict)]
    session = {"energy_wh": 12_345, "since_s": 754}
    return [
        *((ScreenName.REFUSED, d, {}) for d in refused),
        *((ScreenName.OUT_OF_SERVICE, d, {}) for d in words["out_of_service"]["details"]),
        *((ScreenName.FINISHED, d, session) for d in words["finished"] if d not in ("title", "line")),
        *((ScreenName.PAUSED, d, session) for d in words["paused"] if d not in ("title", "line")),
        *((ScreenName.IDLE, "", {**PRICES, "no_code": why}) for why in words["no_code"]),
        (ScreenName.CHECKING, "paying", {"remaining_s": 287}),
        (ScreenName.CHARGING, "", {**session, "stop_hint": "unplug"}),
    ]


@panels
@languages
def test_every_word_of_the_texts_fits(language: str, panel: tuple[int, int, int]) -> None:
    if panel in LIKE_ANOTHER and not CAMPAIGN:
        return
    for case in details(language):
        whole = said(case, language)
        shown = [face(dry=True) for face in faces_of_page(whole, panel[:2], panel[2])]
        what = f"{case[:2]} {language} {panel}"
        for c in shown:
            check_layout(c, what)
        seen = words(*(p.what for c in shown for p in c.placed if p.kind == "text"))
        for text in texts_of(whole):
            assert all(word in seen for word in words(text)), f"{what}: {text!r} is not shown, only {seen}"


@panels
def test_the_main_message_is_large(panel: tuple[int, int, int]) -> None:
    """A panel of 320x240 is 70 mm wide (3.5 inch), one of 128x64 is 55 mm (2.42 inch): titles are 4.5 mm or more."""
    layout = layout_for(panel[:2], panel[2])
    unit = layout.unit_px(panel[:2])
    for language in LANGUAGES:
        for case, whole, shown in looks(panel, language):
            title = next(p for p in shown[0].placed if p.what == drawable_text(whole.title))
            least = layout.with_qr if any(p.kind == "qr" for p in shown[0].placed) else layout.title_least
            assert title.px >= int(least * unit), f"{title.what!r} is {title.px} px on {panel}: {case}"


def test_the_large_panels_say_a_session_at_once() -> None:
    """Only words that turn up on few screens may take turns on 800x480 and more."""
    for (name, detail, values), _, shown in looks((800, 480, 16), "fr"):
        rare = {"tariff_session_micro", "bill_kwh_micro", "tariff_next_kwh_micro", "cost_text", "steps_good"}
        rare |= {"vat_state"}
        long = rare & set(values) or values.get("price_line") == LONG
        long = long or (name is ScreenName.FINISHED and "tariff_kwh_micro" in values)
        if not long and detail != "station":
            assert len(shown) == 1, f"{name} {detail} {values}: {len(shown)} faces"


def test_the_checks_can_fail() -> None:
    c = Canvas((100, 100), (255, 255, 255))
    box = c.whole_box.shrink_by(10)
    c.placed += [Placed("text", "a", box, box), Placed("text", "b", box, box)]
    with pytest.raises(AssertionError, match="lies on"):
        check_layout(c, "two in one place")
    c = Canvas((100, 100), (255, 255, 255), smallest=30)
    c.draw_text("much too long a text", box, ((0, 0, 0), (255, 255, 255)), Type(40))
    with pytest.raises(AssertionError, match="cut off"):
        check_layout(c, "cut")


# --- contrast ----------------------------------------------------------------------------------------------------


def luminance(colour: Colour) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    r, g, b = (v / 255 / 12.92 if v / 255 <= 0.03928 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: Colour, b: Colour) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@panels
def test_every_text_has_contrast(panel: tuple[int, int, int]) -> None:
    for case, _, shown in looks(panel, "de"):
        for p in (p for c in shown for p in c.placed if p.kind == "text"):
            assert p.colours
            assert contrast(*p.colours) >= AAA, (p.what, p.colours, case)


@pytest.mark.parametrize(
    "panel", [(128, 64, 1), (160, 128, 16), (320, 240, 16), (480, 800, 16), (800, 480, 16)], ids=str
)
def test_the_contrast_is_on_the_panel_and_not_only_promised(panel: tuple[int, int, int]) -> None:
    """In the picture itself: around each text mostly its ground, in it its ink, or what thin strokes of small letters
    leave of it. RGB565 takes away little."""
    seen = set()
    for case in CASES[:: 1 if panel[2] == 1 else 3]:
        for face in faces_of_page(said(case, "lb"), panel[:2], panel[2]):
            c = face()
            for p in (p for p in c.placed if p.kind == "text" and p.colours):
                ink, ground = p.colours or ((0, 0, 0), (0, 0, 0))
                counts = {colour: n for n, colour in c.image.crop(p.ink).getcolors(1 << 16) or ()}
                assert max(counts, key=lambda colour: (counts[colour], colour)) in (ground, ink), (p.what, case)
                assert ink in counts or max(contrast(c, ground) for c in counts) >= AAA, (p.what, case)
                assert ground in counts, (p.what, case)
                coarse = [(r & 0xF8, g & 0xFC, b & 0xF8) for r, g, b in (ink, ground)]
                assert contrast(*coarse) >= AAA, (p.what, p.colours)
                seen.add(p.colours)
    assert len(seen) >= (2 if panel[2] == 1 else 4)


def test_the_states_differ_in_colour() -> None:
    assert len({ground for ground, _ in COLOURS.values()}) == len(COLOURS)
    assert contrast((255, 255, 255), (119, 119, 119)) < 4.5 < AAA < contrast((255, 255, 255), (0, 0, 0)) == 21


def test_one_colour_means_one_colour() -> None:
    """No grey edge that a panel of one bit would have to guess at."""
    for case in CASES:
        for face in faces_of_page(said(case, "fr"), (128, 64), 1):
            assert {colour for _, colour in face().image.getcolors() or ()} <= {(0, 0, 0), (255, 255, 255)}


# --- faces -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("panel", [(128, 64, 1), (240, 320, 16), (800, 480, 16)], ids=str)
def test_what_is_measured_is_what_is_drawn(panel: tuple[int, int, int]) -> None:
    for case in CASES[::4]:
        for face in faces_of_page(said(case, "fr"), panel[:2], panel[2]):
            assert face(dry=True).placed == face().placed


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PANELS),
    st.dictionaries(
        st.sampled_from(STRANGE),
        st.one_of(st.text(max_size=80), st.integers(-(10**9), 10**9), st.floats(0, 1e9), st.none()),
    ),
    st.sampled_from(tuple(ScreenName)),
)
def test_strange_values_never_break_the_picture(
    panel: tuple[int, int, int], values: dict[str, Any], name: ScreenName
) -> None:
    values["evses"] = 2
    whole = page_of_screen(Screen(name, "lb", "x", values), words_of("lb"), StationFacts())
    for face in faces_of_page(whole, panel[:2], panel[2]):
        c = face(dry=True)
        for p in c.placed:
            assert p.box.x0 - 1 <= p.ink.x0
            assert p.ink.x1 <= p.box.x1 + 1
            assert c.whole_box.covers_box(p.box)


def test_too_long_a_text_is_cut_with_an_ellipsis() -> None:
    px, lines, whole = fit_text("a price line " * 30, 200, 40, Type(30, 10, lines=2))
    assert not whole
    assert len(lines) == 2
    assert px == 10
    assert lines[-1].endswith("…")
    assert fit_text("high", 200, 6, Type(30, 10))[0] == 5  # never beyond its box


def test_a_number_stays_with_its_unit() -> None:
    for text, kept in (
        ("Place occupée : 0,10 €/min dès 30 min", ("occupée :", "0,10 €/min", "30 min")),
        ("0,35 €/kWh + 2,00 €/h", ("0,35 €/kWh", "+ 2,00 €/h")),
    ):
        for width in range(80, 400, 20):
            lines = wrap_text(text, width, 16, True)
            assert " ".join(lines) == text
            for part in kept:
                assert any(part in line for line in lines), (part, lines)


# --- QR ----------------------------------------------------------------------------------------------------------


def codes(shown: tuple[Face, ...]) -> list[tuple[Canvas, Placed]]:
    return [(c, p) for c in (face() for face in shown) for p in c.placed if p.kind == "qr"]


@panels
def test_qr_code_is_exact_on_the_panel(panel: tuple[int, int, int]) -> None:
    case: Case = (ScreenName.IDLE, "", {"qr_url": QR_URL, **PRICES})
    found = codes(faces_of_page(said(case, "fr"), panel[:2], panel[2]))
    tiny = layout_for(panel[:2], panel[2]) is TINY
    room = min(int((panel[0] - 2) * 0.56), panel[1] - 2) // 41 // 2 if tiny else min(panel[:2]) // 41 // 4
    if not room or panel == (240, 320, 16):
        assert not found  # 41 modules have no room: words say where to pay
        return
    for c, qr in found:
        assert qr.px >= (2 if tiny else 4)
        check_code(c, qr, QR_URL)
        assert [
            code.text for code in zxingcpp.read_barcodes(c.image.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
        ] == [QR_URL]


@panels
def test_a_code_stays_while_the_words_take_turns(panel: tuple[int, int, int]) -> None:
    """No one aims a telephone in two seconds and a half: it is there all the time, or at least for ten seconds."""
    for language in LANGUAGES:
        for case in (c for c in CASES if "qr_url" in c[2]):
            shown = faces_of_page(said(case, language), panel[:2], panel[2])
            there = [face(dry=True).has_kind("qr") for face in shown]
            if panel in ROOMY:
                assert all(there), f"{language} {panel} {case}: {there}"
            for code, stands in zip(there, turns_of_faces(shown), strict=True):
                assert stands == (4 if code and not all(there) else 1), f"{language} {panel} {case}"


def check_code(c: Canvas, qr: Placed, url: str) -> None:
    matrix = qr_matrix(url)
    assert matrix
    n = len(matrix)
    assert qr.ink.width_px == qr.ink.height_px == n * qr.px
    for y, x in itertools.product(range(-QUIET_ZONE, n + QUIET_ZONE), repeat=2):
        dark = 0 <= x < n and 0 <= y < n and matrix[y][x]
        for dx, dy in ((0, 0), (qr.px - 1, qr.px - 1)):
            pixel = c.image.getpixel((qr.ink.x0 + x * qr.px + dx, qr.ink.y0 + y * qr.px + dy))
            if 0 <= y + 2 < n + 4:  # captions may stand in the outer half of the quiet zone
                assert pixel == ((0, 0, 0) if dark else (255, 255, 255)), (x, y)


@pytest.mark.parametrize("quality", ["Low", "Medium", "Quartile", "High"])
def test_a_code_is_as_robust_as_a_backend_wants_it_where_it_fits(quality: str) -> None:
    """The format bits beside the upper left corner say the level (ISO/IEC 18004, 7.9.1: masked with 101)."""
    levels = {0b01: "Low", 0b00: "Medium", 0b11: "Quartile", 0b10: "High"}
    for panel, fits in (((800, 480), True), ((320, 240), quality in ("Low", "Medium"))):
        said_ = said((ScreenName.IDLE, "", {"qr_url": QR_URL, "qr_quality": quality}), "fr")
        c, qr = codes(faces_of_page(said_, panel, 16))[0]
        bits = [c.image.getpixel((qr.ink.x0 + x * qr.px, qr.ink.y0 + 8 * qr.px)) == (0, 0, 0) for x in (0, 1)]
        assert levels[(bits[0] << 1 | bits[1]) ^ 0b10] == (quality if fits else "Medium"), panel
        assert [
            code.text for code in zxingcpp.read_barcodes(c.image.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
        ] == [QR_URL]


def test_a_short_address_has_its_code_on_the_smallest_panel() -> None:
    url = "HTTPS://C.LU/1"
    ((c, qr),) = codes(faces_of_page(said((ScreenName.IDLE, "", {"qr_url": url}), "en"), (128, 64), 1))
    assert qr.px == 2
    check_code(c, qr, url)


def test_qr_code_only_while_idle() -> None:
    for name in ScreenName:
        found = codes(faces_of_page(said((name, "", {"qr_url": QR_URL}), "fr"), (800, 480), 16))
        assert bool(found) == (name is ScreenName.IDLE), name


def test_a_url_too_long_for_a_code_leaves_the_screen_standing() -> None:
    shown = faces_of_page(
        said((ScreenName.IDLE, "", {"qr_url": "https://pay.example/" + "x" * 5000}), "fr"), (800, 480), 16
    )
    assert not codes(shown)
    assert "Payez sur pay.example" in {p.what for face in shown for p in face().placed}


# --- fonts -------------------------------------------------------------------------------------------------------


def test_a_board_without_fonts_still_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_fonts, "_FOLDERS", ())
    caches = (installed_fonts.find_installed_font, every_size, fit_text, canvas_module._line_width)
    for each in caches:
        each.cache_clear()
    try:
        (face,) = faces_of_page(said((ScreenName.OUT_OF_SERVICE, "", {}), "de"), (800, 480), 16)
        c = face()
        check_layout(c, "built-in font")
        assert "Ausser Betrieb" in {p.what for p in c.placed}
        assert fit_text("0,35", 10**4, 10**4, Type(20, 5, bold=False))[2]
    finally:
        monkeypatch.undo()
        for each in caches:
            each.cache_clear()
