"""A FIFO in place of a Linux input device (``linux/input.h``)."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class InputFifo:
    """The FIFO, held open for reading and writing so that neither end sees the other one close it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def open(self) -> None:
        if self.path.exists() and not stat.S_ISFIFO(self.path.stat().st_mode):
            self.path.unlink()
        if not self.path.exists():
            os.mkfifo(self.path, 0o600)
        self._fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.path.unlink(missing_ok=True)

    def read_some(self, most_bytes: int) -> bytes:
        """Return what is in it, b"" for nothing."""
        try:
            return os.read(self._fd, most_bytes) if self._fd >= 0 else b""
        except BlockingIOError:
            return b""

    def write_all(self, data: bytes) -> None:
        """Write it, unless the reader has read nothing for so long that the FIFO is full."""
        try:
            os.write(self._fd, data)
        except BlockingIOError:
            pass
