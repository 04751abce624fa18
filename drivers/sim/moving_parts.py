"""Moving parts of an outlet: they need time, and they can jam."""

from __future__ import annotations

from dataclasses import dataclass

CLOSE_S = 0.035
OPEN_S = 0.015
TURN_S = 0.4


@dataclass
class Contactor:
    """A contactor. ``wanted``: the coil is energized."""

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
    """The motor that locks the plug. ``failed``: the last attempt to unlock failed."""

    locked: bool = False
    failed: bool = False
    _turning_s: float = 0.0

    def begin_attempt(self) -> None:
        """Forget how the last attempt to unlock ended: the next one is not ended by its failure."""
        self.failed, self._turning_s = False, 0.0

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


DERATES_C, DERATES_UNTIL_C, STOPS_C, STOPS_UNTIL_C = 70.0, 65.0, 85.0, 70.0
_LAG_S = 1200.0
_RISE_K, _RISE_A = 30.0, 32.0


@dataclass
class TemperatureSensor:
    """The temperature of a place: the ambient, and what the current adds with a lag of 20 min.

    ``forced_c``: an injected temperature, like that of a heat gun at the sensor. The board lowers its offer from 70
    degrees on and stops at 85.
    """

    ambient_c: float = 25.0
    celsius: float = 25.0
    forced_c: float = 0.0
    derates: bool = False
    stops: bool = False

    def step(self, dt_s: float, current_a: float) -> None:
        goal_c = self.ambient_c + _RISE_K * (current_a / _RISE_A) ** 2
        self.celsius += (goal_c - self.celsius) * min(1.0, dt_s / _LAG_S)

    def update_sensor(self, forced_c: float) -> None:
        """Update the board's sensor."""
        self.forced_c = forced_c
        self.derates = self.sensor_celsius >= (DERATES_UNTIL_C if self.derates else DERATES_C)
        self.stops = self.sensor_celsius >= (STOPS_UNTIL_C if self.stops else STOPS_C)

    @property
    def sensor_celsius(self) -> float:
        return max(self.celsius, self.forced_c)

    @property
    def derating_share(self) -> float:
        """Share of the greatest current while the board derates."""
        return max(0.0, min(1.0, (STOPS_C - self.sensor_celsius) / (STOPS_C - DERATES_C)))
