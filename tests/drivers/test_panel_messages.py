"""Messages of a backend on every panel: whole, beside what the page has to say, and never in the place of price or
code for long."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.types import ScreenName
from drivers.panel import message_parts, small_panels
from drivers.panel.canvas import Canvas, fit_text
from drivers.panel.display import PanelDisplay
from drivers.panel.fonts import drawable_text
from drivers.panel.layout import TINY, layout_for
from drivers.panel.message_parts import cut_message_text
from drivers.panel.outlet_views import Panel, View, views_of_pages
from drivers.panel.page import Page, count_message_rounds, page_of_message_round, page_of_screen
from drivers.panel.page_parts import PageMeasure, faces_of_page
from tests.drivers.screens import BILLED, CASES, FACTS, LAW, PAY, SESSION, Case, hurry, said, screen, words
from tests.drivers.test_panel_layouts import PANELS, check_layout, texts_of
from tests.drivers.test_panel_layouts import words as words_in
from tests.drivers.test_shared_display import SIDE_BY_SIDE, TURN_S, Memory, address, clocked, codes_in, tick
from tests.support.simulated_station import CAMPAIGN

S = ScreenName
IDLE: Case = (S.IDLE, "", {**LAW, **PAY})
CHARGING: Case = (S.CHARGING, "", {**SESSION, **BILLED})
REFUSED: Case = (S.REFUSED, "invalid", {})
SHORT = "Fermé ce soir de 22 h à 23 h"
USUAL = "Am Samstag ist der Parkplatz wegen des Marktes gesperrt. Bitte entfernen Sie Ihr Fahrzeug bis 6 Uhr."
LONGEST = ("Wegen Arbeiten am Stromnetz kann die Ladeleistung heute zwischen 10 und 16 Uhr kleiner sein. " * 6)[:512]
STRANGE = ("x" * 512, "! " * 256, "W" * 60 + " « » : ; € 12 kWh", "Ⱥ\u0301 漢字 🚗 مرحبا")
ADDRESS = "https://www.chargy.lu/" + "abcdefgh/" * 12
SLOW = ("a b c d e f g h " * 23 + ADDRESS, "de Parking ass zou " * 20 + ADDRESS, "x" * 512, "! " * 256, "a. " * 170)
"""Texts whose pieces are many, or that have a word that fits nowhere."""
panels = pytest.mark.parametrize("panel", PANELS, ids=lambda p: "{}x{}x{}".format(*p))


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def with_messages(case: Case, *messages: str, front: bool = False) -> Case:
    name, detail, values = case
    return name, detail, {**values, "messages": "\n".join(messages), "messages_in_front": front}


def looks(case: Case, panel: tuple[int, int, int], language: str = "de") -> list[Canvas]:
    page = page_of_message_round(said(case, language), 0)
    return [face(dry=True) for face in faces_of_page(page, panel[:2], panel[2])]


def seen_in(*shown: Canvas) -> list[str]:
    return words_in(*(p.what for c in shown for p in c.placed if p.kind == "text"))


def has_message(c: Canvas, message: str) -> bool:
    return all(word in seen_in(c) for word in words_in(message))


def codes(shown: list[Canvas]) -> list[bool]:
    return [c.has_kind("qr") for c in shown]


# --- one outlet ------------------------------------------------------------------------------------------------------


@panels
@pytest.mark.parametrize("front", [True, False], ids=["front", "cycle"])
def test_page_and_message_are_complete(panel: tuple[int, int, int], front: bool) -> None:
    third = slice(None) if CAMPAIGN else slice((PANELS.index(panel) + front) % 3, None, 3)
    layout = layout_for(panel[:2], panel[2])
    least_px = int(layout.smallest * layout.unit_px(panel[:2])) - 1
    for case, message in itertools.product([IDLE, CHARGING, *CASES[third]], (SHORT, USUAL)):
        without, shown = looks(case, panel), looks(with_messages(case, message, front=front), panel)
        what = f"{case[:2]} {panel} {message!r}"
        for c in shown:
            check_layout(c, what)
            assert all(p.px >= least_px for p in c.placed if p.kind == "text"), what
        page, seen = said(case, "de"), seen_in(*shown)
        for text in texts_of(page):
            assert all(word in seen for word in words_in(text)), f"{what}: {text!r} is not shown, only {seen}"
        assert any(codes(shown)) == any(codes(without)), f"{what}: the code"
        if page.message_yields:
            assert all(has_message(c, message) for c in shown) or not any(has_message(c, message) for c in shown), what
        else:
            assert all(word in seen for word in words_in(message)), f"{what}: not shown, only {seen}"


@pytest.mark.parametrize("panel", [p for p in PANELS if min(p[:2]) >= 480], ids=str)
@pytest.mark.parametrize("case", [IDLE, CHARGING, REFUSED, (S.OUT_OF_SERVICE, "GroundFailure", {})], ids=lambda c: c[0])
def test_in_front_it_stands_beside_everything(case: Case, panel: tuple[int, int, int]) -> None:
    """O01.FR.15: nothing of the station takes its place; nor does it take that of price and code."""
    without, shown = looks(case, panel), looks(with_messages(case, SHORT, front=True), panel)
    assert all(has_message(c, SHORT) for c in shown)
    assert codes(shown)[0] == codes(without)[0]


@pytest.mark.parametrize("panel", [(800, 480, 16), (480, 800, 16), (320, 240, 16)], ids=str)
@pytest.mark.parametrize("message", [SHORT, USUAL, LONGEST], ids=len)
@pytest.mark.parametrize("front", [True, False], ids=["front", "cycle"])
def test_the_code_is_read_from_the_picture(panel: tuple[int, int, int], message: str, front: bool) -> None:
    page = page_of_message_round(said(with_messages(IDLE, message, front=front), "fr"), 0)
    read = [codes_in(face().image) for face in faces_of_page(page, panel[:2], panel[2])]
    assert set().union(*read) == {address(2)}
    if panel in SIDE_BY_SIDE:
        assert all(read), "on each of the pictures, as without a message"


@panels
@pytest.mark.parametrize("case", [REFUSED, (S.CHOOSE_OUTLET, "new_charge", {"remaining_s": 14})], ids=lambda c: c[0])
def test_what_has_to_be_read_at_once_does_not_take_turns(case: Case, panel: tuple[int, int, int]) -> None:
    """A notice stands for four seconds: it has as many pictures as ever, unless the message stands on all of them."""
    assert len(looks(with_messages(case, USUAL), panel)) == len(looks(case, panel))
    shown = looks(with_messages(case, LONGEST, front=True), panel)
    assert seen_in(*shown) == seen_in(*looks(case, panel))


def test_the_title_stays_above_a_message() -> None:
    page = said(CHARGING, "de")
    for c in looks(with_messages(CHARGING, LONGEST), (800, 480, 16)):
        assert has_message(c, page.title)
        assert has_message(c, page.hotline)


@panels
@pytest.mark.parametrize("text", STRANGE, ids=lambda t: ascii(t[:8]))
@pytest.mark.parametrize("front", [True, False], ids=["front", "cycle"])
def test_strange_texts_are_whole(panel: tuple[int, int, int], text: str, front: bool) -> None:
    for c in looks(with_messages(CHARGING, text, front=front), panel):
        check_layout(c, f"{panel} {text[:20]!r}")


@panels
@pytest.mark.parametrize("text", SLOW, ids=lambda t: ascii(t[:8]))
def test_few_layouts_find_where_a_text_is_cut(
    panel: tuple[int, int, int], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layout takes a millisecond or two, and the panel shows nothing new before the last one."""
    layouts = itertools.count(1)
    place, fit = PageMeasure.__call__, fit_text

    def count_page_layout(self: PageMeasure, page: Page) -> Canvas:
        assert next(layouts) <= 200
        return place(self, page)

    def count_slide_layout(*what: Any) -> tuple[int, tuple[str, ...], bool]:
        assert next(layouts) <= 300, "a slide has no more than a text: a layout takes a tenth of that of a page"
        return fit(*what)

    monkeypatch.setattr(PageMeasure, "__call__", count_page_layout)
    monkeypatch.setattr(small_panels, "fit_text", count_slide_layout)
    message_parts._cut_text_for_page.cache_clear()
    page = page_of_message_round(said(with_messages(IDLE, text, front=True), "de"), 0)
    assert len(faces_of_page(page, panel[:2], panel[2])) < 30
    assert next(layouts) > 8


