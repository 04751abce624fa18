"""For ``chargy-agent verify``: the wire of a device on a Modbus line."""

from __future__ import annotations

from collections.abc import Callable

from agent.ports.verify import Wire
from drivers.bus.line import LineSettings
from drivers.device_maps import MapError


def wire_of_line(line_settings: Callable[[], LineSettings]) -> Wire | None:
    """Return the wire as the station file and the map have it. None: there is no such map."""
    try:
        line = line_settings()
    except MapError:
        return None
    if line.kind == "rtu":
        return Wire("serial", device=line.device, baud=line.baud, parity=line.parity, stopbits=line.stopbits)
    return Wire("tcp", host=line.host, port=line.port)
