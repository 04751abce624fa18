"""What a kit changes in a station file: one change per key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.commands.kit.kit_file import KIT_TABLES, Kit, is_secret_name, leaf_paths, own_files
from agent.model import secret_file
from agent.model.bearer import BearerKind
from agent.model.fastclass import field_specs, frozen
from agent.model.key_rules import key_type, split_type_and_rules
from agent.ocpp.transport.transport import is_tls, url_scheme
from agent.station_file.problems import FROM_ONE
from agent.station_file.settings import SettingsError, read_station_file
from agent.station_file.tables import BearerKeys

KeyPath = tuple[str | int, ...]
MERGED_TABLES = ("station", "backend", "web_payment", "settings")
"""What the kit does not name stays in the station file. A tariff is replaced as a whole: a price is one thing."""
PLAIN_TABLES = (*MERGED_TABLES, "tariff")
SETTING_TABLES = ("ocpp16", "ocpp2")
"""Tables inside ``[settings]``."""
ADDRESSES_OF_BACKEND = (("backend", "url"), ("backend", "secure_url"))
NAMES_OF_STATION = (("station", "number"), ("backend", "charge_point_id"))
URL_USER = re.compile(r"(?<=//)[^/@\s]*@")

SIM_KEYS = {
    "apn": "apn",
    "iccid": "iccid",
    "auth": "auth",
    "user": "username",
    "password_file": "password",
    "pin_file": "pin",
}
"""Keys of ``[sim]``, and what drivers of modems call them in ``[[bearer]]``."""


class Absent:
    """Stands for a key that is not in the file."""


ABSENT = Absent()


@frozen
class KeyChange:
    """``new`` is ``ABSENT``: the key is removed. ``source``: a file of the kit that is copied to the station; ``new``
    is its path in the kit."""

    path: KeyPath
    old: Any
    new: Any
    source: Path | None = None

    @property
    def name(self) -> str:
        return path_text(self.path)


def path_text(path: KeyPath) -> str:
    """Return the path as the messages of ``check`` name it."""
    text = ""
    for above, step in zip((None, *path), path, strict=False):
        text += f"[{step + (above in FROM_ONE)}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def value_text(path: KeyPath, value: Any) -> str:
    """Return a value as a person may see it: the value of a secret key is not shown."""
    if value is ABSENT:
        return "(not set)"
    if is_secret_name(str(path[-1])):
        return "(secret, not shown)"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {value_text((key,), inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(value_text(path, entry) for entry in value)}]"
    return URL_USER.sub("(secret)@", json.dumps(value, ensure_ascii=False, default=str))


def change_line(change: KeyChange) -> str:
    new = value_text(change.path, change.new)
    if change.source is not None:
        new = f"a copy of {change.new}"
    elif change.new is ABSENT:
        new = "(removed)"
    return f"{change.name}: {value_text(change.path, change.old)} -> {new}"


def read_station_tables(path: Path) -> dict[str, Any]:
    """Read the tables of a station file. Raises ``SettingsError`` also if a table that a kit may change is none."""
    tables = read_station_file(path)
    wrong = [name for name in PLAIN_TABLES if not isinstance(tables.get(name, {}), dict)]
    for name in ("evse", "bearer"):
        listed = tables.get(name, [])
        if not all(isinstance(table, dict) for table in (listed if isinstance(listed, list) else [listed])):
            wrong.append(name)
    if not wrong:
        settings = tables.get("settings", {})
        wrong = [f"settings.{name}" for name in SETTING_TABLES if not isinstance(settings.get(name, {}), dict)]
    if wrong:
        raise SettingsError([f"{path}: {name}: must be a table" for name in wrong])
    listed = tables.get("evse", [])
    for place, table in enumerate(listed if isinstance(listed, list) else [listed], 1):
        if type(table.get("number", place)) is not int:
            raise SettingsError([f"{path}: evse[{place}].number: must be a whole number"])
    return tables


def planned_changes(kit: Kit, station: Mapping[str, Any], folder: Path) -> list[KeyChange]:
    """Return the changes that the kit makes. ``station``: the tables of the station file; ``folder``: where it is.

    Raises ``SettingsError``.
    """
    found = [c for name in MERGED_TABLES for c in _merged(kit, name, station, folder)]
    if "password_file" in kit.raw["backend"] and "password" in station.get("backend", {}):
        found.append(KeyChange(("backend", "password"), station["backend"]["password"], ABSENT))
    if "tariff" in kit.raw:
        old, new = station.get("tariff", {}), kit.raw["tariff"]
        keys = (*new, *(k for k in old if k not in new))
        both = [(key, old.get(key, ABSENT), new.get(key, ABSENT)) for key in keys]
        found += [KeyChange(("tariff", key), first, second) for key, first, second in both if first != second]
    return [*found, *_outlet_changes(kit, station), *_sim_changes(kit, station)]


def changed_names(changes: Iterable[KeyChange]) -> list[str]:
    """Return in words what a station would be called otherwise: its number, its charge point id, its SIM. What it has
    not got yet is no other name."""
    return [
        f"{'sim' if change.path[0] == 'bearer' else change.path[0]}.{change.path[-1]}: the station file has"
        f" {value_text(change.path, change.old)}, the kit {value_text(change.path, change.new)}"
        for change in changes
        if change.old not in (ABSENT, "")
        and (change.path in NAMES_OF_STATION or (change.path[0], change.path[-1]) == ("bearer", "iccid"))
    ]


def gives_other_names(now: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    """Return whether a station with the tables ``then`` has another number, charge point id or SIM than with ``now``.
    A name that only one of both has is no other name."""
    pairs = zip(_names_of_station(now), _names_of_station(then), strict=False)
    return any(first != second and not {first, second} & {ABSENT, ""} for first, second in pairs)


def _names_of_station(tables: Mapping[str, Any]) -> Iterator[Any]:
    for path in NAMES_OF_STATION:
        yield value_at(tables, path)
    bearers = tables.get("bearer", [])
    for table in bearers if isinstance(bearers, list) else []:
        yield table.get("iccid", "") if isinstance(table, Mapping) else ""


def sends_password_elsewhere(kit: Kit, changes: Iterable[KeyChange], station: Mapping[str, Any]) -> bool:
    """Return whether the password that the station has would be sent to another host than now, or without TLS.

    A kit brings a password if the file is its own: one with an absolute path is that of the station. The key that a
    backend has set takes the place of both. It is forgotten with ``url`` only (``belongs_to_station_file``).
    """
    has_password = bool(_backend_values(station, "password", "password_file"))
    known = _backend_values(station, "url", "secure_url", "soap_url")
    addresses = {str(c.path[-1]): str(c.new) for c in changes if c.path in ADDRESSES_OF_BACKEND and c.new}
    moved = {key for key, new in addresses.items() if known and not any(_is_as_safe(new, old) for old in known)}
    if any((table, key) == ("backend", "password_file") for table, key, _ in own_files(kit)):
        return moved == {"secure_url"}
    return moved == {"secure_url"} or (has_password and bool(moved))


def _backend_values(station: Mapping[str, Any], *keys: str) -> list[str]:
    values = [value_at(station, ("backend", key)) for key in keys]
    return [str(value) for value in values if value not in (ABSENT, "")]


def _is_as_safe(new: str, old: str) -> bool:
    """Return whether a password that is sent to one address may be sent to the other: of the same host and port, and
    not without the TLS that it has now."""
    return urlsplit(new).netloc == urlsplit(old).netloc and (is_tls(new) or url_scheme(new) == url_scheme(old))


def _merged(kit: Kit, name: str, station: Mapping[str, Any], folder: Path) -> Iterator[KeyChange]:
    for path, new in leaf_paths(kit.raw.get(name, {}), (name,)):
        if path == (name,):
            continue  # an empty table
        old = value_at(station, path)
        if _is_file_key(path):
            yield from _file_change(kit, path, old, new, folder)
        elif old != new or type(old) is not type(new):
            yield KeyChange(path, old, new)


def _is_file_key(path: KeyPath) -> bool:
    """Return whether the key names a file, by its type."""
    table, key = KIT_TABLES.get(str(path[0])), str(path[-1])
    specs = {} if table is None or len(path) != 2 else field_specs(table)
    return key in specs and table is not None and split_type_and_rules(key_type(table, specs[key]))[0] is Path


def _file_change(kit: Kit, path: KeyPath, old: Any, new: str, folder: Path) -> Iterator[KeyChange]:
    """Yield the change of a key that names a file. An absolute path is one of the station's own and stays as it is."""
    if Path(new).is_absolute():
        if old != new:
            yield KeyChange(path, old, new)
        return
    source = kit.path.resolve().parent / new
    if isinstance(old, str) and _same_content(source, folder / old):
        return
    yield KeyChange(path, old, new, source)


