"""From the station file's table to an open board."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.kinds import Fault
from agent.ports import Broken
from agent.ports.driver import Where
from drivers.bus import LineSettings, open_line
from drivers.evse_modbus import BoardSettings
from drivers.evse_modbus.board import ModbusBoard
from drivers.evse_modbus.board_map import BoardMap, MapError, find


@asynccontextmanager
async def open_board(settings: BoardSettings, where: Where) -> AsyncIterator[ModbusBoard]:
    """Comes up with release withdrawn and the watchdog armed, and withdraws release when it closes.
    Raises ``Unreachable``, ``Garbled``, ``Broken``."""
    try:
        board_map = find(settings.map, where.config_dirs)
        extra = _extra_faults(settings)
    except MapError as e:
        raise Broken(str(e)) from e
    async with open_line(line_settings(settings, board_map)) as line:
        board = ModbusBoard(settings, where, board_map, extra, line)
        await board.begin()
        try:
            yield board
        finally:
            await board.end()


def line_settings(settings: BoardSettings, board_map: BoardMap) -> LineSettings:
    return LineSettings(
        kind=settings.line,
        device=settings.device,
        host=settings.host,
        port=settings.port,
        baud=settings.baud or board_map.baud,
        parity=settings.parity or board_map.parity,
        timeout_s=settings.timeout_s,
    )


def complaints(settings: BoardSettings, where: Where) -> list[str]:
    """What is wrong with the station file, without touching the line."""
    wrong = [] if settings.watchdog_s > 0 else ["watchdog_s: must be at least 1, the board has to notice our silence"]
    try:
        _extra_faults(settings)
        return wrong + line_settings(settings, find(settings.map, where.config_dirs)).complaints()
    except MapError as e:
        return [*wrong, str(e)]


def _extra_faults(settings: BoardSettings) -> tuple[Fault, ...]:
    try:
        return tuple(Fault(name) for name in settings.extra_fault_names)
    except ValueError as e:
        raise MapError(f"extra_fault_names: {e}; known: {', '.join(Fault)}") from e
