"""The frame buffer display: bytes on the panel, layout in four languages and five sizes, and the port's contract."""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.kinds import Screen, ScreenName
from agent.ports import Broken, Unreachable
from agent.ports.display import DisplayPort
from agent.ports.driver import Where
from drivers.display_framebuffer import DRIVER, FramebufferSettings
from drivers.display_framebuffer.raster import Framebuffer, packed
from drivers.panel import fonts as fonts_module
from drivers.panel.canvas import Canvas, Placed, fit
from drivers.panel.page import page
from drivers.panel.paint import COLOURS, MODULE_MIN_PX, QUIET_ZONE, paint, qr_matrix
from drivers.panel.texts import load
from drivers.testkit.display import check_display, loop_lag

CONFIG = Path(__file__).parents[2] / "config"
LANGUAGES = ("fr", "de", "lb", "en")
SIZES = ((800, 480), (480, 272), (320, 240), (1024, 600), (600, 1024), (480, 800), (240, 320))
QR_URL = "https://pay.example.lu/s?evse=LU*CHA*E1234*2&t=k3J9xQ"
COMMON: dict[str, Any] = {
    "number": "12345", "hotline": "+352 8002 02020", "evse": 2, "evses": 2, "time_utc_s": 1_795_600_000.0,
    "online": False,
}  # fmt: skip
SESSION = {
    "energy_wh": 123_456, "power_w": 148_900.0, "since_s": 37_530, "limit_a": 32.0, "soc_percent": 54.0,
    "stop_hint": True,
}  # fmt: skip
COST = {
    "cost_micro": 1_234_567_890,
    "cost_decimals": 2,
    "currency": "EUR",
    "cost_final": False,
    "cost_estimated": False,
    "kwh_micro": 351_900,
    "hour_micro": 2_000_000,
    "price_line": "0,3519 €/kWh + 2,00 €/h",
}
LONG = "0,35 €/kWh entre 22 h et 6 h, 0,55 €/kWh sinon, puis 6,00 €/h dès 30 min après la fin de la charge"
CASES: list[tuple[ScreenName, str, dict[str, Any]]] = [
    (ScreenName.STARTING, "", {}),
    (ScreenName.IDLE, "", {"price_line": "0,45 €/kWh + 0,05 €/min", "qr_url": QR_URL}),
    (ScreenName.IDLE, "", {"price_line": "0,45 €/kWh"}),
    (ScreenName.IDLE, "", {"free": True}),
    (ScreenName.IDLE, "", {}),
    (ScreenName.CHECKING, "", {"token_tail": "…C4D5"}),
    (ScreenName.PLUG_IN, "", {"remaining_s": 57.0}),
    *((ScreenName.REFUSED, d, {}) for d in ("invalid", "concurrent", "unreadable", "choose_outlet", "wrong_card")),
    (ScreenName.PREPARING, "", {}),
    (ScreenName.CHARGING, "", SESSION),
    (ScreenName.CHARGING, "", {**SESSION, "soc_percent": None}),
    (ScreenName.CHARGING, "", {}),
    (ScreenName.PAUSED, "car", SESSION),
    (ScreenName.PAUSED, "station", SESSION),
    (ScreenName.FINISHED, "stopped", SESSION),
    (ScreenName.FINISHED, "power_loss", SESSION),
    (ScreenName.FINISHED, "timeout", {}),
    *((ScreenName.OUT_OF_SERVICE, d, {}) for d in ("unavailable", "PilotFault", "GroundFailure", "Nonsense")),
    (ScreenName.RESERVED, "", {}),
    (ScreenName.OFFLINE, "", {}),
    # price and cost
    (ScreenName.IDLE, "", {"price_line": LONG}),
    (ScreenName.PLUG_IN, "", {"remaining_s": 57.0, "price_line": LONG}),
    (ScreenName.PREPARING, "", {"price_line": LONG}),
    (ScreenName.CHARGING, "", {**SESSION, **COST}),
    (ScreenName.CHARGING, "", {**SESSION, **COST, "soc_percent": None, "cost_estimated": True}),
    (ScreenName.CHARGING, "", {**SESSION, **COST, "next_at_utc_s": 1_795_600_000.0, "next_kwh_micro": 550_000}),
    (ScreenName.CHARGING, "", {**SESSION, "price_line": LONG}),
    (ScreenName.PAUSED, "car", {**SESSION, **COST, "idle": True, "idle_hour_micro": 6_000_000, "idle_in_s": 1800}),
    (ScreenName.FINISHED, "stopped", {**SESSION, **COST, "idle": True, "idle_hour_micro": 6_000_000, "idle_in_s": 0}),
    (ScreenName.FINISHED, "stopped", {**SESSION, **COST, "cost_final": True, "cost_text": LONG}),
    (ScreenName.FINISHED, "stopped", {**SESSION, **COST, "cost_final": True, "cost_text": LONG, "qr_url": QR_URL}),
    (ScreenName.FINISHED, "fault", {**SESSION, **COST, "cost_final": True, "qr_url": QR_URL}),
]


