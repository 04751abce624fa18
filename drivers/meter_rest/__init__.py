"""DC billing meters that speak HTTP and JSON, and sign their transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import Between, HostName, OneLine, OneOf, TcpPort
from agent.ports.driver import Driver, Where
from agent.ports.meter import SigningMeter

MODELS = ("lem_dcbm", "isabellenhuette_iem")


@dataclass(frozen=True, slots=True)
class RestSettings:
    """``model``: "lem_dcbm" (LEM DCBM 400/600) or "isabellenhuette_iem" (IEM-DCR, IEM-DCC). ``serial``: the meter that
    was put into service; another one bills nothing. ``timeout_s``: of one request. ``signature_required``: without a
    signature no session is started; otherwise the register is billed all the same. ``record_s``: how long the end of a
    transaction waits for the signed record. ``cable``, ``tariff``: numbers in the LEM's own tables."""

    model: Annotated[str, OneOf(MODELS)]
    host: HostName
    port: TcpPort = 80
    serial: OneLine = ""
    timeout_s: Annotated[float, Between(0.01, 60, "seconds")] = 3.0
    signature_required: bool = False
    record_s: Annotated[float, Between(0, 600, "seconds")] = 5.0
    cable: Annotated[int, Between(0, 65_535)] = 0
    tariff: Annotated[int, Between(0, 65_535)] = 0


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
