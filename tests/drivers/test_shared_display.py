"""One display for several outlets: on every panel each outlet is seen, whole, within a bounded time, the touched one at
once; and its code is read from the picture by a decoder that is not ours."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import ceil
from typing import Any

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.model.fastclass import replace
from agent.model.types import Screen, ScreenName
from agent.ports.driver import OutletFacts
from drivers.panel import outlet_panes
from drivers.panel.display import PanelDisplay, open_display
from drivers.panel.layout import TINY, layout_for
from drivers.panel.mounting import Mounting
from drivers.panel.outlet_views import OUTLET_S, Panel, View, views_of_pages
from drivers.panel.page import Page, page_of_screen
from drivers.panel.page_parts import CODE_S
from tests.drivers.screens import (
    BILLED,
    CASES,
    COMMON,
    FACTS,
    LANGUAGES,
    LAW,
    PAY,
    PRICES,
    QR_URL,
    SESSION,
    Case,
    hurry,
    screen,
    where,
    words,
)
from tests.drivers.test_panel_layouts import PANELS, check_layout, texts_of
from tests.drivers.test_panel_layouts import words as words_in
from tests.support.busy_machine import deadline
from tests.support.simulated_station import CAMPAIGN

S = ScreenName
IDLE: Case = (S.IDLE, "", {**LAW, **PAY})
CHARGING: Case = (S.CHARGING, "", {**SESSION, **BILLED})
SIDE_BY_SIDE = ((800, 480, 16), (1024, 600, 16), (480, 800, 16), (600, 1024, 16))
WITH_A_CODE = (*SIDE_BY_SIDE, (320, 240, 16), (480, 272, 16))
"""A code of 41 modules has its place on these."""
panels = pytest.mark.parametrize("panel", PANELS, ids=lambda p: "{}x{}x{}".format(*p))
languages = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def address(evse: int) -> str:
    return QR_URL.replace("*2&", f"*{evse}&")


def pages(cases: Sequence[Case], language: str) -> list[Page]:
    shown = (screen(case, language, n, len(cases)) for n, case in enumerate(cases, 1))
    return [page_of_screen(each, words(language), FACTS) for each in shown]


def shown_on(
    panel: tuple[int, int, int], cases: Sequence[Case], language: str, turn_s: float = 2.5
) -> tuple[View, ...]:
    return views_of_pages(pages(cases, language), Panel(panel[:2], panel[2], 0, turn_s))


def codes_in(image: Image.Image) -> set[str]:
    large = image.convert("L").resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST)
    return {code.text for code in zxingcpp.read_barcodes(large, formats=zxingcpp.BarcodeFormat.QRCode)}


# --- what is seen -------------------------------------------------------------------------------------------------


@panels
@languages
def test_each_outlet_is_complete_beside_another(language: str, panel: tuple[int, int, int]) -> None:
    some = slice(None) if CAMPAIGN else slice(LANGUAGES.index(language) % 3, None, 3)
    layout = layout_for(panel[:2], panel[2])
    least_px = int(layout.smallest * layout.unit_px(panel[:2])) - 1
    for case in CASES[some]:
        said = pages((IDLE, case), language)
        found = shown_on(panel, (IDLE, case), language)
        for view in found:
            looks = [face(dry=True) for face in view.faces]
            for c in looks:
                check_layout(c, f"{case} {language} {panel}")
                assert all(p.px >= least_px for p in c.placed if p.kind == "text"), (case, language, panel)
            seen = words_in(*(p.what for c in looks for p in c.placed if p.kind == "text"))
            for each in (p for p in said if p.evse in view.evse_numbers):
                foot = (each.number, each.hotline)
                for text in texts_of(each):
                    if layout is TINY and (text in foot or text == each.outlet):
                        continue  # one outlet of the station says the foot for all; a badge numbers the slides
                    assert all(word in seen for word in words_in(text)), (
                        f"{case} {language} {panel}: {text!r} in {seen}"
                    )
                if each.qr:
                    codes = {p.what for c in looks for p in c.placed if p.kind == "qr"}
                    assert each.qr in codes or set(words_in(each.pay_at)) <= set(seen), (case, language, panel)
        assert {n for view in found for n in view.evse_numbers} == {1, 2}


@panels
def test_each_picture_names_its_outlet(panel: tuple[int, int, int]) -> None:
    for view in shown_on(panel, (IDLE, CHARGING), "de"):
        for face in view.faces:
            seen = {p.what for p in face(dry=True).placed if p.kind == "text"}
            for each in view.pages:
                assert each.outlet in seen or str(each.evse) in seen, (panel, seen)


@panels
@languages
def test_the_codes_of_all_outlets_are_read_from_the_pictures(language: str, panel: tuple[int, int, int]) -> None:
    read: set[str] = set()
    for view in shown_on(panel, (IDLE, IDLE), language):
        for face in view.faces:
            codes = codes_in(face().image)
            assert codes <= {address(n) for n in view.evse_numbers}
            if panel in SIDE_BY_SIDE:
                assert codes == {address(1), address(2)}, "both, on every face"
            read |= codes
    if panel in WITH_A_CODE:
        assert read == {address(1), address(2)}


@pytest.mark.parametrize("panel", [(128, 64, 1), (256, 64, 1), (320, 240, 16)], ids=str)
def test_a_short_address_has_its_code_on_small_panels(panel: tuple[int, int, int]) -> None:
    both = [Screen(S.IDLE, "de", "", {**COMMON, **LAW, "evse": n, "qr_url": f"HTTPS://C.LU/{n}"}) for n in (1, 2)]
    found = views_of_pages([page_of_screen(s, words("de"), FACTS) for s in both], Panel(panel[:2], panel[2], 0, 2.5))
    read = [codes_in(face().image) for view in found for face in view.faces]
    assert set().union(*read) == {"HTTPS://C.LU/1", "HTTPS://C.LU/2"}


def test_an_address_too_long_for_a_pane_takes_turns() -> None:
    long = "https://pay.example.lu/" + "x" * 150
    both = [Screen(S.IDLE, "fr", "", {**COMMON, **LAW, "evse": n, "qr_url": f"{long}{n}"}) for n in (1, 2)]
    found = views_of_pages([page_of_screen(s, words("fr"), FACTS) for s in both], Panel((800, 480), 16, 0, 2.5))
    assert [view.evse_numbers for view in found] == [(1,), (2,)]
    assert [codes_in(view.faces[-1]().image) for view in found] == [{f"{long}1"}, {f"{long}2"}]


@panels
def test_what_all_outlets_say_is_said_once(panel: tuple[int, int, int]) -> None:
    refused: Case = (S.REFUSED, "invalid", {})
    (view,) = shown_on(panel, (refused, refused), "lb")
    seen = {p.what for face in view.faces for p in face(dry=True).placed}
    assert not any(each.outlet in seen for each in pages((refused, refused), "lb"))


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("panel", [(128, 64, 1), (320, 240, 16), (800, 480, 16), (480, 800, 16)], ids=str)
def test_more_than_two_outlets_have_their_turn(panel: tuple[int, int, int], n: int) -> None:
    found = shown_on(panel, [IDLE] * n, "en")
    assert [evse for view in found for evse in view.evse_numbers] == list(range(1, n + 1))
    if panel in SIDE_BY_SIDE:
        assert len(found) == ceil(n / 2)


def test_a_mark_that_says_ok_stands_beside_no_outlet_that_cannot_charge() -> None:
    out: Case = (S.OUT_OF_SERVICE, "GroundFailure", {})
    for panel, marked in itertools.product(SIDE_BY_SIDE, (True, False)):
        (view,) = shown_on(panel, (IDLE, CHARGING if marked else out), "de")
        seen = {p.what for p in view.faces[0](dry=True).placed}
        assert ("Chargy OK" in seen) is marked


def test_the_mark_of_a_station_with_both_kinds_of_current() -> None:
    kinds = {1: OutletFacts("DC", "tethered"), 2: OutletFacts("AC", "socket")}
    facts = replace(FACTS, outlets=kinds)
    both = [page_of_screen(screen(IDLE, "fr", n), words("fr"), facts) for n in (1, 2)]
    assert [p.mark for p in both] == ["SuperChargy OK", "Chargy OK"]
    (view,) = views_of_pages(both, Panel((800, 480), 16, 0, 2.5))
    assert "Chargy OK" in {p.what for p in view.faces[0](dry=True).placed}
    done = [page_of_screen(screen((S.FINISHED, "stopped", {}), "en", n), words("en"), facts) for n in (1, 2)]
    assert [p.lines[-1] for p in done] == ["Please put the cable back.", "Please take your cable."]


# --- when it is seen ----------------------------------------------------------------------------------------------


class Memory:
    """A frame buffer, and how often it was written."""

    def __init__(self, panel: tuple[int, int, int]) -> None:
        self.size, self.depth = panel[:2], panel[2]
        self.image = Image.new("RGB", self.size)
        self.writes = 0

    def show(self, image: Image.Image) -> int:
        self.image = image.copy()
        self.writes += 1
        return 0

    def close(self) -> None:
        pass


TURN_S = 2.5


def tick(display: PanelDisplay) -> None:
    """What happens every ``turn_s``: the test's clock."""
    display._show_next_face()


