"""What all stations of one version share: the station file, the dialects, the settings, the configuration.

It is read and judged once. A station of the fleet adds its id, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.assembly.dialects import backend_and_dialects
from agent.assembly.domain_setup import initial_evses, initial_state
from agent.domain.collaborators import Collaborators
from agent.domain.evse import StationState
from agent.domain.station_config import StationConfig
from agent.domain.variables import VARIABLES, Settings
from agent.model.fastclass import frozen, replace
from agent.ocpp.dialects.dialect import Dialect
from agent.station_file.settings import (
    Backend,
    SettingsError,
    StationFile,
    parse_station_file,
    read_station_file,
)

BUILT_IN: Mapping[str, Any] = {
    "station": {"vendor": "Chargy", "model": "Fleet"},
    "settings": {"sample_interval_s": 60, "refused_cards_per_min": 0},
    "evse": [{"number": 1}],
}
"""A station of a fleet where no file says otherwise."""


@frozen
class StationKind:
    """``settings``: those of the file that are not the defaults."""

    version: str
    file: StationFile
    backend: Backend
    dialects: tuple[Dialect, ...]
    settings: Mapping[str, Any]
    fitted: frozenset[str]
    config: StationConfig

    def file_of_station(self, station_id: str) -> StationFile:
        """Return the station file of one station of this kind."""
        station = replace(self.file.station, id=station_id, state_dir=self.file.station.state_dir / station_id)
        return replace(self.file, station=station, backends=(self.backend_of_station(station_id),))

    def backend_of_station(self, station_id: str) -> Backend:
        return replace(self.backend, charge_point_id=station_id)

    def state_of_station(self, collaborators: Collaborators, boot_reason: str, number: str) -> StationState:
        """Return the state of one station that starts."""
        settings = Settings(self.settings, self.fitted)
        evses = initial_evses(self.file, float(settings.int_value("nominal_voltage_v")))
        config = replace(self.config, boot_reason=boot_reason, number=number)
        return StationState(evses, settings, config, collaborators)


def make_station_kind(
    version: str, url: str, folder: Path, rate: float, station_file: Path | None = None
) -> StationKind:
    """Return the kind of the stations that speak this version. ``station_file``: what they have; its devices are left
    out, because a fleet brings its own. Raises ``SettingsError``."""
    if not url.startswith(("ws://", "wss://")):
        raise SettingsError([f"--backend: must begin with ws:// or wss://, is {url!r}"])
    raw = BUILT_IN if station_file is None else read_station_file(station_file)
    tables = {key: value for key, value in raw.items() if key in _KEPT_TABLES}
    tables["station"] = {**_table_of(tables, "station"), "id": "FLEET", "state_dir": str(folder)}
    tables["backend"] = {**_table_of(tables, "backend"), "url": url, "versions": [version]}
    evses = raw.get("evse", [])
    tables["evse"] = [*map(_without_devices, evses if isinstance(evses, list) else [evses])]
    file = parse_station_file(tables, station_file or Path("fleet"))
    made = backend_and_dialects(file, file.backends[0])
    state = initial_state(file, {}, Collaborators(), rate, "PowerUp")
    changed = {name: state.settings[name] for name, v in VARIABLES.items() if state.settings[name] != v.default}
    config = replace(state.config, has_viewers=False)
    return StationKind(version, file, made["backend"], made["dialects"], changed, state.settings.fitted, config)


_KEPT_TABLES = ("station", "backend", "settings", "evse")
_KEPT_EVSE_KEYS = ("number", "phases", "max_a", "phase_rotation")


def _without_devices(evse: Any) -> Any:
    """Return the table of an EVSE with what the fleet reads of it. What is no table is left to the parser."""
    if not isinstance(evse, Mapping):
        return evse
    return {key: value for key, value in evse.items() if key in _KEPT_EVSE_KEYS}


def _table_of(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name, {})
    return table if isinstance(table, Mapping) else {}
