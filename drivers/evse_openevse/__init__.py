"""Charge controller boards that speak RAPI over a serial line: OpenEVSE.

Facts: OpenEVSE firmware 8.2 (``rapi_proc``, ``J1772EvseController``). Unproven on hardware.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.evse import EvsePort
from drivers.evse_openevse.settings import OpenEvseSettings


def list_complaints(settings: OpenEvseSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    missing = [] if settings.device else ['device: is missing, for example device = "/dev/ttyUSB0"']
    return missing + settings_problems(settings)


@asynccontextmanager
async def open_board(settings: OpenEvseSettings, where: Where) -> AsyncIterator[EvsePort]:
    """Open the board with release withdrawn and the heartbeat supervised. Release is withdrawn when it closes. Raises
    ``Unreachable``, ``Garbled``, ``Broken`` (settings, or a firmware that charges without being released)."""
    from drivers.evse_openevse.board import OpenEvseBoard
    from drivers.evse_openevse.line import RapiLine

    if wrong := list_complaints(settings):
        raise Broken(f"board {settings.device}: " + "; ".join(wrong))
    line = await RapiLine.open_line(settings)
    try:
        board = OpenEvseBoard(settings, where, line)
        await board.start_board()
        try:
            yield board
        finally:
            await board.stop_board()
    finally:
        line.close_line()


DRIVER = Driver(
    "evse_openevse",
    "evse",
    OpenEvseSettings,
    open_board,
    list_complaints,
    verify_kit="drivers.evse_openevse.verify_kit:VERIFY_KIT",
)
