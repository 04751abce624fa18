"""Far end of push buttons: a FIFO that carries the records of a Linux input device (``linux/input.h``)."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

from drivers.sim.input_fifo import InputFifo

_RECORD = struct.Struct("@qqHHi")
_EV_SYN, _EV_KEY = 0, 1
_LANGUAGE, _STOP, _SERVICE, _OUTLET = 2, 3, 4, 10


def button_key_codes(outlets: int) -> dict[str, int]:
    """Return the key code of each button: language 2, stop 3, service 4, outlet-1 11, outlet-2 12 ..."""
    stated = {"language": _LANGUAGE, "stop": _STOP, "service": _SERVICE}
    return stated | {f"outlet-{n}": _OUTLET + n for n in range(1, outlets + 1)}


class Buttons:
    """The buttons by name, with the key codes that they send."""

    def __init__(self, path: Path, keys: Mapping[str, int]) -> None:
        self.path = path
        self.keys = dict(keys)
        self._fifo = InputFifo(path)

    def start(self) -> None:
        self._fifo.open()
        self.discard_presses()

    def close(self) -> None:
        self._fifo.close()

    def press_button(self, name: str) -> None:
        """Press and release a button. Raises ``KeyError`` for an unknown button."""
        code = self.keys[name]
        seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
        events = ((_EV_KEY, code, 1), (_EV_SYN, 0, 0), (_EV_KEY, code, 0), (_EV_SYN, 0, 0))
        self._fifo.write_all(b"".join(_RECORD.pack(seconds, microseconds, *event) for event in events))

    def discard_presses(self) -> None:
        """Discard the presses that the agent has not read, as when it was away."""
        while self._fifo.read_some(65536):
            pass
