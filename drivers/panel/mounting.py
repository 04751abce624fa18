"""How a panel sits in the door, and what is wrong with what the station file says of it. Without Pillow: ``check``
reads it."""

from __future__ import annotations

from dataclasses import dataclass

TURN_S = 2.5
"""So that two faces are seen while a notice stands (4 s)."""
SHORT, LONG, LARGEST = 64, 128, 8192
"""Pixels: sides of the smallest panel that says everything, and of the largest."""


@dataclass(frozen=True, slots=True)
class Mounting:
    """``rotate``: clockwise, 0, 90, 180 or 270. ``margin``: pixels on each side that the bezel hides. ``turn_s``: how
    long one of several faces is shown."""

    rotate: int = 0
    margin: int = 0
    turn_s: float = TURN_S

    def complaints(self) -> list[str]:
        """One line each, the key first."""
        wrong = []
        if self.rotate not in (0, 90, 180, 270):
            wrong.append(f"rotate: must be 0, 90, 180 or 270, is {self.rotate}")
        if not 0 <= self.margin <= 100:
            wrong.append(f"margin: must be 0 to 100, is {self.margin}")
        if not 0.5 <= self.turn_s <= 60:
            wrong.append(f"turn_s: must be 0.5 to 60 (seconds), is {self.turn_s}")
        return wrong


def size_complaints(width: int, height: int, unset: str) -> list[str]:
    """``unset``: what 0 means; empty if it is not allowed."""
    wrong = [
        f"{name}: must be {f'0 ({unset}) or ' if unset else ''}{SHORT} to {LARGEST}, is {n}"
        for name, n in (("width", width), ("height", height))
        if not (SHORT <= n <= LARGEST or (unset and n == 0))
    ]
    if not wrong and width and height and max(width, height) < LONG:
        wrong.append(f"width, height: one of them must be {LONG} or more, is {width}x{height}")
    return wrong
