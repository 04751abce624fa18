"""The plans that come with the program, and what belongs to them: scenarios, stations and kits for a simulated run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.audit.plan_file import load_plan
from agent.audit.plan_model import Plan
from agent.commands.scenario.stations import library_folder
from agent.scenario.scenario_file import load_scenario
from agent.scenario.scenario_model import Scenario
from agent.station_file.settings import SettingsError

if TYPE_CHECKING:
    from agent.audit.context import KitFacts, StationFact
    from agent.commands.kit.kit_file import Kit
    from agent.station_file.settings import StationFile


def plan_folder() -> Path:
    """Return the folder of the plans that come with the program."""
    import config

    return Path(config.__file__).parent / "plans"


def shipped_plans() -> list[Path]:
    return sorted(plan_folder().glob("*.toml"), key=lambda path: path.stem)


def plan_path(word: str) -> Path:
    """Return the file that a word of the command line names. Raises ``SettingsError``."""
    shipped = plan_folder() / f"{word}.toml"
    if not Path(word).exists() and shipped.exists():
        return shipped
    if not Path(word).exists():
        names = ", ".join(p.stem for p in shipped_plans())
        raise SettingsError([f"{word}: there is no such file, and no plan of this name; known: {names}"])
    return Path(word)


def open_plan(path: Path) -> Plan:
    """Read a plan and judge its scenarios too. Raises ``PlanError``."""
    return load_plan(path, ScenarioShelf(path).find_scenario)


class ScenarioShelf:
    """The scenarios that a plan can name: beside the plan, of the plans, of the library."""

    def __init__(self, plan: Path) -> None:
        self._folders = (plan.parent / "scenarios", plan.parent, plan_folder() / "scenarios", library_folder())
        self._loaded: dict[str, Scenario | None] = {}

    def find_scenario(self, name: str) -> Scenario | None:
        """Return a scenario by its name, None if there is none. Raises ``ScenarioError``."""
        if name not in self._loaded:
            paths = [folder / f"{name}.toml" for folder in self._folders]
            found = next((path for path in paths if path.exists()), None)
            self._loaded[name] = load_scenario(found) if found is not None else None
        return self._loaded[name]


def built_in_station(plan: Plan) -> Path:
    """Return the station file on which a plan is simulated. Raises ``SettingsError``."""
    path = plan_folder() / "stations" / f"{plan.station}.toml"
    if not plan.station or not path.exists():
        raise SettingsError([f"{plan.path}: names no built-in station: say which, STATION.toml --simulate"])
    return path


def built_in_kit(plan: Plan) -> Path | None:
    """Return the kit of the built-in station of a plan, None if it has none."""
    path = plan_folder() / "kits" / plan.station / "kit.toml"
    return path if plan.station and path.exists() else None


def facts_of_kit(kit: Kit) -> KitFacts:
    """Return what a kit fixes, without its secrets."""
    from agent.audit.context import KitFacts
    from agent.commands.kit.kit_file import is_secret_name

    settings = kit.raw.get("settings", {})
    named = {
        name: _setting_text(value)
        for table in ("ocpp16", "ocpp2")
        for name, value in dict(settings.get(table, {})).items()
        if not is_secret_name(name)
    }
    tariff = {key: value for key, value in dict(kit.raw.get("tariff", {})).items() if not is_secret_name(key)}
    return KitFacts(
        kit.station.number, kit.backend.charge_point_id, kit.header.station_type, tuple(kit.backend.versions),
        kit.backend.security_profile, named, kit.sim.iccid if kit.sim else "", kit.sim.apn if kit.sim else "",
        tariff, tuple(e.number for e in kit.evses),
    )  # fmt: skip


def _setting_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def facts_of_station_file(file: StationFile) -> dict[str, StationFact]:
    """Return what a station file says of the station and of its meters."""
    from agent.audit.station_facts import make_fact

    station, policies = file.station, [file.meter_policies[n] for n in sorted(file.meter_policies)]
    values = {
        "vendor": station.vendor, "model": station.model, "serial": station.serial,
        "firmware": station.firmware_version, "number": station.number,
        "meter_class": _joined_distinct_values(p.accuracy_class for p in policies),
        "meter_year": _joined_distinct_values(p.mid_year or "" for p in policies),
        "meter_serial": _joined_distinct_values(p.serial for p in policies),
    }  # fmt: skip
    return {key: make_fact(key, value, "station file") for key, value in values.items() if value}


def _joined_distinct_values(values: Iterable[object]) -> str:
    """Return the values of several outlets, one that they share once."""
    return ", ".join(dict.fromkeys(str(v) for v in values if v))