@asynccontextmanager
async def clocked(memory: Memory) -> AsyncIterator[PanelDisplay]:
    """A display whose turns come when the test says so: its own clock is stopped."""
    async with open_display(lambda: memory, Mounting(turn_s=TURN_S), where()) as display:
        assert display._turning is not None
        display._turning.cancel()
        display._turning = None
        yield display


@pytest.mark.parametrize("panel", [p for p in PANELS if p in WITH_A_CODE], ids=str)
async def test_a_free_outlet_is_seen_while_the_other_one_charges(panel: tuple[int, int, int]) -> None:
    """The figures of the charging outlet change every second; each code stands 8 s or more, and comes back in 40 s."""
    memory, seen = Memory(panel), list[bool]()
    read: dict[int, bool] = {}
    async with clocked(memory) as display:
        for second in range(120):
            charging = (S.CHARGING, "", {**SESSION, **BILLED, "since_s": second, "energy_wh": 100 + second})
            await display.show(screen(charging, "fr", 1, acts=1), screen(IDLE, "fr", 2))
            if second % 5 in (2, 4):  # on average every turn_s
                tick(display)
            if memory.writes not in read:
                read[memory.writes] = address(2) in codes_in(memory.image)
            seen.append(read[memory.writes])
    assert any(seen[:40])
    stood = [(there, len(list(same))) for there, same in itertools.groupby(seen)]
    assert all(seconds >= CODE_S for there, seconds in stood[:-1] if there), stood
    assert all(seconds <= 40 for there, seconds in stood if not there), stood
    if panel in SIDE_BY_SIDE:
        assert all(seen)


