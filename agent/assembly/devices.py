"""Give each device of a station the supervisor of its role, and connect it to the dispatch of orders."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from agent.model.device_role import DeviceRole
from agent.model.entry_points import load_entry_point
from agent.model.types import EvseId
from agent.services.devices.dispatch import OrderDispatch
from agent.services.devices.supervisor import DeviceSupervisor, SupervisorServices

if TYPE_CHECKING:
    from agent.services.devices.configured import ComposedDevice


def add_supervisors(
    dispatch: OrderDispatch,
    devices: Sequence[ComposedDevice],
    roles: Mapping[str, DeviceRole],
    services: SupervisorServices,
    evses: Collection[EvseId],
) -> None:
    """Make a supervisor for each device. A device of the station serves the EVSEs that have none of their own."""
    for device in devices:
        kind: type[DeviceSupervisor] = load_entry_point(roles[device.role].supervisor)
        supervisor = kind.for_device(device.evse, device.name, device.opening, services)
        own = {d.evse for d in devices if d.role == device.role}
        dispatch.add_supervisor(supervisor, [number for number in evses if number not in own])
