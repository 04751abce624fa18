"""Far end of a display: a plain file that is the panel's memory, decoded to PNG on request."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

_RAW = {"RGB565": ("BGR;16", 2), "XRGB8888": ("BGRX", 4)}
"""Pillow's name of the layout in memory (little endian), bytes per pixel."""


@dataclass(frozen=True, slots=True)
class Screen:
    path: Path
    width: int = 800
    height: int = 480
    format: str = "RGB565"

    def __post_init__(self) -> None:
        if self.format not in _RAW:
            raise ValueError(f"display.format: must be one of {', '.join(_RAW)}, is {self.format!r}")

    @property
    def size(self) -> int:
        """Bytes."""
        return self.width * self.height * _RAW[self.format][1]

    def start(self) -> None:
        """A new panel is black; one that was there keeps its picture."""
        if not self.path.exists() or self.path.stat().st_size != self.size:
            self.path.write_bytes(bytes(self.size))

    def png(self) -> bytes:
        from PIL import Image

        raw = self.path.read_bytes()[: self.size].ljust(self.size, b"\0")
        picture = Image.frombytes("RGB", (self.width, self.height), raw, "raw", _RAW[self.format][0])
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=1)
        return out.getvalue()
