"""Is a station file right? What loading it does not find."""

from __future__ import annotations

from collections.abc import Iterable

from agent.initial import initial_offers, initial_settings, initial_terms, unusable_certificates, unusable_terminals
from agent.settings import SettingsError, StationFile


def check(file: StationFile) -> Iterable[str]:
    """Complaints about a station file that loading it does not find: settings, drivers and their own settings."""
    from agent.ports.zone import NoZone, zone
    from agent.services.devices import compose

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
    try:
        for device in compose(file, lambda: (0, 0.0)):
            wrong += device.complaints
    except SettingsError as e:
        wrong += e.problems
    return wrong
