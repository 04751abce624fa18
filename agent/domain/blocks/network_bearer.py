"""Apply what a network profile says of its bearer (OCPP 2.x B09): the link to the first backend takes that bearer and
no other while the profile is in turn, and a modem the access to the packet network that comes with it.

When the profile does not lead to the backend, the next one has its turn, at last the one that has worked before
(``backend_connection.py``): then the bearer is free again, and the modem has its former access (decision 47).
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.backend_connection import ANY_BEARER, BearerDemand
from agent.domain.bearers import ocpp_interfaces
from agent.domain.events import BearerReported, Connected, ConnectFailed, Event, Started
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.orders import ConfigureBearer, LogNote, SetBearer
from agent.model.bearer import BearerState
from agent.model.types import STATION, Moment


class NetworkBearer:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._first_link = site.config.links[0] if site.config.links else ""
        self._names = {interface: name for name, interface in ocpp_interfaces(site.config.bearers).items()}
        self._applied = ANY_BEARER

    @handles_events(Started, Connected, ConnectFailed)
    def follow_profile(self, event: Event, now: Moment) -> Iterator[Yielded]:
        """Take over the demand of the profile in turn."""
        profiles = self._site.network_profiles.get(self._first_link)
        demand = profiles.profile_in_turn.bearer if profiles is not None else ANY_BEARER
        if demand == self._applied:
            return
        before, self._applied = self._applied, demand
        self._site.bearer_demanded = self._names.get(demand.interface, "")
        self._site.bearer_demanded_s = now.t_s
        for part in (before, demand):
            yield from self._configure_modem(part, demand)
        if self._site.bearer_demanded:
            yield LogNote(STATION, "is demanded by the network profile in turn", self._site.bearer_demanded)

    @handles_events(BearerReported)
    def configure_new_device(self, event: BearerReported, now: Moment) -> Iterator[Yielded]:
        """Give a device that has just been opened the access that it shall have: before it dials or gets a PIN."""
        record = self._site.bearers[event.bearer]
        is_new = record.status.state is BearerState.ABSENT and event.status.state is not BearerState.ABSENT
        if is_new and record.access is not None:
            yield ConfigureBearer(event.bearer, record.access_in_force)

    def _configure_modem(self, part: BearerDemand, demand: BearerDemand) -> Iterator[Yielded]:
        """Give the modem that ``part`` is about the access that it shall have now, if it has another one."""
        record = self._site.bearers.get(self._names.get(part.interface, ""))
        if record is None:
            return
        access = demand.access if part.interface == demand.interface else None
        if record.access != access:
            record.access = access
            yield ConfigureBearer(record.config.name, record.access_in_force)
            yield SetBearer(record.config.name, True)
