"""Far end of a buzzer: a FIFO that takes the records of a Linux input device (``linux/input.h``)."""

from __future__ import annotations

import struct
from collections import deque
from pathlib import Path

from drivers.sim.input_fifo import InputFifo

_EVENT = struct.Struct("@qqHHi")
_SOUND, _TONE = 0x12, 0x02
_KEPT = 100


class Buzzer:
    """The buzzer: it keeps what was written to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: deque[int] = deque(maxlen=_KEPT)
        """The newest hundred tones in Hz; 0 marks the end of a tone."""
        self._fifo = InputFifo(path)

    def start(self) -> None:
        self._fifo.open()

    def close(self) -> None:
        self._fifo.close()

    def read_tones(self) -> None:
        """Read the tones written since the last call. Records arrive whole: each write is shorter than PIPE_BUF."""
        while chunk := self._fifo.read_some(256 * _EVENT.size):
            for _, _, kind, code, value in _EVENT.iter_unpack(chunk):
                if (kind, code) == (_SOUND, _TONE) and value != (self.heard[-1] if self.heard else 0):
                    self.heard.append(value)
