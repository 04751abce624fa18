"""A meter behind a Modbus line, after its map."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction

from agent.kinds import MeterIdentity, Reading, Stamp
from agent.ports import Broken, DeviceError, Garbled, Refused, Unreachable
from agent.ports.driver import Where
from drivers.bus import Line, LineSettings, Priority, open_line
from drivers.meter_modbus import MeterSettings, numbers
from drivers.meter_modbus.meter_map import ENERGY, Block, MapError, Mark, MeterMap, find
from drivers.meter_modbus.picture import Values, check, decode, energy_wh, reading

log = logging.getLogger(__name__)

MOST_V = 308.0
"""280 V and a tenth: what a phase can at most deliver per ampere."""


@asynccontextmanager
async def open_meter(settings: MeterSettings, where: Where) -> AsyncIterator[ModbusMeter]:
    """Raises ``Unreachable``, ``Garbled``, ``Broken`` (map, line settings, or another meter than configured)."""
    try:
        meter_map = find(settings.map, where.config_dirs)
    except MapError as e:
        raise Broken(str(e)) from e
    async with open_line(line_settings(settings, meter_map)) as line:
        meter = ModbusMeter(settings, where, meter_map, line)
        await meter.begin()
        yield meter


def line_settings(settings: MeterSettings, meter_map: MeterMap) -> LineSettings:
    return LineSettings(
        kind=settings.line,
        device=settings.device,
        host=settings.host,
        port=settings.port,
        baud=settings.baud or meter_map.baud,
        parity=settings.parity or meter_map.parity,
        stopbits=meter_map.stopbits,
        timeout_s=settings.timeout_s,
        gap_s=meter_map.gap_s,
    )


def complaints(settings: MeterSettings, where: Where) -> list[str]:
    """What is wrong with the station file, without touching the line."""
    try:
        return line_settings(settings, find(settings.map, where.config_dirs)).complaints()
    except MapError as e:
        return [str(e)]


class ModbusMeter:
    """``agent.ports.meter.MeterPort``. Never writes."""

    def __init__(self, settings: MeterSettings, where: Where, meter_map: MeterMap, line: Line) -> None:
        self.identity = MeterIdentity(vendor=meter_map.vendor, model=meter_map.model)
        self._map = meter_map
        self._line = line
        self._unit = settings.unit
        self._pinned = settings.serial
        self._now = where.now
        self._phases = int(where.facts.get("phases", 3))
        self._most_w = self._phases * float(where.facts.get("max_a", 32.0)) * MOST_V
        self._name = f"meter of EVSE {where.evse} ({line.settings.name}, unit {settings.unit})"
        self._known_at = 0
        self._absent: set[int] = set()
        self._last: tuple[int, float] | None = None

    async def begin(self) -> None:
        try:
            await self._identify()
            await self._energy(Priority.IDENTITY)
        except DeviceError as e:
            raise self._told(e) from e

    async def read(self) -> Reading:
        try:
            await self._same_meter(Priority.POLL)
            values, at = await self._energy(Priority.POLL)
            for block in self._map.blocks[1:]:
                values |= await self._block(block, Priority.POLL)
            check(values, self._phases)
            return reading(values, at)
        except DeviceError as e:
            raise self._told(e) from e

    async def read_billing(self) -> Reading:
        """Two looks at the register, everything else in between; a third look decides when they disagree."""
        try:
            await self._same_meter(Priority.BILLING)
            first, first_at = await self._energy(Priority.BILLING)
            others = await self._companions()
            second, second_at = await self._energy(Priority.BILLING)
            if not self._agree(first, first_at, second, second_at, others):
                third, third_at = await self._energy(Priority.BILLING)
                if not (
                    self._agree(second, second_at, third, third_at, others)
                    or self._agree(first, first_at, third, third_at, others)
                ):
                    raise Garbled("three looks at the billing register gave three answers")
                second, second_at = third, third_at
            return reading(others | second, second_at)
        except DeviceError as e:
            raise self._told(e) from e

    async def _companions(self) -> Values:
        """Power, voltages ... for the same moment; the bill does not depend on them."""
        values: Values = {}
        try:
            for block in self._map.blocks[1:]:
                values |= await self._block(block, Priority.BILLING)
            check(values, self._phases)
        except DeviceError as e:
            log.info("%s: %s", self._name, e)
            return {}
        return values

    async def _energy(self, priority: Priority) -> tuple[Values, Stamp]:
        """The billing block and when it was read; a surprising register is looked at again before it is believed."""
        values, at = await self._look(priority)
        if self._last is not None and not self._follows(*self._last, energy_wh(values), at.t_s, self._most_w):
            again, again_at = await self._look(priority)
            if not self._follows(energy_wh(values), at.t_s, energy_wh(again), again_at.t_s, self._most_w):
                raise Garbled("the billing register jumps: two looks gave different values")
            values, at = again, again_at
        if self._last is not None and energy_wh(values) < self._last[0]:
            raise Garbled(
                f"the billing register went back from {self._last[0]} to {energy_wh(values)} Wh: "
                "was the meter exchanged or reset?"
            )
        self._last = (energy_wh(values), at.t_s)
        return values, at

    async def _look(self, priority: Priority) -> tuple[Values, Stamp]:
        values = await self._block(self._map.billing, priority)
        at = Stamp(*self._now())
        check(values, self._phases)
        return values, at

    async def _block(self, block: Block, priority: Priority) -> Values:
        if block.address in self._absent:
            return {}
        try:
            return decode(block, await self._registers(block, priority), self._map.marks_missing)
        except Broken:
            if not block.optional:
                raise
            self._absent.add(block.address)
            return {}

    async def _registers(self, block: Block, priority: Priority) -> list[int]:
        try:
            return await self._line.read(self._unit, block.function, block.address, block.count, priority)
        except Refused as e:
            raise Broken(f"{e}; does the map {self._map.name!r} fit this meter and its firmware?") from e

    def _follows(self, wh: int, t_s: float, later_wh: int, later_t_s: float, most_w: float) -> bool:
        """Not backwards, and no faster than so much power explains (and one step of the register)."""
        explained = most_w * max(later_t_s - t_s, 0.0) / 3600 + self.identity.register_step_wh + 1
        return 0 <= later_wh - wh <= explained

    def _agree(self, a: Values, a_at: Stamp, b: Values, b_at: Stamp, others: Values) -> bool:
        measured_w = 2 * max((abs(float(w)) for w in others.get("power_w", ())), default=0.0)
        return self._follows(energy_wh(a), a_at.t_s, energy_wh(b), b_at.t_s, max(self._most_w, measured_w))

    async def _same_meter(self, priority: Priority) -> None:
        """After a reconnect anything may hang on the line: look who it is before believing a value."""
        if self._line.generation != self._known_at:
            await self._identify(priority)

    async def _identify(self, priority: Priority = Priority.IDENTITY) -> None:
        told = {name: await self._mark(mark, priority) for name, mark in self._map.identity.items()}
        model = self._map.identity.get("model")
        if model and model.accept and told["model"] and not _accepted(told["model"], model):
            raise Broken(
                f"{self._name}: says it is model {told['model']!r}; the map {self._map.name!r} is for another meter"
            )
        serial = told.get("serial") or ""
        if self._pinned and serial != self._pinned:
            raise Broken(
                f"{self._name}: serial number is {serial or 'not readable'!r}, expected {self._pinned!r}: the meter "
                "was exchanged; put the new one into service (serial in the station file)"
            )
        self._pinned = self._pinned or serial
        self._absent.clear()
        self.identity = MeterIdentity(
            self._map.vendor, self._map.model, serial, told.get("firmware") or "", await self._step_wh(priority)
        )
        self._known_at = self._line.generation

    async def _mark(self, mark: Mark, priority: Priority) -> str:
        """An identity register as text; empty when the meter does not have it."""
        try:
            words = await self._line.read(self._unit, mark.function, mark.address, mark.count, priority)
        except Refused:
            return ""
        if mark.type.kind == "ascii":
            return numbers.text(words)
        if mark.count != mark.type.registers:
            return ".".join(map(str, words))
        raw = mark.type.decode(words)
        return str(raw) if raw and not mark.type.missing(raw) else ""

    async def _step_wh(self, priority: Priority) -> float:
        """Step of the billing register: a float register grows coarser with its value."""
        block, step = self._map.billing, self._map.step_wh
        registers = await self._registers(block, priority)
        for r in block.values[ENERGY]:
            if r.type.kind == "float":
                start = r.at - block.address
                raw = r.type.decode(registers[start : start + r.type.registers])
                step = max(step, numbers.float_step(raw, r.type) * Fraction(r.scale))
        return float(step)

    def _told(self, error: DeviceError) -> DeviceError:
        text = str(error)
        if isinstance(error, Unreachable):
            self._known_at = 0
        if isinstance(error, Refused):
            return Unreachable(f"{self._name}: {text}")
        return type(error)(text if text.startswith(self._name) else f"{self._name}: {text}")


def _accepted(told: str, model: Mark) -> bool:
    return any(told.startswith(a) if isinstance(a, str) else told == str(a) for a in model.accept)
