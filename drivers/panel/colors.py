"""Colours of a screen. Every text has a contrast of 7:1 or more to its ground (WCAG 2.1, 1.4.6, level AAA)."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]


class Tone(StrEnum):
    """Colour of the state, to be recognized from across the street."""

    FREE = "free"
    ACTIVE = "active"
    WAIT = "wait"
    STOP = "stop"
    QUIET = "quiet"


BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
INK: Colour = (14, 18, 24)
SOFT: Colour = (70, 78, 88)
FOOT: Colour = (14, 18, 24)
LINE: Colour = (206, 212, 220)

COLOURS: dict[Tone, tuple[Colour, Colour]] = {
    Tone.FREE: ((0, 98, 52), WHITE),
    Tone.ACTIVE: ((0, 80, 158), WHITE),
    Tone.WAIT: ((255, 196, 0), INK),
    Tone.STOP: ((164, 12, 24), WHITE),
    Tone.QUIET: ((62, 70, 82), WHITE),
}
"""Ground and ink of the state band."""
