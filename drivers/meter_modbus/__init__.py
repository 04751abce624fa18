"""Billing meters on Modbus. Which registers a meter has is data: ``config/meters/<map>.toml``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import (
    BaudRate,
    Between,
    DevicePath,
    HostName,
    ModbusUnit,
    OneLine,
    OneOf,
    Parity,
    TcpPort,
    Text,
)
from agent.ports.driver import Driver, Where
from agent.ports.meter import MeterPort


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """``map``: a file of ``meters/``. ``line``: "rtu" (with ``device``), "rtu_tcp" or "tcp" (with ``host``, ``port``).
    ``baud``, ``parity`` and ``unit`` default to the map's. ``coarsest_wh``: a billing register with coarser steps is
    refused; a bill is wrong by up to two of them. ``serial``: the meter that was put into service; another one bills
    nothing. ``timeout_s``: how long the meter may think. Of a meter that signs: ``signature_required``: without a
    signature no session is started (otherwise the register is billed all the same); ``record_s``: how long the end of a
    transaction waits for the record."""

    map: Annotated[str, Text(100, 1)]
    line: Annotated[str, OneOf(("rtu", "rtu_tcp", "tcp"))] = "rtu"
    device: DevicePath = ""
    host: HostName = ""
    port: TcpPort = 502
    baud: BaudRate | None = None
    parity: Parity | None = None
    unit: ModbusUnit | None = None
    serial: OneLine = ""
    timeout_s: Annotated[float, Between(0.01, 10, "seconds")] = 0.5
    coarsest_wh: Annotated[float, Between(0.001, 100, "Wh")] = 10.0
    signature_required: bool = False
    record_s: Annotated[float, Between(0, 600, "seconds")] = 5.0


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
