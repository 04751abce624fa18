"""The one station of a test that is served without the command ``simulate``."""

from __future__ import annotations

from drivers.sim.control import Control
from drivers.sim.hosted_stations import HostedStations


def host_single_station(control: Control) -> HostedStations:
    """Return what a server serves of the station of ``control``."""
    stations = HostedStations((control.world.file.station.id,))
    (station,) = stations.in_order
    station.begin_service(control)
    return stations