def where(**facts: Any) -> Where:
    return Where(1, "display", lambda: (1, 0.0), (CONFIG,), {"number": "1234", "hotline": "+352 8002 0202", **facts})


def drawn(name: ScreenName, language: str, detail: str, values: dict[str, Any], size: tuple[int, int]) -> Canvas:
    screen = Screen(name, language, detail, {**COMMON, **values})
    return paint(page(screen, load(language, (CONFIG,)), {}), size)


# --- layout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_stays_in_its_box_and_nothing_overlaps(language: str, size: tuple[int, int]) -> None:
    for name, detail, values in CASES:
        c = drawn(name, language, detail, values, size)
        _check_layout(c, f"{name} {detail} {language} {size}")
        assert all(p.whole for p in c.placed), f"cut off: {[p.what for p in c.placed if not p.whole]} {name} {size}"
        said = {p.what for p in c.placed}
        assert {"12345", "+352 8002 02020", "Chargy OK"} <= said, f"{name}: number, hotline and mark belong there"


def _check_layout(c: Canvas, what: str) -> None:
    for p in c.placed:
        assert c.box.covers(p.ink), f"{what}: {p.what!r} leaves the panel: {p.ink}"
        assert p.box.x0 - 1 <= p.ink.x0 <= p.ink.x1 <= p.box.x1 + 1, f"{what}: {p.what!r} is too wide: {p.ink} {p.box}"
        assert p.box.y0 - 1 <= p.ink.y0 <= p.ink.y1 <= p.box.y1 + 1, f"{what}: {p.what!r} is too high: {p.ink} {p.box}"
    for a, b in itertools.combinations(c.placed, 2):
        assert not a.ink.overlaps(b.ink), f"{what}: {a.what!r} {a.ink} lies on {b.what!r} {b.ink}"


def test_the_overlap_check_can_fail() -> None:
    c = Canvas((100, 100), (255, 255, 255))
    box = c.box.inset(10)
    c.placed += [Placed("text", "a", box, box), Placed("text", "b", box, box)]
    with pytest.raises(AssertionError, match="lies on"):
        _check_layout(c, "two in one place")


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_titles_can_be_read_from_two_metres(size: tuple[int, int]) -> None:
    """A panel of 320x240 is 70 mm wide (3.5 inch): 22 pixels are 5 mm. Larger panels scale."""
    for (name, detail, values), language in itertools.product(CASES, LANGUAGES):
        c = drawn(name, language, detail, values, size)
        title = page(Screen(name, language, detail, values), load(language, (CONFIG,)), {}).title
        placed = next(p for p in c.placed if p.what == title)
        smallest = 0.055 if values.get("qr_url") else 0.07
        assert placed.px >= smallest * min(size), f"{title!r} is {placed.px} px on {size}"


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SIZES),
    st.dictionaries(
        st.sampled_from(["price_line", "number", "hotline", "token_tail", "qr_url", "evse", "energy_wh", "since_s"]),
        st.one_of(st.text(max_size=80), st.integers(-(10**9), 10**9), st.floats(0, 1e9), st.none()),
    ),
    st.sampled_from(ScreenName),
)
def test_strange_values_never_break_the_picture(
    size: tuple[int, int], values: dict[str, Any], name: ScreenName
) -> None:
    values["evses"] = 2
    c = paint(page(Screen(name, "lb", "x", values), load("lb", (CONFIG,)), {}), size)
    for p in c.placed:
        assert p.box.x0 - 1 <= p.ink.x0
        assert p.ink.x1 <= p.box.x1 + 1


