"""What a station whose agent does not run would connect with: its settings, addresses, credentials and certificates as
its store and its station file have them. No device is opened, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.assembly.bearers import bearer_via
from agent.assembly.dialects import backend_and_dialects, installed_transports
from agent.assembly.domain_setup import domain_collaborators, initial_state
from agent.assembly.files import key_store_of
from agent.assembly.identity import IdentitySource, backend_password
from agent.assembly.link_profile import wire_conditions
from agent.assembly.traffic_figures import traffic_report
from agent.domain.events import Event, Started
from agent.domain.station import assemble_blocks
from agent.domain.traffic import month_and_day
from agent.ocpp.backend_trial import BackendTrial
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.transport.timeouts import Timeouts
from agent.services.clock import Clock
from agent.services.devices.dispatch import OrderDispatch
from agent.services.keys.root_counts import RootCounts
from agent.services.logs.masking import LogMask
from agent.services.store.store import Store
from agent.station_file.settings import Backend, StationFile


class StoppedStation:
    """Raises ``SettingsError`` for a station file with which no agent would start. ``facts``: of the store."""

    def __init__(self, file: StationFile, store: Store, facts: Mapping[str, Mapping[str, Any]]) -> None:
        self._file, self._store = file, store
        self._clock = Clock(facts.get("boot", {}), above=store.highest_boot)
        self._keys = key_store_of(file)
        collaborators = domain_collaborators(file, facts, RootCounts(self._keys), dict)
        self.site = initial_state(file, facts, collaborators, self._clock.rate, "Unknown")
        # restores what was learnt; the orders that follow from it are those of an agent, and are not carried out
        assemble_blocks(self.site).handle_event(Started(facts), self._clock.now())
        self._identity = IdentitySource(file, self.site, OrderDispatch(_ignore_event), facts)

    def traffic_figures(self, now_utc_s: float) -> dict[str, Any] | None:
        """Return what was counted in the present month; None: nothing."""
        months = traffic_report(self.site.traffic, self.site.config, now_utc_s)["months"]
        return next((m for m in months if m["month"] == month_and_day(now_utc_s)[0]), None)

    def make_trial(self, backend: Backend, bearer: str, interface: str, timeouts: Timeouts) -> BackendTrial:
        """Return what connects to this backend as its link would. ``bearer``, ``interface``: to use."""
        config = LinkConfig(
            **backend_and_dialects(self._file, backend),
            evse_numbers=tuple(self.site.evses),
            is_primary=backend is self._file.backends[0],
            wire=wire_conditions(self._file)["wire"],
            timeouts=timeouts,
        )
        hooks = LinkHooks(
            post_event=_ignore_event,
            identity=self._identity.current_identity,
            password=lambda: backend_password(backend, LogMask()),
            access=lambda: self.site.network_profiles[backend.name].profile_in_turn,
            is_known_address=lambda access: self.site.network_profiles[backend.name].is_known_address(access),
            installed_transports=installed_transports,
            interface=lambda: interface,
            bearer_via=lambda: bearer_via(self._file, bearer, backend.name),
        )
        return BackendTrial(config, hooks, LinkPorts(self._store, self._clock, self.site.settings, self._keys))


def _ignore_event(event: Event) -> None:
    """No engine runs that could handle it."""
