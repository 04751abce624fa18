"""Far ends of displays that the simulated street does not have: what reads the PNG file of ``display_png``, and a panel
on SPI that decodes the wire as its data sheet says."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from PIL import Image

from drivers.sim.world import World
from tests.drivers.spi_panels import Wire, panel_of

CHIP, DC = "ili9341", 25


class Seen:
    """``image`` is what a person sees; mutants exchange it."""

    def __init__(self) -> None:
        self.image: Callable[[], Image.Image] = self.shown

    def shown(self) -> Image.Image:
        raise NotImplementedError

    async def follow(self, world: World) -> None:
        world.devices.render_display_png = lambda n: _png(self.image())  # type: ignore[method-assign]
        await asyncio.Event().wait()


class Viewer(Seen):
    """Reads the file again at each look; half a picture would not decode."""

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "screen.png"
        Image.new("RGB", (800, 480)).save(self.path)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._folder.cleanup()

    @property
    def tables(self) -> dict[str, Any]:
        return {"display": {"driver": "display_png", "path": str(self.path)}}

    def shown(self) -> Image.Image:
        with Image.open(self.path) as picture:
            return picture.convert("RGB")


class SpiPanel(Seen):
    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire(panel_of(CHIP), DC)
        self._patch = pytest.MonkeyPatch()

    async def __aenter__(self) -> Self:
        pytest.importorskip("luma.core", reason="luma of the extra spi is not installed")
        for module in ("luma.core.interface.serial.sleep", "luma.lcd.device.sleep"):
            self._patch.setattr(module, lambda seconds: None)  # a controller needs 0.1 s to wake up; this one does not
        self.wire.install(self._patch)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._patch.undo()

    @property
    def tables(self) -> dict[str, Any]:
        return {"display": {"driver": "display_spi", "chip": CHIP, "dc": DC}}

    def shown(self) -> Image.Image:
        return self.wire.panel.image()


def half(far: Seen) -> None:
    """The panel is half as wide as the settings say."""
    honest = far.image
    far.image = lambda: (p := honest()).crop((0, 0, p.width // 2, p.height))


def stuck(far: Seen) -> None:
    first = far.image()
    far.image = lambda: first


def no_folder(far: Viewer) -> None:
    far.path.unlink()
    far.path.parent.rmdir()
    far._folder.cleanup = lambda: None  # type: ignore[method-assign]


def bytes_swapped(far: SpiPanel) -> None:
    """The bus carries words of 16 bits, and the panel has the other order."""
    honest = far.wire.panel.take

    def take(data: bool, values: bytes) -> None:
        even = len(values) // 2 * 2
        swapped = bytes(values[n ^ 1] for n in range(even)) + values[even:]
        honest(data, swapped if data else values)

    far.wire.panel.take = take  # type: ignore[method-assign]


def no_bus(far: SpiPanel) -> None:
    far.wire.broken = True


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
