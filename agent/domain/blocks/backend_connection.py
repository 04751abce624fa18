"""Choose the address, security profile and credentials of each link (decision 12; whitepaper A01,
A05; OCPP 2.0.1 A01, A05, B09, B10). A change is tried, and taken back if only the previous values
work. The security profile is never lowered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.backend_connection import BackendConfig, BearerDemand, ConnectFailure, NetworkProfile
from agent.domain.events import (
    CertificateReady,
    Connected,
    ConnectFailed,
    SecurityNoticed,
    SettingChanged,
    Started,
    TimeCame,
)
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.network_profiles import NetworkProfiles, belongs_to_station_file
from agent.domain.orders import Persist, Reconnect, WakeMe
from agent.domain.requests import SetNetworkProfileRequest
from agent.domain.security_events import SecurityEvent
from agent.domain.timers import Timer, TimerKind
from agent.domain.variables import VARIABLES, Value, ValueChecks, format_value
from agent.model.types import Moment

SLOTS_MAX = 3
GRACE_S = 10.0
"""Time for the Reset that many backends send after the security profile was raised. Then the link
reconnects."""
MODEM_COMES_UP_S, INTERFACE_COMES_UP_S = 300.0, 30.0
"""So long a bearer that a network profile demands may take to come up, until attempts without it count as failed: a
modem has to register and to dial, an interface needs an address."""
LEARNT = ("authorization_key", "security_profile", "network_priority")
"""Settings that return to the station file's values when a technician changes its address or
profile."""


_SECURITY_EVENT_OF = {
    ConnectFailure.SERVER_CERTIFICATE: SecurityEvent.INVALID_CSMS_CERTIFICATE,
    ConnectFailure.TLS_VERSION: SecurityEvent.INVALID_TLS_VERSION,
    ConnectFailure.TLS_CIPHER: SecurityEvent.INVALID_TLS_CIPHER,
    ConnectFailure.OWN_CERTIFICATE: SecurityEvent.FAILED_TO_AUTHENTICATE,
    ConnectFailure.CREDENTIALS: SecurityEvent.FAILED_TO_AUTHENTICATE,
}
"""The security event of a failed connection attempt."""


class BackendConnectionBlock:
    def __init__(self, site: StationState) -> None:
        self._site = site
        links, backends = site.config.links, site.config.backends
        self._first_link = links[0] if links else ""
        tables = tuple(config.table_mark for config in site.config.bearers)
        site.network_profiles |= {link: NetworkProfiles(backends.get(link, BackendConfig()), tables) for link in links}
        self._routes = site.network_profiles
        for route in self._routes.values():
            route.slots = {1: NetworkProfile("", route.given.profile)}
            route.set = dict(route.slots)
        self._station_file_values = {name: site.settings[name] for name in LEARNT}

    def value_checks(self) -> ValueChecks:
        return {
            "security_profile": self._may_raise_security_profile,
            "network_priority": self._may_set_network_priority,
        }

    # --- start ---------------------------------------------------------------------------------------------------

    @handles_events(Started)
    def restore_connection_profiles(self, event: Started, now: Moment) -> Iterator[Yielded]:
        records = event.remembered.get("access", {})
        for link, route in self._routes.items():
            yield from self._restore_route(link, route, records.get(link))

    def _restore_route(self, link: str, route: NetworkProfiles, record: Mapping[str, Any] | None) -> Iterator[Yielded]:
        settings = self._site.settings
        if record is not None and not belongs_to_station_file(record, route.given):
            yield from self._reset_to_station_file(link, route)
        elif record is not None:
            yield from self._read_route_record(link, route, record)
        if link == self._first_link:
            if record is None or not route.worked:  # a damaged record has no value here, the setting still has
                active = route.slots.get(1, NetworkProfile())
                route.slots[1] = route.set[1] = NetworkProfile(
                    active.url, max(active.profile, settings.int_value("security_profile"))
                )
            asked = (int(n) for n in settings.list_value("network_priority"))
            route.order = tuple(n for n in asked if n in route.slots) or (1,)
            route.key = settings.text_value("authorization_key")
            settings.put_value("network_slot", route.profile_in_turn.slot)

    def _read_route_record(self, link: str, route: NetworkProfiles, record: Mapping[str, Any]) -> Iterator[Yielded]:
        try:
            route.load_record(record)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
            yield Persist("poisoned", f"access/{link}", {"why": type(e).__name__})
        else:
            if route.to_record() != record:  # the station file now contains what was in force already
                yield Persist("access", link, route.to_record())

    def _reset_to_station_file(self, link: str, route: NetworkProfiles) -> Iterator[Yielded]:
        """Drop what was learnt. The station file names another address or profile, and a technician
        has the last word."""
        yield Persist("access", link, route.to_record())
        if link == self._first_link:
            for name in LEARNT:
                self._site.settings.put_value(name, self._station_file_values[name])
                yield Persist("setting", name, None)

    # --- outcome of a connection attempt ---------------------------------------------------------------------------

    @handles_events(Connected)
    def confirm_working_access(self, event: Connected, now: Moment) -> Iterator[Yielded]:
        route, access = self._routes[event.link], event.access
        before, order = route.worked, route.order
        fell_back = route.has_fallen_back(access)
        if fell_back:
            route.restore_proven_profile(access)
        route.confirm_connection(access)
        if event.link == self._first_link:
            yield from self._align_settings(route, access.slot, fell_back)
        if before != route.worked or fell_back or route.order != order:
            yield Persist("access", event.link, route.to_record())
        if fell_back:
            yield SecurityNoticed(SecurityEvent.RECONFIGURATION, f"taken back: {access.public_description}")

    def _align_settings(self, route: NetworkProfiles, slot: int, fell_back: bool) -> Iterator[Yielded]:
        """Set the settings to what is in force."""
        assert route.worked is not None
        raised = 0 if fell_back else self._site.settings.int_value("security_profile")
        yield from self._store_setting("security_profile", max(raised, route.worked.profile))
        if fell_back:
            yield from self._store_setting("authorization_key", route.key)
        self._site.settings.put_value("network_slot", slot)
        asked = tuple(int(n) for n in self._site.settings.list_value("network_priority"))
        kept = route.order if fell_back else tuple(n for n in asked if n in route.set)
        yield from self._store_setting("network_priority", tuple(map(str, kept or route.order)))

    def _store_setting(self, name: str, value: Value) -> Iterator[Yielded]:
        if self._site.settings[name] != value:
            self._site.settings.put_value(name, value)
            yield Persist("setting", name, {"text": format_value(VARIABLES[name], value)})

    @handles_events(ConnectFailed)
    def record_connect_failure(self, event: ConnectFailed, now: Moment) -> Iterator[Yielded]:
        attempts = self._site.settings.int_value("network_attempts")
        if event.link != self._first_link or not self._awaits_bearer(now):
            is_bearer_lost = event.link == self._first_link and self._has_lost_bearer()
            self._routes[event.link].count_failed_attempt(event.access, attempts, is_bearer_lost)
        if event.trouble in _SECURITY_EVENT_OF:
            yield SecurityNoticed(_SECURITY_EVENT_OF[event.trouble], event.info, event.link)

    def _awaits_bearer(self, now: Moment) -> bool:
        """Return whether the bearer that the profile demands may still come up."""
        record = self._site.bearers.get(self._site.bearer_demanded)
        if record is None or record.status.is_up:
            return False
        within_s = MODEM_COMES_UP_S if record.config.kind == "gprs" else INTERFACE_COMES_UP_S
        return now.t_s - self._site.bearer_demanded_s < within_s

    def _has_lost_bearer(self) -> bool:
        """Return whether the bearer that the profile demands waits for a person, while another one is up."""
        demanded = self._site.bearers.get(self._site.bearer_demanded)
        return (
            demanded is not None and demanded.needs_person and any(r.status.is_up for r in self._site.bearers.values())
        )

    # --- changes ---------------------------------------------------------------------------------------------------

    @handles_events(SettingChanged)
    def apply_security_setting(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        route = self._routes.get(self._first_link)
        if route is None:
            return
        if event.name == "authorization_key":
            route.key = self._site.settings.text_value(event.name)
            route.restart_attempts()
        elif event.name == "security_profile":
            yield from self._raise_security_profile(route, now)

    def _raise_security_profile(self, route: NetworkProfiles, now: Moment) -> Iterator[Yielded]:
        route.using = route.profile_in_turn
        slot = route.using.slot
        profile = self._site.settings.int_value("security_profile")
        raised = NetworkProfile(route.using.url, profile, route.using.bearer)
        route.slots[slot] = route.set[slot] = raised
        route.restart_attempts(at_once=False)
        yield Persist("access", self._first_link, route.to_record())
        yield WakeMe(Timer(TimerKind.NETWORK_GRACE, detail=self._first_link), now.t_s + GRACE_S)

    @handles_timer(TimerKind.NETWORK_GRACE)
    def reconnect_after_grace(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        link = event.timer.detail
        self._routes[link].restart_attempts()
        yield Reconnect(link)

    @handles_events(CertificateReady)
    def connect_with_new_certificate(self, event: CertificateReady, now: Moment) -> Iterator[Yielded]:
        route = self._routes[event.link]
        route.certificate = event.certificate
        route.restart_attempts()
        yield Persist("access", event.link, route.to_record())
        yield Reconnect(event.link)

    @answers_requests(SetNetworkProfileRequest)
    def answer_set_network_profile(
        self, request: SetNetworkProfileRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Store a network profile. It is used after the next start, if the priority contains its
        slot (B09, B10)."""
        route = self._routes.get(reply.link)
        if route is None or reply.link != self._first_link or not 1 <= request.slot <= SLOTS_MAX:
            yield reply("Rejected")
            return
        slot = NetworkProfile(request.url, request.profile, request.bearer)
        asked_for = str(request.slot) in self._site.settings.list_value("network_priority")
        if (
            request.profile < self._present_security_profile(route)
            or (asked_for and not self._has_credentials_for(route, request.profile))
            or self._has_fixed_apn(request.bearer)
        ):
            yield reply("Rejected")
            return
        route.set[request.slot] = slot
        yield Persist("access", reply.link, route.to_record())
        yield reply("Accepted")
        yield SecurityNoticed(SecurityEvent.RECONFIGURATION, f"network profile {request.slot}")

    # --- checks of a new value -------------------------------------------------------------------------------------

    def _present_security_profile(self, route: NetworkProfiles) -> int:
        return max(route.minimum_security_profile, self._site.settings.int_value("security_profile"))

    def _has_credentials_for(self, route: NetworkProfiles, profile: int) -> bool:
        """True if password, root and certificate are there as this security profile needs them."""
        key = route.given.password or bool(self._site.settings.text_value("authorization_key"))
        root = self._site.collaborators.count_csms_roots() > 0
        certificate = route.given.certificate or bool(route.certificate)
        return (key or profile not in (1, 2)) and (root or profile < 2) and (certificate or profile < 3)

    def _has_fixed_apn(self, demand: BearerDemand) -> bool:
        """Return whether an APN is demanded of a bearer whose driver takes it from elsewhere."""
        if demand.access is None:
            return False
        from agent.domain.bearers import ocpp_interfaces

        names = ocpp_interfaces(self._site.config.bearers)
        return any(names[name] == demand.interface and not r.takes_apn for name, r in self._site.bearers.items())

    def _may_raise_security_profile(self, value: Value) -> bool:
        route = self._routes.get(self._first_link)
        assert isinstance(value, int)
        return (
            route is not None
            and value > self._present_security_profile(route)
            and self._has_credentials_for(route, value)
        )

    def _may_set_network_priority(self, value: Value) -> bool:
        route = self._routes.get(self._first_link)
        if route is None or not isinstance(value, tuple):
            return False
        slots = [route.set.get(int(n)) for n in value]
        least = self._present_security_profile(route)
        return all(s is not None and s.profile >= least and self._has_credentials_for(route, s.profile) for s in slots)
