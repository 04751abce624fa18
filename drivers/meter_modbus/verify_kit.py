"""For ``chargy-agent verify``: where the line is, and what only a real meter shows."""

from __future__ import annotations

from agent.ports.driver import Where
from agent.ports.verify import VerifyKit, Wire
from drivers.bus.verify_wire import wire_of_line
from drivers.meter_modbus.settings import MeterSettings


def wire_of_meter(settings: MeterSettings, where: Where) -> Wire | None:
    from drivers.meter_modbus.meter import line_settings
    from drivers.meter_modbus.meter_map import find_meter_map

    return wire_of_line(lambda: line_settings(settings, find_meter_map(settings.map, where.config_dirs)))


VERIFY_KIT = VerifyKit(
    wire=wire_of_meter,
    on_hardware=(
        "The register on the meter's own display is the one that the map bills (take a photograph of both).",
        "The label: class, MID marking and year, serial number as the station file has them.",
        "Firmware: the map's facts that are marked unproven hold for this one (docs/meters.md).",
        "The line: termination, bias, length and baud rate with all devices on it, contactors switching beside it.",
        "Current transformers, if any: ratio and direction; each phase under its own load.",
        "The meter is switched off and on within a session: the count goes on where it was.",
    ),
)
