"""The station file for the agent: the given file with the addresses of the far ends filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from agent.model.toml_text import format_document
from agent.station_file.settings import Backend, Device, DeviceTables, Evse, StationFile

Table = dict[str, Any]


@dataclass
class FarEnds:
    """Device tables by place. Devices that the station file addresses itself are not in them.

    ``evses[n]`` and ``station`` hold a table, or a list of tables, by role. ``via`` maps a backend name to
    ``host:port``.
    """

    evses: dict[int, Table] = field(default_factory=dict)
    station: Table = field(default_factory=dict)
    via: dict[str, str] = field(default_factory=dict)


ADDRESSES: dict[str, tuple[str, ...]] = {
    "evse_modbus": ("host", "device"),
    "evse_openevse": ("device",),
    "evse_everest": ("host",),
    "meter_modbus": ("host", "device"),
    "meter_rest": ("host",),
    "reader_nfc": ("path",),
    "reader_serial": ("device",),
    "display_framebuffer": ("path",),
    "buttons_evdev": ("path",),
    "buzzer_evdev": ("path",),
    "lamp_leds": ("green", "red", "blue", "yellow"),
    "power_sysfs": ("path",),
    "limit_modbus": ("host", "device"),
    "limit_mqtt": ("host",),
    "terminal_payter": ("host", "device"),
    "updater_command": ("install",),
    "lan_static": ("interface",),
    "modem_at": ("device", "data_device"),
}
"""The keys that address a device, for each driver with a far end here."""


def lacks_address(device: Device | None, driver: str) -> bool:
    """Return True if no device is named, or one of this driver without an address."""
    return device is None or (device.driver == driver and not any(device.options.get(a) for a in ADDRESSES[driver]))


DC_OUTLET: Table = {"outlet": "tethered", "power_kw": 150, "max_a": 350, "board": {"driver": "evse_everest"}}
"""Defaults of a simulated outlet whose file has only ``kind = "DC"``."""


def with_outlet_defaults(raw: Mapping[str, Any]) -> Table:
    """Return a raw station file with the defaults of a simulated DC outlet, which has no hardware to look up."""
    evses = raw.get("evse")
    if not isinstance(evses, list):
        return dict(raw)
    default = {k: v for k, v in DC_OUTLET.items() if k not in raw}  # a board of the whole station is one for all
    dc = [{**default, **e} if isinstance(e, dict) and e.get("kind") == "DC" else e for e in evses]
    return {**raw, "evse": dc}


def without_addresses(file: StationFile) -> StationFile:
    """Return the same station without the addresses of backends and of devices that can be simulated."""
    evses = tuple(_strip_addresses(e) for e in file.evses)
    return replace(_strip_addresses(file), evses=evses, backends=tuple(replace(b, url="") for b in file.backends))


T = TypeVar("T", StationFile, Evse)


def _strip_addresses(table: T) -> T:
    return replace(table, **{f.name: _strip_value(getattr(table, f.name)) for f in fields(table)})


def _strip_value(value: Any) -> Any:
    if isinstance(value, Device):
        return value.without_keys(*ADDRESSES.get(value.driver, ()))
    if isinstance(value, DeviceTables):
        return DeviceTables({place: _strip_value(device) for place, device in value.items()})
    if isinstance(value, tuple):
        return tuple(map(_strip_value, value))
    return value


def with_absolute_paths(options: Mapping[str, Any], base: Path) -> Table:
    """Make the paths of files that the station file names absolute, so that the derived file finds them too."""
    inner = {k: with_absolute_paths(v, base) for k, v in options.items() if isinstance(v, Mapping)}
    files = {k: str((base / v).resolve()) for k, v in options.items() if k.endswith("_file") and isinstance(v, str)}
    return {**options, **inner, **files}


def chosen_options(device: Device | None) -> Table:
    """Return the options of a device that the station file sets."""
    return {k: v for k, v in device.options.items() if v != ""} if device is not None else {}


def derive_station_file(file: StationFile, far_ends: FarEnds, backend_url: str, status_socket: Path) -> str:
    """Return the derived station file as TOML text. Every path in it is absolute."""
    station = _settings_table(replace(file.station, status_socket=status_socket.resolve()))
    station["state_dir"] = file.station.state_dir.resolve()
    station["config_dir"] = [*file.station.config_dir, file.path.resolve().parent]  # looked up in the same order
    first, *others = [
        _backend_table(b, far_ends) for b in with_backend_url(file.backends, file.station.id, backend_url)
    ] or [{}]
    return format_document(
        {
            "station": station,
            "backend": first or None,
            "backends": others,
            "link": _settings_table(file.link),
            "metrics": _settings_table(file.metrics),
            "field_page": _settings_table(file.field_page),
            "web_payment": _settings_table(file.web_payment),
            "sinks": [_settings_table(t) for t in file.sinks],
            "settings": file.settings or None,
            "tariff": file.tariff,
            "payment": _payment_table(file),
            **_shared_tables(file, far_ends),
            "evse": [_evse_table(e, far_ends) for e in file.evses],
            "simulation": _settings_table(replace(file.simulation, misbehaviour=())),  # it is done on the way
        }
    )


def _payment_table(file: StationFile) -> Table | None:
    """Return ``[payment]`` with the tables of a shared terminal."""
    roles = {"master": file.payment_master, "satellite": file.payment_satellite}
    found = {name: _settings_table(table) for name, table in roles.items() if table is not None}
    if file.payment_master is not None:
        found["master"]["satellites"] = file.payment_master.satellites
    return {**(file.payment or {}), **found} if found else file.payment


def with_backend_url(backends: tuple[Backend, ...], station_id: str, url: str) -> tuple[Backend, ...]:
    """Return the backends with ``url``, if it is given, as the URL of the first."""
    if not url:
        return backends
    first = backends[0] if backends else Backend(charge_point_id=station_id)
    return (replace(first, url=url), *backends[1:])


def _backend_table(backend: Backend, far_ends: FarEnds) -> Table:
    table = _settings_table(backend)
    if backend.name in far_ends.via:
        table["via"] = far_ends.via[backend.name]
    return table


def _shared_tables(file: StationFile, far_ends: FarEnds) -> Table:
    """Return the devices of the whole station, without a board or meter if every EVSE has a far end of its own."""
    shared = _device_tables(file.devices)
    for role in ("board", "meter"):
        if all(role in t for t in far_ends.evses.values()):
            shared.pop(role, None)
    return {**shared, **far_ends.station}


def _evse_table(evse: Evse, far_ends: FarEnds) -> Table:
    table = {**_settings_table(evse), **_device_tables(evse.devices), "tariff": evse.tariff}
    return {**table, **far_ends.evses.get(evse.number, {})}


def _device_tables(devices: DeviceTables) -> Table:
    """Return the tables by role: a list of tables for a role that may have several."""
    tables: Table = {}
    for place, device in devices.items():
        role, several, _ = place.partition("[")
        if several:
            tables.setdefault(role, []).append(_device_table(device))
        else:
            tables[role] = _device_table(device)
    return tables


def _device_table(device: Device) -> Table:
    return {"driver": device.driver, **device.options}


def _settings_table(settings: Any) -> Table:
    """Return a settings dataclass as a table. Fields that are None are left out: None is their default."""
    table: Table = {}
    for f in fields(settings):
        value = getattr(settings, f.name)
        if isinstance(value, Path):
            value = value.resolve()
        elif isinstance(value, tuple) and any(hasattr(v, "__dataclass_fields__") for v in value):
            value = [_settings_table(v) for v in value]
        if value is not None and not isinstance(value, Mapping):
            table[f.name] = value
    return table
