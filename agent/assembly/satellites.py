"""The connection of a station that shares a terminal with others (decision 73). Imported only there."""

from __future__ import annotations

from typing import TypeAlias

from agent.services.event_queue import EventQueue
from agent.services.satellites.master_dialer import MasterDialer
from agent.services.satellites.satellite_listener import SatelliteListener
from agent.station_file.satellites import satellite_numbers
from agent.station_file.settings import StationFile

SharedTerminalService: TypeAlias = SatelliteListener | MasterDialer


def shared_terminal_services(file: StationFile, events: EventQueue) -> tuple[SharedTerminalService, ...]:
    """Return what carries the orders to the other stations. Each runs until it is cancelled."""
    answers = events.post_event, events.wait_until_handled
    if file.payment_master is not None:
        return (SatelliteListener(file.payment_master, satellite_numbers(file, []), *answers),)
    if file.payment_satellite is not None:
        return (MasterDialer(file.payment_satellite, *answers),)
    return ()
