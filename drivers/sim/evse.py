"""One EVSE: outlet, cable, car, lock and contactor, and what the charge controller board does with them by itself.

The board itself keeps the rules of IEC 61851-1 that leave no time for the agent. It closes its contactor only when
released, with an offer of at least 6 A and the car in state C. It opens it as soon as one of these is missing or a
fault is present.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.model.types import Fault
from agent.station_file.settings import Evse as Fitted
from drivers.sim.car import POWER_FACTOR, Car
from drivers.sim.faults import SAFETY
from drivers.sim.mains import Mains
from drivers.sim.moving_parts import Contactor, Lock, TemperatureSensor

NWS_PER_WH = 3_600_000_000_000
LEAST_A, MOST_A = 6, 80
DC_V = 1000.0
WATCHDOG_OFF = 65535
OVER_SHARE, OVER_LASTS_S = 1.2, 10.0
DC_COOLED = 32 / 500
"""Current in an AC cable that warms it as much as 1 A warms a cooled DC cable."""
TEMPERATURES: dict[Fault, tuple[str, float]] = {
    Fault.TEMPERATURE_DERATING: ("inside", 77.5),
    Fault.HIGH_TEMPERATURE: ("inside", 95.0),
    Fault.PLUG_DERATING: ("plug", 77.5),
    Fault.PLUG_HOT: ("plug", 95.0),
}
"""Faults that set a temperature at a sensor. The board itself decides how it reacts."""
PULLS_S = 3.0
"""How long a person pulls at a plug whose lock is about to open."""
WAKE_AFTER_S, WAKE_FOR_S = 30.0, 3.0
"""A car that requests no energy although it has an offer may be asleep: interrupt the offer once (legacy wake-up)."""


@dataclass
class Registers:
    """What the agent can set over Modbus.

    A ``limit_a`` outside of 6-80 A withdraws release. ``goes_on``: when the watchdog is not fed, release stays and the
    limit is ``fallback_a`` until it is fed again.
    """

    release: bool = False
    limit_a: float = 0
    limit_w: float | None = None
    """Power limit of a DC outlet whose charger takes watts."""
    outputs: int = 0
    lock: bool = False
    available: bool = True
    fallback_a: float = LEAST_A
    watchdog_s: float = WATCHDOG_OFF
    goes_on: bool = False
    fed_s: float = 0.0
    """Real seconds since the last write."""

    @property
    def watchdog_expired(self) -> bool:
        return 0 < self.watchdog_s < WATCHDOG_OFF and self.fed_s >= self.watchdog_s

    @property
    def effective_limit_a(self) -> float:
        return self.fallback_a if self.goes_on and self.watchdog_expired else self.limit_a


@dataclass
class Measured:
    """The present currents, powers and voltages: three lines on AC with three phases, otherwise one."""

    current_a: tuple[float, ...] = ()
    power_mw: tuple[int, ...] = ()
    voltage_v: tuple[float, ...] = ()


@dataclass
class Evse:
    """The model of one EVSE. ``step`` advances the time; people and the agent act between two steps."""

    fitted: Fitted
    rng: random.Random
    cable: bool = False
    car: Car | None = None
    bay: bool = False
    contacts: tuple[str, ...] = ()
    """Faults that are wired to the digital inputs, as in the station file. "!" marks a contact that opens."""
    faults: set[Fault] = field(default_factory=set)
    energy_nws: int = 0
    """Lifetime import register in nWs: power in mW times time in us, without any rounding on the way."""
    external_a: float | None = None
    program: Callable[[float], None] | None = None
    """The program of a board other than the CHARX. It runs first in each step and takes real seconds."""
    registers: Registers = field(default_factory=Registers)
    contactor: Contactor = field(default_factory=Contactor)
    lock: Lock = field(default_factory=Lock)
    inside: TemperatureSensor = field(default_factory=TemperatureSensor)
    plug: TemperatureSensor = field(default_factory=TemperatureSensor)
    over_s: float = 0.0
    """How long the car has drawn more than 120 % of the offer. At 10 s the board opens until the car is gone."""
    pwm: bool = False
    measured: Measured = field(default_factory=Measured)
    connected_s: float = 0.0
    charging_s: float = 0.0
    session_from_nws: int = 0
    recovers_s: float = 0.0
    """How long state F lasts after the board was made available again."""
    _pulling_s: float = 0.0
    _recovering_s: float = 0.0
    _forced_open: bool = False
    _idle_offer_s: float = 0.0
    _wake_s: float = 0.0
    _woken: bool = False

    def __post_init__(self) -> None:
        self.registers.limit_a = int(self.fitted.max_a)
        self._step_measurement(0.0, 0, None)

    # --- what can be seen -----------------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        return self.fitted.number

    @property
    def has_fixed_cable(self) -> bool:
        return self.fitted.outlet == "tethered"

    @property
    def is_plug_held(self) -> bool:
        """The lock will not open by itself: energy is released or flows, it has an order to hold, or it is stuck."""
        kept = self.registers.release or self.registers.lock or self.contactor.closed
        return self.lock.locked and (kept or Fault.UNLOCK_FAILURE in self.faults)

    @property
    def cable_rating_a(self) -> int:
        """Rating coded by the plug's resistor (IEC 61851-1, annex B); 0 = no plug. A fixed cable has no coding."""
        if self.has_fixed_cable or not self.cable:
            return 0
        return 32 if self.fitted.max_a <= 32 else 63

    @property
    def offered_current_a(self) -> float:
        """Current that the pilot offers while released; 0 = less than 6 A, a pause."""
        told_a = self.registers.effective_limit_a
        bounds = [self.fitted.max_a, float(told_a)]
        bounds += [float(self.cable_rating_a)] if self.cable_rating_a else []
        bounds += [self.external_a] if self.external_a is not None else []
        bounds += [max(float(LEAST_A), self.fitted.max_a * share) for share in self._derating_shares()]
        in_range = LEAST_A <= told_a <= MOST_A and min(bounds) >= LEAST_A
        return min(bounds) if in_range else 0.0

    @property
    def rated_power_w(self) -> float:
        """Rated power of a DC outlet."""
        return self.fitted.power_kw * 1000 if self.fitted.power_kw is not None else self.fitted.max_a * DC_V

    @property
    def offers_energy(self) -> bool:
        """The limit that was set lets current flow."""
        return self.offered_current_a >= LEAST_A if self.registers.limit_w is None else self.registers.limit_w > 0

    @property
    def meter_wh(self) -> int:
        return self.energy_nws // NWS_PER_WH

    @property
    def power_mw(self) -> int:
        return sum(self.measured.power_mw)

    def control_pilot_state(self) -> str:
        """Return the two characters of the state that the board reports. Its wake-up pulse does not change them."""
        if not self.registers.available or self._recovering_s > 0:
            return "F0"
        if Fault.PILOT_FAULT in self.faults:
            return "E0"
        if self.car is None:
            return "A1"
        return ("C" if self.car.asks else "B") + ("2" if self.pwm or self._wake_s > 0 else "1")

    def digital_inputs(self, mains_on: bool) -> int:
        """Return the word of the digital inputs. The lowest bit is the bay sensor."""
        there = {f.value for f in self.reported_faults(mains_on)}
        closed = [bool(name) and (name.lstrip("!") in there) != name.startswith("!") for name in self.contacts]
        return int(self.bay) | sum(1 << bit for bit, on in enumerate(closed) if on)

    def reported_faults(self, mains_on: bool) -> set[Fault]:
        """Return the faults that the board reports: UnlockFailure after an attempt only, PowerLoss without mains."""
        reported = self.faults - TEMPERATURES.keys() | self.board_faults
        if not self.lock.failed:
            reported.discard(Fault.UNLOCK_FAILURE)
        if not mains_on:
            reported.add(Fault.POWER_LOSS)
        return reported

    @property
    def board_faults(self) -> set[Fault]:
        """Faults that the board detects by itself."""
        found = {Fault.OVER_CURRENT} if self.over_s >= OVER_LASTS_S else set()
        for heat, derating, stop in (
            (self.inside, Fault.TEMPERATURE_DERATING, Fault.HIGH_TEMPERATURE),
            (self.plug, Fault.PLUG_DERATING, Fault.PLUG_HOT),
        ):
            found |= {stop} if heat.stops else {derating} if heat.derates else set()
        return found

    def _derating_shares(self) -> list[float]:
        named = [0.5] if self.faults & {Fault.MREC3, Fault.MREC18} else []
        return named + [heat.derating_share for heat in (self.inside, self.plug) if heat.derates]

    # --- what people and the agent do -----------------------------------------------------------------------------

    def connect_vehicle(self, car: Car) -> None:
        self.cable, self.car = True, car
        car.arrive_at_outlet(self.rng)
        self.connected_s = self.charging_s = self.over_s = 0.0
        self.session_from_nws = self.energy_nws
        self._forced_open = self._woken = False
        self._idle_offer_s = self._wake_s = self._pulling_s = 0.0

    def disconnect_vehicle(self, cable_too: bool) -> None:
        if self.car is not None:
            self.car.asks = False
        self.car = None
        self.connected_s = self.charging_s = self.over_s = 0.0
        self._forced_open = False
        if cable_too and not self.has_fixed_cable:
            self.cable = False

    def pull_plug(self) -> None:
        """Pull the plug out of the socket. If it is locked, unplug the car and pull until the lock has opened."""
        self.disconnect_vehicle(cable_too=not self.lock.locked)
        self._pulling_s = PULLS_S if self.cable else 0.0

    def set_release(self, on: bool) -> None:
        if on and not self.registers.release:
            self._forced_open = False
        self.registers.release = on

    def set_current_limit(self, limit_a: float) -> None:
        self.registers.limit_a = limit_a
        if not LEAST_A <= limit_a <= MOST_A:
            self.registers.release = False

    def force_unlock(self) -> None:
        """Unlock the plug, but never while the contactor is closed."""
        if not self.contactor.closed and not self.contactor.wanted:
            self._forced_open, self.registers.lock = True, False
            self.lock.begin_attempt()

    # --- time -----------------------------------------------------------------------------------------------------

    def step(self, dt_us: int, real_us: int, mains: Mains) -> None:
        """Advance the time. ``dt_us`` is for the physics, ``real_us`` for the watchdog of the real communication."""
        dt_s = dt_us / 1e6
        if self.program is not None:
            self.program(real_us / 1e6)
        self._step_watchdog(real_us / 1e6)
        self._recovering_s = max(0.0, self._recovering_s - dt_s) if self.registers.available else self.recovers_s
        if self.car is not None:
            self.connected_s += dt_s
            self.car.step(dt_s, self.pwm)
        self._step_lock(dt_s)
        self._step_pulling(dt_s)
        self._step_heat(dt_s)
        self._step_pilot(dt_s, mains.on)
        self._step_contactor(dt_s)
        self._step_measurement(dt_s, dt_us, mains)

    def _step_watchdog(self, real_s: float) -> None:
        r = self.registers
        r.fed_s += real_s
        if r.watchdog_expired and not r.goes_on:
            r.release = False

    def _step_lock(self, dt_s: float) -> None:
        if self.has_fixed_cable:
            return
        holds = (self.car is not None and not self._forced_open) or self.registers.lock
        wanted = self.cable and (holds or self.contactor.closed)
        stuck = Fault.UNLOCK_FAILURE in self.faults
        self.lock.step(dt_s, wanted, Fault.LOCK_FAILURE in self.faults, stuck)
        if self.lock.failed:
            self._forced_open = False  # the motor stops; the next order tries again
            self.lock.failed = stuck

    def _step_pulling(self, dt_s: float) -> None:
        if self._pulling_s > 0:
            self._pulling_s -= dt_s
            if not self.lock.locked:
                self.pull_plug()

    def _step_heat(self, dt_s: float) -> None:
        """Warm the sensors. The cooled cable of a DC outlet warms like an AC cable; the charger limits its current."""
        dc = self.fitted.kind == "DC"
        current_a = max(self.measured.current_a, default=0.0) * (DC_COOLED if dc else 1.0)
        for heat, place in ((self.inside, "inside"), (self.plug, "plug")):
            heat.step(dt_s, current_a)
            heat.update_sensor(
                max((c for f, (p, c) in TEMPERATURES.items() if p == place and f in self.faults), default=0.0)
            )
        if self.over_s < OVER_LASTS_S:
            self.over_s = (
                self.over_s + dt_s if self.pwm and not dc and current_a > OVER_SHARE * self.offered_current_a else 0.0
            )

    def _step_pilot(self, dt_s: float, mains_on: bool) -> None:
        ready = (
            self.registers.release
            and self.registers.available
            and self._recovering_s == 0
            and self.offers_energy
            and mains_on
            and self.car is not None
            and (self.has_fixed_cable or self.lock.locked)
            and not (self.faults - TEMPERATURES.keys() | self.board_faults) & SAFETY
        )
        self.pwm = ready and not self._step_wake_pulse(dt_s, ready)

    def _step_wake_pulse(self, dt_s: float, ready: bool) -> bool:
        if self._wake_s > 0:
            self._wake_s = max(0.0, self._wake_s - dt_s)
            return self._wake_s > 0
        if not ready or self.car is None or self.car.asks:
            self._idle_offer_s = 0.0
            return False
        self._idle_offer_s += dt_s
        if self._idle_offer_s < WAKE_AFTER_S or self._woken:
            return False
        self._woken, self._wake_s = True, WAKE_FOR_S
        return True

    def _step_contactor(self, dt_s: float) -> None:
        self.contactor.wanted = self.pwm and self.car is not None and self.car.asks
        welded = Fault.CONTACTOR_WELDED in self.faults
        self.contactor.step(dt_s, welded, Fault.CONTACTOR_STUCK_OPEN in self.faults)

    def _step_measurement(self, dt_s: float, dt_us: int, mains: Mains | None) -> None:
        lines = self.fitted.phases if self.fitted.kind == "AC" else 1
        if mains is None:
            self.measured = Measured((0.0,) * lines, (0,) * lines, (0.0,) * lines)
            return
        supplied = self.contactor.closed and mains.on
        self.measured = (
            self._measure_dc(dt_s, supplied)
            if self.fitted.kind == "DC"
            else self._measure_ac(dt_s, supplied, mains, lines)
        )
        self.energy_nws += self.power_mw * dt_us
        if supplied:
            self.charging_s += dt_s
        if self.car is not None and self.power_mw:
            self.car.add_energy(self.power_mw * dt_us / NWS_PER_WH)

    def _measure_ac(self, dt_s: float, supplied: bool, mains: Mains, lines: int) -> Measured:
        offer_a = self.offered_current_a if self.pwm else 0.0
        draw_a = self.car.draw_ac_current(dt_s, offer_a, supplied and self.pwm) if self.car else (0.0, 0.0, 0.0)
        current_a = draw_a[:lines]
        voltage_v = tuple(self._faulted_grid_v(mains.line_voltage_v(i, a)) for i, a in enumerate(current_a))
        power_mw = tuple(round(u * a * POWER_FACTOR * 1000) for u, a in zip(voltage_v, current_a, strict=True))
        return Measured(current_a, power_mw, voltage_v)

    def _faulted_grid_v(self, voltage_v: float) -> float:
        if self.faults & {Fault.UNDER_VOLTAGE, Fault.MREC6}:
            return voltage_v * 0.8
        return voltage_v * 1.15 if self.faults & {Fault.OVER_VOLTAGE, Fault.MREC5} else voltage_v

    def _measure_dc(self, dt_s: float, supplied: bool) -> Measured:
        if self.car is None:
            return Measured((0.0,), (0,), (0.0,))
        limit_w = self.registers.limit_w
        most_a = self.offered_current_a if limit_w is None else self.fitted.max_a
        current_a, voltage_v = self.car.draw_dc_current(dt_s, most_a, limit_w, supplied and self.pwm)
        return Measured((current_a,), (round(current_a * voltage_v * 1000),), (voltage_v,))