@settings(max_examples=1000 if CAMPAIGN else 40, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=80), max_size=3),
    st.booleans(),
    st.sampled_from(CASES),
    st.sampled_from(PANELS),
)
def test_any_text_on_any_screen(texts: list[str], front: bool, case: Case, panel: tuple[int, int, int]) -> None:
    lines = [" ".join(text.split()) for text in texts]
    page = said(with_messages(case, *lines, front=front), "fr")
    for number in range(count_message_rounds([page])):
        for face in faces_of_page(page_of_message_round(page, number), panel[:2], panel[2]):
            check_layout(face(dry=True), f"{lines} {case} {panel}")


@pytest.mark.parametrize(
    ("text", "most", "pieces"),
    [
        ("", 9, ()),
        ("one two", 9, ("one two",)),
        ("One. Two. Three.", 9, ("One. Two.", "Three.")),
        ("one two three four", 10, ("one two", "three four")),
        ("de 22 h à 23 h", 9, ("de 22 h", "à 23 h")),
        ("donaudampf", 5, ("donau", "dampf")),
        ("a b c d e f Energie", 9, ("a b c d e", "f Energie")),
        ("Energie Energie a b c d", 9, ("Energie", "Energie a", "b c d")),
        ("a b c d e f", 9, ("a b c", "d e f")),
        ("12 kWh. donaudampf", 5, ("12", "kWh.", "donau", "dampf")),
    ],
)
def test_how_a_text_is_cut(text: str, most: int, pieces: tuple[str, ...]) -> None:
    assert cut_message_text(text, lambda piece: len(piece) <= most) == pieces


