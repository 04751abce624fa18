"""Billing meters on Modbus. Which registers a meter has is data: ``config/meters/<map>.toml``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.ports.driver import Driver, Where
from agent.ports.meter import MeterPort


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """``map``: a file of ``meters/``. ``line``: "rtu" (with ``device``), "rtu_tcp" or "tcp" (with ``host``, ``port``).
    ``baud`` and ``parity`` default to the map's. ``serial``: the meter that was put into service; another one bills
    nothing. ``timeout_s``: how long the meter may think."""

    map: str
    line: str = "rtu"
    device: str = ""
    host: str = ""
    port: int = 502
    baud: int | None = None
    parity: str | None = None
    unit: int = 1
    serial: str = ""
    timeout_s: float = 0.5


@asynccontextmanager
async def _open(settings: MeterSettings, where: Where) -> AsyncIterator[MeterPort]:
    from drivers.meter_modbus.meter import open_meter

    async with open_meter(settings, where) as meter:
        yield meter


def _check(settings: MeterSettings, where: Where) -> list[str]:
    from drivers.meter_modbus.meter import complaints

    return complaints(settings, where)


DRIVER = Driver("meter_modbus", "meter", MeterSettings, _open, _check)
