"""One outlet of a fleet as physics: the cable, the vehicle, the contactor and the register of the meter.

Nothing is stepped. Between two changes the power is constant, so the register follows from the time of the last one:
an outlet without a change costs nothing, and ten thousand of them charge in one process. Times are seconds of the
station's clock, which may run faster than those of the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent.model.board import EvseState, Pilot
from agent.model.fastclass import frozen, replace
from agent.model.types import Fault
from agent.station_file.tables import NOMINAL_V

LEAST_A, RATED_A, PHASES = 6.0, 32.0, 3
"""What the pilot can offer at least (IEC 61851-1, annex A), and what every outlet of a fleet is fitted with."""


@frozen
class Vehicle:
    """What comes to an outlet. ``energy_wh``: what its battery still takes."""

    max_a: float = 16.0
    phases: int = 3
    energy_wh: float = 20_000.0


class FleetLoad:
    """What all outlets of a process draw now. Each outlet adds its changes: a look at ten thousand of them once a
    second would hold the loop."""

    __slots__ = ("charging", "power_w")

    def __init__(self) -> None:
        self.charging, self.power_w = 0, 0.0


class SimulatedOutlet:
    """``now_s``: the station's clock; ``rate``: its seconds per second of the machine. ``register_wh``: the register
    of the meter at the start; a meter never begins at zero. ``load``: of all outlets together."""

    __slots__ = (
        "_available", "_changed", "_drawn_w", "_full_timer", "_load", "_locked", "_now_s", "_rate", "_register_wh",
        "_released", "_since_s", "_taken_wh", "_vehicle", "_watchers", "_write", "begin_wh", "card", "faults",
        "limit_a", "plugged_at_s", "state",
    )  # fmt: skip

    def __init__(
        self, now_s: Callable[[], float], rate: float, register_wh: float, load: FleetLoad | None = None
    ) -> None:
        self._now_s, self._rate = now_s, rate
        self._register_wh = self.begin_wh = register_wh
        self._since_s = now_s()
        self._load, self._drawn_w = load, 0.0
        self._vehicle: Vehicle | None = None
        self._locked = self._released = False
        self._available = True
        self._full_timer: asyncio.TimerHandle | None = None
        self._watchers: list[asyncio.Future[None]] = []
        self._changed: Callable[[], None] = ignore_change
        self._write: Callable[[dict[str, Any]], None] | None = None
        self.card = ""
        """Of the driver whose vehicle is here."""
        self.limit_a, self.plugged_at_s, self._taken_wh = RATED_A, 0.0, 0.0
        self.faults: frozenset[Fault] = frozenset()
        self.state = EvseState(pilot=Pilot.A, pwm=False, locked=False, contactor=False, released=False)

    # --- what can be measured ------------------------------------------------------------------------------------

    @property
    def current_a(self) -> float:
        """The current of each phase that the vehicle uses."""
        if not self.state.contactor or self._vehicle is None:
            return 0.0
        return min(self.limit_a, RATED_A, self._vehicle.max_a)

    @property
    def phases(self) -> int:
        return min(PHASES, self._vehicle.phases) if self._vehicle is not None else PHASES

    @property
    def power_w(self) -> float:
        return self.current_a * self.phases * NOMINAL_V

    def read_register_wh(self) -> float:
        """Return the register of the meter now."""
        return self._register_wh + self.power_w * max(0.0, self._now_s() - self._since_s) / 3600.0

    def plugged_time_s(self) -> float | None:
        """Return for how long the present vehicle has been connected."""
        return self._now_s() - self.plugged_at_s if self._vehicle is not None else None

    # --- what people do ------------------------------------------------------------------------------------------

    @property
    def is_occupied(self) -> bool:
        return self._vehicle is not None

    def plug_vehicle_in(self, vehicle: Vehicle, card: str = "") -> None:
        """Connect a vehicle. The outlet must be free. ``card``: of its driver."""
        self._advance_register()
        self.card = card
        self._vehicle, self.plugged_at_s, self._taken_wh = vehicle, self._now_s(), 0.0
        self._show_change()

    def pull_plug_out(self) -> bool:
        """Disconnect the vehicle. Return False if the plug is locked."""
        if self._locked:
            return False
        self._advance_register()
        self._vehicle = None
        self._show_change()
        return True

    def set_faults(self, faults: frozenset[Fault]) -> None:
        """Make these faults, and no others, true of the outlet."""
        self._advance_register()
        self.faults = faults
        self._show_change()

    async def wait_until(self, condition: Callable[[SimulatedOutlet], bool], timeout_s: float) -> bool:
        """Wait until the condition holds. Return False if it does not within ``timeout_s`` (real seconds)."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while not condition(self):
            if loop.time() >= end_s:
                return False
            changed = loop.create_future()
            self._watchers.append(changed)
            await asyncio.wait((changed,), timeout=end_s - loop.time())
            if not changed.done():
                self._watchers.remove(changed)
        return True

    # --- what the station orders ---------------------------------------------------------------------------------

    def follow_changes(self, changed: Callable[[], None]) -> None:
        """Call this after each change of ``state``, in place of the last one that was given here."""
        self._changed = changed

    def set_release(self, on: bool) -> None:
        self._advance_register()
        self._released = on
        self._locked = self._locked or (on and self._vehicle is not None)
        self._show_change()

    def set_limit(self, limit_a: float) -> None:
        self._advance_register()
        self.limit_a = limit_a
        self._show_change()

    def set_available(self, on: bool) -> None:
        """Take the outlet in service, or out of service: an empty one then shows pilot state F."""
        self._available = on
        self._show_change()

    def unlock_plug(self) -> bool:
        """Free the plug. Return False if the contactor is closed."""
        if self.state.contactor:
            return False
        self._locked = False
        self._show_change()
        return True

    # --- what outlives the process -------------------------------------------------------------------------------

    def write_changes(self, write: Callable[[dict[str, Any]], None]) -> None:
        """Write a record of each change from now on, and of the present state."""
        self._write = write
        write(self._to_record())

    def _to_record(self) -> dict[str, Any]:
        vehicle = self._vehicle
        return {
            "utc_s": time.time(), "begin_wh": self.begin_wh, "register_wh": self._register_wh, "power_w": self.power_w,
            "taken_wh": self._taken_wh, "locked": self._locked, "limit_a": self.limit_a, "card": self.card,
            "plugged_s": self.plugged_time_s(),
            "vehicle": None if vehicle is None else [vehicle.max_a, vehicle.phases, vehicle.energy_wh],
        }  # fmt: skip

    def restore_record(self, record: Mapping[str, Any]) -> None:
        """Be the outlet of a process that was killed. Meanwhile the vehicle went on drawing what it drew, until its
        battery was full: a board gives energy until its watchdog finds the agent gone."""
        away_s = max(0.0, time.time() - record["utc_s"]) * self._rate
        self._vehicle = None if record["vehicle"] is None else Vehicle(*record["vehicle"])
        drawn_wh = record["power_w"] * away_s / 3600.0
        if self._vehicle is not None:
            drawn_wh = min(drawn_wh, self._vehicle.energy_wh - record["taken_wh"])
        self.begin_wh, self._register_wh = record["begin_wh"], record["register_wh"] + drawn_wh
        self._taken_wh = record["taken_wh"] + drawn_wh
        self._locked, self.limit_a, self.card = record["locked"], record["limit_a"], record["card"]
        if record["plugged_s"] is not None:
            self.plugged_at_s = self._now_s() - record["plugged_s"] - away_s
        self._since_s = self._now_s()
        self._show_change()

    # --- what follows --------------------------------------------------------------------------------------------

    def _advance_register(self) -> None:
        """Add what was drawn since the last change."""
        now_s = self._now_s()
        drawn_wh = self.power_w * max(0.0, now_s - self._since_s) / 3600.0
        self._register_wh += drawn_wh
        self._taken_wh += drawn_wh
        self._since_s = now_s

    def _show_change(self) -> None:
        """Make the state of the board follow, and set the time at which the battery will be full."""
        vehicle = self._vehicle
        absent = Pilot.A if self._available else Pilot.F
        offers = self._released and self.limit_a >= LEAST_A and not self.faults and vehicle is not None
        charges = offers and vehicle is not None and self._taken_wh < vehicle.energy_wh
        self.state = replace(
            self.state,
            pilot=absent if vehicle is None else Pilot.C if charges else Pilot.B,
            pwm=offers, cable=vehicle is not None, locked=self._locked, contactor=charges, released=self._released,
            offered_a=min(self.limit_a, RATED_A) if offers else 0.0, faults=self.faults,
        )  # fmt: skip
        self._update_load()
        self._plan_full_battery()
        if self._write is not None:
            self._write(self._to_record())
        self._changed()
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    def _update_load(self) -> None:
        drawn_w = self.power_w
        if self._load is not None:
            self._load.power_w += drawn_w - self._drawn_w
            self._load.charging += (drawn_w > 0) - (self._drawn_w > 0)
        self._drawn_w = drawn_w

    def _plan_full_battery(self) -> None:
        if self._full_timer is not None:
            self._full_timer.cancel()
            self._full_timer = None
        if self.state.contactor and self._vehicle is not None and self.power_w > 0:
            left_s = (self._vehicle.energy_wh - self._taken_wh) / self.power_w * 3600.0
            wait_s = left_s / self._rate
            self._full_timer = asyncio.get_running_loop().call_later(wait_s, self._battery_full)

    def _battery_full(self) -> None:
        self._full_timer = None
        self._advance_register()
        if self._vehicle is not None:
            self._taken_wh = self._vehicle.energy_wh  # the last drop of a watt-hour is rounding
        self._show_change()


def ignore_change() -> None:
    """Take no notice: the board was not opened yet."""
