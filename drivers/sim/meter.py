"""Far ends of billing meters: register images of three families, from the makers' Modbus documents."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

from agent.model.types import Fault
from drivers.sim.board import encode_text, encode_u32, encode_u64
from drivers.sim.car import POWER_FACTOR
from drivers.sim.evse import Evse
from drivers.sim.mains import Mains
from drivers.sim.modbus_slave import ILLEGAL_ADDRESS, ModbusException, NoAnswer

SERIAL = 21_060_000
"""Serial number, to which the EVSE's number is added. An exchanged meter has another one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The values that a meter shows: three lines (zero where nothing is connected), energy in whole Wh."""

    energy_wh: int
    voltage_v: tuple[float, float, float]
    current_a: tuple[float, float, float]
    power_w: tuple[float, float, float]
    frequency_hz: float
    serial: int
    broken: bool


Image = dict[int, int]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of meters. ``areas``: the readable address ranges of each function code. ``longest``: registers in one
    read."""

    image: Callable[[int, Sample], Image]
    areas: dict[int, tuple[range, ...]]
    longest: int
    alone: tuple[int, int] | None = None
    """A register and its content when it is read alone. In a longer read it belongs to another value."""


class Meter:
    """The meter of one EVSE. Raises ``NoAnswer`` while it is out of order."""

    def __init__(self, family: Family, evse: Evse, mains: Mains) -> None:
        self._family = family
        self._evse = evse
        self._mains = mains

    def read_registers(self, function: int, address: int, count: int) -> list[int]:
        if Fault.METER_SILENT in self._evse.faults:
            raise NoAnswer
        areas = self._family.areas.get(function, ())
        last = address + count - 1
        if count > self._family.longest or not any(address in a and last in a for a in areas):
            raise ModbusException(ILLEGAL_ADDRESS)
        if self._family.alone is not None and (address, count) == (self._family.alone[0], 1):
            return [self._family.alone[1]]
        image = self._family.image(function, self._take_sample())
        return [image.get(a, 0) for a in range(address, last + 1)]

    def write_registers(self, address: int, values: list[int]) -> None:
        """Refuse every write: a billing meter is read-only."""
        raise ModbusException(ILLEGAL_ADDRESS)

    def _take_sample(self) -> Sample:
        m, faults = self._evse.measured, self._evse.faults
        serial = SERIAL + self._evse.number + (500_000 if Fault.METER_EXCHANGED in faults else 0)
        power_w = tuple(p / 1000 for p in m.power_mw)
        return Sample(
            self._evse.meter_wh,
            _three_lines(m.voltage_v), _three_lines(m.current_a), _three_lines(power_w),
            self._mains.frequency_hz, serial, Fault.METER_IMPLAUSIBLE in faults,
        )  # fmt: skip


def _three_lines(values: tuple[float, ...]) -> tuple[float, float, float]:
    a, b, c = (*values, 0.0, 0.0)[:3]
    return a, b, c


# --- Eastron SDM630: float32, most significant word first, energies in kWh --------------------------------------------


def nearest_kwh_float32(wh: int) -> float:
    """Return the least float32 in kWh that is not below the register.

    Rounded down to Wh it is the register again, as long as a float32 has that many digits (to 16.7 MWh).
    """
    exact = wh / 1000
    near: float = struct.unpack(">f", struct.pack(">f", exact))[0]
    if near * 1000 >= wh:
        return near
    bits = int.from_bytes(struct.pack(">f", near), "big")
    up: float = struct.unpack(">f", (bits + 1).to_bytes(4, "big"))[0]
    return up


def _encode_float32(address: int, value: float) -> Image:
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return {address: high, address + 1: low}


def _sdm_image(code: int) -> Callable[[int, Sample], Image]:
    def encode_image(function: int, s: Sample) -> Image:
        if function == 3:
            return encode_u32(64512, s.serial) | {64514: code} | _encode_float32(0x12, 0.0)
        out: Image = {}
        for k in range(3):
            out |= (
                _encode_float32(2 * k, s.voltage_v[k])
                | _encode_float32(6 + 2 * k, s.current_a[k])
                | _encode_float32(12 + 2 * k, s.power_w[k])
            )
            out |= _encode_float32(18 + 2 * k, s.power_w[k] / POWER_FACTOR)
            out |= _encode_float32(30 + 2 * k, POWER_FACTOR if s.power_w[k] else 1.0)
        energy = math.nan if s.broken else nearest_kwh_float32(s.energy_wh)
        out |= (
            _encode_float32(48, sum(s.current_a))
            | _encode_float32(52, sum(s.power_w))
            | _encode_float32(56, sum(s.power_w) / POWER_FACTOR)
        )
        out |= _encode_float32(62, POWER_FACTOR if sum(s.power_w) else 1.0)
        return (
            out
            | _encode_float32(70, s.frequency_hz)
            | _encode_float32(72, energy)
            | _encode_float32(74, 0.0)
            | _encode_float32(342, energy)
        )

    return encode_image


def _eastron_family(code: int) -> Family:
    return Family(_sdm_image(code), {4: (range(382),), 3: (range(64512, 64516), range(0x40))}, 80)


# --- ABB B23: integers, most significant word first, energies in 10 Wh ------------------------------------------------


def _encode_i32(address: int, value: int) -> Image:
    return encode_u32(address, value & 0xFFFF_FFFF)


def _b23_image(function: int, s: Sample) -> Image:
    missing = 0xFFFF_FFFF_FFFF_FFFF
    out = encode_u64(20480, missing if s.broken else s.energy_wh // 10) | encode_u64(20484, 0)
    for k in range(3):
        out |= encode_u32(23296 + 2 * k, round(s.voltage_v[k] * 10)) | encode_u32(
            23308 + 2 * k, round(s.current_a[k] * 100)
        )
        out |= _encode_i32(23318 + 2 * k, round(s.power_w[k] * 100)) | {23355 + k: round(POWER_FACTOR * 1000)}
    out |= _encode_i32(23316, round(sum(s.power_w) * 100)) | {23340: round(s.frequency_hz * 100), 23354: 990}
    return (
        out
        | encode_u32(35072, s.serial)
        | encode_text(35080, "1.4.0", 8)
        | {35088: 0x0101}
        | encode_text(35168, "B23 112-100", 6)
    )


_ABB = Family(
    _b23_image,
    {3: (range(20480, 20500), range(21600, 21624), range(23296, 23360), range(35072, 35090), range(35168, 35174))},
    125,
)


# --- Carlo Gavazzi EM340: integers, low word first; whole kWh and the Wh beyond them ----------------------------------


def _encode_swapped(address: int, value: int) -> Image:
    value &= 0xFFFF_FFFF
    return {address: value & 0xFFFF, address + 1: value >> 16}


def _em340_image(function: int, s: Sample) -> Image:
    out: Image = {49: 990, 51: round(s.frequency_hz * 10), 770: 3, 771: 1, 4355: 0}
    for k in range(3):
        out |= _encode_swapped(2 * k, round(s.voltage_v[k] * 10)) | _encode_swapped(
            12 + 2 * k, round(s.current_a[k] * 1000)
        )
        out |= _encode_swapped(18 + 2 * k, round(s.power_w[k] * 10))
        out |= {46 + k: round(POWER_FACTOR * 1000)}
        out |= _encode_swapped(6 + 2 * k, round((s.voltage_v[k] + s.voltage_v[(k + 1) % 3]) * 0.866 * 10))
    out |= _encode_swapped(40, round(sum(s.power_w) * 10))
    out |= _encode_swapped(52, 0x7FFF_FFFF if s.broken else s.energy_wh // 100) | _encode_swapped(78, 0)
    out |= _encode_swapped(1024, 0x7FFF_FFFF if s.broken else s.energy_wh // 1000) | _encode_swapped(
        1026, s.energy_wh % 1000
    )
    return out | encode_text(20480, f"KS{s.serial}", 7)


_EM_AREAS = (range(90), range(770, 772), range(1024, 1036), range(4355, 4356), range(20480, 20487))
_GAVAZZI = Family(_em340_image, {3: _EM_AREAS, 4: _EM_AREAS}, 50, alone=(11, 341))

FAMILIES: dict[str, Family] = {
    "eastron_sdm630": _eastron_family(0x70),
    "eastron_sdm72dm": _eastron_family(0x89),
    "abb_b23": _ABB,
    "carlo_gavazzi_em340": _GAVAZZI,
}
"""The families by the name of the map in the station file."""


def meter_family(map_name: str) -> Family:
    """Return the family of a map. Raises ``ValueError`` for an unknown map."""
    if map_name not in FAMILIES:
        raise ValueError(f"meter: there is no simulated meter for map {map_name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[map_name]
