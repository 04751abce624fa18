"""The display that is a PNG file: exact, whole at any moment, in as many bits as wanted."""

from __future__ import annotations

import asyncio
import io
import os
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from pathlib import Path

import pytest
from PIL import Image

from agent.model.types import Screen, ScreenName
from agent.ports import Broken, Unreachable
from agent.ports.display import DisplayPort
from drivers.display_png import DRIVER
from drivers.display_png.settings import PngSettings
from drivers.panel.display import open_display
from drivers.panel.mounting import Mounting
from drivers.panel.page_parts import faces_of_page
from drivers.testkit.display import check_display
from tests.drivers.screens import COMMON, PRICES, SESSION, said, where
from tests.support.busy_machine import deadline, stretched

CHARGING = Screen(ScreenName.CHARGING, "fr", "", {**COMMON, **SESSION})


@pytest.mark.parametrize(("size", "depth"), [((800, 480), 24), ((128, 64), 1), ((600, 1024), 24)], ids=str)
async def test_the_file_is_the_picture(tmp_path: Path, size: tuple[int, int], depth: int) -> None:
    path = tmp_path / "screen.png"
    async with DRIVER.open(PngSettings(str(path), *size, depth, turn_s=60), where(timezone="CET-1")) as port:
        await port.show(CHARGING)
    with Image.open(path) as picture:
        assert picture.mode == ("1" if depth == 1 else "RGB")
        shown = picture.convert("RGB")
    wanted = faces_of_page(said((CHARGING.name, "", dict(CHARGING.values)), "fr"), size, depth)[0]().image
    assert shown.tobytes() == wanted.tobytes()
    assert os.listdir(tmp_path) == ["screen.png"]  # nothing is left beside it


async def test_a_reader_never_sees_half_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "screen.png"
    looked, over = 0, asyncio.Event()

    def look() -> int:
        n = 0
        while not over.is_set():
            Image.open(io.BytesIO(path.read_bytes())).load()  # raises if it is cut off
            n += 1
        return n

    async with DRIVER.open(PngSettings(str(path), 320, 240), where()) as port:
        await port.show(CHARGING)
        looking = asyncio.create_task(asyncio.to_thread(look))
        for n in range(15):
            await port.show(Screen(ScreenName.CHARGING, "fr", "", {**SESSION, "energy_wh": n}))
        over.set()
        looked = await looking
    assert looked > 0


async def test_what_takes_turns_is_seen_in_turn(tmp_path: Path) -> None:
    """On 128x64: title, figures, hint and so on, each for a while; and figures that go on do not begin again."""
    path = tmp_path / "screen.png"
    seen: list[bytes] = []
    whole = said((CHARGING.name, "", dict(CHARGING.values)), "fr")
    wanted = [face().image.tobytes() for face in faces_of_page(whole, (128, 64), 1)]
    async with (
        deadline(60),
        DRIVER.open(PngSettings(str(path), 128, 64, 1, turn_s=stretched(0.5)), where(timezone="CET-1")) as port,
    ):
        while len(seen) < len(wanted) + 1:
            await port.show(CHARGING)
            now = Image.open(path).convert("RGB").tobytes()
            if not seen or now != seen[-1]:
                seen.append(now)
            await asyncio.sleep(0.02)
    assert seen == [*wanted, wanted[0]]
    assert len(wanted) >= 5


class Shown:
    """An output that keeps what it was given."""

    size, depth = (128, 64), 1

    def __init__(self) -> None:
        self.pictures: list[bytes] = []

    def show(self, image: Image.Image) -> int:
        self.pictures.append(image.tobytes())
        return 0

    def close(self) -> None:
        pass


async def test_a_code_that_takes_turns_stands_long_enough_to_be_scanned() -> None:
    output, code = Shown(), Screen(ScreenName.IDLE, "fr", "", {"qr_url": "HTTPS://C.LU/1", "number": "1234"})
    async with open_display(lambda: output, Mounting(turn_s=60.0), where()) as display:
        await display.show(code)
        shown = [output.pictures[-1]]
        for _ in range(2 * 6):
            display._show_next_face()  # what happens every turn_s
            shown.append(output.pictures[-1])
    stood = [len(list(same)) for _, same in groupby(shown)]
    assert stood[:4] == [1, 4, 1, 1], "title, code, station, hotline"


async def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"there is no folder .*; make it"):
        async with DRIVER.open(PngSettings(str(tmp_path / "none" / "s.png")), where()):
            pass
    folder = tmp_path / "gone"
    folder.mkdir()
    async with DRIVER.open(PngSettings(str(folder / "s.png"), 320, 240), where()) as port:
        await port.show(CHARGING)
        (folder / "s.png").unlink()
        folder.rmdir()
        idle = Screen(ScreenName.IDLE, "fr", "", PRICES)
        with pytest.raises(Unreachable, match="No such file"):
            await port.show(idle)
        folder.mkdir()
        await port.show(idle)  # and again all of it once the folder is back
        assert Image.open(folder / "s.png").size == (320, 240)
    with pytest.raises(Broken, match="depth: must be one of 1, 24"):
        async with DRIVER.open(PngSettings("s.png", depth=16), where()):
            pass


def test_complaints_name_the_key() -> None:
    bad = PngSettings("", 0, 9000, 2, 5, 500, 0)
    assert sorted(c.split(":")[0] for c in DRIVER.check(bad, where())) == [
        "depth", "height", "margin", "path", "rotate", "turn_s", "width",
    ]  # fmt: skip
    assert DRIVER.check(PngSettings("x.png"), where()) == []
    assert DRIVER.check(PngSettings("x.png", 64, 128, 1), where()) == []
    (small,) = DRIVER.check(PngSettings("x.png", 96, 64, 1), where())
    assert small.startswith("width, height: one of them must be 128")


async def test_contract(tmp_path: Path) -> None:
    path = tmp_path / "s.png"

    def open_port() -> AbstractAsyncContextManager[DisplayPort]:
        return DRIVER.open(PngSettings(str(path), 480, 272, turn_s=60), where())

    await check_display(open_port, path.read_bytes, timeout_s=60)
