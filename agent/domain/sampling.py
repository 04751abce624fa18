"""When the next value is due. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LIVE_S = 2.0
"""How often the meter of a running session is read for its screen (real seconds)."""


def next_sample_s(started_s: float, interval_s: float, now_s: float) -> float:
    """Return the next point of the grid ``started + k x interval`` after now: late handling never
    drifts the grid."""
    steps = math.floor((now_s - started_s) / interval_s + 1e-6) + 1
    return started_s + steps * interval_s


def next_mark_utc_s(interval_s: int, utc_s: float) -> float:
    """Return the next multiple of the interval, counted from midnight UTC (OCPP 1.6
    ClockAlignedDataInterval)."""
    midnight = utc_s - utc_s % 86400
    steps = math.floor((utc_s - midnight) / interval_s + 1e-6) + 1
    return midnight + min(steps * interval_s, 86400)


def thin_out(items: tuple[T, ...], most: int, at_s: Callable[[T], float]) -> tuple[T, ...]:
    """Keep at most ``most`` items (2 or more), spread evenly over the time however often it is
    called: first and last stay, of the rest the one goes whose neighbours are closest to each
    other."""
    kept = list(items)
    while len(kept) > max(most, 2):
        gaps = [at_s(kept[i + 1]) - at_s(kept[i - 1]) for i in range(1, len(kept) - 1)]
        del kept[1 + gaps.index(min(gaps))]
    return tuple(kept)
