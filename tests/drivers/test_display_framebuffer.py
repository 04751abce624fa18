"""The frame buffer display: bytes on the panel and the port's contract."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agent.model.types import Screen, ScreenName
from agent.ports import Broken, Unreachable
from agent.ports.display import DisplayPort
from agent.ports.driver import Where
from drivers.display_framebuffer import DRIVER
from drivers.display_framebuffer.raster import Framebuffer, pack_pixels
from drivers.display_framebuffer.settings import FramebufferSettings
from drivers.panel.page import page_of_screen
from drivers.panel.page_parts import faces_of_page
from drivers.panel.texts import load_texts
from drivers.sim import screen
from drivers.testkit.display import check_display, loop_lag
from tests.drivers.screens import CONFIG, LANGUAGES, SESSION, where


def picture(screen: Screen, size: tuple[int, int]) -> Image.Image:
    """The first face of what the screen says."""
    said = page_of_screen(screen, load_texts(screen.language, (CONFIG,)), where().facts)
    return faces_of_page(said, size, 16)[0]().image


# --- bytes -------------------------------------------------------------------------------------------------------


def decoded(data: bytes, size: tuple[int, int], pixel_format: str, stride: int) -> list[tuple[int, int, int]]:
    """Independent of the driver: pixels of a frame buffer as (r, g, b), RGB565 as its 5, 6 and 5 bits."""
    pixels = []
    for y in range(size[1]):
        row = data[y * stride : (y + 1) * stride]
        if pixel_format == "MONO":
            pixels += [((row[x // 8] >> x % 8 & 1) * 255,) * 3 for x in range(size[0])]
        elif pixel_format == "RGB888":
            pixels += [(row[3 * x + 2], row[3 * x + 1], row[3 * x]) for x in range(size[0])]
        elif pixel_format == "RGB565":
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
    for name, size in (("RGB565", 2), ("RGB888", 3), ("XRGB8888", 4)):
        data = pack_pixels(image, name)
        assert decoded(data, image.size, name, image.width * size) == expected(image, name)


@pytest.mark.parametrize(("pixel_format", "bytes_per_pixel"), [("RGB565", 2), ("RGB888", 3), ("XRGB8888", 4)])
async def test_panel_shows_what_was_painted(tmp_path: Path, pixel_format: str, bytes_per_pixel: int) -> None:
    path = tmp_path / "fb"
    path.touch()
    size = (480, 272)
    screen = Screen(ScreenName.CHARGING, "lb", "", SESSION)
    async with DRIVER.open(FramebufferSettings(str(path), *size, pixel_format), where()) as port:
        for name in (ScreenName.IDLE, ScreenName.CHECKING):
            await port.show(Screen(name, "fr"))
        await port.show(screen)
    data = path.read_bytes()
    assert len(data) == size[0] * size[1] * bytes_per_pixel
    image = picture(screen, size)
    assert decoded(data, size, pixel_format, size[0] * bytes_per_pixel) == expected(image, pixel_format)


@pytest.mark.parametrize("pixel_format", ["RGB565", "RGB888", "XRGB8888", "MONO"])
async def test_the_simulated_panel_shows_every_format(tmp_path: Path, pixel_format: str) -> None:
    """As docs/displays.md promises it for ``chargy-agent simulate``; 132: rows of one bit end within a byte."""
    size = (132, 64)
    panel = screen.Screen(tmp_path / "fb", *size, pixel_format)
    panel.start()
    async with DRIVER.open(FramebufferSettings(str(panel.path), *size, pixel_format, turn_s=60), where()) as port:
        await port.show(Screen(ScreenName.OUT_OF_SERVICE, "lb"))
    seen = Image.open(io.BytesIO(panel.render_png())).convert("RGB")
    raw, stride = panel.path.read_bytes(), panel.memory_size // size[1]
    assert expected(seen, pixel_format) == decoded(raw, size, pixel_format, stride)
    assert len(set(expected(seen, pixel_format))) > 1


@pytest.mark.parametrize("width", [128, 132])
async def test_a_panel_of_one_colour(tmp_path: Path, width: int) -> None:
    """132: its rows end within a byte."""
    path, size, stride = tmp_path / "fb", (width, 64), -(-width // 8)
    path.touch()
    screens = [
        Screen(ScreenName.IDLE, "fr"),
        Screen(ScreenName.OUT_OF_SERVICE, "lb"),
        Screen(ScreenName.CHECKING, "de"),
    ]
    async with DRIVER.open(FramebufferSettings(str(path), *size, "MONO", turn_s=60), where()) as port:
        for screen in screens:
            await port.show(screen)
            said = page_of_screen(screen, load_texts(screen.language, (CONFIG,)), where().facts)
            image = faces_of_page(said, size, 1)[0]().image
            assert decoded(path.read_bytes(), size, "MONO", stride) == expected(image, "XRGB8888")
    assert path.stat().st_size == stride * 64


@pytest.mark.parametrize("rotate", [90, 180, 270])
async def test_turned_panel(tmp_path: Path, rotate: int) -> None:
    path = tmp_path / "fb"
    path.touch()
    async with DRIVER.open(FramebufferSettings(str(path), 480, 272, "XRGB8888", rotate), where()) as port:
        await port.show(Screen(ScreenName.IDLE, "fr"))
    shown = Image.frombytes("RGB", (480, 272), path.read_bytes(), "raw", "BGRX")
    upright = (272, 480) if rotate != 180 else (480, 272)
    image = picture(Screen(ScreenName.IDLE, "fr"), upright)
    # a panel turned clockwise shows its top row on the right: the picture lies anticlockwise in memory
    assert shown.rotate(rotate, expand=True).tobytes() == image.tobytes()


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    path = tmp_path / "fb"
    path.touch()
    buffer = Framebuffer(FramebufferSettings(str(path), 320, 240, "RGB565"))
    first = Image.new("RGB", (320, 240), (10, 20, 30))
    assert buffer.show(first) == 320 * 240 * 2
    assert buffer.show(first.copy()) == 0
    os.pwrite(os.open(path, os.O_RDWR), b"\xaa\xaa", 0)  # another program's pixel, far from the change
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
    image = picture(screens[-1], (800, 480))
    assert decoded(path.read_bytes(), (800, 480), "RGB565", 1600) == expected(image, "RGB565")


async def test_the_event_loop_stays_free(tmp_path: Path) -> None:
    path = tmp_path / "fb"
    path.touch()
    worst = []
    begun_s = time.perf_counter()
    for n in range(4):
        picture(Screen(ScreenName.CHARGING, "fr", "", {**SESSION, "energy_wh": n}), (800, 480))
    painted_s = (time.perf_counter() - begun_s) / 4
    async with DRIVER.open(FramebufferSettings(str(path), 800, 480, "RGB565"), where()) as port:
        for n in range(12):
            async with loop_lag() as lag:
                await port.show(Screen(ScreenName.CHARGING, LANGUAGES[n % 4], "", {**SESSION, "energy_wh": 1000 + n}))
            worst.append(lag.worst_s)
    assert sorted(worst)[len(worst) // 4] < painted_s / 2, (
        worst,
        painted_s,
    )  # a busy machine adds pauses to the others


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
        await opened(FramebufferSettings(str(plain), 320, 240, "BGR24"))
    with pytest.raises(Broken, match="no texts"):
        await opened(FramebufferSettings(str(plain), 320, 240, "RGB565"), Where(1, "display", lambda: (1, 0.0), ()))
    with pytest.raises(Unreachable, match="No space left"):
        async with DRIVER.open(FramebufferSettings("/dev/full", 320, 240, "RGB565"), where()) as port:
            await port.show(Screen(ScreenName.IDLE))


def test_complaints_name_the_key() -> None:
    bad = FramebufferSettings("", 5, -3, "BGR", 45, 500)
    assert sorted(c.split(":")[0] for c in DRIVER.check(bad, where())) == [
        "format", "height", "margin", "path", "rotate", "width",
    ]  # fmt: skip
    assert DRIVER.check(FramebufferSettings("/dev/fb0"), where()) == []
    assert [c.split(":")[0] for c in DRIVER.check(FramebufferSettings("screen.raw", 0, 240, "RGB565"), where())] == [
        "path"
    ]
    assert [c.split(":")[0] for c in DRIVER.check(FramebufferSettings("screen.raw", 320, 240), where())] == ["path"]
