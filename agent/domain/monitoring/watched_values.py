"""The values that can be monitored: what the blocks know anyway. A setting is one as well, by its name.

A value that is not known yet is None: a board that was not opened, a meter that was not read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.domain.blocks.evse_status import EvseStatus
from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import LOCKING
from agent.domain.monitoring.monitors import MonitoredVariable, MonitorKind, Part, WatchedValue
from agent.domain.variables import VARIABLES, format_value
from agent.model.fastclass import frozen
from agent.model.types import Moment

Limits = tuple[float, float]
EVERY_KIND = frozenset(MonitorKind)
UNORDERED_KINDS = frozenset((MonitorKind.DELTA, MonitorKind.PERIODIC, MonitorKind.PERIODIC_CLOCK_ALIGNED))


@frozen
class WatchedPlace:
    """Where a value is looked up. ``evse`` None: the station."""

    site: StationState
    status: EvseStatus
    now: Moment
    evse: EvseRecord | None
    instance: str = ""


@frozen
class WatchedRow:
    """``numeric``: it has an order, and thus thresholds. ``limits_of``: the range of a threshold; None: any."""

    read: Callable[[WatchedPlace], WatchedValue | None]
    numeric: bool = False
    limits_of: Callable[[StationState, EvseRecord | None], Limits | None] = lambda site, evse: None


def _is_board_unseen(evse: EvseRecord) -> bool:
    """Return whether nothing is known of the board yet: what it shows is no change."""
    return not evse.board.known and not evse.faults


def _read_connector_status(place: WatchedPlace) -> WatchedValue | None:
    evse = place.evse
    if evse is not None and _is_board_unseen(evse):
        return None
    number = 0 if evse is None else evse.number
    return str(place.status.derive_status(number, place.now.stamp).connector)


def _read_present_problem(place: WatchedPlace) -> WatchedValue | None:
    evses = place.site.evses.values() if place.evse is None else (place.evse,)
    if any(evse.faults for evse in evses):
        return True
    return None if any(map(_is_board_unseen, evses)) else False


def _read_lock_problem(place: WatchedPlace) -> WatchedValue | None:
    evse = place.evse
    return None if evse is None or _is_board_unseen(evse) else bool(evse.faults & LOCKING)


def _read_lamp_colour(place: WatchedPlace) -> WatchedValue | None:
    return None if place.evse is None else str(place.evse.lamp)


def present_power_w(evse: EvseRecord) -> float | None:
    """Return what a session draws now (W); None: it is not known."""
    if evse.session is None:
        return 0.0 if evse.board.known else None
    reading = evse.metering.reading
    return reading.power_w if reading is not None else None


def _read_present_power(place: WatchedPlace) -> WatchedValue | None:
    if place.evse is not None:
        return present_power_w(place.evse)
    powers_w = [present_power_w(evse) for evse in place.site.evses.values()]
    return None if None in powers_w else sum(power_w for power_w in powers_w if power_w is not None)


def _limit_of_power(site: StationState, evse: EvseRecord | None) -> Limits | None:
    evses = site.evses.values() if evse is None else (evse,)
    return 0.0, round(sum(e.config.max_a * e.config.phases * e.config.nominal_v for e in evses), 1)


def _read_energy_register(place: WatchedPlace) -> WatchedValue | None:
    reading = place.evse.metering.reading if place.evse is not None else None
    return float(reading.energy_wh) if reading is not None else None


def _bearer_value_reader(
    value_of: Callable[[Any, bool], WatchedValue | None],
) -> Callable[[WatchedPlace], WatchedValue | None]:
    """Read a value of the bearer with this name in OCPP. ``value_of``: of its status, and whether it is in use."""

    def read_link_value(place: WatchedPlace) -> WatchedValue | None:
        from agent.domain.bearers import ocpp_interfaces

        site = place.site
        for name, interface in ocpp_interfaces(site.config.bearers).items():
            if interface == place.instance and name in site.bearers:
                return value_of(site.bearers[name].status, name == site.bearer_in_use)
        return None

    return read_link_value


def _counts_from_zero(site: StationState, evse: EvseRecord | None) -> Limits | None:
    return 0.0, float("inf")


def _limits_of_signal(site: StationState, evse: EvseRecord | None) -> Limits | None:
    return -150.0, 0.0


VALUES: dict[str, WatchedRow] = {
    "status": WatchedRow(_read_connector_status),
    "problem": WatchedRow(_read_present_problem),
    "lock_problem": WatchedRow(_read_lock_problem),
    "lamp": WatchedRow(_read_lamp_colour),
    "power_w": WatchedRow(_read_present_power, True, _limit_of_power),
    "energy_wh": WatchedRow(_read_energy_register, True, _counts_from_zero),
    "list_entries": WatchedRow(lambda place: float(len(place.site.local_list.entries)), True, _counts_from_zero),
    "profile_count": WatchedRow(lambda place: float(len(place.site.charging_profiles)), True, _counts_from_zero),
    "queued_messages": WatchedRow(
        lambda place: float(place.site.collaborators.count_queued_messages()), True, _counts_from_zero
    ),
    "store_problem": WatchedRow(lambda place: not place.site.store_ok),
    "link_in_use": WatchedRow(_bearer_value_reader(lambda status, in_use: in_use)),
    "link_problem": WatchedRow(_bearer_value_reader(lambda status, in_use: not status.is_up)),
    "link_state": WatchedRow(_bearer_value_reader(lambda status, in_use: str(status.state))),
    "signal_dbm": WatchedRow(_bearer_value_reader(lambda status, in_use: status.signal_dbm), True, _limits_of_signal),
}
"""By name. None of them is the name of a setting."""


def read_watched_value(
    variable: MonitoredVariable, site: StationState, status: EvseStatus, now: Moment
) -> WatchedValue | None:
    """Return the present value; None: it is not known. A secret is returned as it is: it is compared, never shown."""
    row = VALUES.get(variable.name)
    if row is None:
        value = site.settings[variable.name]
        return value if isinstance(value, int | str) else ",".join(value)
    evse = None if variable.part is Part.STATION else site.evses[variable.evse]
    return row.read(WatchedPlace(site, status, now, evse, variable.instance))


def format_watched_value(variable: MonitoredVariable, value: WatchedValue) -> str:
    """Return the text of a value for a backend; "" for a secret (N07.FR.10). At most 2500 characters."""
    setting = VARIABLES.get(variable.name)
    if setting is not None:
        return "" if setting.secret else format_value(setting, value)[:2500]  # type: ignore[arg-type]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value + 0.0:.3f}".rstrip("0").rstrip(".")
    return str(value)


def is_variable_present(variable: MonitoredVariable, site: StationState) -> bool:
    """Return whether this station has the variable: a monitor may outlive a part of the station file."""
    known = variable.name in VALUES or variable.name in VARIABLES
    return known and (variable.part is Part.STATION or variable.evse in site.evses)


def is_secret_value(variable: MonitoredVariable) -> bool:
    setting = VARIABLES.get(variable.name)
    return setting is not None and setting.secret


def possible_monitor_kinds(variable: MonitoredVariable) -> frozenset[MonitorKind]:
    """Return which monitors the variable may have: what has no order has no threshold (N04.FR.05)."""
    row, setting = VALUES.get(variable.name), VARIABLES.get(variable.name)
    numeric = row.numeric if row is not None else setting is not None and setting.kind == "int"
    return EVERY_KIND if numeric else UNORDERED_KINDS


def threshold_limits(variable: MonitoredVariable, site: StationState) -> Limits | None:
    """Return the range of a threshold (N04.FR.06); None: any."""
    row = VALUES.get(variable.name)
    if row is not None:
        return row.limits_of(site, None if variable.part is Part.STATION else site.evses[variable.evse])
    setting = VARIABLES[variable.name]
    return float(setting.low), float(setting.high)
