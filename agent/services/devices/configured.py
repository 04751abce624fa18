"""From a device's table in the station file to a driver ready to open. Drivers are found by entry point and imported
only when a station file names them."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.payment import HOLD_HOURS
from agent.model.fastclass import frozen
from agent.model.types import EvseId
from agent.ports.driver import Driver, Where
from agent.services.devices.entry_points import list_entry_points, load_entry_point
from agent.station_file.settings import OWN_METER, Device, Evse, SettingsError, StationFile, build_table, did_you_mean

if TYPE_CHECKING:
    from agent.ports.verify import VerifyKit

GROUP = "chargy_agent.drivers"
CONFIG_GROUP = "chargy_agent.config"


@frozen
class ComposedDevice:
    """A device of the station: where it is, and how to open it."""

    evse: EvseId
    role: str
    name: str
    opening: Callable[[], AbstractAsyncContextManager[Any]]
    complaints: list[str]
    driver: Driver[Any]
    settings: Any
    where: Where


def find_driver(name: str) -> Driver[Any]:
    """The driver of this name. Raises ``SettingsError`` with the names that exist."""
    found = _installed_drivers()
    if name not in found:
        raise SettingsError([f"no driver is called {name!r}{did_you_mean(name, found, 'installed')}"])
    driver = load_entry_point(found[name])
    assert isinstance(driver, Driver)
    return driver


@functools.cache
def _installed_drivers() -> dict[str, str]:
    """Read once: looking through all installed packages takes 3 ms, and a station has ten devices."""
    return dict(list_entry_points(GROUP))


def configured_devices(file: StationFile) -> list[tuple[EvseId, str, str, Device]]:
    """All devices that the file names: (EVSE or 0, role, path in the file, table). A shared board or meter serves
    every EVSE that has none of its own; ``compose_devices`` refuses a meter that more than one EVSE would bill from."""
    out: list[tuple[EvseId, str, str, Device]] = []
    for evse in file.evses:
        for role in ("board", "meter", "display", "lamp"):
            own: Device | None = getattr(evse, role)
            shared: Device | None = getattr(file, role, None)
            if own is not None:
                out.append((evse.number, role, f"evse[{evse.number}].{role}", own))
            elif shared is not None and role != "display":
                out.append((evse.number, role, role, shared))
        readers = ((i, d) for i, d in enumerate(evse.reader) if d)  # an entry that is no table is reported already
        out += [(evse.number, "reader", f"evse[{evse.number}].reader[{i}]", d) for i, d in readers]
    if file.display is not None:
        out.append((0, "display", "display", file.display))
    out += [(0, "reader", f"reader[{i}]", d) for i, d in enumerate(file.readers)]
    if file.buttons is not None:
        out.append((0, "buttons", "buttons", file.buttons))
    out += [(e.number, "terminal", f"evse[{e.number}].terminal", e.terminal) for e in file.evses if e.terminal]
    if file.terminal is not None:
        out.append((0, "terminal", "terminal", file.terminal))
    if file.buzzer is not None:
        out.append((0, "buzzer", "buzzer", file.buzzer))
    if file.power is not None:
        out.append((0, "power", "power", file.power.device))
    if file.updater is not None:
        out.append((0, "updater", "updater", file.updater))
    return out


def verify_kit_of(device: ComposedDevice) -> VerifyKit:
    """What the driver says of itself, or what is customary."""
    from agent.ports.verify import VerifyKit

    if not device.driver.verify_kit:
        return VerifyKit()
    module, _, name = device.driver.verify_kit.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, VerifyKit)
    return found


ROLES = {
    "board": "evse",
    "meter": "meter",
    "reader": "reader",
    "display": "display",
    "buttons": "buttons",
    "power": "power",
    "lamp": "lamp",
    "buzzer": "buzzer",
    "updater": "updater",
    "terminal": "terminal",
}


def compose_devices(file: StationFile, now: Callable[[], tuple[int, float]]) -> list[ComposedDevice]:
    """Every device with its driver and judged settings. Raises ``SettingsError`` naming each path."""
    wrong: list[str] = []
    out: list[ComposedDevice] = []
    meters: dict[Any, tuple[EvseId, str]] = {}
    for evse, role, path, device in configured_devices(file):
        try:
            driver = find_driver(device.driver)
        except SettingsError as e:
            wrong += [f"{file.path}: {path}.driver: {p}" for p in e.problems]
            continue
        if driver.role != ROLES[role]:
            wrong.append(f"{file.path}: {path}.driver: {driver.name!r} drives a {driver.role}, not a {role}")
            continue
        problems: list[str] = []
        settings = build_table(
            driver.settings, _with_point_number(driver, device, evse, path), path, problems, file.path.parent
        )
        where = _device_context(file, evse, role, now)
        if role == "meter" and not problems:
            problems += _billed_twice(meters, evse, path, driver, settings, where)
        wrong += [f"{file.path}: {p}" for p in problems]
        complaints = [f"{file.path}: {c}" for c in _settings_complaints(driver, settings, where, path, problems)]
        out.append(
            ComposedDevice(
                evse, role, path, _bind_opening(driver, settings, where), complaints, driver, settings, where
            )
        )
    if wrong:
        raise SettingsError(wrong + [c for d in out for c in d.complaints])
    return out


def _settings_complaints(driver: Driver[Any], settings: Any, where: Where, path: str, problems: list[str]) -> list[str]:
    """What the driver says, by the path of the key; nothing of keys that were not accepted: their defaults stand in."""
    keys = {f.name for f in fields(driver.settings)}
    told = {p.partition(": ")[0] for p in problems}
    missing = driver.missing_dependency()
    found = [f"{path}.driver: {driver.name} needs {missing}"] if missing else []
    for complaint in driver.check(settings, where):
        key = complaint.partition(": ")[0]
        placed = f"{path}.{complaint}" if re.split(r"[.\[]", key)[0] in keys else f"{path}: {complaint}"
        if placed.partition(": ")[0] not in told:
            found.append(placed)
    return found


_NO_ADDRESS = {"map", "serial", "baud", "parity", "timeout_s", "coarsest_wh"}
"""Keys that say how a meter is spoken to, not which one it is."""


def _billed_twice(
    meters: dict[Any, tuple[EvseId, str]], evse: EvseId, path: str, driver: Driver[Any], settings: Any, where: Where
) -> list[str]:
    """One register for two EVSEs puts the same energy on two bills."""
    keys = (getattr(settings, f.name) for f in fields(settings) if f.name not in _NO_ADDRESS)
    address = tuple(keys) if driver.address is None else driver.address(settings, where)
    first, its_path = meters.setdefault((driver.name, *address), (evse, path))
    if first == evse:
        return []
    return [
        f"{path}: EVSE {first} and {evse} would bill from the same meter, the same energy twice"
        f" ({its_path}); give each EVSE its own [evse.meter] with its own address (device, host or unit)"
    ]


def _bind_opening(driver: Driver[Any], settings: Any, where: Where) -> Callable[[], AbstractAsyncContextManager[Any]]:
    return lambda: driver.open(settings, where)


def _with_point_number(driver: Driver[Any], device: Device, evse: EvseId, path: str) -> dict[str, Any]:
    """Return the options of the driver. The points of a board that serves several EVSEs have the numbers of the EVSEs
    unless the station file gives others."""
    options = dict((device.without_keys(*OWN_METER) if driver.role == "meter" else device).options)
    if path == "board" and "point" in {f.name for f in fields(driver.settings)}:
        options.setdefault("point", evse)
    return options


def _device_context(file: StationFile, evse: EvseId, role: str, now: Callable[[], tuple[int, float]]) -> Where:
    station = file.station
    of_evse: Evse | None = file.evse_table(evse) if evse else None
    facts: dict[str, Any] = {
        "number": station.number or station.id,
        "hotline": station.hotline,
        "timezone": station.timezone,
        "language": station.languages[0] if station.languages else "en",
        "max_a": of_evse.max_a if of_evse else 0.0,
        "phases": of_evse.phases if of_evse else 3,
        "kind": of_evse.kind if of_evse else "",
        "power_w": of_evse.power_w if of_evse else None,
        "outlet": of_evse.outlet if of_evse else "",
        "evses": {e.number: {"outlet": e.outlet, "kind": e.kind} for e in file.evses},
        "state_dir": station.state_dir,
        "hold_hours": _payment_hold_hours(file.payment),
    }
    return Where(evse, role, now, config_dirs(file), facts)


def _payment_hold_hours(payment: Any) -> float:
    """How many hours a bank may have to hold an amount. 0: the station takes no payments."""
    hours = payment.get("hold_hours", HOLD_HOURS) if isinstance(payment, Mapping) else 0.0
    return float(hours) if isinstance(hours, (int, float)) and 0 <= hours < 1e6 else 0.0  # others judge payments


def config_dirs(file: StationFile) -> tuple[Path, ...]:
    """Where maps and texts are looked up: the station's own folders first, then those of installed packages, then what
    travels with the program."""
    import config

    return (
        *file.station.config_dir,
        file.path.resolve().parent,
        *_package_config_dirs(),
        Path(next(iter(config.__path__))),
    )


@functools.cache
def _package_config_dirs() -> tuple[Path, ...]:
    """Folders with ``meters/``, ``boards/``, ``texts/`` that packages register: an entry point names the package."""
    return tuple(Path(next(iter(load_entry_point(entry).__path__))) for _, entry in list_entry_points(CONFIG_GROUP))
