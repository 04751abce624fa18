"""The table of the device roles: which devices a station may have, and what is particular to each kind.

Everything that treats devices alike reads this table: the parser of the station file, the list of configured devices,
their supervisors, ``check``, ``probe`` and ``verify``, the simulation. A role that is not in it may come from a package
(``ROLE_GROUP``); packages are looked through only for a station file that has a table of an unknown name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.model.device_role import EVSE_TABLE, STATION_TABLE, DeviceRole
from agent.station_file.parser import Device

ROLE_GROUP = "chargy_agent.roles"
_SUPERVISORS = "agent.services.devices"
_TABLES = "agent.station_file.tables"

_ROWS = (
    DeviceRole(
        "board",
        (EVSE_TABLE, STATION_TABLE),
        port="agent.ports.evse:EvsePort",
        supervisor=f"{_SUPERVISORS}.board:BoardSupervisor",
        driver_role="evse",
        serves_each_evse=True,
    ),
    DeviceRole(
        "meter",
        (EVSE_TABLE, STATION_TABLE),
        port="agent.ports.meter:MeterPort",
        supervisor=f"{_SUPERVISORS}.supervisor:MeterSupervisor",
        serves_each_evse=True,
        own_keys=("class", "mid_year", "certificate", "firmware"),
        own_table="agent.model.types:MeterPolicy",
    ),
    DeviceRole(
        "display",
        (EVSE_TABLE, STATION_TABLE),
        port="agent.ports.display:DisplayPort",
        supervisor=f"{_SUPERVISORS}.supervisor:DisplaySupervisor",
    ),
    DeviceRole(
        "lamp",
        (EVSE_TABLE,),
        port="agent.ports.lamp:LampPort",
        supervisor=f"{_SUPERVISORS}.indicators:LampSupervisor",
    ),
    DeviceRole(
        "reader",
        (EVSE_TABLE, STATION_TABLE),
        port="agent.ports.reader:ReaderPort",
        supervisor=f"{_SUPERVISORS}.supervisor:ReaderSupervisor",
        is_list=True,
    ),
    DeviceRole(
        "buttons",
        (STATION_TABLE,),
        port="agent.ports.buttons:ButtonsPort",
        supervisor=f"{_SUPERVISORS}.supervisor:ButtonsSupervisor",
    ),
    DeviceRole(
        "terminal",
        (EVSE_TABLE, STATION_TABLE),
        port="agent.ports.terminal:TerminalPort",
        supervisor=f"{_SUPERVISORS}.terminal:TerminalSupervisor",
    ),
    DeviceRole(
        "buzzer",
        (STATION_TABLE,),
        port="agent.ports.buzzer:BuzzerPort",
        supervisor=f"{_SUPERVISORS}.indicators:BuzzerSupervisor",
    ),
    DeviceRole(
        "power",
        (STATION_TABLE,),
        port="agent.ports.power:PowerPort",
        supervisor=f"{_SUPERVISORS}.indicators:PowerSupervisor",
        own_keys=("hold_s", "backup_s"),
        own_table=f"{_TABLES}:PowerTimes",
    ),
    DeviceRole(
        "energy_manager",
        (STATION_TABLE,),
        port="agent.ports.energy_manager:EnergyManagerPort",
        supervisor=f"{_SUPERVISORS}.energy_manager:EnergyManagerSupervisor",
        own_keys=("rate_unit", "source", "silent_s", "on_silence", "fallback"),
        own_table=f"{_TABLES}:EnergyManagerKeys",
    ),
    DeviceRole(
        "updater",
        (STATION_TABLE,),
        port="agent.ports.updater:UpdaterPort",
        supervisor=f"{_SUPERVISORS}.updater:UpdaterSupervisor",
    ),
    DeviceRole(
        "bearer",
        (STATION_TABLE,),
        port="agent.ports.bearer:BearerPort",
        supervisor=f"{_SUPERVISORS}.bearer:BearerSupervisor",
        is_list=True,
        own_keys=("kind", "iccid", "pin_confirmed", "via"),
        own_table=f"{_TABLES}:BearerKeys",
    ),
)
ROLES: Mapping[str, DeviceRole] = {role.name: role for role in _ROWS}


class DeviceTables(dict[str, Device]):
    """The devices of one table of the station file by their place in it: ``board``, ``reader[0]``."""

    def of_role(self, role: str) -> dict[str, Device]:
        return {place: device for place, device in self.items() if place.partition("[")[0] == role}


def find_roles(names: Iterable[str], wrong: list[str]) -> Mapping[str, DeviceRole]:
    """Return the roles of this program, and those that installed packages add under one of ``names``.

    Problems are added to ``wrong``.
    """
    others = set(names) - ROLES.keys()
    return {**ROLES, **_installed_roles(others, wrong)} if others else ROLES


def _installed_roles(names: set[str], wrong: list[str]) -> dict[str, DeviceRole]:
    from agent.model.entry_points import EntryPointError, list_entry_points, load_checked

    found: dict[str, DeviceRole] = {}
    for name, entry in list_entry_points(ROLE_GROUP):
        if name not in names or name in found:
            continue
        try:
            role = load_checked(entry, DeviceRole)
        except EntryPointError as e:
            wrong.append(f"[{name}]: the role {e}")
            continue
        if role.name == name:
            found[name] = role
        else:
            wrong.append(f"[{name}]: the role {entry} has another name: {role.name}")
    return found


def roles_in(table: str, roles: Mapping[str, DeviceRole]) -> dict[str, DeviceRole]:
    """Return the roles that may have a table in ``table`` (``EVSE_TABLE``, ``STATION_TABLE``)."""
    return {name: role for name, role in roles.items() if table in role.tables}
