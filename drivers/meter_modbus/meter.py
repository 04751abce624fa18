"""A meter behind a Modbus line, after its map."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction

from agent.model.key_rules import settings_problems
from agent.model.meter_signing import Signing
from agent.model.types import MeterIdentity, Reading, Stamp
from agent.ports import Broken, DeviceError, Exchanged, Garbled, Refused, Unreachable
from agent.ports.driver import Where
from drivers.bus import LineSettings, ModbusLine, Priority, open_line
from drivers.device_errors import with_device_name
from drivers.device_maps import MapError
from drivers.meter_modbus import register_numbers
from drivers.meter_modbus.decoded_values import (
    MOST_DC_V,
    Values,
    check_against_copy,
    check_plausible,
    decode_block,
    energy_wh,
    reading_of_values,
    scale_of,
)
from drivers.meter_modbus.meter_map import find_meter_map
from drivers.meter_modbus.register_layout import ENERGY, Block, IdentityRegister, MeterMap
from drivers.meter_modbus.settings import MeterSettings
from drivers.meter_signing import TransactionSigner

log = logging.getLogger(__name__)

BillingLook = tuple[Values, Stamp]
"""The billing block and when it was read."""

MOST_V = 308.0
"""280 V and a tenth: what a phase can at most deliver per ampere."""


@asynccontextmanager
async def open_meter(settings: MeterSettings, where: Where) -> AsyncIterator[ModbusMeter]:
    """Open the meter. Raises ``Unreachable``, ``Garbled``, ``Broken`` (map, line settings, or another meter than
    configured)."""
    try:
        meter_map = find_meter_map(settings.map, where.config_dirs)
    except MapError as e:
        raise Broken(str(e)) from e
    async with open_line(line_settings(settings, meter_map)) as line:
        meter = ModbusMeter(settings, where, meter_map, line)
        with line.claim_billing_unit(meter.unit):
            await meter.start_meter()
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


def list_complaints(settings: MeterSettings, where: Where) -> list[str]:
    """List what is wrong with the station file, without touching the line."""
    try:
        meter_map = find_meter_map(settings.map, where.config_dirs)
    except MapError as e:
        return [f"map: {e}"]
    wrong = settings_problems(settings) + line_settings(settings, meter_map).list_complaints()
    if meter_map.step_wh > settings.coarsest_wh:
        wrong.append(_too_coarse(meter_map, float(meter_map.step_wh), settings))
    if meter_map.current == "AC" and where.facts.phases > meter_map.phases:
        wrong.append(f"map: {settings.map!r} measures one phase, the EVSE has {where.facts.phases}: two are free")
    return wrong


def bus_address(settings: MeterSettings, where: Where) -> tuple[object, ...]:
    """Return the line and the unit on it, however they are spelt."""
    try:
        meter_map = find_meter_map(settings.map, where.config_dirs)
    except MapError:
        return (settings.line, settings.device, settings.host, settings.port, settings.unit)
    return (*line_settings(settings, meter_map).connection_key, _unit_address(settings, meter_map))


def _unit_address(settings: MeterSettings, meter_map: MeterMap) -> int:
    return meter_map.unit if settings.unit is None else settings.unit


def _too_coarse(meter_map: MeterMap, step_wh: float, settings: MeterSettings) -> str:
    return (
        f"the billing register of a {meter_map.vendor} {meter_map.model} counts in steps of {step_wh:g} Wh, the "
        f"station file allows {settings.coarsest_wh:g} (coarsest_wh): use a finer meter"
    )


def transaction_signer(
    s: MeterSettings, meter_map: MeterMap, line: ModbusLine, unit: int, name: str
) -> TransactionSigner | None:
    """Return the signer of this meter; None: it does not sign."""
    if not meter_map.signing:
        return None
    from drivers.meter_modbus.em580 import Em580

    return TransactionSigner(Em580(line, unit), name, s.signature_required, s.record_s)


class ModbusMeter:
    """``agent.ports.meter.MeterPort``, of one that signs ``SigningMeter``: nothing else of it ever writes."""

    def __init__(self, settings: MeterSettings, where: Where, meter_map: MeterMap, line: ModbusLine) -> None:
        self.identity = MeterIdentity(vendor=meter_map.vendor, model=meter_map.model)
        self._map = meter_map
        self._line = line
        self._settings = settings
        self.unit = _unit_address(settings, meter_map)
        self._pinned = settings.serial
        self._now = where.now
        self._phases = where.facts.phases
        self._dc = meter_map.current == "DC"
        volts = MOST_DC_V if self._dc else self._phases * MOST_V
        self._most_w = where.facts.max_a * volts
        self._name = f"meter of EVSE {where.evse} ({line.settings.name}, unit {self.unit})"
        self._known_at = 0
        self._seen: dict[str, str] = {}
        self._absent: set[int] = set()
        self._last: BillingLook | None = None
        self._signer = transaction_signer(settings, meter_map, line, self.unit, self._name)

    async def start_meter(self) -> None:
        try:
            await self._verify_identity(Priority.IDENTITY)
            self._accept_register(*await self._read_billing_block(Priority.IDENTITY))
        except DeviceError as e:
            raise self._named_error(e) from e

    async def read(self) -> Reading:
        try:
            await self._verify_after_reconnect(Priority.POLL)
            values, at = await self._read_steady_register()
            for block in self._map.blocks[1:]:
                values |= await self._read_block(block, Priority.POLL)
            check_plausible(values, self._phases, self._dc)
            check_against_copy(values, self._map.copy_step_wh)
            await self._verify_after_reconnect(Priority.POLL)
            self._accept_register(values, at)
            return reading_of_values(values, at, self._dc)
        except DeviceError as e:
            raise self._named_error(e) from e

    async def read_billing(self) -> Reading:
        """Read the identity, then the register twice with everything else in between; a third look decides when they
        disagree. On a serial line a meter can be exchanged without anything else to be seen."""
        try:
            await self._verify_identity(Priority.BILLING)
            looks = [await self._read_billing_block(Priority.BILLING)]
            others = await self._read_live_values()
            looks.append(await self._read_billing_block(Priority.BILLING))
            if not self._readings_agree(looks, others):
                looks.append(await self._read_billing_block(Priority.BILLING))
                if not self._readings_agree(looks, others):
                    raise Garbled("three looks at the billing register gave three answers")
            values, at = looks[-1]
            await self._verify_after_reconnect(Priority.BILLING)
            self._accept_register(values, at)
            return reading_of_values(others | values, at, self._dc)
        except DeviceError as e:
            raise self._named_error(e) from e

    async def read_signed(self, signing: Signing) -> Reading:
        """Do ``read_billing``, and begin or end the meter's own transaction with it."""
        if self._signer is None:
            return await self.read_billing()
        boot, t_s = self._now()
        passed_s = t_s - signing.asked.t_s if boot == signing.asked.boot else 0.0
        utc_s = None if signing.utc_s is None else signing.utc_s + passed_s
        try:
            return await self._signer.read_and_sign(signing, utc_s, self.read_billing)
        except DeviceError as e:
            raise self._named_error(e) from e

    async def _read_live_values(self) -> Values:
        """Read power, voltages ... for the same moment; the bill does not depend on them."""
        values: Values = {}
        try:
            for block in self._map.blocks[1:]:
                values |= await self._read_block(block, Priority.BILLING)
            check_plausible(values, self._phases, self._dc)
        except DeviceError as e:
            log.info("%s: %s", self._name, e)
            return {}
        return values

    async def _read_steady_register(self) -> BillingLook:
        """Read the register; look at a surprising one again. A single wrong look does not count, one that stays
        does."""
        first = await self._read_billing_block(Priority.POLL)
        if self._last is None or self._is_plausible_step(self._last, first, self._most_w):
            return first
        second = await self._read_billing_block(Priority.POLL)
        if self._is_plausible_step(self._last, second, self._most_w) or self._is_plausible_step(
            first, second, self._most_w
        ):
            return second
        raise Garbled("the billing register jumps: two looks gave different values")

    def _accept_register(self, values: Values, at: Stamp) -> None:
        if self._last is not None and energy_wh(values) < (last_wh := energy_wh(self._last[0])):
            raise Garbled(
                f"the billing register went back from {last_wh} to {energy_wh(values)} Wh: "
                "was the meter exchanged or reset?"
            )
        self._last = (values, at)

    async def _read_billing_block(self, priority: Priority) -> BillingLook:
        values = await self._read_block(self._map.billing_block, priority)
        at = Stamp(*self._now())
        check_plausible(values, self._phases, self._dc)
        return values, at

    async def _read_block(self, block: Block, priority: Priority) -> Values:
        if block.address in self._absent:
            return {}
        try:
            return decode_block(block, await self._read_registers(block, priority), self._map.marks_missing)
        except Broken:
            if not block.optional:
                raise
            self._absent.add(block.address)
            return {}

    async def _read_registers(self, block: Block, priority: Priority) -> list[int]:
        try:
            return await self._line.read_registers(self.unit, block.function, block.address, block.count, priority)
        except Refused as e:
            raise Broken(f"{e}; does the map {self._map.name!r} fit this meter and its firmware?") from e

    def _is_plausible_step(self, one: BillingLook, later: BillingLook, most_w: float) -> bool:
        """Return whether the register went not backwards, and no faster than this power explains (and one step)."""
        passed_s = max(later[1].t_s - one[1].t_s, 0.0)
        explained_wh = most_w * passed_s / 3600 + self.identity.register_step_wh + 1
        return 0 <= energy_wh(later[0]) - energy_wh(one[0]) <= explained_wh

    def _readings_agree(self, looks: list[BillingLook], others: Values) -> bool:
        """Return whether the last reading follows from one of the earlier ones."""
        measured_w = 2 * max((abs(float(w)) for w in others.get("power_w", ())), default=0.0)
        return any(self._is_plausible_step(look, looks[-1], max(self._most_w, measured_w)) for look in looks[:-1])

    async def _verify_after_reconnect(self, priority: Priority) -> None:
        """Read the identity before a value is believed. After a reconnect (also one in the middle of a reading) and
        after any error another meter may hang on the line."""
        if self._line.connection_number != self._known_at:
            await self._verify_identity(priority)

    async def _verify_identity(self, priority: Priority) -> None:
        found = await self._read_identity_registers(priority)
        anew = found != (self._seen or found) or (self._pinned and found.get("serial") != self._pinned)
        if anew or self._is_other_model(found):
            found = await self._read_identity_registers(
                priority
            )  # what slips through a checksum once must not end it for good
        self._seen = found
        if self._is_other_model(found):
            raise Broken(
                f"{self._name}: reports model {found['model']!r}; the map {self._map.name!r} is for another meter"
            )
        serial = found.get("serial") or ""
        if self._pinned and not serial:
            raise Broken(f"{self._name}: serial number not readable, expected {self._pinned!r}; check map and firmware")
        if self._pinned and serial != self._pinned:
            raise Exchanged(
                f"{self._name}: serial number is {serial!r}, expected {self._pinned!r}: the meter "
                "was exchanged; put the new one into service (serial in the station file)"
            )
        self._pinned = self._pinned or serial
        self._absent.clear()
        step_wh = self.identity.register_step_wh if self._known_at else await self._register_step_wh(priority)
        if step_wh > self._settings.coarsest_wh:
            raise Broken(f"{self._name}: {_too_coarse(self._map, step_wh, self._settings)}")
        self.identity = MeterIdentity(
            self._map.vendor, self._map.model, serial, found.get("firmware") or "", step_wh,
            self._map.classes, self._is_mid_variant(found.get("mid") or ""),
            tuple(f"{fact} ({why})" for fact, why in self._map.unproven.items()), self._signer is not None,
            self._map.reset,
        )  # fmt: skip
        self._known_at = self._line.connection_number

    async def _read_identity_registers(self, priority: Priority) -> dict[str, str]:
        return {name: await self._read_identity_register(mark, priority) for name, mark in self._map.identity.items()}

    def _is_other_model(self, found: dict[str, str]) -> bool:
        """Return whether the meter itself reports a model that the map is not for."""
        model = self._map.identity.get("model")
        return bool(model and model.accept and found["model"] and not _matches_accepted(found["model"], model))

    def _is_mid_variant(self, found: str) -> bool | None:
        """Return whether the meter reports that it is of the MID variant; None: it has no such register."""
        mark = self._map.identity.get("mid")
        return _matches_accepted(found, mark) if mark and found else None

    async def _read_identity_register(self, mark: IdentityRegister, priority: Priority) -> str:
        """Read an identity register as text; empty when the meter does not have it."""
        try:
            words = await self._line.read_registers(self.unit, mark.function, mark.address, mark.count, priority)
        except Refused:
            return ""
        if mark.type.kind == "ascii":
            return register_numbers.registers_to_text(words)
        if mark.count != mark.type.register_count:
            return ".".join(map(str, words))
        raw = mark.type.decode_words(words)
        return str(raw) if (raw or mark.zero_counts) and not mark.type.marks_unavailable(raw) else ""

    async def _register_step_wh(self, priority: Priority) -> float:
        """Return the step of the billing register: a float register grows coarser with its value."""
        block, step = self._map.billing_block, self._map.step_wh
        registers = await self._read_registers(block, priority)
        for r in block.values[ENERGY]:
            if r.exponent_at is not None:
                step = scale_of(r, block, registers)
            elif r.type.kind == "float":
                start = r.at - block.address
                raw = r.type.decode_words(registers[start : start + r.type.register_count])
                step = max(step, register_numbers.float_step(raw, r.type) * Fraction(r.scale))
        return float(step)

    def _named_error(self, error: DeviceError) -> DeviceError:
        self._known_at = 0
        return with_device_name(self._name, Unreachable(str(error)) if isinstance(error, Refused) else error)


def _matches_accepted(found: str, model: IdentityRegister) -> bool:
    return any(found.startswith(a) if isinstance(a, str) else found == str(a) for a in model.accept)
