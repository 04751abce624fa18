"""What a kind of device is to a station: one row of data (docs/extending.md, "Add a device role").

The rows of this program are in ``agent/station_file/device_roles.py``. A package adds one by the entry-point group
``chargy_agent.roles``, under the name of the role.
"""

from __future__ import annotations

from agent.model.fastclass import frozen

EVSE_TABLE, STATION_TABLE = "evse", "station"


@frozen
class DeviceRole:
    """One role. Checks of ``chargy-agent verify`` name the role that they are for (``agent.ports.verify.Check``)."""

    name: str
    """The name of its table in the station file: ``[evse.lamp]``, ``[buzzer]``."""
    tables: tuple[str, ...]
    """Where that table may be: in ``EVSE_TABLE``, in ``STATION_TABLE``, or in both."""
    port: str
    """"module:Protocol": what a driver of this role yields."""
    supervisor: str
    """"module:Class" of a ``DeviceSupervisor``, which is imported by a station that has such a device. The class names
    the fault that it raises and the orders that it takes."""
    driver_role: str = ""
    """``Driver.role`` of its drivers; "": the name of the role."""
    is_list: bool = False
    """There may be several, as ``[[reader]]``."""
    serves_each_evse: bool = False
    """The device of the station is opened once for each EVSE that has none of its own."""
    own_keys: tuple[str, ...] = ()
    """Keys of the table that are the agent's, and no settings of the driver."""
    own_table: str = ""
    """"module:Class" that has them as fields, for the schema of the station file; "": they may have any value there."""