@pytest.mark.parametrize("panel", PANELS, ids=str)
def test_a_round_is_bounded(panel: tuple[int, int, int]) -> None:
    """Of the usual station, whatever the other outlet says: a minute for price and code of both. A service screen
    with a problem is no usual one: a technician has opened it, and reads it."""
    long = {"cost_text", "price_line", "tariff_session_micro", "problem_step"}
    usual = [case for case in CASES if not long & set(case[2])]
    for language, case in itertools.product(LANGUAGES, usual):
        found = shown_on(panel, (IDLE, case), language)
        assert sum(sum(view.turns) for view in found) * TURN_S <= 60, (panel, language, case)
        if len(found) > 1:
            for view in found:
                least_s = CODE_S if any(p.qr for p in view.pages) else OUTLET_S
                assert sum(view.turns) * TURN_S >= least_s


async def test_the_touched_outlet_comes_first() -> None:
    memory = Memory((320, 240, 16))
    one, two = screen(IDLE, "en", 1), screen((S.IDLE, "", LAW), "en", 2)

    def in_view() -> int:
        return display._views[display._view].evse_numbers[0]

    async with clocked(memory) as display:
        await display.show(one, two)
        assert in_view() == 1
        touched = screen((S.IDLE, "", LAW), "en", 2, acts=1)
        await display.show(touched, one)
        assert in_view() == 2, "at once"
        writes = memory.writes
        await display.show(touched, one)
        assert memory.writes == writes, "nothing has changed"
        while in_view() == 2:
            tick(display)
        await display.show(touched, screen((S.IDLE, "", PRICES), "en", 1))
        assert in_view() == 1
        await display.show(screen((S.IDLE, "", LAW), "en", 2, acts=2), one)
        assert in_view() == 2, "touched once more"


