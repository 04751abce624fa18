"""Pixels to bytes, and bytes into the frame buffer. Source: ``linux/fb.h`` (fb_var_screeninfo, fb_fix_screeninfo)."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from agent.ports import Broken, Unreachable
from drivers.display_framebuffer.settings import FORMATS, FramebufferSettings
from drivers.panel.canvas import Box
from drivers.panel.changed_boxes import changed_boxes

BITS_PER_PIXEL = {"RGB565": 16, "RGB888": 24, "XRGB8888": 32, "MONO": 1}
"""``MONO``: the lowest bit is the leftmost pixel, 1 is lit (``ssd1307fb``)."""
_FBIOGET_VSCREENINFO, _FBIOGET_FSCREENINFO = 0x4600, 0x4602
_STRIP_ROWS = 64
_BREATH_S = 0.0002


@dataclass(frozen=True, slots=True)
class Geometry:
    """``stride``: bytes per row; ``offset``: bytes before the first visible pixel (panning)."""

    width: int
    height: int
    format: str
    stride: int
    offset: int = 0


class Framebuffer:
    """An open frame buffer. ``show`` writes only what differs from the picture before. Raises ``Unreachable``,
    ``Broken``."""

    def __init__(self, settings: FramebufferSettings) -> None:
        self._path = settings.path
        try:
            self._fd = os.open(settings.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as e:
            advice = "give the service user access (group video)" if e.errno == errno.EACCES else "check path and panel"
            raise Unreachable(f"display {settings.path}: {e.strerror}; {advice}; it is tried again") from e
        self._before: Image.Image | None = None
        try:
            self.geometry = _read_geometry(self._fd, settings)
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> tuple[int, int]:
        return self.geometry.width, self.geometry.height

    @property
    def depth(self) -> int:
        return BITS_PER_PIXEL[self.geometry.format]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def show(self, image: Image.Image) -> int:
        """Write what has changed of ``image`` (RGB, as large as the panel). Return the bytes written."""
        boxes = changed_boxes(self._before, image)
        self._before = None  # until all of it is written, the content of the panel is unknown
        written = 0
        for box in boxes:
            if self.depth == 1:
                box = Box(box.x0 // 8 * 8, box.y0, min(self.geometry.width, -(-box.x1 // 8) * 8), box.y1)
            for top in range(box.y0, box.y1, _STRIP_ROWS):
                strip = Box(box.x0, top, box.x1, min(box.y1, top + _STRIP_ROWS))
                written += self._write_box(strip, pack_pixels(image.crop(strip), self.geometry.format))
                time.sleep(_BREATH_S)
        self._before = image
        return written

    def _write_box(self, box: Box, data: bytes) -> int:
        g = self.geometry
        row_bytes = _row_bytes(box.width_px, g.format)
        start = g.offset + box.y0 * g.stride + box.x0 * BITS_PER_PIXEL[g.format] // 8
        try:
            if row_bytes == g.stride:
                return os.pwrite(self._fd, data, start)
            return sum(
                os.pwrite(self._fd, data[row * row_bytes : (row + 1) * row_bytes], start + row * g.stride)
                for row in range(box.height_px)
            )
        except OSError as e:
            raise Unreachable(f"display {self._path}: {e.strerror}; check the panel; it is tried again") from e


def _row_bytes(width: int, pixel_format: str) -> int:
    return -(-width * BITS_PER_PIXEL[pixel_format] // 8)


def pack_pixels(image: Image.Image, pixel_format: str) -> bytes:
    """Pack RGB pixels as the panel wants them, little endian. Pillow has no packer for RGB565: look-up tables make
    the low byte (green's lower three bits, blue) and the high byte (red, green's upper three), merged as two
    bands."""
    if pixel_format == "XRGB8888":
        return image.tobytes("raw", "BGRX")
    if pixel_format == "RGB888":
        return image.tobytes("raw", "BGR")
    if pixel_format == "MONO":
        return image.convert("1", dither=Image.Dither.NONE).tobytes("raw", "1;R")
    r, g, b = image.split()
    low = ImageChops.add(g.point(_GREEN_LOW), b.point(_BLUE))
    high = ImageChops.add(r.point(_RED), g.point(_GREEN_HIGH))
    return Image.merge("LA", (low, high)).tobytes()


_RED = [v & 0xF8 for v in range(256)]
_GREEN_HIGH = [v >> 5 for v in range(256)]
_GREEN_LOW = [(v << 3) & 0xE0 for v in range(256)]
_BLUE = [v >> 3 for v in range(256)]


def _read_geometry(fd: int, s: FramebufferSettings) -> Geometry:
    """Read the geometry from the kernel, or from the settings where the kernel has none."""
    device = stat.S_ISCHR(os.fstat(fd).st_mode)
    found = (_geometry_by_ioctl(fd) or _geometry_by_sysfs(s.path)) if device else None
    if found is None and s.width and s.height and s.format in BITS_PER_PIXEL:
        return Geometry(s.width, s.height, s.format, _row_bytes(s.width, s.format))
    if found is None and device:
        raise Broken(f"display {s.path}: is no frame buffer with 1, 16, 24 or 32 bits per pixel; correct path")
    if found is None:
        formats = ", ".join(FORMATS[1:])
        raise Broken(f"display {s.path}: is a plain file; width, height and format (one of {formats}) are needed")
    if s.format not in ("auto", found.format):
        raise Broken(f'display {s.path}: the panel has {found.format}, not {s.format}; write format = "auto"')
    width, height = min(s.width or found.width, found.width), min(s.height or found.height, found.height)
    return Geometry(width, height, found.format, found.stride, found.offset)


def _geometry_by_ioctl(fd: int) -> Geometry | None:
    """Ask the kernel by ioctl."""
    try:
        var = fcntl.ioctl(fd, _FBIOGET_VSCREENINFO, bytes(160))
        fix = fcntl.ioctl(fd, _FBIOGET_FSCREENINFO, bytes(80))
    except OSError:
        return None
    width, height, _, _, x, y, bits = struct.unpack_from("7I", var)
    (stride,) = struct.unpack_from("I", fix, struct.calcsize("16sL4I3HI") - 4)
    return _of_depth(bits, width, height, stride, x, y)


def _geometry_by_sysfs(path: str) -> Geometry | None:
    folder = Path("/sys/class/graphics", Path(path).resolve().name)
    try:
        width, height = (int(n) for n in (folder / "virtual_size").read_text("ascii").split(","))
        bits = int((folder / "bits_per_pixel").read_text("ascii"))
        stride = int((folder / "stride").read_text("ascii"))
    except (OSError, ValueError):
        return None
    return _of_depth(bits, width, height, stride, 0, 0)


def _of_depth(bits: int, width: int, height: int, stride: int, x: int, y: int) -> Geometry | None:
    name = {bits: name for name, bits in BITS_PER_PIXEL.items()}.get(bits)
    return Geometry(width, height, name, stride, y * stride + x * bits // 8) if name else None
