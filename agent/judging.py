"""Is a station file right? What loading it does not find."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from agent.initial import initial_offers, initial_settings, initial_terms, unusable_certificates, unusable_terminals
from agent.settings import SettingsError, StationFile

if TYPE_CHECKING:
    from agent.services.devices import Composed


def check(file: StationFile) -> Iterable[str]:
    """Complaints about a station file that loading it does not find: settings, drivers and their own settings."""
    from agent.ports.zone import NoZone, zone

    wrong: list[str] = []
    try:
        zone(file.station.timezone)
    except NoZone as e:
        wrong.append(f"{file.path}: station.timezone: {e}")
    wrong += unusable_certificates(file) + unusable_terminals(file)
    for made in (initial_settings, initial_offers, initial_terms):
        try:
            made(file)
        except SettingsError as e:
            wrong += e.problems
    return wrong + devices(file)


def devices(file: StationFile) -> list[str]:
    """Of the devices alone, also of a file in which something else is wrong."""
    from agent.services.devices import compose

    try:
        composed = compose(file, lambda: (0, 0.0))
    except SettingsError as e:
        return e.problems
    return [c for device in composed for c in device.complaints] + _lines(file, composed)


def _lines(file: StationFile, composed: Sequence[Composed]) -> list[str]:
    """All devices on one serial line speak at its speed."""
    from agent.services.devices import fitting_of

    wrong: list[str] = []
    lines: dict[str, tuple[str, str]] = {}
    for device in composed:
        wire = fitting_of(device).wire(device.settings, device.where)
        if wire is None or wire.kind != "serial" or not wire.device:
            continue
        mode = f"{wire.baud} 8{wire.parity}{wire.stopbits}"
        first, its_mode = lines.setdefault(os.path.realpath(wire.device), (device.name, mode))
        if mode != its_mode:
            wrong.append(
                f"{file.path}: {device.name}: speaks {mode} on {wire.device}, {first} speaks {its_mode}; set baud and "
                "parity of all devices on one line to the same"
            )
    return wrong
