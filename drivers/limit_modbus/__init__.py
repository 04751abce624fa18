"""Energy manager on Modbus: the limit of the station in a register of a controller on site."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.ports.driver import Driver, Where
from agent.ports.energy_manager import EnergyManagerPort
from drivers.limit_modbus.settings import LimitSettings


@asynccontextmanager
async def open_energy_manager(settings: LimitSettings, where: Where) -> AsyncIterator[EnergyManagerPort]:
    """Yield the energy manager. Raises ``Unreachable``, ``Broken`` (line settings, no such register)."""
    from drivers.limit_modbus.manager import open_limit_registers

    async with open_limit_registers(settings) as manager:
        yield manager


def list_complaints(settings: LimitSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching the line."""
    from drivers.limit_modbus.manager import setting_complaints

    return setting_complaints(settings)


def line_and_register_address(settings: LimitSettings, where: Where) -> tuple[object, ...]:
    """Return the line, the unit on it and the register, however the line is spelt."""
    from drivers.limit_modbus.manager import line_settings

    return (*line_settings(settings).connection_key, settings.unit, settings.register)


DRIVER = Driver(
    "limit_modbus",
    "energy_manager",
    LimitSettings,
    open_energy_manager,
    list_complaints,
    line_and_register_address,
    verify_kit="drivers.limit_modbus.verify_kit:VERIFY_KIT",
)
