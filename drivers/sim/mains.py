"""The grid connection: voltage and frequency of the three lines."""

from __future__ import annotations

import random

NOMINAL_V = 230.0
SOURCE_OHM = 0.02
"""Impedance of the connection: 16 A lower the voltage by 0.32 V."""
_DRIFT_V = 2.5
_CHANGE_S = 1.0


class Mains:
    """The voltages drift a little once a second, each line by itself. ``on`` False: a power cut."""

    def __init__(self, seed: int) -> None:
        self.on = True
        self._random = random.Random(seed)
        self._open_v = [NOMINAL_V] * 3
        self._frequency_hz = 50.0
        self._since_s = 0.0

    @property
    def frequency_hz(self) -> float:
        return self._frequency_hz if self.on else 0.0

    def step(self, dt_s: float) -> None:
        self._since_s += dt_s
        if self._since_s < _CHANGE_S:
            return
        self._since_s = 0.0
        for i, v in enumerate(self._open_v):
            drift = (v - NOMINAL_V) * 0.9 + self._random.uniform(-0.5, 0.5)
            self._open_v[i] = NOMINAL_V + max(-_DRIFT_V, min(_DRIFT_V, drift))
        self._frequency_hz = 50.0 + self._random.uniform(-0.02, 0.02)

    def line_voltage_v(self, line: int, load_a: float) -> float:
        """Return the voltage of line 0..2 under this load."""
        return max(0.0, self._open_v[line] - SOURCE_OHM * load_a) if self.on else 0.0
