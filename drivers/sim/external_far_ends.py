"""Far ends that other packages bring for drivers and maps of their own: entry-point group ``chargy_agent.far_ends``.

With one, ``simulate`` and ``bench`` work for a station of theirs: the same street, cars and control API, and behind the
wires their device.
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
    """Where the device stands: the outlet whose physics it shows or drives, the mains, a folder for what it needs, and
    what the station file says of it."""

    evse: Evse
    mains: Mains
    folder: Path
    options: Mapping[str, Any]


Opening: TypeAlias = Callable[[Place], AbstractAsyncContextManager[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class FarEnd:
    """``role``: "board" or "meter"; for ``driver``, and where that driver has maps, for ``map``. ``open``: the device
    answers inside; yields the keys that lead there, such as ``{"host": "127.0.0.1", "port": 4001}``. A device that has
    one of the keys ``addresses`` in the station file is a real one and is left alone."""

    role: str
    driver: str
    open: Opening
    map: str = ""
    addresses: tuple[str, ...] = ("host", "device")

    def fits_device(self, device: Device | None) -> bool:
        return (
            device is not None
            and device.driver == self.driver
            and device.options.get("map", "") == self.map
            and not any(device.options.get(a) for a in self.addresses)
        )


def installed_far_ends() -> list[FarEnd]:
    """All that are installed, of ours none. Raises ``ValueError`` for an entry point that is none."""
    from importlib.metadata import entry_points

    found: list[FarEnd] = []
    for entry in entry_points(group=GROUP):
        made = entry.load()
        for one in made if isinstance(made, tuple) else (made,):
            if not isinstance(one, FarEnd) or one.role not in ROLES:
                raise ValueError(f"{GROUP}: {entry.value} is no FarEnd of a {' or '.join(ROLES)}")
            found.append(one)
    return found