async def test_what_comes_to_the_front_has_its_whole_turn() -> None:
    """The clock of the turns runs on its own: an outlet that is touched just before it would stand for less."""
    memory = Memory((320, 240, 16))
    async with open_display(lambda: memory, Mounting(turn_s=1.0), where()) as display:
        clock = asyncio.get_running_loop().time
        await display.show(screen((S.IDLE, "", LAW), "en", 1), screen(CHARGING, "en", 2))
        for acts in range(1, 4):
            await asyncio.sleep(0.9)
            came_s = clock()  # before it is drawn: its turn begins meanwhile, and drawing takes a busy machine a second
            await display.show(screen(CHARGING, "en", 2, acts=acts), screen((S.IDLE, "", LAW), "en", 1))
        async with deadline(60):
            while display._views[display._view].evse_numbers == (2,):
                await asyncio.sleep(0.02)
    assert clock() - came_s >= OUTLET_S - 0.1


async def test_a_state_that_comes_and_goes_does_not_hide_the_other_outlet() -> None:
    memory, seen = Memory((320, 240, 16)), set[str]()
    async with clocked(memory) as display:
        for n in range(40):
            flapping: Case = (S.PAUSED, "car", SESSION) if n % 2 else (S.CHARGING, "", SESSION)
            await display.show(screen(flapping, "de", 1, acts=1), screen(IDLE, "de", 2))
            seen |= codes_in(memory.image)
            tick(display)
    assert seen == {address(2)}


async def test_a_change_at_one_outlet_paints_that_one_only(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[int] = []
    inner = outlet_panes._draw_pane

    def counted(page: Page, *rest: Any, dry: bool) -> Any:
        if not dry:
            painted.append(page.evse)
        return inner(page, *rest, dry=dry)

    monkeypatch.setattr(outlet_panes, "_draw_pane", counted)
    outlet_panes._draw_pane_cached.cache_clear()
    memory = Memory((800, 480, 16))
    async with clocked(memory) as display:
        for second in range(5):
            charging = (S.CHARGING, "", {**SESSION, "since_s": second})
            await display.show(screen(charging, "fr", 1), screen(IDLE, "fr", 2))
    assert painted.count(2) == 1
    assert painted.count(1) == 5


async def test_what_is_not_in_view_is_not_painted() -> None:
    memory = Memory((320, 240, 16))
    async with clocked(memory) as display:
        await display.show(screen(IDLE, "fr", 2, acts=1), screen(CHARGING, "fr", 1))
        writes = memory.writes
        for second in range(5):
            charging = (S.CHARGING, "", {**SESSION, "since_s": second})
            await display.show(screen(IDLE, "fr", 2, acts=1), screen(charging, "fr", 1))
    assert memory.writes == writes


@settings(max_examples=2000 if CAMPAIGN else 60, deadline=None)
@given(
    st.lists(st.sampled_from(CASES), min_size=1, max_size=5),
    st.sampled_from(PANELS),
    st.sampled_from(LANGUAGES),
    st.sampled_from([0.5, 2.5, 10.0, 60.0]),
)
def test_any_mixture_of_outlets_is_whole(
    cases: list[Case], panel: tuple[int, int, int], language: str, turn_s: float
) -> None:
    found = shown_on(panel, cases, language, turn_s)
    assert len(found[0].faces) == len(found[0].turns)
    for view in found:
        assert len(view.faces) == len(view.turns)
        assert len(found) == 1 or sum(view.turns) * turn_s >= (CODE_S if any(p.qr for p in view.pages) else OUTLET_S)
        for face in view.faces:
            check_layout(face(dry=True), f"{cases} {language} {panel}")
