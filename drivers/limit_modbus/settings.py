"""Settings of ``drivers.limit_modbus``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from agent.model.key_rules import BaudRate, Between, DevicePath, HostName, ModbusUnit, OneOf, Parity, TcpPort

RegisterAddress: TypeAlias = Annotated[int, Between(0, 65_535)]


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """``register``: the address of the limit, counted from 0; ``table``: of holding or input registers; ``type``: one
    register (``u16``, ``i16``) or two, the high one first (``u32``, ``i32``, ``f32``). The limit is its number times
    ``scale``. ``released``: the number that means that there is no limit; without it no number does. All bits set are
    what gateways give for a value that they do not have: no limit is released by them unless ``released`` is that
    number. ``alive``: a register
    that the energy manager counts up; a limit beside one that stands still is no sign of life, and after ``alive_s``
    seconds the energy manager is away. ``line``: "tcp" or
    "rtu_tcp" (with ``host``, ``port``) or "rtu" (with ``device``, ``baud``, ``parity``); ``unit``: the Modbus address.
    ``poll_s``: seconds between two looks; ``timeout_s``: how long an answer may take."""

    register: RegisterAddress
    line: Annotated[str, OneOf(("rtu", "rtu_tcp", "tcp"))] = "tcp"
    host: HostName = ""
    port: TcpPort = 502
    device: DevicePath = ""
    baud: BaudRate = 9600
    parity: Parity = "N"
    unit: ModbusUnit = 1
    table: Annotated[str, OneOf(("holding", "input"))] = "holding"
    type: Annotated[str, OneOf(("u16", "i16", "u32", "i32", "f32"))] = "u16"
    scale: Annotated[float, Between(0.000_001, 1_000_000)] = 1.0
    released: Annotated[int, Between(-(2**31), 2**32 - 1)] | None = None
    alive: RegisterAddress | None = None
    alive_s: Annotated[float, Between(0.1, 3600, "seconds")] = 10.0
    poll_s: Annotated[float, Between(0.05, 2, "seconds")] = 1.0
    timeout_s: Annotated[float, Between(0.01, 10, "seconds")] = 1.0
