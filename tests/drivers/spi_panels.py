"""Far ends of SPI: controllers of panels as their data sheets describe them, decoding what comes on the wire into what
the panel would show. Under the real luma, in place of the kernel's spidev and gpiod."""

from __future__ import annotations

import errno
import sys
import types
from collections.abc import Iterable
from typing import Any

import pytest
from PIL import Image


class Panel:
    """Memory of pixels, red, green, blue."""

    def __init__(self, width: int, height: int) -> None:
        self.size = width, height
        self.memory = bytearray(b"\x63" * (3 * width * height))  # the content of a new panel is undefined
        self.on = False

    def image(self) -> Image.Image:
        return Image.frombytes("RGB", self.size, bytes(self.memory))

    def put(self, x: int, y: int, pixels: bytes) -> None:
        """Side by side from ``x``, ``y`` on; what is beside the panel is not seen."""
        pixels = pixels[: 3 * (self.size[0] - x)]
        if x >= 0 and 0 <= y < self.size[1]:
            start = 3 * (y * self.size[0] + x)
            self.memory[start : start + len(pixels)] = pixels

    def bits(self, x: int, page: int, byte: int, lit: bool = True) -> None:
        """Eight dots from the top down, lowest bit first."""
        for n in range(8):
            self.put(x, page * 8 + n, (b"\xff" if bool(byte >> n & 1) is lit else b"\0") * 3)

    def take(self, data: bool, values: bytes) -> None:
        """What one transfer brings, with the line data/command as ``data`` says."""
        for value in values:
            self.byte(data, value)

    def byte(self, data: bool, value: int) -> None:
        raise NotImplementedError


class Paged(Panel):
    """SH1106, ST7567: one page at a time, its address B0h, the column in two nibbles. ``shift``: columns of the memory
    left of the panel."""

    def __init__(self, width: int, height: int, shift: int, lit: bool, operands: Iterable[int]) -> None:
        super().__init__(width, height)
        self.shift, self.lit, self.operands, self.skip, self.page, self.column = shift, lit, set(operands), 0, 0, 0

    def byte(self, data: bool, value: int) -> None:
        if data:
            self.bits(self.column - self.shift, self.page, value, self.lit)
            self.column += 1
        elif self.skip:
            self.skip -= 1
        elif value in self.operands:
            self.skip = 1
        elif value & 0xF0 == 0xB0:
            self.page = value & 0x0F
        elif value & 0xF0 == 0x00:
            self.column = self.column & 0xF0 | value & 0x0F
        elif value & 0xF0 == 0x10:
            self.column = self.column & 0x0F | (value & 0x0F) << 4
        elif value in (0xAE, 0xAF):
            self.on = value == 0xAF


