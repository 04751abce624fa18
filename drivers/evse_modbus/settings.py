"""Settings of ``drivers.evse_modbus``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import (
    BaudRate,
    Between,
    DevicePath,
    HostName,
    ModbusUnit,
    OneOf,
    Parity,
    TcpPort,
    Text,
)


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """``map``: a file of ``boards/``. ``line``, ``device``, ``host``, ``port``, ``baud``, ``parity``, ``unit``: as for
    meters; what the station file does not name is as usual for the board. ``point``: the charging point behind that
    address. ``watchdog_s``: so long after the last ``beat`` the board stops by itself. ``accept_no_watchdog``: use a
    board that goes on charging while the agent is dead. ``bay_input``: the bit of the digital inputs that says that the
    parking bay is occupied. ``input_faults``: faults (values of ``agent.model.types.Fault``) that contacts at the
    digital inputs report, the lowest bit first: ``""`` none, ``"!EmergencyStop"`` one whose contact is closed as long
    as all is well, so that a broken wire is seen too. ``extra_fault_names``: likewise, in registers of the station's
    own wiring from ``extra_fault_base``, 16 to a register."""

    map: Annotated[str, Text(100, 1)]
    line: Annotated[str, OneOf(("tcp", "rtu", "rtu_tcp"))] | None = None
    host: HostName = "127.0.0.1"
    port: TcpPort | None = None
    device: DevicePath = ""
    baud: BaudRate | None = None
    parity: Parity | None = None
    unit: ModbusUnit | None = None
    point: Annotated[int, Between(1, 255)] = 1
    poll_s: Annotated[float, Between(0.01, 10, "seconds")] = 0.5
    watchdog_s: Annotated[int, Between(1, 65_534, "seconds: the board has to notice our silence")] = 10
    accept_no_watchdog: bool = False
    timeout_s: Annotated[float, Between(0.01, 10, "seconds")] = 0.5
    bay_input: Annotated[int, Between(0, 15)] | None = None
    input_faults: tuple[Annotated[str, Text(50)], ...] = ()
    extra_fault_names: tuple[Annotated[str, Text(50)], ...] = ()
    extra_fault_base: Annotated[int, Between(0, 65_535)] = 900
