"""Linux input events: bytes to the codes of keys that went down. Pure.

Source: ``linux/input.h``, ``linux/input-event-codes.h``.
"""

from __future__ import annotations

import struct

RECORD = struct.Struct("llHHi")
"""struct input_event in the machine's own sizes: seconds, microseconds, type, code, value."""

EV_SYN, EV_KEY = 0, 1
SYN_REPORT, SYN_DROPPED = 0, 3
PRESSED = 1
"""Value of a key event: 0 released, 1 pressed, 2 repeated because it is held."""


class EventParser:
    """Whatever the chunks, one press is one code. After SYN_DROPPED everything up to the next SYN_REPORT is void."""

    def __init__(self) -> None:
        self._rest = b""
        self._dropped = False

    def feed(self, chunk: bytes) -> list[int]:
        """The codes of the keys that went down in ``chunk``, in order."""
        data = self._rest + chunk
        whole = len(data) - len(data) % RECORD.size
        self._rest = data[whole:]
        return [code for _, _, kind, code, value in RECORD.iter_unpack(data[:whole]) if self._press(kind, code, value)]

    def _press(self, kind: int, code: int, value: int) -> bool:
        if kind == EV_SYN:
            self._dropped = code == SYN_DROPPED or (self._dropped and code != SYN_REPORT)
        return kind == EV_KEY and value == PRESSED and not self._dropped