class Windowed(Panel):
    """SSD1306: a window of columns and pages that fills line by line; operands come as commands."""

    OPERANDS = {0x81: 1, 0xA8: 1, 0xD3: 1, 0xD5: 1, 0xD9: 1, 0xDA: 1, 0xDB: 1, 0x8D: 1, 0x20: 1, 0x21: 2, 0x22: 2}

    def __init__(self, width: int, height: int) -> None:
        super().__init__(width, height)
        self.waiting: list[int] = []
        self.columns, self.pages, self.at = (0, width - 1), (0, height // 8 - 1), 0

    def byte(self, data: bool, value: int) -> None:
        if data:
            wide = self.columns[1] - self.columns[0] + 1
            self.bits(self.columns[0] + self.at % wide, self.pages[0] + self.at // wide, value)
            self.at += 1
            return
        self.waiting.append(value)
        if len(self.waiting) <= self.OPERANDS.get(self.waiting[0], 0):
            return
        code, *operands = self.waiting
        self.waiting = []
        if code in (0x21, 0x22):
            setattr(self, "columns" if code == 0x21 else "pages", tuple(operands))
            self.at = 0
        elif code in (0xAE, 0xAF):
            self.on = code == 0xAF


class Coloured(Panel):
    """MIPI's commands (ILI9341, ST7789, ...) or Solomon's: a window, then pixels of ``depth`` bits. ``step``: bytes per
    number of the window."""

    def __init__(self, width: int, height: int, depth: int, window: tuple[int, int, int], step: int = 2) -> None:
        super().__init__(width, height)
        self.depth, self.window, self.step = depth, window, step
        self.code, self.operands, self.at = 0, b"", 0
        self.ends = dict.fromkeys(window[:2], (0, 0))

    def take(self, data: bool, values: bytes) -> None:
        if not data:
            (self.code,), self.operands, self.at = values, b"", 0
            if self.code in (0x29, 0xAF, 0xAE, 0x28):
                self.on = self.code in (0x29, 0xAF)
            return
        self.operands += values
        if self.code in self.window[:2]:
            assert len(values) == 2 * self.step
            self.ends[self.code] = self.number(values[: self.step]), self.number(values[self.step :])
        elif self.code == self.window[2]:
            self.fill()

    def number(self, raw: bytes) -> int:
        return raw[0] if self.step == 1 else raw[-3] << 8 | raw[-1] if self.step == 4 else raw[0] << 8 | raw[1]

    def fill(self) -> None:
        """Whole pixels off the operands, into the window line by line."""
        (left, right), (top, bottom) = self.ends[self.window[0]], self.ends[self.window[1]]
        if self.depth == 4:  # a column address holds four dots, and the panel begins at 1Ch
            left, right = (left - 0x1C) * 4, (right - 0x1C) * 4 + 3
        colours = self.colours()
        while colours:
            wide = right - left + 1
            x, y = self.at % wide, self.at // wide
            part = colours[: 3 * (wide - x)]
            assert top + y <= bottom, "more pixels than the window holds"
            self.put(left + x, top + y, part)
            self.at += len(part) // 3
            colours = colours[len(part) :]

    def colours(self) -> bytes:
        if self.depth == 4:
            raw, self.operands = self.operands, b""
            return bytes(v for byte in raw for nibble in (byte >> 4, byte & 15) for v in (nibble * 17,) * 3)
        size = 2 if self.depth == 16 else 3
        whole = len(self.operands) // size * size
        raw, self.operands = self.operands[:whole], self.operands[whole:]
        if size == 3:
            return raw.translate(SIX_BITS)
        words = (raw[n] << 8 | raw[n + 1] for n in range(0, whole, 2))
        return bytes(v for w in words for v in (w >> 8 & 0xF8, w >> 3 & 0xFC, w << 3 & 0xF8))


SIX_BITS = bytes(v & 0xFC for v in range(256))
MIPI, SOLOMON = (0x2A, 0x2B, 0x2C), (0x15, 0x75, 0x5C)
OLED_OPERANDS = (0x81, 0xA8, 0xD3, 0xD5, 0xD9, 0xDA, 0xDB, 0xAD, 0x20)


def panel_of(chip: str) -> Panel:
    return {
        "ssd1306": lambda: Windowed(128, 64),
        "ssd1309": lambda: Windowed(128, 64),
        "sh1106": lambda: Paged(128, 64, 2, True, OLED_OPERANDS),
        "st7567": lambda: Paged(128, 64, 4, False, (0x81,)),
        "ssd1322": lambda: Coloured(256, 64, 4, SOLOMON, 1),
        "ssd1351": lambda: Coloured(128, 128, 16, SOLOMON, 1),
        "st7735": lambda: Coloured(160, 128, 18, MIPI),
        "st7789": lambda: Coloured(240, 240, 18, MIPI),
        "ili9341": lambda: Coloured(320, 240, 18, MIPI),
        "ili9486": lambda: Coloured(320, 480, 18, MIPI, 4),
        "ili9488": lambda: Coloured(480, 320, 18, MIPI),
    }[chip]()


class Wire:
    """The bus and the lines of one board. ``lines``: what each line carries; ``broken``: the bus gives an error."""

    def __init__(self, panel: Panel, dc: int) -> None:
        self.panel, self.dc, self.broken = panel, dc, False
        self.lines: dict[int, list[int]] = {}
        self.opened: list[tuple[int, int]] = []
        self.speed_hz = 0
        self.written = 0

    def write(self, data: Iterable[int]) -> None:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        level = bool(self.lines[self.dc][-1])
        values = bytes(data)
        self.written += len(values)
        self.panel.take(level, values)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In place of the kernel's two modules."""
        wire = self

        class SpiDev:
            def open(self, bus: int, device: int) -> None:
                if bus > 1:
                    raise FileNotFoundError(errno.ENOENT, "No such file or directory")
                wire.opened.append((bus, device))

            def writebytes(self, data: Iterable[int]) -> None:
                wire.write(data)

            def close(self) -> None:
                wire.opened.pop()

            @property
            def max_speed_hz(self) -> int:
                return wire.speed_hz

            @max_speed_hz.setter
            def max_speed_hz(self, value: int) -> None:
                wire.speed_hz = value

        class Request:
            def set_value(self, line: int, value: Any) -> None:
                wire.lines[line].append(int(value.value))

            def release(self) -> None:
                wire.lines["released"] = []  # type: ignore[index]

        def request_lines(path: str, consumer: str, config: dict[tuple[int, ...], Any]) -> Request:
            if path != "/dev/gpiochip0":
                raise PermissionError(errno.EACCES, "Permission denied")
            for numbers, settings in config.items():
                for number in numbers:
                    wire.lines[number] = [int(settings.output_value.value)]
            return Request()

        spidev = types.ModuleType("spidev")
        spidev.SpiDev = SpiDev  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "spidev", spidev)
        gpiod = pytest.importorskip("gpiod", reason="gpiod of the extra spi is not installed")
        monkeypatch.setattr(gpiod, "request_lines", request_lines)
