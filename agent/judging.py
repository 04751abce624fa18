"""Is a station file right? What loading it does not find."""

from __future__ import annotations

from collections.abc import Iterable

from agent.initial import initial_offers, initial_settings, initial_terms, unusable_certificates, unusable_terminals
from agent.settings import SettingsError, StationFile


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
        return [c for device in compose(file, lambda: (0, 0.0)) for c in device.complaints]
    except SettingsError as e:
        return e.problems
