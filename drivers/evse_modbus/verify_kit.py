"""For ``chargy-agent verify``: where the line is, and what only a real board shows."""

from __future__ import annotations

from agent.ports.driver import Where
from agent.ports.verify import VerifyKit, Wire
from drivers.bus.verify_wire import wire_of_line
from drivers.evse_modbus.settings import BoardSettings


def wire_of_board(settings: BoardSettings, where: Where) -> Wire | None:
    from drivers.evse_modbus.board_map import find_board_map
    from drivers.evse_modbus.connection import line_settings

    return wire_of_line(lambda: line_settings(settings, find_board_map(settings.map, where.config_dirs)))


VERIFY_KIT = VerifyKit(
    wire=wire_of_board,
    on_hardware=(
        "The board takes its orders from Modbus alone (its own release mode, load management and web page are set so).",
        "With a vehicle tester: states A to F, diode fault and short circuit of the pilot are seen as the map says.",
        "Pull the plug under load, press the emergency stop, trip the RCD: the contactor opens, and it is reported.",
        "Switch the agent's computer off under load: the contactor opens after watchdog_s.",
        "Lock: a plug cannot be pulled while it is locked; with the mains off it can be freed as the maker says.",
        "A real vehicle charges at the smallest and the greatest current, is paused, and goes on.",
        "The contactor is derived from the state text: with a welded one (bridged by hand) the board reports it.",
    ),
)
