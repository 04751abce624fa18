"""Which station a scenario is run on, and what that station lacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent.scenario.scenario_model import Scenario

if TYPE_CHECKING:
    from agent.station_file.settings import StationFile

BUILT_IN = {"dc": "dc.toml", "payment_terminal": "dc.toml"}
"""By need: the built-in station that has it; for all others the alternating current one."""
USUAL = "ac.toml"
FEATURES = {"reservation": "Reservation", "local_list": "LocalAuthListManagement", "smart_charging": "SmartCharging"}


def library_folder() -> Path:
    """Return the folder of the scenarios that come with the program."""
    import config

    return Path(config.__file__).parent / "scenarios"


def built_in_station(scenario: Scenario) -> Path:
    """Return the station file on which a scenario is simulated, unless the user names one."""
    name = next((BUILT_IN[need] for need in scenario.needs if need in BUILT_IN), USUAL)
    return library_folder() / "stations" / name


def station_lacks(file: StationFile, simulated: bool) -> Mapping[str, str]:
    """Return what a station lacks by its file. A simulated one has each small device that the file does not name."""
    kinds = {str(evse.kind) for evse in file.evses}
    outlets = {str(evse.outlet) for evse in file.evses}
    has = {
        "ac": "AC" in kinds,
        "dc": "DC" in kinds,
        "socket": "socket" in outlets,
        "two_outlets": len(file.evses) > 1,
        "display": simulated or _has_device(file, "display"),
        "stop_button": simulated or _has_device(file, "buttons"),
        "backup_supply": file.devices.get("power") is not None,
        "payment_terminal": _has_device(file, "terminal") or file.payment is not None,
        "payment_page": file.web_payment.dynamic,
        **{need: feature not in file.station.features_off for need, feature in FEATURES.items()},
    }
    return {need: f"{file.path.name} has none" for need, there in has.items() if not there}


def _has_device(file: StationFile, role: str) -> bool:
    return any(devices.get(role) is not None for devices in file.all_devices)