def _same_content(first: Path, second: Path) -> bool:
    try:
        return first.read_bytes() == second.read_bytes()
    except OSError:
        return False


def _outlet_changes(kit: Kit, station: Mapping[str, Any]) -> Iterator[KeyChange]:
    tables = station.get("evse", [])
    listed = tables if isinstance(tables, list) else [tables]
    places = {table.get("number", place + 1): place for place, table in enumerate(listed)}
    for table in kit.raw.get("evse", []):
        place = places.get(table["number"])
        if place is None:
            raise SettingsError([f"{kit.path}: evse[{table['number']}]: the station has no outlet {table['number']}"])
        above: KeyPath = ("evse", place) if isinstance(tables, list) else ("evse",)
        for key, new in table.items():
            old = listed[place].get(key, ABSENT)
            if key != "number" and old != new:
                yield KeyChange((*above, key), old, new)


def sim_bearer(kit: Kit, station: Mapping[str, Any]) -> int | None:
    """Return which ``[[bearer]]`` the SIM of the kit is for: the one with its ICCID, else the first of mobile radio
    without an ICCID, else the first of mobile radio."""
    tables = station.get("bearer", [])
    places = [
        place
        for place, table in enumerate(tables if isinstance(tables, list) else [])
        if isinstance(table, Mapping) and table.get("kind") == BearerKind.GPRS
    ]
    if kit.sim is None or not places:
        return None
    iccid = kit.sim.iccid
    free = next((p for p in places if not tables[p].get("iccid")), places[0])
    return next((p for p in places if iccid and tables[p].get("iccid") == iccid), free if iccid else places[0])