def test_a_word_is_not_broken_where_that_is_not_wanted() -> None:
    assert cut_message_text("a donaudampf", lambda piece: len(piece) <= 5, breaks_words=False) == ()
    assert cut_message_text("a bc", lambda piece: False) == ()


# --- several outlets, several messages -------------------------------------------------------------------------------


def rounds(cases: list[Case], panel: tuple[int, int, int]) -> Iterator[tuple[View, ...]]:
    pages = [page_of_screen(screen(c, "de", n, len(cases)), words("de"), FACTS) for n, c in enumerate(cases, 1)]
    for number in range(count_message_rounds(pages)):
        yield views_of_pages(pages, Panel(panel[:2], panel[2], 0, TURN_S), number)


@panels
def test_messages_of_two_outlets(panel: tuple[int, int, int]) -> None:
    cases = [with_messages(IDLE, SHORT, USUAL), with_messages(CHARGING, USUAL, front=True)]
    for number, found in enumerate(rounds(cases, panel)):
        shown = [face(dry=True) for view in found for face in view.faces]
        for c in shown:
            check_layout(c, f"{panel}")
        for message in ((SHORT, USUAL)[number], USUAL):
            assert all(word in seen_in(*shown) for word in words_in(message)), (panel, message)
        assert {n for view in found for n in view.evse_numbers} == {1, 2}


@panels
def test_a_round_with_a_message_is_bounded(panel: tuple[int, int, int]) -> None:
    """Price and code of two outlets within 90 s, and a message of a hundred characters between them once."""
    for front in (True, False):
        for found in rounds([with_messages(c, USUAL, front=front) for c in (IDLE, CHARGING)], panel):
            assert sum(sum(view.turns) for view in found) * TURN_S <= 90, (panel, front)


@pytest.mark.parametrize("panel", [p for p in PANELS if p not in SIDE_BY_SIDE], ids=str)
def test_what_all_outlets_have_in_the_cycle_is_shown_once_a_round(panel: tuple[int, int, int]) -> None:
    (found,) = rounds([with_messages(c, SHORT) for c in (IDLE, CHARGING)], panel)
    by_view = [seen_in(*(face(dry=True) for face in view.faces)) for view in found]
    assert ["22" in seen for seen in by_view] == [True, False]


