"""Panels on SPI: luma itself runs, and what it writes is decoded as the controllers' data sheets say."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from PIL import Image

from agent.model.types import Screen, ScreenName
from agent.ports import Broken, Unreachable
from agent.ports.display import DisplayPort
from drivers.display_spi import DRIVER
from drivers.display_spi.chips import CHIPS
from drivers.display_spi.settings import SpiSettings
from drivers.panel.page_parts import faces_of_page
from drivers.testkit.display import check_display
from tests.drivers.screens import COMMON, COST, SESSION, said, where
from tests.drivers.spi_panels import Wire, panel_of

DC, RESET, LIGHT = 25, 27, 18
IDLE = Screen(ScreenName.IDLE, "fr", "", {**COMMON, "price_line": "0,45 €/kWh"})
pytestmark = pytest.mark.filterwarnings("ignore:Image.Image.getdata")  # luma's, until Pillow 14
pytest.importorskip("luma.core", reason="luma of the extra spi is not installed")


def settings_of(chip: str, **more: Any) -> SpiSettings:
    return SpiSettings(chip, DC, RESET, LIGHT, turn_s=60, **more)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller needs 0.1 s to wake up; its far end does not."""
    import luma.core.interface.serial as serial
    import luma.lcd.device as lcd

    monkeypatch.setattr(serial, "sleep", lambda seconds: None)
    monkeypatch.setattr(lcd, "sleep", lambda seconds: None)


def expected(chip: str, screen: Screen) -> Image.Image:
    """What people see on the panel: its first face, in as many bits as it has."""
    c = CHIPS[chip]
    case = (screen.name, screen.detail, dict(screen.values))
    picture = faces_of_page(said(case, screen.language), (c.width, c.height), c.depth)[0]().image
    if c.depth == 1:
        return picture
    masks = (0xF8, 0xFC, 0xF8) if c.depth == 16 else (0xFC, 0xFC, 0xFC)
    return Image.merge(
        "RGB", [b.point([v & m for v in range(256)]) for b, m in zip(picture.split(), masks, strict=True)]
    )


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("chip", CHIPS)
async def test_the_panel_shows_what_was_painted(chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = panel_of(chip)
    wire = Wire(panel, DC)
    wire.install(monkeypatch)
    async with DRIVER.open(settings_of(chip, bus="1.0", speed_mhz=16), where(timezone="Europe/Luxembourg")) as port:
        assert panel.on
        assert (wire.opened, wire.speed_hz) == ([(1, 0)], 16_000_000)
        assert wire.lines[RESET][-3:] == [0, 0, 1], "reset before anything else"
        for n in range(3):
            screen = Screen(ScreenName.CHARGING, "fr", "", {**COMMON, **SESSION, **COST, "energy_wh": 123_456 + 10 * n})
            for shown in (IDLE, screen):
                await port.show(shown)
                assert panel.image().tobytes() == expected(chip, shown).tobytes(), (chip, shown.name, n)
    assert panel.image().tobytes() == expected(chip, screen).tobytes(), "the last picture stays"
    assert (wire.opened, "released" in wire.lines) == ([], True)
    if CHIPS[chip].family == "lcd":
        assert wire.lines[LIGHT][-1] == 1


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(("chip", "whole", "most"), [("ili9341", 230_400, 4_000), ("st7735", 61_440, 10)])
async def test_only_what_changed_goes_over_the_wire(
    chip: str, whole: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(panel_of(chip), DC)
    wire.install(monkeypatch)
    session = {**COMMON, **SESSION}
    async with DRIVER.open(settings_of(chip), where()) as port:
        before = wire.written
        await port.show(IDLE)
        first = wire.written - before
        await port.show(Screen(ScreenName.CHARGING, "fr", "", session))
        before = wire.written
        await port.show(Screen(ScreenName.CHARGING, "fr", "", {**session, "energy_wh": 123_466, "since_s": 37_540}))
        changed = wire.written - before
    assert first <= whole + 100
    assert changed <= most, f"{changed} bytes for two figures"


@pytest.mark.usefixtures("no_waiting")
async def test_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(panel_of("ssd1306"), DC)
    wire.install(monkeypatch)

    def open_port() -> AbstractAsyncContextManager[DisplayPort]:
        return DRIVER.open(settings_of("ssd1306"), where())

    await check_display(open_port, lambda: wire.panel.image().tobytes(), timeout_s=60, lag_s=0.05)


@pytest.mark.usefixtures("no_waiting")
async def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(panel_of("st7567"), DC)
    wire.install(monkeypatch)
    with pytest.raises(Unreachable, match=r"/dev/spidev7\.0: SPI device not found; check wiring"):
        async with DRIVER.open(settings_of("st7567", bus="7.0"), where()):
            pass
    with pytest.raises(Unreachable, match=r"gpiochip5: .*Permission denied; give the service user access"):
        async with DRIVER.open(settings_of("st7567", gpio="/dev/gpiochip5"), where()):
            pass
    async with DRIVER.open(settings_of("st7567"), where(timezone="Europe/Luxembourg")) as port:
        await port.show(IDLE)
        wire.broken = True
        other = Screen(ScreenName.OUT_OF_SERVICE, "fr", "", COMMON)
        with pytest.raises(Unreachable, match=r"st7567 at /dev/spidev0\.0: Input/output error"):
            await port.show(other)
        wire.broken = False
        await port.show(other)
        assert wire.panel.image().tobytes() == expected("st7567", other).tobytes()
        wire.broken = True
    wire.broken = True
    with pytest.raises(Unreachable, match="Input/output error"):
        async with DRIVER.open(settings_of("st7567"), where()):
            pass
    assert wire.opened == []
    monkeypatch.setitem(sys.modules, "spidev", None)
    with pytest.raises(Broken, match=r"spidev is missing; install chargy-agent\[spi\]"):
        async with DRIVER.open(settings_of("st7567"), where()):
            pass
    with pytest.raises(Broken, match="chip: must be one of 'ssd1306', "):
        async with DRIVER.open(settings_of("ssd9999"), where()):
            pass


async def test_the_lines_are_asked_for_as_gpiod_wants() -> None:
    """The library itself, without a chip: it must take the arguments and miss only the device."""
    pytest.importorskip("gpiod", reason="gpiod of the extra spi is not installed")
    from drivers.display_spi.wire import GpioLines

    for path, error in (("/dev/gpiochip-none", FileNotFoundError), ("/dev/null", OSError)):
        with pytest.raises((error, ValueError)):
            GpioLines(path, (DC, RESET))


def test_complaints_name_the_key() -> None:
    bad = SpiSettings("", 0, bus="spi0", speed_mhz=3, rotate=45, margin=-1, turn_s=0)
    assert sorted(c.split(":")[0] for c in DRIVER.check(bad, where())) == [
        "bus", "chip", "dc", "margin", "rotate", "speed_mhz", "turn_s",
    ]  # fmt: skip
    assert DRIVER.check(SpiSettings("ssd1306", 25), where()) == []
    assert DRIVER.check(SpiSettings("ili9341", 25, bgr=True), where()) == []
    assert [c.split(":")[0] for c in DRIVER.check(SpiSettings("st7789", 25, bgr=True), where())] == ["bgr"]
