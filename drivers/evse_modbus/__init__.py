"""Charge controller boards on Modbus. Which registers a board has is data: ``config/boards/<map>.toml``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.ports.driver import Driver, Where
from agent.ports.evse import EvsePort
from drivers.evse_modbus.settings import BoardSettings


@asynccontextmanager
async def _open_port(settings: BoardSettings, where: Where) -> AsyncIterator[EvsePort]:
    from drivers.evse_modbus.connection import open_board

    async with open_board(settings, where) as board:
        yield board


def _check_settings(settings: BoardSettings, where: Where) -> list[str]:
    from drivers.evse_modbus.connection import list_complaints

    return list_complaints(settings, where)


DRIVER = Driver(
    "evse_modbus",
    "evse",
    BoardSettings,
    _open_port,
    _check_settings,
    verify_kit="drivers.evse_modbus.verify_kit:VERIFY_KIT",
)
