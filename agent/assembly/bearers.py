"""The bearers between the domain, which chooses one, and the links, which use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.domain.events import Event
from agent.domain.evse import StationState
from agent.ocpp.link import Link
from agent.services.devices.dispatch import OrderExecutor
from agent.station_file.settings import StationFile


def interface_in_use(site: StationState) -> str:
    """Return the network interface of the bearer in use; "": the routes of the kernel decide."""
    bearer = site.bearers.get(site.bearer_in_use)
    return bearer.status.interface if bearer is not None else ""


def bearer_executors(
    file: StationFile, post: Callable[[Event], None], links: Callable[[], Mapping[str, Link]]
) -> tuple[OrderExecutor, ...]:
    """Return what carries out the orders of a station with bearers that need no device."""
    if not file.bearers:
        return ()
    from agent.ocpp.bearer_probe import BearerProbe

    return (BearerProbe(post, lambda: next((link.address for link in links().values()), None)),)
