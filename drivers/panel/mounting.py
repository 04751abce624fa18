"""How a panel sits in the door, and what is wrong with its keys in the station file. Without Pillow: ``check``
reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from agent.model.key_rules import Between, OneOf, settings_problems

TURN_S = 2.5
"""So that two faces are seen while a notice stands (4 s)."""
SHORT, LONG, LARGEST = 64, 128, 8192
"""Pixels: sides of the smallest panel that shows everything, and of the largest."""


Rotation: TypeAlias = Annotated[int, OneOf((0, 90, 180, 270))]
Margin: TypeAlias = Annotated[int, Between(0, 100, "pixels")]
TurnTime: TypeAlias = Annotated[float, Between(0.5, 60, "seconds")]
PanelSide: TypeAlias = Annotated[int, Between(0, LARGEST, "pixels")]


@dataclass(frozen=True, slots=True)
class Mounting:
    """``rotate``: clockwise, 0, 90, 180 or 270. ``margin``: pixels on each side that the bezel hides. ``turn_s``: how
    long one of several faces is shown."""

    rotate: Rotation = 0
    margin: Margin = 0
    turn_s: TurnTime = TURN_S

    def list_complaints(self) -> list[str]:
        """List what is wrong, one line each, the key first."""
        return settings_problems(self)


def size_complaints(width: int, height: int, unset: str) -> list[str]:
    """List what is wrong with the size. ``unset``: what 0 means; empty if it is not allowed."""
    wrong = [
        f"{name}: must be {f'0 ({unset}) or ' if unset else ''}{SHORT} to {LARGEST}, is {n}"
        for name, n in (("width", width), ("height", height))
        if 0 <= n < SHORT and not (unset and n == 0)  # more than the largest breaks the key's own rule
    ]
    if not wrong and width and height and max(width, height) < LONG:
        wrong.append(f"width, height: one of them must be {LONG} or more, is {width}x{height}")
    return wrong
