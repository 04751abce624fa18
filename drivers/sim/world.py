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

from agent.model.types import Fault
from agent.station_file.settings import SimulatedEvse, StationFile
from drivers.sim import card as cards
from drivers.sim import card_list, derived_file
from drivers.sim.car import Car
from drivers.sim.checked_values import checked_choice, checked_flag, checked_integer, checked_number
from drivers.sim.evse import NWS_PER_WH, Evse
from drivers.sim.far_ends import STATION, StationFarEnds
from drivers.sim.faults import SAFETY, fault_by_name
from drivers.sim.initial_situation import apply_first_situation, resume_situation, stored_situation
from drivers.sim.mains import Mains
from drivers.sim.terminal import ACTIONS, CARD_BEHAVIOURS, Terminal, merge_ledgers
from drivers.sim.world_state import WorldStateFolder

STEP_US = 50_000
TELL_EVERY = 2
"""Steps between two checks for a visible change: 100 ms."""
_CATCH_UP_S = 10.0
_LONGEST_TOKEN = 36
_MOST_WH = 10**12


class Impossible(Exception):
    """Physically impossible in the present state."""


class Unknown(Exception):
    """This station has no such part."""


class World:
    """The world. Without ``open`` it is a model without far ends, advanced by calls of ``step``."""

    def __init__(self, file: StationFile, *, speed: float = 1.0, memory: WorldStateFolder | None = None) -> None:
        self.file = file
        self.speed = checked_number(speed, "speed", 0.01, 10_000)
        self._memory = memory
        self._rng = random.Random(file.simulation.seed)
        self._mains = Mains(file.simulation.seed)
        self._cards = card_list.read_card_list(file.simulation.cards) if file.simulation.cards else {}
        self._max_a: float | None = None
        self._ledger: dict[str, list[Any]] = {"holds": [], "captures": [], "voids": []}
        self.evses: Mapping[int, Evse] = {e.number: Evse(e, random.Random(self._rng.random())) for e in file.evses}
        self._restore_situation()
        self._wires: StationFarEnds | None = None
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
            wires = StationFarEnds(
                file, world.evses, world._mains, file.simulation.state_dir.resolve() / "wires", speed
            )
            try:
                await wires.open(backend_url)
                world._wires = wires
                world._apply_silences()
                async with world._time_running():
                    yield world
            finally:
                await wires.close()
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
            if self._steps % TELL_EVERY == 0:
                self._report_changes()

    def _report_changes(self) -> None:
        if self._wires is not None and self._wires.buzzer is not None:
            self._wires.buzzer.read_tones()
        seen = (
            [self.evse_picture(n) for n in self.evses],
            self.mains_on,
            self.lamp_colors(),
            self.link_conditions(),
            self._payment_pictures(),
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
            self._ledger |= known.get("ledger", {})
        self._share_site_limit()

    def _save_state(self) -> None:
        if self._memory is not None:
            evses = {str(n): stored_situation(e) for n, e in self.evses.items()}
            self._memory.save_state({"version": 1, "evses": evses, "max_a": self._max_a, "ledger": self._ledger})

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

    def lamp_colors(self) -> dict[str, str]:
        """Return the visible color at each outlet: of the agent's lamp, or of the lamp that the board drives."""
        fitted = self._wires.lamps if self._wires is not None else {}
        return {str(n): fitted[n].seen_color() if n in fitted else _board_lamp_color(e) for n, e in self.evses.items()}

    def buzzer_tones(self) -> list[int]:
        """Return the tones of the buzzer in Hz; 0 marks the end of a tone."""
        buzzer = self._wires.buzzer if self._wires is not None else None
        return list(buzzer.heard) if buzzer is not None else []

    def link_conditions(self) -> dict[str, Any]:
        return {name: road.condition_picture() for name, road in self._wires.roads.items()} if self._wires else {}

    def bank_ledger(self) -> dict[str, list[Any]]:
        """Return the bookings of the banks behind the payment terminals."""
        terminals = self._wires.terminals if self._wires is not None else {}
        if any(t.known for t in terminals.values()):
            self._ledger = merge_ledgers(terminals.values())
        return {name: list(rows) for name, rows in self._ledger.items()}

    def _payment_pictures(self) -> tuple[Any, Any]:
        return self.bank_ledger(), self.terminal_pictures()

    def terminal_pictures(self) -> list[dict[str, Any]]:
        """Return the picture of each payment terminal; ``evse`` 0: the station's."""
        terminals = self._wires.terminals if self._wires is not None else {}
        return [{"evse": place, **t.picture} for place, t in sorted(terminals.items())]

    def derived_station_file(self) -> str:
        """Return the station file for the agent as TOML text."""
        return derived_file.derive_station_file(
            self.file, self._opened_wires().far_ends, self._backend_url, self._socket
        )

    def far_end_addresses(self) -> dict[str, str]:
        return dict(self._opened_wires().addresses)

    def display_panels(self) -> list[dict[str, Any]]:
        """Return the outlets that each simulated panel serves."""
        screens = self._opened_wires().screens if self._wires is not None else {}
        served: dict[Path, list[int]] = {}
        for n, screen in sorted(screens.items()):
            served.setdefault(screen.path, []).append(n)
        return [{"evses": numbers} for numbers in served.values()]

    def render_display_png(self, n: int) -> bytes:
        self._evse_by_number(n)
        screens = self._opened_wires().screens
        if n not in screens:
            raise Unknown(f"EVSE {n} has no simulated display: the station file names its own")
        return screens[n].render_png()

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
        self._apply_silences()
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
        if self._wires is not None and self._wires.supply is not None:
            self._wires.supply.set_online(mains)

    def set_site_limit(self, max_a: float | None) -> None:
        self._max_a = None if max_a is None else checked_number(max_a, "max_a", 0, 1000)
        self._share_site_limit()
        self._save_state()

    def set_link_condition(self, name: str, **settings: Any) -> None:
        roads = self._opened_wires().roads
        if name not in roads:
            raise Unknown(f"there is no link {name!r}; there is: {', '.join(roads) or 'none'}")
        roads[name].set_condition(**settings)

    # --- what drivers do with their hands -------------------------------------------------------------------------

    def tap_contactless_card(
        self, uid: str, evse: int | None = None, card: str = "desfire_ev1", hold_s: float = 0.5
    ) -> None:
        """Hold a card to the contactless reader for ``hold_s``, then take it away."""
        kind = checked_choice(card, "card", cards.KINDS)
        seconds = checked_number(hold_s, "hold_s", 0.0, 3600.0)
        number_ = cards.parse_card_uid(uid, kind)
        field = self._opened_wires().fields.get(self._device_place(evse, self._opened_wires().fields))
        if field is None:
            raise Impossible("there is no simulated contactless reader here: the station file names its own")
        listed = self._cards.get(number_)
        field.present_card(listed.make_card(self._rng) if listed else cards.Card(number_, kind, self._rng), seconds)

    def tap_serial_token(self, token: str, evse: int | None = None) -> None:
        """Let the serial reader send this text as a line."""
        if not isinstance(token, str) or not 1 <= len(token) <= _LONGEST_TOKEN or not token.isprintable():
            raise ValueError(f"token: must be a printable text of 1 to {_LONGEST_TOKEN} characters, is {token!r}")
        readers = self._opened_wires().line_readers
        reader = readers.get(self._device_place(evse, readers))
        if reader is None:
            raise Impossible("there is no simulated serial reader here: the station file names its own")
        reader.send_token(token)

    def tap_bank_card(self, pan_last4: str, behaviour: str = "approve", evse: int | None = None) -> None:
        """Hold a bank card to the payment terminal for a moment."""
        asked = checked_choice(behaviour, "behaviour", CARD_BEHAVIOURS)
        self._find_terminals(evse)[0].tap_bank_card(pan_last4, asked)

    def act_on_terminals(self, action: str, evse: int | None = None) -> None:
        """Perform an action on all terminals, or on the one of an EVSE."""
        asked = checked_choice(action, "action", ACTIONS)
        for terminal in self._find_terminals(evse):
            terminal.perform_action(asked)

    def _find_terminals(self, evse: int | None) -> list[Terminal]:
        """Return the EVSE's own terminal or the station's; without an EVSE all of them, the station's first."""
        found = self._opened_wires().terminals
        places = sorted(found) if evse is None else [p for p in [self._device_place(evse, found)] if p in found]
        if not places:
            raise Unknown("there is no simulated payment terminal here: the station file names none, or its own")
        return [found[p] for p in places]

    def press_button(self, button: str) -> None:
        buttons = self._opened_wires().buttons
        if buttons is None or button not in buttons.keys:
            raise Unknown(
                f"there is no button {button!r}; there is: {', '.join(buttons.keys if buttons else ()) or 'none'}"
            )
        buttons.press_button(button)

    def button_names(self) -> list[str]:
        """Return the names of the buttons."""
        buttons = self._wires.buttons if self._wires is not None else None
        return list(buttons.keys) if buttons is not None else []

    def agent_restarted(self) -> None:
        """Discard the taps and presses from the time without an agent."""
        if self._wires is not None:
            self._wires.discard_inputs()

    # --------------------------------------------------------------------------------------------------------------

    def _evse_by_number(self, n: int) -> Evse:
        if n not in self.evses or isinstance(n, bool):
            raise Unknown(f"there is no EVSE {n!r}; this station has 1 to {len(self.evses)}")
        return self.evses[n]

    def _opened_wires(self) -> StationFarEnds:
        if self._wires is None:
            raise Impossible("this world has no wires: it was not opened")
        return self._wires

    def _device_place(self, evse: int | None, readers: Mapping[int, Any]) -> int:
        """Return the place of the device: the EVSE's own if it has one, else the station's."""
        if evse is None:
            return STATION
        self._evse_by_number(evse)
        return evse if evse in readers else STATION

    def _share_site_limit(self) -> None:
        for evse in self.evses.values():
            evse.external_a = self._max_a

    def _apply_silences(self) -> None:
        """Apply the silences of readers and terminals. A shared reader is silent if any EVSE that it serves says so."""
        if self._wires is not None:
            own = [n for n in self.evses if n in self._wires.line_readers]
            for n in own:
                self._wires.silence_reader(n, Fault.READER_SILENT in self.evses[n].faults)
            for place, terminal in self._wires.terminals.items():
                mine = [self.evses[place]] if place else self.evses.values()
                terminal.set_terminal_power(not any(Fault.TERMINAL_SILENT in e.faults for e in mine))
            shared = [e for n, e in self.evses.items() if n not in own]
            if shared:
                self._wires.silence_reader(STATION, any(Fault.READER_SILENT in e.faults for e in shared))


def _board_lamp_color(evse: Evse) -> str:
    if evse.faults & SAFETY or not evse.registers.available:
        return "red"
    if evse.contactor.closed:
        return "blue"
    return "yellow" if evse.cable or evse.car is not None else "green"
