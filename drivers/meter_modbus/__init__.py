"""Billing meters on Modbus. Which registers a meter has is data: ``config/meters/<map>.toml``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.ports.driver import Driver, Where
from agent.ports.meter import MeterPort
from drivers.meter_modbus.settings import MeterSettings


@asynccontextmanager
async def _open_port(settings: MeterSettings, where: Where) -> AsyncIterator[MeterPort]:
    from drivers.meter_modbus.meter import open_meter

    async with open_meter(settings, where) as meter:
        yield meter


def _check_settings(settings: MeterSettings, where: Where) -> list[str]:
    from drivers.meter_modbus.meter import list_complaints

    return list_complaints(settings, where)


def _bus_address(settings: MeterSettings, where: Where) -> tuple[object, ...]:
    from drivers.meter_modbus.meter import bus_address

    return bus_address(settings, where)


DRIVER = Driver(
    "meter_modbus",
    "meter",
    MeterSettings,
    _open_port,
    _check_settings,
    _bus_address,
    verify_kit="drivers.meter_modbus.verify_kit:VERIFY_KIT",
)
