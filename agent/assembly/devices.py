"""Give each device of a station the supervisor of its role, and connect it to the dispatch of orders.

A role may come from another distribution. A device whose supervisor cannot be made is left out: its fault is raised,
and the station works without it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from agent.domain.orders import Order
from agent.model.device_role import DeviceRole
from agent.model.entry_points import EntryPointError, load_checked
from agent.model.types import EvseId
from agent.ports import Broken
from agent.services.devices.dispatch import ANSWERS_WITHOUT_DEVICE, OrderDispatch
from agent.services.devices.supervisor import DeviceSupervisor, SupervisorServices

if TYPE_CHECKING:
    from agent.services.devices.configured import ComposedDevice
    from agent.station_file.settings import StationFile

log = logging.getLogger(__name__)


def add_supervisors(
    dispatch: OrderDispatch,
    devices: Sequence[ComposedDevice],
    roles: Mapping[str, DeviceRole],
    services: SupervisorServices,
    evses: Collection[EvseId],
) -> None:
    """Make a supervisor for each device; no more will come. A device of the station serves the EVSEs that have none of
    their own."""
    for device in devices:
        supervisor = _make_supervisor(device, roles[device.role], services)
        own = {d.evse for d in devices if d.role == device.role}
        dispatch.add_supervisor(supervisor, [number for number in evses if number not in own])
    dispatch.note_devices_known()


def _make_supervisor(device: ComposedDevice, role: DeviceRole, services: SupervisorServices) -> DeviceSupervisor:
    try:
        made = find_supervisor(role).for_device(device.evse, device.name, device.opening, services)
        _require_supervisor(role, isinstance(made, DeviceSupervisor), made.orders)
    except EntryPointError as e:
        return _make_fault_reporter(device, str(e), services)
    except Exception as e:  # noqa: BLE001  the code of another distribution may raise anything
        return _make_fault_reporter(device, f"{role.supervisor} has failed ({type(e).__name__}: {e})", services)
    return made


def _make_fault_reporter(device: ComposedDevice, why: str, services: SupervisorServices) -> DeviceSupervisor:
    """Return a supervisor that opens nothing and takes no orders: it raises the fault of the device."""
    log.error("%s: %s: left out; check the package that brings this role", device.name, why)

    def refuse_opening() -> AbstractAsyncContextManager[Any]:
        raise Broken(f"{why}: check the package that brings this role")

    return DeviceSupervisor.for_device(device.evse, device.name, refuse_opening, services)


def find_supervisor(role: DeviceRole) -> type[DeviceSupervisor]:
    """Import the supervisor of a role. Raises ``EntryPointError``."""
    kind = load_checked(role.supervisor, type)
    _require_supervisor(role, issubclass(kind, DeviceSupervisor), getattr(kind, "orders", ()))
    return kind


def _require_supervisor(role: DeviceRole, is_one: bool, orders: Collection[type[Order]]) -> None:
    if not is_one:
        raise EntryPointError(f"{role.supervisor} is no DeviceSupervisor")
    if others := [order for order in orders if order not in ANSWERS_WITHOUT_DEVICE]:
        raise EntryPointError(f"{role.supervisor} takes {others[0]!r}, which is no order for a device")


def supervisor_complaints(file: StationFile) -> list[str]:
    """Return a line for each table of a device whose supervisor cannot be used."""
    from agent.services.devices.configured import configured_devices

    wrong: list[str] = []
    for device in configured_devices(file):
        try:
            find_supervisor(device.role)
        except EntryPointError as e:
            wrong.append(f"{file.path}: {device.path}: {e}: check the package that brings this role")
    return wrong