def test_state_colours_have_contrast() -> None:
    """WCAG 2.1, 1.4.3: 4.5 to 1."""

    def luminance(colour: tuple[int, int, int]) -> float:
        r, g, b = (v / 3294.6 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in colour)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    for name, detail, values in CASES:
        for p in drawn(name, "fr", detail, values, (800, 480)).placed:
            if p.colours:
                low, high = sorted(map(luminance, p.colours))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (p.what, p.colours)
    assert len({ground for ground, _ in COLOURS.values()}) == len(COLOURS)


def test_too_long_a_text_is_cut_with_an_ellipsis() -> None:
    from drivers.panel.canvas import Type

    px, lines, whole = fit("a price line " * 30, 200, 40, Type(30, 10, lines=2))
    assert not whole
    assert len(lines) == 2
    assert px == 10
    assert lines[-1].endswith("…")


# --- QR ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_qr_code_is_exact_on_the_panel(size: tuple[int, int]) -> None:
    c = drawn(ScreenName.IDLE, "fr", "", {"qr_url": QR_URL, "price_line": "0,45 €/kWh"}, size)
    placed = [p for p in c.placed if p.kind == "qr"]
    if size == (240, 320):
        assert not placed  # 41 modules of 4 pixels are wider than 80 % of this panel's width allows
        return
    (qr,) = placed
    assert qr.px >= MODULE_MIN_PX
    matrix = qr_matrix(QR_URL)
    assert matrix
    n = len(matrix)
    assert qr.ink.w == qr.ink.h == n * qr.px
    for y, x in itertools.product(range(-QUIET_ZONE, n + QUIET_ZONE), repeat=2):
        dark = 0 <= x < n and 0 <= y < n and matrix[y][x]
        for dx, dy in ((0, 0), (qr.px - 1, qr.px - 1)):
            pixel = c.image.getpixel((qr.ink.x0 + x * qr.px + dx, qr.ink.y0 + y * qr.px + dy))
            if not (y < 0 and y >= -QUIET_ZONE // 2 - 2):  # the caption may stand in the upper half of the quiet zone
                assert pixel == ((0, 0, 0) if dark else (255, 255, 255)), (x, y)


def test_qr_code_only_while_idle() -> None:
    for name in ScreenName:
        c = drawn(name, "fr", "", {"qr_url": QR_URL}, (800, 480))
        assert any(p.kind == "qr" for p in c.placed) == (name is ScreenName.IDLE), name


def test_a_url_too_long_for_a_code_leaves_the_screen_standing() -> None:
    c = drawn(ScreenName.IDLE, "fr", "", {"qr_url": "x" * 5000}, (800, 480))
    assert not [p for p in c.placed if p.kind == "qr"]


# --- bytes -------------------------------------------------------------------------------------------------------


def decoded(data: bytes, size: tuple[int, int], pixel_format: str, stride: int) -> list[tuple[int, int, int]]:
    """Independent of the driver: pixels of a frame buffer as (r, g, b), RGB565 as its 5, 6 and 5 bits."""
    pixels = []
    for y in range(size[1]):
        row = data[y * stride : (y + 1) * stride]
        if pixel_format == "RGB565":
            for (v,) in struct.iter_unpack("<H", row[: size[0] * 2]):
                pixels.append((v >> 11, v >> 5 & 63, v & 31))
        else:
            pixels += [(v >> 16 & 255, v >> 8 & 255, v & 255) for (v,) in struct.iter_unpack("<I", row[: size[0] * 4])]
    return pixels


def expected(image: Image.Image, pixel_format: str) -> list[tuple[int, int, int]]:
    raw = image.tobytes()
    whole = [(raw[i], raw[i + 1], raw[i + 2]) for i in range(0, len(raw), 3)]
    return [(r >> 3, g >> 2, b >> 3) for r, g, b in whole] if pixel_format == "RGB565" else whole


@given(st.binary(min_size=3, max_size=300).map(lambda b: b[: len(b) // 3 * 3]))
def test_packing_is_exact(raw: bytes) -> None:
    image = Image.frombytes("RGB", (len(raw) // 3, 1), raw)
    for name, size in (("RGB565", 2), ("XRGB8888", 4)):
        data = packed(image, name)
        assert decoded(data, image.size, name, image.width * size) == expected(image, name)


@pytest.mark.parametrize("pixel_format", ["RGB565", "XRGB8888"])
async def test_panel_shows_what_was_painted(tmp_path: Path, pixel_format: str) -> None:
    path = tmp_path / "fb"
    path.touch()
    size, bytes_per_pixel = (480, 272), 2 if pixel_format == "RGB565" else 4
    screen = Screen(ScreenName.CHARGING, "lb", "", SESSION)
    async with DRIVER.open(FramebufferSettings(str(path), *size, pixel_format), where()) as port:
        for name in (ScreenName.IDLE, ScreenName.CHECKING):
            await port.show(Screen(name, "fr"))
        await port.show(screen)
    data = path.read_bytes()
    assert len(data) == size[0] * size[1] * bytes_per_pixel
    image = paint(page(screen, load("lb", (CONFIG,)), where().facts), size).image
    assert decoded(data, size, pixel_format, size[0] * bytes_per_pixel) == expected(image, pixel_format)


@pytest.mark.parametrize("rotate", [90, 180, 270])
async def test_turned_panel(tmp_path: Path, rotate: int) -> None:
    path = tmp_path / "fb"
    path.touch()
    async with DRIVER.open(FramebufferSettings(str(path), 480, 272, "XRGB8888", rotate), where()) as port:
        await port.show(Screen(ScreenName.IDLE, "fr"))
    shown = Image.frombytes("RGB", (480, 272), path.read_bytes(), "raw", "BGRX")
    upright = (272, 480) if rotate != 180 else (480, 272)
    image = paint(page(Screen(ScreenName.IDLE, "fr"), load("fr", (CONFIG,)), where().facts), upright).image
    # a panel turned clockwise shows its top row on the right: the picture lies anticlockwise in memory
    assert shown.rotate(rotate, expand=True).tobytes() == image.tobytes()


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    path = tmp_path / "fb"
    path.touch()
    buffer = Framebuffer(FramebufferSettings(str(path), 320, 240, "RGB565"))
    first = Image.new("RGB", (320, 240), (10, 20, 30))
    assert buffer.show(first) == 320 * 240 * 2
    assert buffer.show(first.copy()) == 0
    os.pwrite(os.open(path, os.O_RDWR), b"\xaa\xaa", 0)  # somebody else's pixel, far from the change
    second = first.copy()
    second.paste((255, 0, 0), (100, 50, 110, 55))
    assert buffer.show(second) == 10 * 5 * 2
    data = path.read_bytes()
    assert data[:2] == b"\xaa\xaa"
    assert decoded(data, (320, 240), "RGB565", 640)[1:] == expected(second, "RGB565")[1:]
    buffer.close()


# --- the port ----------------------------------------------------------------------------------------------------


async def test_contract(tmp_path: Path) -> None:
    path = tmp_path / "fb"
    path.touch()

    def open_port() -> AbstractAsyncContextManager[DisplayPort]:
        return DRIVER.open(FramebufferSettings(str(path), 320, 240, "RGB565"), where())

    await check_display(open_port, path.read_bytes, timeout_s=60)


async def test_only_the_newest_of_a_crowd_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fb"
    path.touch()
    shown: list[int] = []
    show = Framebuffer.show
    monkeypatch.setattr(Framebuffer, "show", lambda self, image: shown.append(1) or show(self, image))
    async with DRIVER.open(FramebufferSettings(str(path), 800, 480, "RGB565"), where()) as port:
        screens = [Screen(ScreenName.CHARGING, "fr", "", {"energy_wh": n}) for n in range(20)]
        await asyncio.gather(*(port.show(s) for s in screens))
    assert 1 <= len(shown) <= 2
    image = paint(page(screens[-1], load("fr", (CONFIG,)), where().facts), (800, 480)).image
    assert decoded(path.read_bytes(), (800, 480), "RGB565", 1600) == expected(image, "RGB565")


async def test_the_event_loop_stays_free(tmp_path: Path) -> None:
    path = tmp_path / "fb"
    path.touch()
    worst, texts = [], load("fr", (CONFIG,))
    begun_s = time.perf_counter()
    for n in range(4):
        paint(
            page(Screen(ScreenName.CHARGING, "fr", "", {**SESSION, "energy_wh": n}), texts, where().facts), (800, 480)
        )
    painted_s = (time.perf_counter() - begun_s) / 4
    async with DRIVER.open(FramebufferSettings(str(path), 800, 480, "RGB565"), where()) as port:
        for n in range(12):
            async with loop_lag() as lag:
                await port.show(Screen(ScreenName.CHARGING, LANGUAGES[n % 4], "", {**SESSION, "energy_wh": 1000 + n}))
            worst.append(lag.worst_s)
    assert sorted(worst)[len(worst) // 2] < painted_s / 2, (worst, painted_s)  # the median: a busy machine adds pauses


async def test_gone_and_wrong_devices(tmp_path: Path) -> None:
    async def opened(s: FramebufferSettings, place: Where | None = None) -> None:
        async with DRIVER.open(s, place or where()):
            pass

    plain = tmp_path / "fb"
    plain.touch()
    with pytest.raises(Unreachable, match="No such file"):
        await opened(FramebufferSettings(str(tmp_path / "none"), 320, 240, "RGB565"))
    with pytest.raises(Broken, match="width, height and format"):
        await opened(FramebufferSettings(str(plain)))
    with pytest.raises(Broken, match="no frame buffer"):
        await opened(FramebufferSettings("/dev/null"))
    with pytest.raises(Broken, match="format: must be one of"):
        await opened(FramebufferSettings(str(plain), 320, 240, "RGB888"))
    with pytest.raises(Broken, match="no texts"):
        await opened(FramebufferSettings(str(plain), 320, 240, "RGB565"), Where(1, "display", lambda: (1, 0.0), (), {}))
    with pytest.raises(Unreachable, match="No space left"):
        async with DRIVER.open(FramebufferSettings("/dev/full", 320, 240, "RGB565"), where()) as port:
            await port.show(Screen(ScreenName.IDLE))


def test_complaints_name_the_key() -> None:
    bad = FramebufferSettings("", 5, -3, "BGR", 45, 500)
    assert [c.split(":")[0] for c in DRIVER.check(bad, where())] == [
        "path", "format", "rotate", "width", "height", "margin",
    ]  # fmt: skip
    assert DRIVER.check(FramebufferSettings("/dev/fb0"), where()) == []


def test_a_board_without_fonts_still_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts_module, "_FOLDERS", ())
    caches = (fonts_module._installed, fonts_module.font, fit)
    for cache in caches:
        cache.cache_clear()
    try:
        c = drawn(ScreenName.OUT_OF_SERVICE, "de", "", {}, (800, 480))
        _check_layout(c, "built-in font")
        assert "Ausser Betrieb" in {p.what for p in c.placed}
    finally:
        monkeypatch.undo()
        for cache in caches:
            cache.cache_clear()
