"""The vehicle on the cable (IEC 61851-1, annex A): when it requests energy and what it draws."""

from __future__ import annotations

import difflib
import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from drivers.sim.checked_values import checked_choice, checked_number

PROFILES: dict[str, dict[str, Any]] = {
    "normal": {},
    "single_phase": {"phases": 1, "max_a": 32.0},
    "sleepy": {},
    "stays_c": {},
    "greedy": {"max_a": 40.0},
    "dc400": {"max_a": 400.0, "capacity_kwh": 77.0},
    "dc800": {"max_a": 350.0, "capacity_kwh": 90.0, "cells": 192},
}
"""``sleepy`` ignores the pilot until the pilot was interrupted once. ``stays_c`` keeps S2 closed when the offer is
withdrawn. ``greedy`` draws its maximum whatever the offer is. ``dc400`` and ``dc800`` have batteries of 400 V and 800 V
at a DC outlet."""
CELLS = 96
"""Cells in series of a 400 V battery."""
MOST_CELLS = 300
PACK_OHM = 0.08
DC_UP_A_S, DC_DOWN_A_S = 20.0, 100.0

RAMP_UP_A_S = 4.0
RAMP_DOWN_A_S = 20.0
LETS_GO_S = 0.3
"""From the end of the offer to the opening of S2."""
WAKE_PULSE_S = 2.5
EFFICIENCY = 0.9
SPREAD = (1.0, 0.9875, 1.006)
"""The three rectifiers of an on-board charger draw slightly different currents."""
POWER_FACTOR = 0.99

_DC_CURVE_KW = ((0, 120), (5, 150), (50, 150), (60, 110), (80, 70), (90, 40), (100, 5))
CAR_RANGES: dict[str, tuple[float, float]] = {"max_a": (6, 500), "capacity_kwh": (0.01, 1000), "soc": (0, 100)}


