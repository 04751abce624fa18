"""Far ends of charge controllers with one EVSE each.

The registers are those of the makers' tables, by protocol address. The physics behind them is that of every other
board.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from agent.model.types import Fault
from drivers.sim.evse import Evse
from drivers.sim.mains import Mains
from drivers.sim.modbus_slave import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, ModbusException, NoAnswer

V = TypeVar("V")
Image = dict[int, int]
Write = Callable[[int], None]
_HOLDING, _INPUT = 3, 4


class SmallBoard:
    """A board. ``holding_registers``, ``input_registers`` and ``coil_states`` can be read, ``register_writes`` written.

    Raises ``NoAnswer`` while its controller is dead.
    """

    unit = 1
    line = "tcp"
    looks_feed = False
    """A read alone feeds the watchdog."""

    def __init__(self, evse: Evse, mains: Mains) -> None:
        self.evse = evse
        self.mains = mains
        evse.registers.goes_on = True

    def holding_registers(self) -> Image:
        return {}

    def input_registers(self) -> Image:
        return {}

    def coil_states(self) -> dict[int, bool]:
        return {}

    def register_writes(self) -> Mapping[int, Write]:
        return {}

    def coil_writes(self) -> Mapping[int, Callable[[bool], None]]:
        return {}

    # --- the slave's side ---------------------------------------------------------------------------------------------

    def read_registers(self, function: int, address: int, count: int) -> list[int]:
        self._accept_request(self.looks_feed)
        image = (
            self.holding_registers() if function == _HOLDING else self.input_registers() if function == _INPUT else None
        )
        if image is None:
            raise ModbusException(ILLEGAL_FUNCTION)
        return [_image_entry(image, a) for a in range(address, address + count)]

    def write_registers(self, address: int, values: list[int]) -> None:
        self._accept_request(True)
        writes = self.register_writes()
        for k in range(len(values)):
            _image_entry(writes, address + k)
        for k, value in enumerate(values):
            writes[address + k](value)

    def read_coils(self, address: int, count: int) -> list[bool]:
        self._accept_request(self.looks_feed)
        coils = self.coil_states()
        return [_image_entry(coils, a) for a in range(address, address + count)]

    def write_coil(self, address: int, on: bool) -> None:
        self._accept_request(True)
        _image_entry(self.coil_writes(), address)(on)

    def _accept_request(self, feeds: bool) -> None:
        if Fault.BOARD_SILENT in self.evse.faults:
            raise NoAnswer
        if feeds:
            self.evse.registers.fed_s = 0.0

    # --- what many of them do -----------------------------------------------------------------------------------------

    def bounded_write(self, low: int, high: int, then: Write) -> Write:
        def write_bounded(value: int) -> None:
            if not low <= value <= high:
                raise ModbusException(ILLEGAL_VALUE)
            then(value)

        return write_bounded

    def limit_is_release(self, amperes: float) -> None:
        """Set a limit that is also the release: a current above 0 permits charging, 0 does not."""
        self.evse.set_current_limit(amperes)
        self.evse.set_release(amperes > 0)

    def set_available(self, on: bool) -> None:
        self.evse.registers.available = on


def _image_entry(image: Mapping[int, V], address: int) -> V:
    if address not in image:
        raise ModbusException(ILLEGAL_ADDRESS)
    return image[address]


class EvChargeControlBasic(SmallBoard):
    """Phoenix Contact EV-CC-AC1-M3 on RS-485, user manual 106377_en_04.

    It has no watchdog and keeps the last order. With factory settings its enable comes from an input that is not wired.
    """

    line = "rtu"

    def __init__(self, evse: Evse, mains: Mains) -> None:
        super().__init__(evse, mains)
        self._sources = {4000: 1, 4001: 1, 4002: 0}
        self._enabled = False

    def input_registers(self) -> Image:
        evse = self.evse
        offered = int(evse.offered_current_a) if evse.pwm else 0
        image = {24000: int.from_bytes(evse.control_pilot_state().encode(), "big"), 24001: evse.cable_rating_a}
        image |= {
            24002: round(offered / 0.6),
            24003: offered,
            24004: evse.digital_inputs(self.mains.on),
            24005: int(evse.contactor.closed),
        }
        return image | {24025: self._error_bits(), 24026: 0, 24027: 0}

    def holding_registers(self) -> Image:
        return self.input_registers() | self._sources | {22000: int(self.evse.registers.limit_a)}

    def coil_states(self) -> dict[int, bool]:
        return {20000: self._enabled, 20001: self.evse.registers.available, 20002: self.evse.registers.lock}

    def register_writes(self) -> Mapping[int, Write]:
        return {
            4000: self.bounded_write(0, 3, lambda v: self._set_source(4000, v)),
            4001: self.bounded_write(0, 2, lambda v: self._set_source(4001, v)),
            4002: self.bounded_write(0, 3, lambda v: self._set_source(4002, v)),
            22000: self.bounded_write(6, 63, self.evse.set_current_limit),
        }

    def coil_writes(self) -> Mapping[int, Callable[[bool], None]]:
        return {20000: self._set_enabled, 20001: self._set_availability}

    def _set_source(self, address: int, value: int) -> None:
        self._sources[address] = value
        self._set_enabled(self._enabled)

    def _set_enabled(self, on: bool) -> None:
        """Set the enable coil. It counts only if it is the source; source 0 means always enabled."""
        self._enabled = on
        source = self._sources[4000]
        self.evse.set_release(source == 0 or (source == 3 and on))

    def _set_availability(self, on: bool) -> None:
        if self._sources[4001] == 2:
            self.set_available(on)

    def _error_bits(self) -> int:
        bits = {
            Fault.CABLE_REJECTED: 2, Fault.PROXIMITY_FAULT: 3, Fault.PILOT_FAULT: 4, Fault.LOCK_FAILURE: 6,
            Fault.UNLOCK_FAILURE: 7, Fault.VENTILATION_REFUSED: 11, Fault.CONTACTOR_WELDED: 12, Fault.DIODE_FAULT: 13,
            Fault.GROUND_FAILURE: 15,
        }  # fmt: skip
        return sum(1 << bits[f] for f in self.evse.reported_faults(self.mains.on) if f in bits)


class EmCpPpEth(SmallBoard):
    """Phoenix Contact EM-CP-PP-ETH: the letter of the state in the low byte, an enable coil and a current."""

    unit = 180

    def input_registers(self) -> Image:
        charged_s = int(self.evse.charging_s)
        return {100: ord(self.evse.control_pilot_state()[0]), 101: 0, 102: charged_s & 0xFFFF, 103: charged_s >> 16}

    def holding_registers(self) -> Image:
        return {300: int(self.evse.registers.limit_a)}

    def coil_states(self) -> dict[int, bool]:
        return {400: self.evse.registers.release}

    def register_writes(self) -> Mapping[int, Write]:
        return {300: self.bounded_write(6, 80, self.evse.set_current_limit)}

    def coil_writes(self) -> Mapping[int, Callable[[bool], None]]:
        return {400: self.evse.set_release}


class EnergyControl(SmallBoard):
    """Heidelberg Energy Control on RS-485.

    Any request feeds its watchdog. When the master is back the previous limit holds again, the worst case for the
    agent. State F lasts ten seconds longer than the remote lock.
    """

    line = "rtu"
    looks_feed = True

    def __init__(self, evse: Evse, mains: Mains) -> None:
        super().__init__(evse, mains)
        self._standby = 0
        evse.recovers_s = 10.0
        evse.registers.fallback_a, evse.registers.watchdog_s = 6.0, 15.0

    def input_registers(self) -> Image:
        states = {"A1": 2, "A2": 3, "B1": 4, "B2": 5, "C1": 6, "C2": 7, "E0": 9, "F0": 10}
        derated = Fault.TEMPERATURE_DERATING in self.evse.faults
        state = states[self.evse.control_pilot_state()]
        image = {4: 0x108, 5: 8 if derated and state == 7 else state, 9: 250, 13: int(self.evse.registers.available)}
        amps, volts = self.evse.measured.current_a, self.evse.measured.voltage_v
        for k in range(3):
            image |= {6 + k: round(10 * amps[k]) if k < len(amps) else 0}
            image |= {10 + k: round(volts[k]) if k < len(volts) else 0}
        return image | {14: self.evse.power_mw // 1000}

    def holding_registers(self) -> Image:
        r = self.evse.registers
        image = {257: round(1000 * r.watchdog_s), 258: self._standby, 259: int(r.available)}
        return image | {261: round(10 * r.limit_a), 262: round(10 * r.fallback_a)}

    def register_writes(self) -> Mapping[int, Write]:
        return {
            257: self._set_watchdog,
            258: self.bounded_write(0, 4, self._set_standby),
            259: self.bounded_write(0, 1, lambda v: self.set_available(v == 1)),
            261: self._limit_write(self.limit_is_release),
            262: self._limit_write(self._set_fallback),
        }

    def _limit_write(self, then: Callable[[float], None]) -> Write:
        def write_limit(value: int) -> None:
            if value != 0 and not 60 <= value <= 160:
                raise ModbusException(ILLEGAL_VALUE)
            then(value / 10)

        return write_limit

    def _set_watchdog(self, value: int) -> None:
        self.evse.registers.watchdog_s = value / 1000

    def _set_standby(self, value: int) -> None:
        self._standby = value

    def _set_fallback(self, amperes: float) -> None:
        self.evse.registers.fallback_a = amperes


class Cc61x(SmallBoard):
    """Bender CC612/613: the limit of the energy management is the release.

    ``least_fallback_a`` 0: its safe current may be zero. Any request feeds its watchdog.
    """

    unit = 255
    looks_feed = True

    def __init__(self, evse: Evse, mains: Mains, least_fallback_a: int = 0) -> None:
        super().__init__(evse, mains)
        self._least_fallback_a = least_fallback_a
        evse.registers.fallback_a, evse.registers.watchdog_s = 6.0, 60

    def holding_registers(self) -> Image:
        r = self.evse.registers
        relay = (5 if self.evse.fitted.phases == 1 else 1) if self.evse.contactor.closed else 0
        state = {"A": 1, "B": 2, "C": 3, "D": 4, "E": 5, "F": 5}[self.evse.control_pilot_state()[0]]
        image = {122: state, 123: 0x0A, 124: int(r.available), 131: int(r.fallback_a), 132: int(r.watchdog_s)}
        return image | {133: int(self.evse.fitted.max_a), 134: 32, 140: relay, 1000: int(r.limit_a)}

    def register_writes(self) -> Mapping[int, Write]:
        return {
            124: self.bounded_write(0, 1, lambda v: self.set_available(v == 1)),
            131: self.bounded_write(self._least_fallback_a, 80, self._set_fallback),
            132: self._set_watchdog,
            1000: self.bounded_write(0, 80, self.limit_is_release),
        }

    def _set_fallback(self, amperes: int) -> None:
        self.evse.registers.fallback_a = amperes

    def _set_watchdog(self, seconds: int) -> None:
        self.evse.registers.watchdog_s = seconds


class PowerBrain(SmallBoard):
    """cFos Power Brain. Its states are waiting, vehicle found and charging; its limit is in tenths of an ampere."""

    def holding_registers(self) -> Image:
        r = self.evse.registers
        hot = Fault.HIGH_TEMPERATURE in self.evse.faults
        state = 5 if hot else {"A": 0, "B": 1, "C": 2, "D": 2, "E": 0, "F": 0}[self.evse.control_pilot_state()[0]]
        return {8086: 0, 8087: 0, 8092: state, 8093: round(10 * r.limit_a), 8094: int(r.release)}

    def register_writes(self) -> Mapping[int, Write]:
        return {
            8093: self.bounded_write(0, 630, lambda v: self.evse.set_current_limit(v / 10)),
            8094: self.bounded_write(0, 1, lambda v: self.evse.set_release(v == 1)),
        }


SMALL_BOARDS: dict[str, type[SmallBoard]] = {
    "phoenix_ev_cc_ac1": EvChargeControlBasic,
    "phoenix_em_cp_pp_eth": EmCpPpEth,
    "heidelberg": EnergyControl,
    "bender_cc61x": Cc61x,
    "cfos_power_brain": PowerBrain,
}
