"""Registers in a memory that wears out are written rarely, whatever goes wrong."""

from __future__ import annotations

from collections import deque

from agent.ports import Refused

MOST_A_DAY = 10
DAY_S = 86_400.0

Register = tuple[tuple[str, ...], int, int]
"""Line, unit and address on the wire."""


class WriteWear:
    """Counts the writes of the last 24 hours. One for the process: a board that is opened again and again, because
    it forgets what was written, must not be worn out by that."""

    def __init__(self) -> None:
        self._writes: dict[Register, deque[float]] = {}

    def count_write(self, register: Register, now_s: float) -> None:
        """Count one more write. Raises ``Refused`` when there were ten within a day."""
        writes = self._writes.setdefault(register, deque())
        while writes and now_s - writes[0] >= DAY_S:
            writes.popleft()
        if len(writes) >= MOST_A_DAY:
            raise Refused(
                f"register {register[2]} was written {MOST_A_DAY} times within a day and its memory wears out: not "
                "written again; does the board forget it, or does another master set it?"
            )
        writes.append(now_s)


WRITE_WEAR = WriteWear()
