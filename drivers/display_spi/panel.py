"""A picture onto a panel by luma's driver of its controller; only what has changed where the controller can."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageOps

from agent.ports import Unreachable
from drivers.display_spi.chips import CHIPS
from drivers.display_spi.settings import SpiSettings
from drivers.display_spi.wire import opened_wire
from drivers.panel.canvas import Box
from drivers.panel.changed_boxes import changed_boxes


class SpiPanel:
    """``show`` raises ``Unreachable``. A panel that is not there is not noticed: nothing comes back on the wire."""

    def __init__(self, settings: SpiSettings) -> None:
        self._settings, self._chip = settings, CHIPS[settings.chip]
        self._bus, self._lines, serial = opened_wire(settings)
        self._before: Image.Image | None = None
        try:
            self._device = self._start_device(serial)
        except OSError as e:
            self.close()
            raise self._unreachable_error(e) from e

    @property
    def size(self) -> tuple[int, int]:
        return self._chip.width, self._chip.height

    @property
    def depth(self) -> int:
        return self._chip.depth

    def close(self) -> None:
        """Close the device. The last picture stays on the panel."""
        self._bus.close()
        self._lines.close()

    def show(self, image: Image.Image) -> int:
        """Write what has changed. Return the bytes written on the wire."""
        picture = self._convert_image(image)
        if self._before is not None and not changed_boxes(self._before, picture):
            return 0
        self._before = None
        before = self._bus.written
        try:
            self._device.display(picture if self._device.mode == "RGB" else picture.convert("1"))
        except OSError as e:
            raise self._unreachable_error(e) from e
        self._before = picture
        return self._bus.written - before

    def _convert_image(self, image: Image.Image) -> Image.Image:
        """Convert a picture to RGB; for a panel of one colour, to its black and white."""
        if self._chip.depth > 1:
            return image
        mono = image.convert("1", dither=Image.Dither.NONE).convert("RGB")
        return ImageOps.invert(mono) if self._chip.dark else mono

    def _start_device(self, serial: Any) -> Any:
        """Start luma's device: initialised, black, and never cleared when the process ends."""
        chip, s = self._chip, self._settings
        module = importlib.import_module(f"luma.{chip.family}.device")
        more: dict[str, Any] = {"framebuffer": _Changed()} if chip.partial else {}
        if chip.family == "lcd":
            more["backlight"] = self._set_backlight
        if chip.partial:
            more |= {"bgr": s.bgr} if chip.depth > 1 else {"mode": "1"}
        if s.chip != "st7567":  # has one size
            more |= {"width": chip.width, "height": chip.height}
        device = getattr(module, s.chip)(serial, **more)
        device.persist = True
        return device

    def _set_backlight(self, on: bool) -> None:
        if self._settings.backlight >= 0:
            self._lines.output(self._settings.backlight, on)

    def _unreachable_error(self, error: OSError) -> Unreachable:
        s = self._settings
        return Unreachable(f"display {s.chip} at /dev/spidev{s.bus}: {error.strerror or error}; it is tried again")


class _Changed:
    """luma's strategy of a frame buffer: what has to be written of a picture, and where."""

    def __init__(self) -> None:
        self._before: Image.Image | None = None

    def redraw(self, image: Image.Image) -> Iterator[tuple[Image.Image, Box]]:
        colours = image.convert("RGB")
        before, self._before = self._before, None  # until all of it is written, the content of the panel is unknown
        for box in changed_boxes(before, colours):
            yield image.crop(box), box
        self._before = colours
