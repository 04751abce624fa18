"""For ``chargy-agent verify``: where the line is, and what only a real energy manager shows."""

from __future__ import annotations

from agent.ports.driver import Where
from agent.ports.verify import VerifyKit, Wire
from drivers.bus.verify_wire import wire_of_line
from drivers.limit_modbus.settings import LimitSettings


def wire_of_manager(settings: LimitSettings, where: Where) -> Wire | None:
    from drivers.limit_modbus.manager import line_settings

    return wire_of_line(lambda: line_settings(settings))


VERIFY_KIT = VerifyKit(
    wire=wire_of_manager,
    on_hardware=(
        "The limit that the energy manager shows is the one in the register, in the unit of the station file.",
        "The energy manager releases its limit: the register has the number that the station file names for it.",
        "The program of the energy manager is ended while its Modbus server goes on: alive stands still, and the limit "
        "of on_silence holds after silent_s.",
        "The network to the energy manager is unplugged in the middle of a session: the same.",
    ),
)
