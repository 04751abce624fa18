"""One picture, one file, replaced as a whole. Not synced: after a power cut the screen is drawn again."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from PIL import Image

from agent.ports import Unreachable
from drivers.display_png.settings import PngSettings

_FAST = 1
"""Of zlib's levels: screens are flat areas, more effort saves little."""


class PngFile:
    """``show`` raises ``Unreachable``."""

    def __init__(self, settings: PngSettings) -> None:
        self._path = Path(settings.path)
        self.size = settings.width, settings.height
        self.depth = settings.depth
        self._before: bytes | None = None
        if not self._path.parent.is_dir():
            raise Unreachable(f"display {self._path}: there is no folder {self._path.parent}; make it")

    def close(self) -> None:
        """Do nothing: the last picture stays."""

    def show(self, image: Image.Image) -> int:
        """Write the picture. Return the bytes written: none if the file would be the same."""
        data = self._encode_png(image)
        if data == self._before:
            return 0
        # beside the file, on the same file system, and one per process: two agents never share a half of it
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            new.write_bytes(data)
            new.replace(self._path)
        except OSError as e:
            with contextlib.suppress(OSError):
                new.unlink()
            raise Unreachable(f"display {self._path}: {e.strerror}; check the folder; it is tried again") from e
        self._before = data
        return len(data)

    def _encode_png(self, image: Image.Image) -> bytes:
        out = io.BytesIO()
        picture = image.convert("1", dither=Image.Dither.NONE) if self.depth == 1 else image
        picture.save(out, "PNG", compress_level=_FAST)
        return out.getvalue()