def face_in_view(display: PanelDisplay) -> Canvas:
    view = display._views[display._view]
    return view.faces[display._face % len(view.faces)](dry=True)


@pytest.mark.parametrize("panel", [(320, 240, 16), (800, 480, 16), (128, 64, 1)], ids=str)
@pytest.mark.parametrize("front", [True, False], ids=["front", "cycle"])
async def test_messages_take_turns_and_the_page_comes_back_between_them(
    panel: tuple[int, int, int], front: bool
) -> None:
    """However often the figures of the session change."""
    names = ("alpha", "beta", "gamma")
    seen: list[str] = []
    async with clocked(Memory(panel)) as display:
        for second in range(64):
            case = (S.CHARGING, "", {**SESSION, "since_s": second})
            await display.show(screen(with_messages(case, *names, front=front), "en", 1, 1))
            tick(display)
            now = seen_in(face_in_view(display))
            for what in (*names, "kWh"):
                if what in now and seen[-1:] != [what]:
                    seen.append(what)
    found = [what for what in seen if what in names]
    once = [name for name, _ in itertools.groupby(found)]
    assert once[:6] == [*names, *names]
    for a, b in itertools.pairwise(n for n, what in enumerate(seen) if what in names):
        assert seen[a] == seen[b] or "kWh" in seen[a:b], seen


@pytest.mark.parametrize("panel", [(128, 64, 1), (160, 128, 16)], ids=str)
@pytest.mark.parametrize("front", [True, False], ids=["front", "cycle"])
async def test_a_tiny_panel_shows_a_long_message_in_several_rounds(panel: tuple[int, int, int], front: bool) -> None:
    """Price, hotline and code do not wait for sixteen slides; and the whole message is seen."""
    slides: list[bool] = []
    seen: set[str] = set()
    async with clocked(Memory(panel)) as display:
        await display.show(screen(with_messages(IDLE, LONGEST, front=front), "de", 1, 1))
        for _ in range(160):
            now = set(seen_in(face_in_view(display)))
            slides.append(bool(now) and now <= set(words_in(LONGEST)))
            seen |= now
            tick(display)
    in_a_row = [len(list(group)) for is_of_message, group in itertools.groupby(slides) if is_of_message]
    assert len(in_a_row) > 5
    assert max(in_a_row) <= 3
    assert all(word in seen for word in words_in(LONGEST))


@pytest.mark.parametrize("text", [SHORT, LONGEST], ids=len)
def test_the_hotline_of_a_tiny_panel_comes_before_the_message(text: str) -> None:
    case = with_messages((S.OUT_OF_SERVICE, "GroundFailure", {}), text, front=True)
    hotline = words_in(said(case, "de").hotline)
    shown = looks(case, (128, 64, 1))
    assert all(word in seen_in(shown[1]) for word in hotline)


async def test_messages_that_go_leave_the_page_as_it_was() -> None:
    memory = Memory((320, 240, 16))
    async with clocked(memory) as display:
        await display.show(screen(CHARGING, "en", 1, 1))
        before = memory.image.copy()
        await display.show(screen(with_messages(CHARGING, SHORT, USUAL, front=True), "en", 1, 1))
        for _ in range(7):
            tick(display)
        await display.show(screen(CHARGING, "en", 1, 1))
        for _ in range(3):
            assert memory.image.tobytes() == before.tobytes()
            tick(display)


def test_a_message_without_a_letter_is_none() -> None:
    assert said(with_messages(IDLE, "", " "), "fr").messages == ()
    assert [drawable_text(m) for m in said(with_messages(IDLE, "a", "b"), "fr").messages] == ["a", "b"]


def test_the_tiny_panel_begins_with_what_is_in_front() -> None:
    page: Page = said(with_messages(CHARGING, SHORT, front=True), "fr")
    faces = faces_of_page(page_of_message_round(page, 0), (128, 64), 1)
    assert layout_for((128, 64), 1) is TINY
    assert ["22" in seen_in(face(dry=True)) for face in faces].index(True) == 1
