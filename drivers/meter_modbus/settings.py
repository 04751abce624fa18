"""Settings of ``drivers.meter_modbus``: the keys of its table in the station file."""

from __future__ import annotations

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
