"""Far end of push buttons: a FIFO that carries the records of a Linux input device (``linux/input.h``)."""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_RECORD = struct.Struct("@qqHHi")
_EV_SYN, _EV_KEY = 0, 1
_LANGUAGE, _STOP, _OUTLET = 2, 3, 10


def button_key_codes(outlets: int) -> dict[str, int]:
    """Return the key code of each button: language 2, stop 3, outlet-1 11, outlet-2 12 ..."""
    return {"language": _LANGUAGE, "stop": _STOP} | {f"outlet-{n}": _OUTLET + n for n in range(1, outlets + 1)}


class Buttons:
    """The FIFO, held open for reading and writing so that neither end sees the other one close it."""

    def __init__(self, path: Path, keys: Mapping[str, int]) -> None:
        self.path = path
        self.keys = dict(keys)
        self._fd = -1

    def start(self) -> None:
        if self.path.exists() and not stat.S_ISFIFO(self.path.stat().st_mode):
            self.path.unlink()
        if not self.path.exists():
            os.mkfifo(self.path, 0o600)
        self._fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.discard_presses()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.path.unlink(missing_ok=True)

    def press_button(self, name: str) -> None:
        """Press and release a button. Raises ``KeyError`` for an unknown button."""
        code = self.keys[name]
        seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
        events = ((_EV_KEY, code, 1), (_EV_SYN, 0, 0), (_EV_KEY, code, 0), (_EV_SYN, 0, 0))
        try:
            os.write(self._fd, b"".join(_RECORD.pack(seconds, microseconds, *event) for event in events))
        except BlockingIOError:
            pass  # the agent has read nothing for a thousand presses

    def discard_presses(self) -> None:
        """Discard the presses that the agent has not read, as when it was away."""
        try:
            while os.read(self._fd, 65536):
                pass
        except BlockingIOError:
            return