def sim_keys_left_out(kit: Kit, station: Mapping[str, Any]) -> list[str]:
    """Return the keys of ``[sim]`` that the driver of the bearer does not have."""
    place = sim_bearer(kit, station)
    if place is None:
        return []
    known = _driver_keys(station["bearer"][place].get("driver"))
    return [key for key in kit.raw["sim"] if known and SIM_KEYS[key] not in known]


def _driver_keys(name: Any) -> set[str]:
    """Return the keys of a ``[[bearer]]`` with this driver; none if there is no such driver."""
    from agent.services.devices.configured import find_driver

    try:
        return {*field_specs(BearerKeys), *field_specs(find_driver(str(name)).settings)}
    except SettingsError:
        return set()  # `check` reports it


def _sim_changes(kit: Kit, station: Mapping[str, Any]) -> Iterator[KeyChange]:
    place = sim_bearer(kit, station)
    if place is None:
        return
    left_out = sim_keys_left_out(kit, station)
    for key, written in ((k, v) for k, v in kit.raw["sim"].items() if k not in left_out):
        bearer_key = SIM_KEYS[key]
        old = station["bearer"][place].get(bearer_key, ABSENT)
        new = _secret_value(kit, key) if key.endswith("_file") else written
        if old != new:
            yield KeyChange(("bearer", place, bearer_key), old, new)


def _secret_value(kit: Kit, key: str) -> str:
    """Return the secret itself, which the driver of a modem has in its table. Raises ``SettingsError``."""
    try:
        return secret_file.read_secret_text(getattr(kit.sim, key))
    except secret_file.Unfit as e:
        raise SettingsError([f"{kit.path}: sim.{key}: {e}"]) from None


def value_at(tables: Any, path: KeyPath) -> Any:
    for step in path:
        if isinstance(step, str) and (not isinstance(tables, Mapping) or step not in tables):
            return ABSENT
        tables = tables[step]
    return tables
