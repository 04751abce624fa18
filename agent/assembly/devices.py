"""Give each device of a station the supervisor of its role, and connect it to the dispatch of orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from agent.domain.evse import StationState
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


def add_supervisors(station: Station, devices: Sequence[ComposedDevice]) -> None:
    for device in devices:
        own = {d.evse for d in devices if d.role == device.role}
        without_own = [number for number in station.site.evses if number not in own]
        station.hands.add_supervisor(SUPERVISORS[device.role](station, device), without_own)


def _board_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return BoardSupervisor(d.evse, d.name, d.opening, station.engine.post_event, station.alive)


def _meter_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return MeterSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _reader_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return ReaderSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _buttons_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return ButtonsSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _lamp_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return LampSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _buzzer_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return BuzzerSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _power_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return PowerSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _updater_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    files = station.files
    keeper = files.updater = UpdaterSupervisor(d.name, d.opening, station.engine.post_event, files.known)
    return keeper


def _terminal_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    from agent.services.devices.terminal import TerminalSupervisor  # most stations have none

    return TerminalSupervisor(d.evse, d.name, d.opening, station.engine.post_event)


def _display_supervisor(station: Station, d: ComposedDevice) -> DeviceSupervisor:
    return DisplaySupervisor(d.evse, d.name, d.opening, station.engine.post_event)


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
