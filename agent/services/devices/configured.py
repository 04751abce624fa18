"""From a device's table in the station file to a driver ready to open. Drivers are found by entry point and imported
only when a station file names them."""

from __future__ import annotations

import functools
import importlib
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from agent.model.device_role import DeviceRole
from agent.model.entry_points import EntryPointError, list_entry_points, load_checked
from agent.model.fastclass import frozen
from agent.model.types import STATION, EvseId
from agent.ports.driver import Driver, OutletFacts, StationFacts, Where
from agent.station_file.settings import Device, Evse, SettingsError, StationFile, build_table, did_you_mean

if TYPE_CHECKING:
    from agent.ports.verify import VerifyKit

log = logging.getLogger(__name__)

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
    """The driver of this name. Raises ``SettingsError`` with the names that exist, or with what is wrong with it."""
    found = _installed_drivers()
    if name not in found:
        raise SettingsError([f"no driver is called {name!r}{did_you_mean(name, found, 'installed')}"])
    try:
        return load_checked(found[name], Driver)
    except EntryPointError as e:
        raise SettingsError([f"the driver {e}: check the package that brings it"]) from e


@functools.cache
def _installed_drivers() -> dict[str, str]:
    """Read once: looking through all installed packages takes 3 ms, and a station has ten devices."""
    return dict(list_entry_points(GROUP))


@frozen
class ConfiguredDevice:
    """A device that the station file names. ``evse``: 0 for one of the station; ``path``: its table in the file."""

    evse: EvseId
    role: DeviceRole
    path: str
    table: Device


def configured_devices(file: StationFile) -> list[ConfiguredDevice]:
    """Return all devices that the file names, those of each EVSE first. A device whose role serves each EVSE is there
    for every EVSE that has none of its own."""
    found: list[ConfiguredDevice] = []
    for evse in file.evses:
        for name, role in file.roles.items():
            own = {f"evse[{evse.number}].{place}": d for place, d in evse.devices.of_role(name).items()}
            shared = file.devices.of_role(name) if role.serves_each_evse else {}
            found += [ConfiguredDevice(evse.number, role, path, d) for path, d in (own or shared).items()]
    for name, role in file.roles.items():
        shared = {} if role.serves_each_evse else file.devices.of_role(name)
        found += [ConfiguredDevice(STATION, role, path, d) for path, d in shared.items()]
    return found


def verify_kit_of(device: ComposedDevice) -> VerifyKit:
    """What the driver says of itself, or what is customary."""
    from agent.ports.verify import VerifyKit

    if not device.driver.verify_kit:
        return VerifyKit()
    module, _, name = device.driver.verify_kit.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, VerifyKit)
    return found


def compose_devices(file: StationFile, now: Callable[[], tuple[int, float]]) -> list[ComposedDevice]:
    """Every device with its driver and judged settings. Raises ``SettingsError`` naming each path."""
    wrong: list[str] = []
    out: list[ComposedDevice] = []
    meters: dict[Any, tuple[EvseId, str]] = {}
    for configured in configured_devices(file):
        evse, role, path = configured.evse, configured.role, configured.path
        try:
            driver = find_driver(configured.table.driver)
        except SettingsError as e:
            wrong += [f"{file.path}: {path}.driver: {p}" for p in e.problems]
            continue
        if driver.role != (role.driver_role or role.name):
            wrong.append(f"{file.path}: {path}.driver: {driver.name!r} drives a {driver.role}, not a {role.name}")
            continue
        problems: list[str] = []
        options = _driver_options(driver, configured)
        settings = build_table(driver.settings, options, path, problems, file.path.parent)
        where = _device_context(file, evse, role.name, now)
        if role.name == "meter" and not problems:
            problems += _billed_twice(meters, evse, path, driver, settings, where)
        wrong += [f"{file.path}: {p}" for p in problems]
        complaints = [f"{file.path}: {c}" for c in _settings_complaints(driver, settings, where, path, problems)]
        out.append(
            ComposedDevice(
                evse, role.name, path, _bind_opening(driver, settings, where), complaints, driver, settings, where
            )
        )
    if wrong:
        raise SettingsError(wrong + [c for d in out for c in d.complaints])
    return out


def _settings_complaints(driver: Driver[Any], settings: Any, where: Where, path: str, problems: list[str]) -> list[str]:
    """What the driver says, by the path of the key; nothing of keys that were not accepted: their defaults stand in."""
    keys = {f.name for f in fields(driver.settings)}
    reported = {p.partition(": ")[0] for p in problems}
    missing = driver.missing_dependency()
    found = [f"{path}.driver: {driver.name} needs {missing}"] if missing else []
    for complaint in driver.check(settings, where):
        key = complaint.partition(": ")[0]
        placed = f"{path}.{complaint}" if re.split(r"[.\[]", key)[0] in keys else f"{path}: {complaint}"
        if placed.partition(": ")[0] not in reported:
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


def _driver_options(driver: Driver[Any], configured: ConfiguredDevice) -> dict[str, Any]:
    """Return the options of the driver. A key of the agent's own is the driver's too if its settings have it. The
    points of a board that serves several EVSEs have the numbers of the EVSEs unless the station file gives others."""
    known = {f.name for f in fields(driver.settings)}
    own_keys = [key for key in configured.role.own_keys if key not in known]
    options = dict(configured.table.without_keys(*own_keys).options)
    if configured.path == "board" and "point" in known:
        options.setdefault("point", configured.evse)
    return options


def _device_context(file: StationFile, evse: EvseId, role: str, now: Callable[[], tuple[int, float]]) -> Where:
    station = file.station
    of_evse: Evse | None = file.evse_table(evse) if evse else None
    facts = StationFacts(
        number=station.number or station.id,
        hotline=station.hotline,
        timezone=station.timezone,
        language=station.languages[0] if station.languages else "en",
        max_a=of_evse.max_a if of_evse else 0.0,
        phases=of_evse.phases if of_evse else 3,
        kind=of_evse.kind if of_evse else "",
        power_w=of_evse.power_w if of_evse else None,
        outlet=of_evse.outlet if of_evse else "",
        outlets={e.number: OutletFacts(e.kind, e.outlet) for e in file.evses},
        state_dir=station.state_dir,
        hold_hours=_payment_hold_hours(file.payment),
    )
    return Where(evse, role, now, config_dirs(file), facts)


def _payment_hold_hours(payment: Any) -> float:
    """How many hours a bank may have to hold an amount. 0: the station takes no payments."""
    if not isinstance(payment, Mapping):
        return 0.0
    from agent.domain.payment import HOLD_HOURS

    hours = payment.get("hold_hours", HOLD_HOURS)
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
    """Folders with ``meters/``, ``boards/``, ``texts/`` that packages register: an entry point names the package.

    A broken one is left out, and the log names it: the station needs its files only if the station file names them."""
    found: list[Path] = []
    for _, entry in list_entry_points(CONFIG_GROUP):
        try:
            package = load_checked(entry, ModuleType)
        except EntryPointError as e:
            log.error("%s: its maps and texts are left out; check the package that brings them", e)
        else:
            found += [Path(folder) for folder in list(getattr(package, "__path__", ()))[:1]]
    return tuple(found)
