"""The registers of one EVSE on its line: addresses as on the wire, writes of worn memory counted, errors by name."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.model.types import EvseId
from agent.ports import Broken, Refused
from drivers.bus import ModbusLine, Priority
from drivers.evse_modbus.board_map import HOLDING, BoardMap, Switch
from drivers.evse_modbus.decoded_state import Poll
from drivers.evse_modbus.settings import BoardSettings
from drivers.evse_modbus.write_wear import WRITE_WEAR

_WRITE_COIL, _WRITE_MANY = 5, 16
Wanted = Callable[[], bool]


class BoardRegisters:
    """``extra_words``: how many registers the station's wiring fills with faults of its own."""

    def __init__(
        self, settings: BoardSettings, board_map: BoardMap, line: ModbusLine, evse: EvseId, extra_words: int
    ) -> None:
        self.map = board_map
        self.name = f"board of EVSE {evse} ({line.settings.name}, point {settings.point})"
        self._line = line
        self._unit = board_map.line.unit if settings.unit is None else settings.unit
        self._base = board_map.stride * settings.point
        self._extra = (settings.extra_fault_base, extra_words)

    async def read_registers(self, function: int, at: int, count: int, priority: Priority = Priority.POLL) -> list[int]:
        return await self._line.read_registers(self._unit, function, self._base + at, count, priority)

    async def read_value(self, at: int) -> int:
        """Read one register that the agent may set."""
        return (await self.read_registers(HOLDING, at, 1, Priority.CONTROL))[0]

    async def write_value(
        self, at: int, value: int, priority: Priority = Priority.CONTROL, wanted: Wanted | None = None
    ) -> None:
        """Write one register. Raises ``Refused`` for a register of worn memory that was written too often today, unless
        the write takes energy away. On a line that is not the board's usual one function 16 is used: its
        acknowledgement cannot be mistaken for an echo."""
        if at in self.map.kept and priority is not Priority.WITHDRAW:
            WRITE_WEAR.count_write((self._line.settings.connection_key, self._unit, self._base + at), time.monotonic())
        usual = self._line.settings.kind == self.map.line.kind
        await self._send_write(at, value, self.map.line.write_function if usual else _WRITE_MANY, priority, wanted)

    async def write_switch(
        self, switch: Switch, on: bool, priority: Priority = Priority.CONTROL, wanted: Wanted | None = None
    ) -> None:
        value = switch.on if on else switch.off
        if switch.coil:
            await self._send_write(switch.at, value, _WRITE_COIL, priority, wanted)
        else:
            await self.write_value(switch.at, value, priority, wanted)

    async def _send_write(self, at: int, value: int, function: int, priority: Priority, wanted: Wanted | None) -> None:
        await self._line.write_registers(
            self._unit, self._base + at, [value], priority, function=function, wanted=wanted
        )

    async def poll_registers(self) -> Poll:
        """Read everything that changes. Raises ``Broken`` when the board does not have what the map names."""
        words: dict[tuple[int, int], int] = {}
        try:
            for b in self.map.blocks:
                read = await self.read_registers(b.function, b.address, b.count)
                words |= {(b.function, b.address + i): word for i, word in enumerate(read)}
            base, count = self._extra
            extra = await self.read_registers(self.map.blocks[0].function, base, count) if count else []
        except Refused as e:
            raise Broken(f"{e}; does the map {self.map.name!r} fit this board and its firmware?") from e
        return Poll(words, extra)
