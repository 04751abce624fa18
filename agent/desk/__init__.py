"""The desk: what other projects use of simulated stations, from Python.

``Station`` drives one through its control API (docs/control-api.md), ``simulate_station`` starts one as a process,
``simulate_stations`` several, and pytest finds the fixtures ``simulated_station`` and ``simulated_stations``. No board
imports this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.desk.simulation import SimulationFailed, simulate_station, simulate_stations
    from agent.desk.station import ControlError, NotReached, OcppCall, Station

__all__ = [
    "ControlError", "NotReached", "OcppCall", "SimulationFailed", "Station", "simulate_station", "simulate_stations",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562): pytest imports this package at every start, for its fixture."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agent.desk import simulation, station

    return getattr(station, name, None) or getattr(simulation, name)
