"""Moving parts of an outlet: they need time, and they can jam."""

from __future__ import annotations

from dataclasses import dataclass

CLOSE_S = 0.035
OPEN_S = 0.015
TURN_S = 0.4


@dataclass
class Contactor:
    """``wanted``: the coil is energised."""

    closed: bool = False
    wanted: bool = False
    _moving_s: float = 0.0

    def step(self, dt_s: float, welded: bool, stuck_open: bool) -> None:
        if welded:
            self.closed = True
        if self.wanted == self.closed or (welded and not self.wanted) or (stuck_open and self.wanted):
            self._moving_s = 0.0
            return
        self._moving_s += dt_s
        if self._moving_s >= (CLOSE_S if self.wanted else OPEN_S):
            self.closed, self._moving_s = self.wanted, 0.0


@dataclass
class Lock:
    """Motor that holds the plug. ``failed``: the last attempt to unlock did not succeed."""

    locked: bool = False
    failed: bool = False
    _turning_s: float = 0.0

    def step(self, dt_s: float, wanted: bool, jammed: bool, cannot_open: bool) -> None:
        if wanted == self.locked:
            self._turning_s = 0.0
            return
        self._turning_s += dt_s
        if self._turning_s < TURN_S:
            return
        if (wanted and jammed) or (not wanted and cannot_open):
            self.failed = not wanted
            return
        self.locked, self.failed, self._turning_s = wanted, False, 0.0
