"""From the station file's table to an open board."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Where
from drivers.bus import LineSettings, open_line
from drivers.device_maps import MapError
from drivers.evse_modbus.arming import NO_WATCHDOG
from drivers.evse_modbus.board import ModbusBoard
from drivers.evse_modbus.board_map import BoardMap, find_board_map
from drivers.evse_modbus.contacts import wired_contacts
from drivers.evse_modbus.settings import BoardSettings

_MOST_WORD = 65_534  # the next one means "off" on some boards


@asynccontextmanager
async def open_board(settings: BoardSettings, where: Where) -> AsyncIterator[ModbusBoard]:
    """Open the board with release withdrawn and the watchdog armed. Release is withdrawn when it closes. Raises
    ``Unreachable``, ``Garbled``, ``Broken``."""
    try:
        board_map = find_board_map(settings.map, where.config_dirs)
        inputs, extra = wired_contacts(settings, board_map)
    except MapError as e:
        raise Broken(str(e)) from e
    if wrong := _watchdog_complaints(settings, board_map):
        raise Broken("; ".join(wrong))
    async with open_line(line_settings(settings, board_map)) as line:
        board = ModbusBoard(settings, where, board_map, inputs, extra, line)
        await board.start_board()
        try:
            yield board
        finally:
            await board.stop_board()


def line_settings(settings: BoardSettings, board_map: BoardMap) -> LineSettings:
    return LineSettings(
        kind=settings.line or board_map.line.kind,
        device=settings.device,
        host=settings.host,
        port=settings.port or board_map.line.port,
        baud=settings.baud or board_map.line.baud,
        parity=settings.parity or board_map.line.parity,
        timeout_s=settings.timeout_s,
        gap_s=board_map.line.gap_s,
    )


def list_complaints(settings: BoardSettings, where: Where) -> list[str]:
    """List what is wrong with the station file, without touching the line."""
    try:
        board_map = find_board_map(settings.map, where.config_dirs)
    except MapError as e:
        return [f"map: {e}"]
    try:
        wired_contacts(settings, board_map)
    except MapError as e:
        return [str(e)]
    return (
        settings_problems(settings)
        + _watchdog_complaints(settings, board_map)
        + line_settings(settings, board_map).list_complaints()
    )


def _watchdog_complaints(settings: BoardSettings, board_map: BoardMap) -> list[str]:
    """Check that the board notices our silence, or that the station file accepts a board without watchdog."""
    dog = board_map.watchdog
    most_s = _MOST_WORD // dog.per_s if dog is not None else _MOST_WORD
    if settings.watchdog_s > most_s:
        return [f"watchdog_s: must be at most {most_s}: this board counts no further, and has to notice our silence"]
    if dog is None and not settings.accept_no_watchdog:
        return [
            f"map: {board_map.vendor} {board_map.model}: {NO_WATCHDOG}. Fit a relay that releases the board's enable "
            "input only while the computer's own watchdog is fed, and set accept_no_watchdog = true (docs/boards.md)"
        ]
    return []
