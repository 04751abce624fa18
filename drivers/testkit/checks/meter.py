"""Checks of a billing meter."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from agent.model.types import Reading
from agent.ports.verify import Check, DeviceUnderTest, Skipped
from drivers.testkit.checks.common import ROUNDS, bus_checks, host_overload
from drivers.testkit.meter import check_meter

LOOK_S = 1.0
"""A session begins with a reading, and the vehicle's driver waits for it."""
GRID_V = (207.0, 253.0)
"""230 V and a tenth (EN 50160); between two phases it is times the root of 3, which is outside."""
GRID_HZ = (49.0, 51.0)
ENOUGH_WH = 6.0
COUNT_S = 120.0
APART = 0.1
"""Permitted difference of register and integrated power: one read per fifth of a second is coarse."""
JUMP_WH = 1000


async def check_identity(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as meter:
        i = meter.identity
        for name in ("vendor", "model", "serial", "firmware"):
            if getattr(i, name):
                bench.record_figure(name, getattr(i, name))
        bench.record_figure("register_step_wh", i.register_step_wh)
        assert i.vendor or i.model, (
            f"{bench.name}: the driver does not report which meter this is; name vendor and model"
        )
        serial = i.serial or "not readable: compare the label"
        return f"{i.vendor} {i.model}, serial {serial}, step {i.register_step_wh:g} Wh"


async def check_contract(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as meter:
        await check_meter(meter)
    return "readings are whole Wh, in order of time, and agree"


async def check_units(bench: DeviceUnderTest) -> str:
    """Compare volts and hertz with the grid. A wrong scale or word order shows here."""
    async with bench.open_port() as meter:
        r: Reading = await meter.read()
    if r.dc:
        raise Skipped("direct current: there is no grid to compare it with; give a reference")
    volts = [v for v in r.voltage_v if v > 0]
    if not volts and r.frequency_hz is None:
        raise Skipped("this meter reports neither voltage nor frequency")
    found = ", ".join(f"{v:.1f} V" for v in volts) + (
        f", {r.frequency_hz:.2f} Hz" if r.frequency_hz is not None else ""
    )
    why = f"{bench.name}: {found}: that is no grid; wrong scale, word order, map or wiring"
    assert all(GRID_V[0] <= v <= GRID_V[1] for v in volts), why
    assert r.frequency_hz is None or GRID_HZ[0] <= r.frequency_hz <= GRID_HZ[1], why
    return found


async def check_reference(bench: DeviceUnderTest) -> str:
    """Compare the register with the meter's own display, with the precision of the reference value."""
    text = (await bench.reference_value("energy_kwh", "what does the meter's own display show now, in kWh?")).replace(
        ",", "."
    )
    try:
        wanted_wh = float(text) * 1000
    except ValueError:
        raise AssertionError(f"{bench.name}: the reference must be a number of kWh, is {text!r}") from None
    decimals = len(text.partition(".")[2])
    async with bench.open_port() as meter:
        seen_wh = (await meter.read()).energy_wh
        near_wh = 1000 / 10**decimals + meter.identity.register_step_wh
    found = f"the driver reads {seen_wh / 1000:.3f} kWh, the reference is {text} kWh"
    assert abs(seen_wh - wanted_wh) <= near_wh, f"{bench.name}: {found}: wrong register, scale or word order"
    return found


async def check_counting(bench: DeviceUnderTest) -> str:
    """Check that under load the register moves in step with the meter's own power.

    If the host has more work than cores, a reading may be late: the measurement is repeated.
    """
    rounds_left = ROUNDS
    while True:
        try:
            return await _count_energy(bench)
        except AssertionError:
            rounds_left -= 1
            if not rounds_left or host_overload() == 1:
                raise


async def _count_energy(bench: DeviceUnderTest) -> str:
    async with bench.vehicle_charging(), bench.open_port() as meter:
        first = last = await meter.read()
        made_wh, unsure_wh, until_s = 0.0, 0.0, time.monotonic() + COUNT_S
        needed_wh = max(ENOUGH_WH, 3 * meter.identity.register_step_wh)
        starts_s = time.monotonic() + bench.patience_s / 2
        while made_wh - unsure_wh < needed_wh and time.monotonic() < (until_s if made_wh else starts_s):
            await asyncio.sleep(0.2)
            now = await meter.read()
            hours, powers_w = (now.at.t_s - last.at.t_s) / 3600, (last.power_w or 0.0, now.power_w or 0.0)
            made_wh += sum(powers_w) / 2 * hours
            unsure_wh += (
                abs(powers_w[1] - powers_w[0]) / 2 * hours
            )  # the moment of the change between the two reads is unknown
            last = now
    return _judge_counting(bench, first, last, made_wh, 2 * meter.identity.register_step_wh + unsure_wh)


def _judge_counting(bench: DeviceUnderTest, first: Reading, last: Reading, made_wh: float, unsure_wh: float) -> str:
    if last.power_w is None:
        assert last.energy_wh > first.energy_wh, f"{bench.name}: a vehicle charges and the register stands still"
        return f"the register moved by {last.energy_wh - first.energy_wh} Wh; this meter reports no power to compare"
    moved_wh = last.energy_wh - first.energy_wh
    found = f"the register moved by {moved_wh} Wh, its own power makes {made_wh:.1f} Wh"
    assert made_wh > 0, (
        f"{bench.name}: a vehicle charges and the meter reports no power: frozen, or it measures elsewhere"
    )
    assert abs(moved_wh - made_wh) <= APART * made_wh + unsure_wh, f"{bench.name}: {found}: frozen, or a wrong scale"
    volts_amps = sum(v * a for v, a in zip(last.voltage_v, last.current_a, strict=False))
    if volts_amps > 500:
        found += f"; {last.power_w:.0f} W of {volts_amps:.0f} VA"
        assert 0.5 * volts_amps <= last.power_w <= 1.05 * volts_amps + 20, f"{bench.name}: {found}: scale or wiring"
    return found


def find_implausible(before: Reading, now: Reading) -> str:
    if not before.energy_wh <= now.energy_wh <= before.energy_wh + JUMP_WH:
        return f"the register went from {before.energy_wh} to {now.energy_wh} Wh"
    return ""


async def _read_meter(meter: Any) -> Reading:
    found: Reading = await meter.read()
    return found


CHECKS = (
    Check("meter", "identity", check_identity),
    Check("meter", "contract", check_contract),
    Check("meter", "units", check_units),
    Check("meter", "reference", check_reference),
    Check("meter", "counts", check_counting),
    *bus_checks("meter", _read_meter, find_implausible, LOOK_S),
)
