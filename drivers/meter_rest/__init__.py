"""DC billing meters that speak HTTP and JSON, and sign their transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.ports.driver import Driver, Where
from agent.ports.meter import SigningMeter
from drivers.meter_rest.settings import RestSettings


@asynccontextmanager
async def _open_port(settings: RestSettings, where: Where) -> AsyncIterator[SigningMeter]:
    from drivers.meter_rest.meter import open_meter

    async with open_meter(settings, where) as meter:
        yield meter


def _check_settings(settings: RestSettings, where: Where) -> list[str]:
    from drivers.meter_rest.meter import list_complaints

    return list_complaints(settings)


def _network_address(settings: RestSettings, where: Where) -> tuple[object, ...]:
    return (settings.host, settings.port)


DRIVER = Driver(
    "meter_rest",
    "meter",
    RestSettings,
    _open_port,
    _check_settings,
    _network_address,
    verify_kit="drivers.meter_rest.verify_kit:VERIFY_KIT",
)
