"""Far end of push buttons: a FIFO that carries the records of a Linux input device (``linux/input.h``)."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from drivers.sim.input_fifo import InputFifo

_RECORD = struct.Struct("@qqHHi")
_EV_SYN, _EV_KEY = 0, 1
_LANGUAGE, _STOP, _SERVICE, _OUTLET, _MORE = 2, 3, 4, 10, 0x100

VAT_BUTTONS = ["vat", *(f"key-{c}" for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"), "key-delete", "key-ok"]
"""The buttons by which drivers enter a VAT number."""


def button_key_codes(outlets: int, more: Iterable[str] = ()) -> dict[str, int]:
    """Return the key code of each button: language 2, stop 3, service 4, outlet-1 11, outlet-2 12 ...; ``more`` ones
    from 256 on."""
    stated = {"language": _LANGUAGE, "stop": _STOP, "service": _SERVICE}
    named = {name: _MORE + place for place, name in enumerate(more)}
    return stated | {f"outlet-{n}": _OUTLET + n for n in range(1, outlets + 1)} | named


def limit_button_names(outlets: int, kinds: Iterable[str]) -> list[str]:
    """Return the names of the buttons by which drivers choose limits: ``kinds`` are ``energy``, ``time``, ``cost``."""
    numbers = [""] if outlets == 1 else [f"-{n}" for n in range(1, outlets + 1)]
    return [f"limit-{kind}{number}" for kind in kinds for number in numbers]


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
