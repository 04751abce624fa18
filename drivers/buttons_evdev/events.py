"""Linux input events: bytes to what happened. Pure.

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
    """Whatever the chunks. After SYN_DROPPED everything up to the next SYN_REPORT is void."""

    def __init__(self) -> None:
        self._rest = b""
        self._dropped = False

    def feed_chunk(self, chunk: bytes) -> list[tuple[int, int, int]]:
        """Return (type, code, value) of the valid events in ``chunk``, in order."""
        data = self._rest + chunk
        whole = len(data) - len(data) % RECORD.size
        self._rest = data[whole:]
        events = (record[2:] for record in RECORD.iter_unpack(data[:whole]))
        return [(kind, code, value) for kind, code, value in events if self._is_valid_event(kind, code)]

    def _is_valid_event(self, kind: int, code: int) -> bool:
        if kind == EV_SYN:
            self._dropped = code == SYN_DROPPED or (self._dropped and code != SYN_REPORT)
        return not self._dropped
