"""The registers of an energy manager, read again and again."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from agent.model.energy_manager import LimitReport
from agent.model.key_rules import settings_problems
from agent.ports import Broken, Refused, Unreachable
from drivers.bus import LineSettings, ModbusLine, open_line
from drivers.bus.line import READ_HOLDING, READ_INPUT
from drivers.limit_modbus.settings import LimitSettings

_FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}
_FUNCTIONS = {"holding": READ_HOLDING, "input": READ_INPUT}
_LAST_REGISTER = 65_535


def line_settings(settings: LimitSettings) -> LineSettings:
    return LineSettings(
        kind=settings.line,
        device=settings.device,
        host=settings.host,
        port=settings.port,
        baud=settings.baud,
        parity=settings.parity,
        timeout_s=settings.timeout_s,
    )


def setting_complaints(settings: LimitSettings) -> list[str]:
    """List what a person has to correct in the station file."""
    wrong = settings_problems(settings) + line_settings(settings).list_complaints()
    if settings.register + register_count(settings) - 1 > _LAST_REGISTER:
        wrong.append(f"register: a {settings.type} needs two registers, and {settings.register} is the last one")
    if settings.released is not None and not _fits_registers(settings.released, settings):
        wrong.append(f"released: {settings.released} is no number of a register of type {settings.type}")
    return wrong


def _fits_registers(number: int, settings: LimitSettings) -> bool:
    try:
        struct.pack(_FORMATS[settings.type], number)
    except struct.error:
        return False
    return True


def register_count(settings: LimitSettings) -> int:
    return struct.calcsize(_FORMATS[settings.type]) // 2


@asynccontextmanager
async def open_limit_registers(settings: LimitSettings) -> AsyncIterator[ModbusEnergyManager]:
    """Open the line, and read the limit once. Raises ``Unreachable``, ``Garbled``, ``Broken``."""
    if wrong := setting_complaints(settings):
        raise Broken("limit_modbus: " + "; ".join(wrong))
    async with open_line(line_settings(settings)) as line:
        manager = ModbusEnergyManager(settings, line)
        await manager.read_limit_report()
        yield manager


class ModbusEnergyManager:
    """``agent.ports.energy_manager.EnergyManagerPort``. It never writes."""

    def __init__(self, settings: LimitSettings, line: ModbusLine) -> None:
        self._settings, self._line = settings, line
        self._name = f"energy manager at {line.settings.name}, unit {settings.unit}"

    async def limits(self) -> AsyncIterator[LimitReport]:
        """Yield a report at each look. With a counter of life only those beside which something has changed."""
        before: tuple[LimitReport, int | None] | None = None
        lived_s = asyncio.get_running_loop().time()
        while True:
            seen = await self.read_limit_report(), await self._read_life_counter()
            if self._settings.alive is None or (before is not None and seen != before):
                lived_s = asyncio.get_running_loop().time()
                yield seen[0]
            elif asyncio.get_running_loop().time() > lived_s + self._settings.alive_s:
                raise Unreachable(f"{self._name}: register {self._settings.alive} (alive) stands still")
            before = seen
            await asyncio.sleep(self._settings.poll_s)

    async def read_limit_report(self) -> LimitReport:
        """Read the limit. Raises ``Unreachable``, ``Garbled``, ``Broken``."""
        words = await self._read_words(self._settings.register, register_count(self._settings))
        return decode_limit_registers(words, self._settings)

    async def _read_life_counter(self) -> int | None:
        if self._settings.alive is None:
            return None
        return (await self._read_words(self._settings.alive, 1))[0]

    async def _read_words(self, address: int, count: int) -> list[int]:
        s = self._settings
        try:
            return await self._line.read_registers(s.unit, _FUNCTIONS[s.table], address, count)
        except Refused as e:
            raise Broken(f"{self._name}: {e}; correct register, alive or table") from e


def decode_limit_registers(words: Sequence[int], settings: LimitSettings) -> LimitReport:
    """Decode the registers of the limit."""
    octets = b"".join(word.to_bytes(2, "big") for word in words)
    (number,) = struct.unpack(_FORMATS[settings.type], octets)
    if settings.released is not None and number == settings.released:
        return LimitReport(None)
    if set(octets) == {0xFF} or not math.isfinite(number):
        return LimitReport(problem=f"register {settings.register} has no number (0x{octets.hex()})")
    return LimitReport(round(number * settings.scale, 6))
