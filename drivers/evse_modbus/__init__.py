"""Charge controller boards on Modbus. Which registers a board has is data: ``config/boards/<map>.toml``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.ports.driver import Driver, Where
from agent.ports.evse import EvsePort


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """``map``: a file of ``boards/``. ``line``, ``device``, ``host``, ``port``, ``baud``, ``parity``, ``unit``: as
    for meters; what is not said is as usual for the board. ``point``: the charging point behind that address.
    ``watchdog_s``: so long after the last ``beat`` the board stops by itself. ``accept_no_watchdog``: use a board
    that goes on charging while the agent is dead. ``bay_input``: the bit of the digital inputs that says that the
    parking bay is occupied. ``input_faults``: faults (values of ``agent.kinds.Fault``) that contacts at the digital
    inputs report, the lowest bit first: ``""`` none, ``"!EmergencyStop"`` one whose contact is closed as long as all is
    well, so that a broken wire is told too. ``extra_fault_names``: likewise, in registers of the station's own wiring
    from ``extra_fault_base``, 16 to a register."""

    map: str
    line: str | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    device: str = ""
    baud: int | None = None
    parity: str | None = None
    unit: int | None = None
    point: int = 1
    poll_s: float = 0.5
    watchdog_s: int = 10
    accept_no_watchdog: bool = False
    timeout_s: float = 0.5
    bay_input: int | None = None
    input_faults: tuple[str, ...] = ()
    extra_fault_names: tuple[str, ...] = ()
    extra_fault_base: int = 900


@asynccontextmanager
async def _open(settings: BoardSettings, where: Where) -> AsyncIterator[EvsePort]:
    from drivers.evse_modbus.opening import open_board

    async with open_board(settings, where) as board:
        yield board


def _check(settings: BoardSettings, where: Where) -> list[str]:
    from drivers.evse_modbus.opening import complaints

    return complaints(settings, where)


DRIVER = Driver("evse_modbus", "evse", BoardSettings, _open, _check, fitting="drivers.evse_modbus.fitting:FITTING")