@dataclass
class Car:
    """``ready``: its driver wants it to charge now. ``soc``: state of charge in percent; at 100 it is full."""

    phases: int = 3
    max_a: float = 16.0
    capacity_kwh: float = 60.0
    soc: float = 50.0
    cells: int = CELLS
    profile: str = "normal"
    ready: bool = True
    asks: bool = field(default=False, init=False)
    """S2 is closed: state C."""
    _onset_s: float = field(default=1.0, init=False, repr=False)
    _margin_a: float = field(default=0.5, init=False, repr=False)
    _offered_s: float = field(default=0.0, init=False, repr=False)
    _interrupted_s: float = field(default=0.0, init=False, repr=False)
    _awake: bool = field(default=True, init=False, repr=False)
    _draws_a: float = field(default=0.0, init=False, repr=False)
    _seen_offer: bool = field(default=False, init=False, repr=False)

    @classmethod
    def from_api_table(cls, wanted: Mapping[str, Any] | None, ready: bool, dc: bool = False) -> Car:
        """Make a car from the keys of the control API. ``dc``: the outlet is a DC outlet.

        Raises ``ValueError`` that names the key.
        """
        wanted = dict(wanted or {})
        known = [f.name for f in fields(cls) if f.init and f.name != "ready"]
        for key in wanted:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1, 0.5)
                raise ValueError(f"car.{key}: unknown key; " + (f"did you mean {near[0]!r}?" if near else str(known)))
        profile = checked_choice(wanted.pop("profile", "dc400" if dc else "normal"), "car.profile", tuple(PROFILES))
        values: dict[str, Any] = {**PROFILES[profile], **wanted}
        if type(values.get("phases", 3)) is not int or values.get("phases", 3) not in (1, 3):
            raise ValueError(f"car.phases: must be 1 or 3, is {values['phases']!r}")
        if type(values.get("cells", CELLS)) is not int or not 1 <= values.get("cells", CELLS) <= MOST_CELLS:
            raise ValueError(f"car.cells: must be 1 to {MOST_CELLS}, is {values['cells']!r}")
        for key, (low, high) in CAR_RANGES.items():
            if key in values:
                values[key] = checked_number(values[key], f"car.{key}", low, high)
        return cls(**values, profile=profile, ready=ready)

    def arrive_at_outlet(self, rng: random.Random) -> None:
        """Draw the habits of this car at random. A ``sleepy`` car arrives asleep."""
        self._onset_s = rng.uniform(0.5, 1.5)
        self._margin_a = rng.uniform(0.3, 1.0)
        self._awake = self.profile != "sleepy"

    def as_stored_table(self) -> dict[str, Any]:
        """Return what must be stored to restore the car after a restart of the world."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @property
    def is_full(self) -> bool:
        return self.soc >= 100.0

    def step(self, dt_s: float, offered: bool) -> None:
        """Advance the time by ``dt_s``. ``offered``: the pilot carries an offer (PWM)."""
        self._update_sleep(dt_s, offered)
        if not self.ready or self.is_full or not self._awake:
            self.asks, self._offered_s = False, 0.0
        elif offered:
            self._offered_s += dt_s
            self.asks = self.asks or self._offered_s >= self._onset_s
        else:
            self._offered_s = 0.0
            if self.profile != "stays_c" and self._interrupted_s >= LETS_GO_S:
                self.asks = False

    def _update_sleep(self, dt_s: float, offered: bool) -> None:
        if not offered:
            self._interrupted_s += dt_s
            return
        if self._interrupted_s >= WAKE_PULSE_S and self._seen_offer:
            self._awake = True
        self._interrupted_s, self._seen_offer = 0.0, True

    def draw_ac_current(self, dt_s: float, offer_a: float, supplied: bool) -> tuple[float, float, float]:
        """Return the current of each line. It follows the offer with a ramp and is zero without supply."""
        if not supplied or not self.asks:
            self._draws_a = 0.0
            return (0.0, 0.0, 0.0)
        if self.profile == "greedy":
            offer_a = self.max_a + 1.0
        goal_a = min(offer_a - self._margin_a, self.max_a)
        step_a = max(-RAMP_DOWN_A_S * dt_s, min(RAMP_UP_A_S * dt_s, goal_a - self._draws_a))
        self._draws_a = max(0.0, self._draws_a + step_a)
        if self.phases == 1:
            return (self._draws_a, 0.0, 0.0)
        a, b, c = (min(self._draws_a * s, offer_a) for s in SPREAD)
        return (a, b, c)

    @property
    def open_circuit_v(self) -> float:
        """Open-circuit voltage of the battery."""
        s = self.soc / 100.0
        return self.cells * (3.30 + 0.85 * s - 0.15 * (1 - s) ** 4)

    def draw_dc_current(self, dt_s: float, most_a: float, most_w: float | None, supplied: bool) -> tuple[float, float]:
        """Return current and voltage at a DC outlet.

        The battery takes what it can at this state of charge, within the station's limits and with the vehicle's ramp.
        """
        open_v, ohm = self.open_circuit_v, PACK_OHM * self.cells / CELLS
        if not supplied or not self.asks:
            self._draws_a = 0.0
            return 0.0, open_v
        bounds_w = [_charge_curve_w(self.soc)] + ([] if most_w is None else [most_w])
        goal_a = min(most_a, self.max_a, *(_current_for_power_a(w, open_v, ohm) for w in bounds_w))
        step_a = max(-DC_DOWN_A_S * dt_s, min(DC_UP_A_S * dt_s, goal_a - self._draws_a))
        self._draws_a = max(0.0, self._draws_a + step_a)
        return self._draws_a, open_v + self._draws_a * ohm

    def add_energy(self, energy_wh: float) -> None:
        self.soc = min(100.0, self.soc + energy_wh * EFFICIENCY / (self.capacity_kwh * 10.0))


def _current_for_power_a(power_w: float, open_v: float, ohm: float) -> float:
    """Return the current at which U * I is this power at the terminals: R * I**2 + U * I - P = 0."""
    return (math.sqrt(open_v**2 + 4 * ohm * power_w) - open_v) / (2 * ohm)


def _charge_curve_w(soc: float) -> float:
    for (s0, p0), (s1, p1) in itertools.pairwise(_DC_CURVE_KW):
        if soc <= s1:
            return 1000.0 * (p0 + (p1 - p0) * (soc - s0) / (s1 - s0))
    return 1000.0 * _DC_CURVE_KW[-1][1]
