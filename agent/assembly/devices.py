"""Give each device of a station the supervisor of its role, and connect it to the dispatch of orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from agent.domain.evse import StationState
from agent.domain.orders import SetLamp, Show
from agent.model.types import Lamp, Screen
from agent.services.devices.board import BoardSupervisor, LivenessSignal
from agent.services.devices.dispatch import OrderDispatch
from agent.services.devices.indicators import BuzzerSupervisor, LampSupervisor, PowerSupervisor
from agent.services.devices.supervisor import (
    ButtonsSupervisor,
    DeviceSupervisor,
    DisplaySupervisor,
    MeterSupervisor,
    ReaderSupervisor,
)
from agent.services.engine import Engine
from agent.services.files.orders import FileOrders, UpdaterSupervisor

if TYPE_CHECKING:
    from agent.services.devices.configured import ComposedDevice


class Station(Protocol):
    """The part of a station that is needed here."""

    site: StationState
    engine: Engine
    hands: OrderDispatch
    files: FileOrders
    alive: LivenessSignal
    screens: dict[int, Screen]
    lamps: dict[int, Lamp]
    keepers: list[DeviceSupervisor]


def add_supervisor(station: Station, device: ComposedDevice) -> None:
    station.keepers.append(SUPERVISORS[device.role](station, device))


def _board_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    keeper = BoardSupervisor(d.evse, d.name, d.opening, station.engine.post_event, station.alive)
    station.hands.boards[d.evse] = keeper
    return keeper


def _meter_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    keeper = station.hands.meters[d.evse] = MeterSupervisor(d.evse, d.name, d.opening, station.engine.post_event)
    return keeper


def _reader_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return ReaderSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _buttons_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return ButtonsSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _lamp_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    """Show the state that was ordered before the lamp was there. The display does the same."""
    keeper = station.hands.lamps[d.evse] = LampSupervisor(d.evse, d.name, d.opening, station.engine.post_event)
    lamp = station.lamps.get(d.evse, Lamp.OFF)
    keeper.accept_order(SetLamp(d.evse, lamp, station.site.settings.int_value("light_intensity")))
    return keeper


def _buzzer_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    keeper = station.hands.buzzer = BuzzerSupervisor(d.evse, d.name, d.opening, station.engine.post_event)
    return keeper


def _power_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return PowerSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _updater_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    files = station.files
    keeper = files.updater = UpdaterSupervisor(d.name, d.opening, station.engine.post_event, files.known)
    return keeper


def _terminal_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    from agent.services.devices.terminal import TerminalSupervisor  # most stations have none

    keeper = station.hands.terminals[d.evse] = TerminalSupervisor(d.evse, d.name, d.opening, station.engine.post_event)
    return keeper


def _display_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    """Let the display of the station serve the outlets that have none of their own."""
    keeper = DisplaySupervisor(d.evse, d.name, d.opening, station.engine.post_event)
    for number in [d.evse] if d.evse else list(station.site.evses):
        its_keeper = station.hands.displays.setdefault(number, keeper)
        if its_keeper is keeper and number in station.screens:
            keeper.accept_order(Show(number, station.screens[number]))
    return keeper


SUPERVISORS: dict[str, Callable[[Station, ComposedDevice], DeviceSupervisor]] = {
    "board": _board_supervisor,
    "meter": _meter_supervisor,
    "reader": _reader_supervisor,
    "buttons": _buttons_supervisor,
    "lamp": _lamp_supervisor,
    "buzzer": _buzzer_supervisor,
    "power": _power_supervisor,
    "updater": _updater_supervisor,
    "display": _display_supervisor,
    "terminal": _terminal_supervisor,
}
"""By role. ``services/devices/configured.py`` composes no other roles."""
