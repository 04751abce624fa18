"""Far end of the charge controller: one Phoenix Contact CHARX SEC with all charging points behind one address.

Register map: UM EN CHARX SEC, appendix B3. Holding and input registers are the same; point n begins at n * 1000.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.model.types import Fault
from drivers.sim.evse import LEAST_A, MOST_A, NWS_PER_WH, Evse
from drivers.sim.faults import charx_error_mask, extra_fault_words
from drivers.sim.mains import Mains
from drivers.sim.modbus_slave import ILLEGAL_ADDRESS, ILLEGAL_VALUE, ModbusException, NoAnswer

EXTRA_BASE = 900
_AREAS = (range(100, 123), range(232, 309))
_GLOBAL = range(100, 168)
_MOST_U32 = 0xFFFF_FFFF


class ChargeController:
    """The registers of all charging points. Raises ``NoAnswer`` for a point whose controller is dead."""

    def __init__(self, evses: Mapping[int, Evse], mains: Mains) -> None:
        self._evses = evses
        self._mains = mains

    def read_registers(self, function: int, address: int, count: int) -> list[int]:
        point, at = divmod(address, 1000)
        wanted = range(at, at + count)
        if point == 0:
            _check_range(wanted, (_GLOBAL,))
            image = self._station_registers()
        else:
            evse = self._evse_at_point(point)
            extra = extra_fault_words(evse.reported_faults(self._mains.on))
            _check_range(wanted, (*_AREAS, range(EXTRA_BASE, EXTRA_BASE + len(extra))))
            image = self._point_registers(evse) | {EXTRA_BASE + k: word for k, word in enumerate(extra)}
        return [image.get(a, 0) for a in wanted]

    def write_registers(self, address: int, values: list[int]) -> None:
        point, at = divmod(address, 1000)
        evse = self._evse_at_point(point)
        if any(a not in _WRITES for a in range(at, at + len(values))):
            raise ModbusException(ILLEGAL_ADDRESS)
        for k, value in enumerate(values):
            _WRITES[at + k](evse, value)
        evse.registers.fed_s = 0.0

    def _evse_at_point(self, point: int) -> Evse:
        if point not in self._evses:
            raise ModbusException(ILLEGAL_ADDRESS)
        evse = self._evses[point]
        if Fault.BOARD_SILENT in evse.faults:
            raise NoAnswer
        return evse

    def _station_registers(self) -> dict[int, int]:
        letters = [e.control_pilot_state()[0] for e in self._evses.values()]
        power_mw = sum(e.power_mw for e in self._evses.values())
        image = encode_text(100, "CHARX SEC-3150", 10) | encode_text(110, "1.7.3", 4)
        image |= {114: len(letters), 148: sum(x in "EF" for x in letters), 149: letters.count("A")}
        image |= {150: sum(x in "BCD" for x in letters), 151: letters.count("C"), 164: 1}
        return image | encode_u32(152, power_mw)

    def _point_registers(self, evse: Evse) -> dict[int, int]:
        m, r = evse.measured, evse.registers
        image = {100: int(evse.has_fixed_cable), 101: int(evse.fitted.max_a), 102: LEAST_A, 120: 5}
        for k in range(3):
            volts = m.voltage_v[k] if k < len(m.voltage_v) else 0.0
            amps = m.current_a[k] if k < len(m.current_a) else 0.0
            image |= encode_u32(232 + 2 * k, round(volts * 1000)) | encode_u32(238 + 2 * k, round(amps * 1000))
        image |= encode_u32(244, evse.power_mw) | encode_u64(250, evse.meter_wh)
        image |= encode_u32(285, int(evse.connected_s)) | encode_u32(287, int(evse.charging_s))
        image |= encode_u64(289, (evse.energy_nws - evse.session_from_nws) // NWS_PER_WH)
        image |= encode_u32(293, charx_error_mask(evse.reported_faults(self._mains.on)))
        offered = int(evse.offered_current_a) if r.release else 0
        image |= {
            295: evse.digital_inputs(self._mains.on),
            296: round(offered * 100 / evse.fitted.max_a),
            297: offered,
            298: evse.cable_rating_a,
        }
        image |= encode_text(299, evse.control_pilot_state(), 1)
        image |= {300: int(r.release), 301: int(r.limit_a), 302: r.outputs, 303: int(evse.lock.locked)}
        return image | {304: int(r.available), 306: int(r.fallback_a), 307: int(r.watchdog_s)}


def _check_range(wanted: range, areas: tuple[range, ...]) -> None:
    if not any(wanted[0] in area and wanted[-1] in area for area in areas):
        raise ModbusException(ILLEGAL_ADDRESS)


def encode_u32(address: int, value: int) -> dict[int, int]:
    value = max(0, min(value, _MOST_U32))
    return {address: value >> 16, address + 1: value & 0xFFFF}


def encode_u64(address: int, value: int) -> dict[int, int]:
    return encode_u32(address, value >> 32) | encode_u32(address + 2, value & _MOST_U32)


def encode_text(address: int, value: str, registers: int) -> dict[int, int]:
    """Encode two characters in each register, padded with NUL."""
    data = value.encode("ascii")[: 2 * registers].ljust(2 * registers, b"\0")
    return {address + k: int.from_bytes(data[2 * k : 2 * k + 2], "big") for k in range(registers)}


def _decode_flag(value: int) -> bool:
    if value not in (0, 1):
        raise ModbusException(ILLEGAL_VALUE)
    return value == 1


def _write_availability(evse: Evse, value: int) -> None:
    evse.registers.available = _decode_flag(value)


def _write_lock(evse: Evse, value: int) -> None:
    evse.registers.lock = _decode_flag(value)


def _write_outputs(evse: Evse, value: int) -> None:
    evse.registers.outputs = value


def _write_fallback(evse: Evse, value: int) -> None:
    if value != 0 and not LEAST_A <= value <= MOST_A:
        raise ModbusException(ILLEGAL_VALUE)
    evse.registers.fallback_a = value


def _write_watchdog(evse: Evse, value: int) -> None:
    evse.registers.watchdog_s = value


_WRITES: dict[int, Callable[[Evse, int], None]] = {
    300: lambda evse, value: evse.set_release(_decode_flag(value)),
    301: lambda evse, value: evse.set_current_limit(value),
    302: _write_outputs,
    303: _write_lock,
    304: _write_availability,
    305: lambda evse, value: evse.force_unlock() if _decode_flag(value) else None,
    306: _write_fallback,
    307: _write_watchdog,
    308: lambda evse, value: None,
}
