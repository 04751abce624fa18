"""Each device of a station gets the keeper of its role, and the hands that orders come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from agent.domain.evse import Site
from agent.domain.orders import SetLamp, Show
from agent.model.types import Lamp, Screen
from agent.services.devices.board import Alive, BoardKeeper
from agent.services.devices.dispatch import Hands
from agent.services.devices.indicators import BuzzerKeeper, LampKeeper, PowerKeeper
from agent.services.devices.supervisor import ButtonsKeeper, DisplayKeeper, Keeper, MeterKeeper, ReaderKeeper
from agent.services.engine import Engine
from agent.services.files.orders import Files, UpdaterKeeper

if TYPE_CHECKING:
    from agent.services.devices.configured import Composed


class Station(Protocol):
    """What of a station is needed here."""

    site: Site
    engine: Engine
    hands: Hands
    files: Files
    alive: Alive
    screens: dict[int, Screen]
    lamps: dict[int, Lamp]
    keepers: list[Keeper]


def add_supervisor(station: Station, device: Composed) -> None:
    station.keepers.append(SUPERVISORS[device.role](station, device))


def _board_supervisor(station: Station, d: Composed) -> Keeper:
    keeper = BoardKeeper(d.evse, d.name, d.opening, station.engine.post, station.alive)
    station.hands.boards[d.evse] = keeper
    return keeper


def _meter_supervisor(station: Station, d: Composed) -> Keeper:
    keeper = station.hands.meters[d.evse] = MeterKeeper(d.evse, d.name, d.opening, station.engine.post)
    return keeper


def _reader_supervisor(station: Station, d: Composed) -> Keeper:
    return ReaderKeeper(d.evse, d.name, d.opening, station.engine.post)


def _buttons_supervisor(station: Station, d: Composed) -> Keeper:
    return ButtonsKeeper(d.evse, d.name, d.opening, station.engine.post)


def _lamp_supervisor(station: Station, d: Composed) -> Keeper:
    """What it has to show was ordered before it was there; the same holds for the display."""
    keeper = station.hands.lamps[d.evse] = LampKeeper(d.evse, d.name, d.opening, station.engine.post)
    lamp = station.lamps.get(d.evse, Lamp.OFF)
    keeper.do(SetLamp(d.evse, lamp, station.site.settings.number("light_intensity")))
    return keeper


def _buzzer_supervisor(station: Station, d: Composed) -> Keeper:
    keeper = station.hands.buzzer = BuzzerKeeper(d.evse, d.name, d.opening, station.engine.post)
    return keeper


def _power_supervisor(station: Station, d: Composed) -> Keeper:
    return PowerKeeper(d.evse, d.name, d.opening, station.engine.post)


def _updater_supervisor(station: Station, d: Composed) -> Keeper:
    files = station.files
    keeper = files.updater = UpdaterKeeper(d.name, d.opening, station.engine.post, files.known)
    return keeper


def _terminal_supervisor(station: Station, d: Composed) -> Keeper:
    from agent.services.devices.terminal import TerminalKeeper  # most stations have none

    keeper = station.hands.terminals[d.evse] = TerminalKeeper(d.evse, d.name, d.opening, station.engine.post)
    return keeper


def _display_supervisor(station: Station, d: Composed) -> Keeper:
    """One of the whole station serves the outlets that have none of their own."""
    keeper = DisplayKeeper(d.evse, d.name, d.opening, station.engine.post)
    for number in [d.evse] if d.evse else list(station.site.evses):
        its_keeper = station.hands.displays.setdefault(number, keeper)
        if its_keeper is keeper and number in station.screens:
            keeper.do(Show(number, station.screens[number]))
    return keeper


SUPERVISORS: dict[str, Callable[[Station, Composed], Keeper]] = {
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
"""By role; ``services/devices/configured.py`` composes no other."""
