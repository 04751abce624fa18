"""What every far end of a station needs when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.station_file.settings import StationFile
from drivers.sim.derived_file import FarEnds, Table
from drivers.sim.evse import Evse
from drivers.sim.mains import Mains


@dataclass
class Installation:
    """One simulated station in the making. ``tables`` are for the derived station file, ``addresses`` are for
    people."""

    file: StationFile
    evses: Mapping[int, Evse]
    mains: Mains
    folder: Path
    """For the files of the far ends."""
    rate: float = 1.0
    """How much faster than real time the physics runs."""
    tables: FarEnds = field(init=False)
    addresses: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables = FarEnds(evses={e.number: {} for e in self.file.evses})

    def add_outlet_device(self, evse: int, role: str, table: Table, where: str) -> None:
        """Add the far end of a device of an EVSE: its table, and where it is for people."""
        self.tables.evses[evse][role] = table
        self.addresses[f"{role} {evse}"] = where
