"""Devices on the same line share one connection: the lines that are open in this process, counted by their users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from agent.ports import Broken
from drivers.bus.actor import LineActor, Wanted
from drivers.bus.line import WRITE_MANY, LineSettings, Priority, Request

_open_lines: dict[tuple[asyncio.AbstractEventLoop, tuple[str, ...]], LineActor] = {}


@dataclass(frozen=True, slots=True)
class ModbusLine:
    """A device's view of the line: the shared actor, with this device's own time-out and gap."""

    actor: LineActor
    settings: LineSettings

    @property
    def connection_number(self) -> int:
        """Number of the present connection; a new one means that anything may be connected now."""
        return self.actor.generation

    async def read_registers(
        self, unit: int, function: int, address: int, count: int, priority: Priority = Priority.POLL
    ) -> list[int]:
        """Read ``count`` registers (0-65535, function 3 or 4) or bits (0 or 1, function 1 or 2) from the 0-based
        ``address``.
        Raises ``Unreachable``, ``Garbled``, ``Refused``, ``Broken``."""
        return await self._queue_transfer(Request(unit, function, address, count), priority, None)

    async def write_registers(
        self,
        unit: int,
        address: int,
        values: Sequence[int],
        priority: Priority = Priority.CONTROL,
        *,
        function: int = WRITE_MANY,
        wanted: Wanted | None = None,
    ) -> None:
        """Write registers; returns when the device has acknowledged. ``wanted`` is asked immediately before the bytes
        leave, each time they do: False raises ``Refused`` instead. Function 6 writes one register, 5 one coil; on a
        line with local echo their acknowledgement looks like the echo, therefore 16 is the default."""
        await self._queue_transfer(Request(unit, function, address, len(values), tuple(values)), priority, wanted)

    @contextmanager
    def claim_billing_unit(self, unit: int) -> Iterator[None]:
        """Claim a unit for one bill. Raises ``Broken`` when another device of this process bills from it."""
        if unit in self.actor.billed:
            raise Broken(
                f"{self.settings.name}: unit {unit} is billed twice; give each EVSE a meter with its own address"
            )
        self.actor.billed.add(unit)
        try:
            yield
        finally:
            self.actor.billed.discard(unit)

    async def _queue_transfer(self, request: Request, priority: Priority, wanted: Wanted | None) -> list[int]:
        s = self.settings
        return await self.actor.queue_transfer(request, priority, s.timeout_s, s.silence_s(), wanted)


@asynccontextmanager
async def open_line(settings: LineSettings) -> AsyncIterator[ModbusLine]:
    """Yield the line of these settings, which its users share. The connection is made at the first transfer and closed
    by the last user. Raises ``Broken`` when the settings make no sense or contradict those of another device on the
    line."""
    if complaints := settings.list_complaints():
        raise Broken("; ".join(complaints))
    key = (asyncio.get_running_loop(), settings.connection_key)
    actor = _open_lines.get(key) or _open_lines.setdefault(key, LineActor(settings))
    if actor.settings.serial_mode != settings.serial_mode:
        raise Broken(
            f"{settings.name}: is in use with {actor.settings.serial_mode}, this device wants {settings.serial_mode}; "
            "set all devices of one line to the same baud rate and parity"
        )
    actor.users += 1
    try:
        yield ModbusLine(actor, settings)
    finally:
        actor.users -= 1
        if not actor.users:
            del _open_lines[key]
            await actor.close_line()
