"""Far end of a buzzer: a FIFO that takes the records of a Linux input device (``linux/input.h``)."""

from __future__ import annotations

import os
import stat
import struct
from collections import deque
from pathlib import Path

_EVENT = struct.Struct("@qqHHi")
_SOUND, _TONE = 0x12, 0x02
_KEPT = 100


class Buzzer:
    """The FIFO of a buzzer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: deque[int] = deque(maxlen=_KEPT)
        """The newest hundred tones in Hz; 0 marks the end of a tone."""
        self._fd = -1

    def start(self) -> None:
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

    def read_tones(self) -> None:
        """Read the tones written since the last call. Records arrive whole: each write is shorter than PIPE_BUF."""
        while chunk := self._read_records():
            for _, _, kind, code, value in _EVENT.iter_unpack(chunk):
                if (kind, code) == (_SOUND, _TONE) and value != (self.heard[-1] if self.heard else 0):
                    self.heard.append(value)

    def _read_records(self) -> bytes:
        try:
            return os.read(self._fd, 256 * _EVENT.size) if self._fd >= 0 else b""
        except BlockingIOError:
            return b""
