"""Charge controller boards that speak RAPI over a serial line: OpenEVSE.

Facts: OpenEVSE firmware 8.2 (``rapi_proc``, ``J1772EvseController``). Unproven on hardware.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import BaudRate, Between, DevicePath, settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.evse import EvsePort

LEAST_A = 6
LEAST_HEARTBEAT_S = 5


@dataclass(frozen=True, slots=True)
class OpenEvseSettings:
    """``device``: the serial line. ``heartbeat_s``: so long after the last ``beat`` the board lowers its offer to
    ``fallback_a``; it knows no fallback of 0 A. Both are kept in a memory that wears out: they are written when the
    line is opened, and the board writes them only if they differ."""

    device: DevicePath
    baud: BaudRate = 115200
    poll_s: Annotated[float, Between(0.01, 60, "seconds")] = 0.5
    timeout_s: Annotated[float, Between(0.01, 10, "seconds")] = 0.5
    heartbeat_s: Annotated[
        int, Between(LEAST_HEARTBEAT_S, 600, "seconds: more than two beats, and our silence is noticed")
    ] = 10
    fallback_a: Annotated[int, Between(LEAST_A, 80, "amperes; the board offers no less")] = LEAST_A


def list_complaints(settings: OpenEvseSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    missing = [] if settings.device else ['device: is missing, for example device = "/dev/ttyUSB0"']
    return missing + settings_problems(settings)


@asynccontextmanager
async def open_board(settings: OpenEvseSettings, where: Where) -> AsyncIterator[EvsePort]:
    """Comes up with release withdrawn and the heartbeat supervised, and withdraws release when it closes.
    Raises ``Unreachable``, ``Garbled``, ``Broken`` (settings, or a firmware that charges without being released)."""
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
