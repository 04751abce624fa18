"""The physical state of a simulated station, and what people can do to it.

Between two steps of 50 ms the world stands still: calls change it at once and return, and the next step computes the
consequences. ``speed`` makes the physics run faster; communication on wires and the board's watchdog use real time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.station_file.settings import SimulatedEvse, StationFile
from drivers.sim import card_list, derived_file
from drivers.sim.car import Car
from drivers.sim.checked_values import (
    Impossible,
    checked_choice,
    checked_evse,
    checked_flag,
    checked_integer,
    checked_number,
)
from drivers.sim.evse import NWS_PER_WH, Evse
from drivers.sim.far_ends import StationFarEnds
from drivers.sim.faults import fault_by_name
from drivers.sim.initial_situation import apply_first_situation, resume_situation, stored_situation
from drivers.sim.installation import Installation
from drivers.sim.mains import Mains
from drivers.sim.station_devices import StationDevices
from drivers.sim.world_state import WorldStateFolder

STEP_US = 50_000
REPORT_EVERY = 2
"""Steps between two checks for a visible change: 100 ms."""
_CATCH_UP_S = 10.0
_MOST_WH = 10**12


class World:
    """The world. Without ``open`` it is a model without far ends, advanced by calls of ``step``. ``devices``: what
    people see and touch, beside cables and cars."""

    def __init__(self, file: StationFile, *, speed: float = 1.0, memory: WorldStateFolder | None = None) -> None:
        self.file = file
        self.speed = checked_number(speed, "speed", 0.01, 10_000)
        self._memory = memory
        self._rng = random.Random(file.simulation.seed)
        self._mains = Mains(file.simulation.seed)
        self._max_a: float | None = None
        self.evses: Mapping[int, Evse] = {e.number: Evse(e, random.Random(self._rng.random())) for e in file.evses}
        listed_cards = card_list.read_card_list(file.simulation.cards) if file.simulation.cards else {}
        self.devices = StationDevices(self.evses, listed_cards, self._rng)
        self._restore_situation()
        self._socket = Path()
        self._backend_url = ""
        self._listeners: list[Callable[[], None]] = []
        self._seen: Any = None
        self._steps = 0
        self.step(0)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, file: StationFile, *, speed: float = 1.0, backend_url: str = "", status_socket: Path
    ) -> AsyncIterator[World]:
        """Open all far ends and let time run. Raises ``ValueError`` (a device that cannot be simulated), ``InUse``."""
        memory = WorldStateFolder(file.simulation.state_dir)
        try:
            world = cls(file, speed=speed, memory=memory)
            world._socket, world._backend_url = status_socket, backend_url
            folder = file.simulation.state_dir.resolve() / "wires"
            far_ends = StationFarEnds(Installation(file, world.evses, world._mains, folder, speed))
            try:
                await far_ends.open(backend_url)
                world.devices.far_ends = far_ends
                world.devices.apply_silences()
                world._share_site_limit()
                async with world._time_running():
                    yield world
            finally:
                await far_ends.close()
                world._save_state()
        finally:
            memory.close()

    # --- time -----------------------------------------------------------------------------------------------------

    def step(self, real_us: int = STEP_US) -> None:
        """Advance the physics by ``real_us`` times ``speed``."""
        dt_us = round(real_us * self.speed)
        self._mains.step(dt_us / 1e6)
        for evse in self.evses.values():
            evse.step(dt_us, real_us, self._mains)
            if self._memory is not None:
                self._memory.set_register(evse.number, evse.energy_nws)

    @asynccontextmanager
    async def _time_running(self) -> AsyncIterator[None]:
        """Let time run inside. An error in a step ends the body too and is raised at its end."""
        owner = asyncio.current_task()
        assert owner is not None
        task = asyncio.create_task(self._step_in_real_time(), name="world")
        task.add_done_callback(lambda t: None if t.cancelled() else owner.cancel("the world stood still"))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (fault := task.exception()) is not None:
                raise fault

    async def _step_in_real_time(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += STEP_US / 1e6
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due, loop.time() - _CATCH_UP_S)
            self.step()
            self._steps += 1
            if self._steps % REPORT_EVERY == 0:
                self._report_changes()

    def _report_changes(self) -> None:
        seen = (
            [self.evse_picture(n) for n in self.evses],
            self.mains_on,
            self.limit_picture(),
            self.devices.visible_state(),
        )
        if seen == self._seen:
            return
        self._seen = seen
        self._save_state()
        for listener in self._listeners:
            listener()

    def add_change_listener(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when something visible has changed, at most every 100 ms."""
        self._listeners.append(callback)

    # --- memory ---------------------------------------------------------------------------------------------------

    def _restore_situation(self) -> None:
        known = self._memory.load_state() if self._memory is not None else None
        first = {s.number: s for s in self.file.simulation.evse}
        for n, evse in self.evses.items():
            situation = (known or {}).get("evses", {}).get(str(n))
            register = self._memory.stored_register(n) if self._memory is not None else None
            if situation is None:
                apply_first_situation(evse, first.get(n, SimulatedEvse(n)))
            else:
                resume_situation(evse, situation)
            if register is not None:
                evse.energy_nws = evse.session_from_nws = register
        if known is not None:
            self._max_a = known.get("max_a")
            self.devices.restore_ledger(known.get("ledger", {}))
        self._share_site_limit()

    def _save_state(self) -> None:
        if self._memory is not None:
            evses = {str(n): stored_situation(e) for n, e in self.evses.items()}
            self._memory.save_state(
                {"version": 1, "evses": evses, "max_a": self._max_a, "ledger": self.devices.stored_ledger}
            )

    # --- what can be seen -----------------------------------------------------------------------------------------

    def evse_picture(self, n: int) -> dict[str, Any]:
        """Return the world's part of one EVSE in the picture of the control API."""
        e = self._evse_by_number(n)
        return {
            "number": n,
            "kind": e.fitted.kind,
            "cable": e.cable or e.has_fixed_cable,
            "car": e.car is not None,
            "ready": e.car is not None and e.car.ready,
            "cp": e.control_pilot_state()[0],
            "pwm": e.pwm,
            "locked": e.lock.locked,
            "contactor": e.contactor.closed,
            "limit_a": e.offered_current_a,
            "limit_w": e.registers.limit_w,
            "current_a": [round(a, 1) for a in e.measured.current_a],
            "power_w": e.power_mw // 1000,
            "meter_wh": e.meter_wh,
            "soc": int(e.car.soc) if e.car is not None else None,
            "faults": sorted(e.faults | e.board_faults),
        }

    @property
    def mains_on(self) -> bool:
        return self._mains.on

    @mains_on.setter
    def mains_on(self, on: bool) -> None:
        self._mains.on = checked_flag(on, "mains")

    @property
    def max_a(self) -> float | None:
        """The limit set by the site's energy management."""
        return self._max_a

    def limit_picture(self) -> dict[str, Any] | None:
        """Return the picture of the energy manager that the agent reads; None: there is none."""
        manager = self.devices.energy_manager
        return None if manager is None else {"max_a": self._max_a, "manager": "silent" if manager.silent else "online"}

    def derived_station_file(self) -> str:
        """Return the station file for the agent as TOML text."""
        tables = self.devices.opened_far_ends().tables
        return derived_file.derive_station_file(self.file, tables, self._backend_url, self._socket)

    # --- cable and car --------------------------------------------------------------------------------------------

    def plug_in_vehicle(self, n: int, ready: bool = True, car: Mapping[str, Any] | None = None) -> None:
        """Plug the cable into socket and car. A cable that is still in the socket is used again."""
        e = self._evse_by_number(n)
        if car is not None and not isinstance(car, Mapping):
            raise ValueError(f"car: must be an object, is {car!r}")
        arriving = Car.from_api_table(car, checked_flag(ready, "ready"), e.fitted.is_dc)
        if e.car is not None:
            raise Impossible(f"EVSE {n} is occupied: unplug first")
        e.connect_vehicle(arriving)
        self._save_state()

    def unplug_vehicle(self, n: int, side: str = "station") -> None:
        """Unplug the vehicle.

        ``station``: pull the plug out of the socket, after unplugging the car if that opens the lock. ``ev``: unplug
        the car only. At a fixed cable both mean the car's side.
        """
        e = self._evse_by_number(n)
        checked_choice(side, "side", ("station", "ev"))
        at_socket = side == "station" and not e.has_fixed_cable
        if at_socket and not e.cable:
            raise Impossible(f"EVSE {n}: no cable is plugged")
        if not at_socket and e.car is None:
            raise Impossible(f"EVSE {n}: no car is connected")
        if at_socket and e.is_plug_held:
            raise Impossible(f"EVSE {n}: the plug is locked; end the session, or unplug at the car (side ev)")
        if at_socket:
            e.pull_plug()
        else:
            e.disconnect_vehicle(cable_too=False)
        self._save_state()

    def set_vehicle_demand(self, n: int, ready: bool | None = None, max_a: float | None = None) -> None:
        """Let the car request energy or pause, and set the limit of its charger."""
        e = self._evse_by_number(n)
        wants = None if ready is None else checked_flag(ready, "ready")
        takes_a = None if max_a is None else checked_number(max_a, "max_a", 6, 500)
        if e.car is None:
            raise Impossible(f"EVSE {n}: no car is connected")
        e.car.ready = e.car.ready if wants is None else wants
        e.car.max_a = e.car.max_a if takes_a is None else takes_a
        self._save_state()

    # --- station and site -----------------------------------------------------------------------------------------

    def set_fault_state(self, n: int, name: str, active: bool = True) -> None:
        e = self._evse_by_number(n)
        if not isinstance(name, str):
            raise ValueError(f"fault: must be a name, is {name!r}")
        fault = fault_by_name(name)
        if checked_flag(active, "active"):
            e.faults.add(fault)
        else:
            e.faults.discard(fault)
        self.devices.apply_silences()
        self._save_state()

    def set_meter_register(self, n: int, wh: int) -> None:
        """Set the lifetime register, as if another meter had been fitted."""
        e = self._evse_by_number(n)
        e.energy_nws = e.session_from_nws = checked_integer(wh, "wh", 0, _MOST_WH) * NWS_PER_WH
        if self._memory is not None:
            self._memory.set_register(n, e.energy_nws)

    def set_bay_occupied(self, n: int, occupied: bool) -> None:
        self._evse_by_number(n).bay = checked_flag(occupied, "occupied")
        self._save_state()

    def set_mains_power(self, mains: bool) -> None:
        """Switch mains. Without it the contactors open; boards and meters keep running on the back-up supply."""
        self.mains_on = mains
        self.devices.set_supply_online(mains)

    def set_site_limit(self, max_a: float | None) -> None:
        self._max_a = None if max_a is None else checked_number(max_a, "max_a", 0, 1000)
        self._share_site_limit()
        self._save_state()

    def set_energy_manager_silent(self, silent: bool) -> None:
        """Let the energy manager fall silent, or answer again."""
        self.devices.require_energy_manager().silent = checked_flag(silent, "silent")

    def _evse_by_number(self, n: int) -> Evse:
        return checked_evse(self.evses, n)

    def _share_site_limit(self) -> None:
        """Give the limit to the energy manager, which the agent reads. Without one it acts on the boards themselves,
        and the agent does not know of it."""
        manager = self.devices.energy_manager
        if manager is not None:
            manager.max_a = self._max_a
        for evse in self.evses.values():
            evse.external_a = self._max_a if manager is None else None
