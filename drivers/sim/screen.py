"""Far end of a display: a plain file that is the panel's memory, decoded to PNG on request."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from pathlib import Path

_RAW = {
    "RGB565": ("RGB", "BGR;16", 16),
    "RGB888": ("RGB", "BGR", 24),
    "XRGB8888": ("RGB", "BGRX", 32),
    "MONO": ("1", "1;R", 1),
}
"""Pillow's mode, its name of the layout in memory (little endian), bits per pixel; a row begins with a byte."""


REST_S = 0.01
"""A frame is shown when its memory has not changed for this time, so that no half-written frame is shown."""
MOST_LOOKS = 50


@dataclass(frozen=True, slots=True)
class Screen:
    path: Path
    width: int = 800
    height: int = 480
    format: str = "RGB565"

    def __post_init__(self) -> None:
        if self.format not in _RAW:
            raise ValueError(f"format: must be one of {', '.join(_RAW)}, is {self.format!r}")

    @property
    def memory_size(self) -> int:
        """Size of the panel's memory in bytes."""
        return -(-self.width * _RAW[self.format][2] // 8) * self.height

    def start(self) -> None:
        """Make the panel. A new panel is black, an existing one keeps its picture."""
        if not self.path.exists() or self.path.stat().st_size != self.memory_size:
            self.path.write_bytes(bytes(self.memory_size))

    def render_png(self) -> bytes:
        from PIL import Image

        raw = self._stable_memory()
        mode, layout, _ = _RAW[self.format]
        picture = Image.frombytes(mode, (self.width, self.height), raw, "raw", layout)
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=1)
        return out.getvalue()

    def _stable_memory(self) -> bytes:
        before, raw = b"", self._read_memory()
        for _ in range(MOST_LOOKS):
            if raw == before:
                break
            time.sleep(REST_S)
            before, raw = raw, self._read_memory()
        return raw

    def _read_memory(self) -> bytes:
        return self.path.read_bytes()[: self.memory_size].ljust(self.memory_size, b"\0")
