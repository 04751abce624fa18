"""Far ends from other packages for their own drivers and maps: entry-point group ``chargy_agent.far_ends``.

With such a far end, ``simulate`` and ``bench`` work for a station with that device: the same outlets, cars and control
API, with the other package's device behind the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from agent.station_file.settings import Device
from drivers.sim.evse import Evse
from drivers.sim.mains import Mains

GROUP = "chargy_agent.far_ends"
ROLES = ("board", "meter")


@dataclass(frozen=True, slots=True)
class Place:
    """The place of the device: the outlet that it measures or drives, the mains, a folder for its files, and its
    options in the station file."""

    evse: Evse
    mains: Mains
    folder: Path
    options: Mapping[str, Any]


Opening: TypeAlias = Callable[[Place], AbstractAsyncContextManager[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class FarEnd:
    """A simulated device for ``driver``."""

    role: str
    """"board" or "meter"."""
    driver: str
    open: Opening
    """Opens the device, which answers inside. Yields its address, such as ``{"host": "127.0.0.1", "port": 4001}``."""
    map: str = ""
    """The map that it serves, for a driver with maps."""
    addresses: tuple[str, ...] = ("host", "device")
    """A device with one of these keys in the station file is real and is not simulated."""

    def fits_device(self, device: Device | None) -> bool:
        return (
            device is not None
            and device.driver == self.driver
            and device.options.get("map", "") == self.map
            and not any(device.options.get(a) for a in self.addresses)
        )


def installed_far_ends() -> list[FarEnd]:
    """Load the far ends of other packages. Raises ``ValueError`` for an entry point that is not a far end."""
    from importlib.metadata import entry_points

    found: list[FarEnd] = []
    for entry in entry_points(group=GROUP):
        made = entry.load()
        for one in made if isinstance(made, tuple) else (made,):
            if not isinstance(one, FarEnd) or one.role not in ROLES:
                raise ValueError(f"{GROUP}: {entry.value} is no FarEnd of a {' or '.join(ROLES)}")
            found.append(one)
    return found
