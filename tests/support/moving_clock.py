"""An event loop whose clock moves by itself: a wait takes no time, and nothing depends on how busy the machine is."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stalled(AssertionError):
    """Every task waits for another one, and no timer is set."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting it moves the clock."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Stalled("nothing is left to wait for")
        if not ready and timeout:
            self.now_s += timeout
        return ready


class MovingClockLoop(asyncio.SelectorEventLoop):
    """For tasks of one process only: what comes from a socket, a thread or a child would come too late."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_moving(main: Coroutine[Any, Any, T]) -> T:
    """Run it to its end on a clock of its own."""
    with asyncio.Runner(loop_factory=MovingClockLoop) as runner:
        return runner.run(main)
