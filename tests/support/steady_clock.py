"""An event loop whose clock never jumps: a machine that is busy delays its timers, and does not make them due at once.

A far end and the driver under test share one loop. After a pause of the machine the clock of a usual loop has jumped:
the timer of the driver that ends the silence is due together with the far end's late answer, and which octets come
first is a matter of chance. On this loop at most ``STEP_S`` pass between two looks at the sockets.
"""

from __future__ import annotations

import asyncio
import selectors
import time

STEP_S = 0.02


class _SteppingSelector(selectors.SelectSelector):
    """Waits one step at most, so that the clock keeps the pace of the real one while the machine is quiet."""

    def __init__(self) -> None:
        super().__init__()
        self._real_s = self.now_s = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout if timeout is None else min(timeout, STEP_S))
        real_s = time.monotonic()
        self.now_s += min(real_s - self._real_s, STEP_S)
        self._real_s = real_s
        return ready


class SteadyClockLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._stepping = _SteppingSelector()
        super().__init__(self._stepping)

    def time(self) -> float:
        return self._stepping.now_s
