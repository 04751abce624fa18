"""The registers of one block as named values, and what cannot be true about them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from agent.model.types import Reading, Stamp
from agent.ports import Garbled
from drivers.meter_modbus.register_layout import COPY, ENERGY, PHASED, SINGLE, Block, Register
from drivers.meter_modbus.register_numbers import exact_energy_wh

Values = dict[str, tuple[Fraction, ...]]
"""A value's name to its numbers; phases that the meter marks as not available are left out from the first one on."""

VOLTAGE_V = (150, 440)
"""Of the highest line: a phase may be lost, and without its neutral rise nearly to the voltage between two phases."""
FREQUENCY_HZ = (45, 55)
MOST_A = 1000
MOST_DC_V = 1500
"""The scope of EN 50470-4."""
MOST_EXPONENT = 6


def decode_block(block: Block, registers: list[int], marks_missing: bool) -> Values:
    """Decode one block. Raises ``Garbled`` for NaN, infinities, numbers over a register's bound and a billing
    register without value."""
    found: Values = {}
    for name, places in block.values.items():
        numbers = [_decode_number(name, r, block, registers, marks_missing) for r in places]
        if name == ENERGY and None in numbers:
            raise Garbled(f"the billing register at {places[0].at} is marked as not available")
        present = numbers[: numbers.index(None)] if None in numbers else numbers
        if present and (len(present) in (1, 3) or name == ENERGY):
            found[name] = tuple(n for n in present if n is not None)
    return found


def _decode_number(name: str, r: Register, block: Block, registers: list[int], marks_missing: bool) -> Fraction | None:
    start = r.at - block.address
    raw = r.type.decode_words(registers[start : start + r.type.register_count])
    if marks_missing and r.type.marks_unavailable(raw):
        return None
    if r.most is not None and not 0 <= raw <= r.most:
        raise Garbled(f"register {r.at} has {raw}, more than {r.most} is impossible: wrong word order?")
    scale = scale_of(r, block, registers)
    value = exact_energy_wh(raw, scale, r.type) if name.endswith("_wh") else Fraction(raw) * scale
    return value / 10 if r.tenth_above is not None and value > r.tenth_above else value


def scale_of(r: Register, block: Block, registers: list[int]) -> Fraction:
    """Return what one step of a register is worth. Raises ``Garbled``."""
    if r.exponent_at is None:
        return r.scale
    word = registers[r.exponent_at - block.address]
    exponent = word - 0x10000 if word & 0x8000 else word
    if abs(exponent) > MOST_EXPONENT:
        raise Garbled(f"register {r.exponent_at} has 10^{exponent}, which no meter multiplies by")
    return r.scale * Fraction(10) ** exponent


def check_plausible(values: Values, phases: int, dc: bool = False) -> None:
    """Refuse values that no grid delivers: they betray a wrong map, word order or unit. All lines dark is possible: a
    meter with an auxiliary supply reports that during a power cut. Raises ``Garbled``."""
    volts = values.get("voltage_v", ())[:phases]
    least_v, most_v = (-MOST_DC_V, MOST_DC_V) if dc else VOLTAGE_V
    if any(volts) and not (least_v <= max(volts) <= most_v and (dc or min(volts) >= 0)):
        shown = ", ".join(f"{float(v):.4g}" for v in volts)
        raise Garbled(f"a voltage of {shown} V is not between {least_v} and {most_v} V: wrong unit or word order?")
    for ampere in values.get("current_a", ()):
        if abs(ampere) > MOST_A:
            raise Garbled(f"current {float(ampere):.4g} A is more than {MOST_A} A: wrong word order or unit?")
    for hertz in filter(None, values.get("frequency_hz", ())):
        if not FREQUENCY_HZ[0] <= hertz <= FREQUENCY_HZ[1]:
            raise Garbled(f"frequency {float(hertz):.4g} Hz is not between {FREQUENCY_HZ[0]} and {FREQUENCY_HZ[1]} Hz")
    if sum(values.get(ENERGY, ())) < 0:
        raise Garbled("the billing register is negative")


def check_against_copy(values: Values, step_wh: Fraction) -> None:
    """Compare the billing register with its coarser copy elsewhere in the meter, which is read a moment later. One step
    of the copy is allowed for its floor, one for the energy of that moment. Raises ``Garbled``."""
    if COPY not in values or ENERGY not in values:
        return
    billed_wh, copy_wh = energy_wh(values), values[COPY][0]
    if abs(billed_wh - copy_wh) > 2 * step_wh:
        raise Garbled(
            f"the billing register has {billed_wh} Wh, its copy {float(copy_wh):g} Wh: does the map fit this meter?"
        )


def energy_wh(values: Values) -> int:
    """Return the billing register, floored. Its parts (whole kWh, Wh) are added before."""
    return sum(values[ENERGY], Fraction(0)) // 1


def reading_of_values(values: Mapping[str, tuple[Fraction, ...]], at: Stamp, dc: bool = False) -> Reading:
    wh = energy_wh(dict(values))
    one = {n: float(values[n][0]) if n in values else None for n in SINGLE}
    phased = {n: tuple(map(float, values.get(n, ()))) for n in PHASED}
    export = values["export_wh"][0] // 1 if "export_wh" in values else None
    return Reading(
        at=at,
        energy_wh=wh,
        power_w=one["power_w"],
        voltage_v=phased["voltage_v"],
        current_a=phased["current_a"],
        power_phase_w=phased["power_phase_w"],
        frequency_hz=one["frequency_hz"],
        power_factor=one["power_factor"],
        export_wh=export,
        dc=dc,
    )
