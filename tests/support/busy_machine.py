"""Deadlines for a machine that others use too. They count the time in which this machine could have worked for the
test: with twice as many runnable threads as usual they last twice as long.

``busy_factor`` is measured, not configured: what the kernel says of runnable threads, beside what a whole run of the
tests makes by itself (``USUAL_PER_CORE``), for which all deadlines of the tests were chosen.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

USUAL_PER_CORE = 3.0
"""Runnable threads per core while ``make test`` has the machine for itself (ten workers on two cores)."""
LOOK_S = 0.25
LOAD = Path("/proc/loadavg")
CORES = len(os.sched_getaffinity(0))
slowed_stations: list[float] = []
"""By how much the time of each simulated station that lives now was slowed, because the machine was busy when it
began. It stays as slow when the machine is idle again, and what it takes its time for stays as long."""


def load_numbers() -> tuple[float, int]:
    """Load average of the last minute, and threads that are runnable now. Zeros where the system does not say."""
    try:
        words = LOAD.read_text("ascii").split()
        return float(words[0]), int(words[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return 0.0, 0


def busy_factor() -> float:
    """How many times slower than usual things go now: at least 1."""
    return max(1.0, max(load_numbers()) / (CORES * USUAL_PER_CORE))


def patience_factor() -> float:
    """How many times longer than usual a test has to wait now: at least 1."""
    return max([busy_factor(), *slowed_stations])


def stretched(seconds: float) -> float:
    """A deadline that has to be said beforehand: of a process, of a request."""
    return seconds * patience_factor()


class Deadline:
    """For loops that poll: ``while not deadline.over: ...``. ``over`` must be asked at least every few seconds."""

    def __init__(self, seconds: float) -> None:
        self._left_s, self._looked = seconds, time.monotonic()

    @property
    def left_s(self) -> float:
        """Of undisturbed time. What has passed since the last look counts by how busy the machine is now."""
        now = time.monotonic()
        self._left_s -= (now - self._looked) / patience_factor()
        self._looked = now
        return self._left_s

    @property
    def over(self) -> bool:
        return self.left_s <= 0


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """``asyncio.timeout`` that lasts longer on a busy machine. Raises ``TimeoutError``."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:
        patience = Deadline(seconds)

        def look() -> None:
            nonlocal timer
            left_s = patience.left_s
            if left_s <= 0:
                timeout.reschedule(loop.time())
            else:
                timer = loop.call_later(min(LOOK_S, left_s), look)

        timer = loop.call_later(min(LOOK_S, seconds), look)
        try:
            yield
        finally:
            timer.cancel()
