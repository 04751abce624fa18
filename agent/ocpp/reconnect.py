"""Connecting to one backend: with which address and credentials, when to try again, and the
report of the result (decision 12)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from agent.domain.backend_connection import ConnectFailure, ConnectionProfile
from agent.domain.events import Connected, ConnectFailed
from agent.domain.variables import Settings
from agent.model.fastclass import replace
from agent.ocpp.dialects.keys_v1x import authorization_key_bytes
from agent.ocpp.link_config import LinkConfig, LinkHooks
from agent.ocpp.transport.backoff import Backoff
from agent.ocpp.transport.connect_problems import ProblemCode
from agent.ocpp.transport.families import find_family
from agent.ocpp.transport.guarded_transport import GuardedConnector
from agent.ocpp.transport.traffic import TrafficCounter
from agent.ocpp.transport.transport import (
    ConnectorContext,
    NoConnection,
    Transport,
    is_tls,
    secured_url,
    url_scheme,
    without_user_info,
)
from agent.ports.pki import NO_ROOTS, PkiPort, TrustedRoots
from agent.station_file.settings import Backend

log = logging.getLogger("agent.ocpp")

RECONNECT_LEAST_S = 0.02
"""The shortest pause, whatever the station file says: a server that closes at once must not keep
a core busy."""
NO_COMMON_VERSION = frozenset({
    ProblemCode.NO_SUBPROTOCOL, ProblemCode.WRONG_SUBPROTOCOL, ProblemCode.NOT_WEBSOCKET, ProblemCode.NOT_FOUND,
    ProblemCode.WEB_PAGE, ProblemCode.STATUS,
})  # fmt: skip
"""Failures of a server that answers, but not as a WebSocket of one of the versions."""


class Reconnector:
    """Connects to one backend, over the transport that its address names. ``rate``: domain seconds
    per real second."""

    def __init__(
        self, config: LinkConfig, hooks: LinkHooks, settings: Settings, rate: float = 1.0, pki: PkiPort | None = None
    ) -> None:
        self._config, self._hooks, self._settings, self._rate, self._pki = config, hooks, settings, rate, pki
        self._backend, timeouts = config.backend, config.timeouts
        self._access: Callable[[], ConnectionProfile] = hooks.access or self._access_from_file
        self._families: dict[str, str] = {}
        self._connectors: dict[str, GuardedConnector] = {}
        self._backoff = Backoff(config.jitter, timeouts.backoff_s or 10.0, timeouts.backoff_random_s)
        self._used: ConnectionProfile | None = None
        self._is_retry = False
        self._has_websocket = any(d.subprotocol for d in config.dialects)
        self._is_second_address = False
        """The latest attempt went to ``soap_url``, because the WebSocket has none of the versions."""

    @property
    def url(self) -> str:
        """The backend's address for logs and displays, without user and password."""
        made = self._effective_address(self._used or self._access())
        return without_user_info((_at_soap_url(made) if self._is_second_address else made).connection_url)

    @property
    def is_outdated(self) -> bool:
        """Whether the address or credentials to use differ from those of the present connection."""
        return not self._access().dials_like(self._used)

    async def connect_until(self, demanded: asyncio.Event) -> Transport:
        """Connect. Give the attempt up when another one is demanded: over another bearer it may take a second
        instead of half a minute. Raises ``NoConnection``."""
        connecting = asyncio.ensure_future(self.connect())
        waiting = asyncio.ensure_future(demanded.wait())
        try:
            await asyncio.wait((connecting, waiting), return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise NoConnection(f"{self.url}: this attempt was given up for another one")
            return connecting.result()
        except BaseException:
            connecting.cancel()
            await _close_unused(connecting)
            raise
        finally:
            waiting.cancel()  # not waited for: a cancellation here would lose the open connection

    async def connect(self) -> Transport:
        """Open a connection and report the result to the domain. Raises ``NoConnection``."""
        access = self._used = self._access()
        try:
            transport = await self._open_transport(access)
        except NoConnection as e:
            self._is_retry = e.negotiation and not self._is_retry  # with a simpler offer: the same attempt
            if not self._is_retry:
                self._hooks.post_event(ConnectFailed(self._backend.name, access, e.trouble, str(e)))
            raise
        self._is_retry = False
        root = transport.tls_root  # looked at even without a key store: it also keeps the TLS session
        if self._pki:
            self._pki.root_used(self._backend.name, root)
        self._hooks.post_event(Connected(self._backend.name, access))
        return transport

    async def _open_transport(self, access: ConnectionProfile) -> Transport:
        if self._hooks.interface() is None:
            raise NoConnection(f"{self.url}: the bearer of {access.public_description} is not up: not connected")
        secret = self._basic_auth_password(access)
        backend = self._effective_backend(access)
        self._is_second_address = False
        try:
            return await self._open_at(backend, access, secret)
        except NoConnection as e:
            if not self._may_speak_soap(access, e):
                raise
        self._is_second_address = True
        return await self._open_at(_at_soap_url(backend), access, secret)

    def _may_speak_soap(self, access: ConnectionProfile, failure: NoConnection) -> bool:
        """Return whether the backend was there and the WebSocket is what it does not have, and there is an address for
        SOAP to try."""
        if not self._has_websocket or not self._backend.soap_url or access.url:
            return False
        has_simpler_offer = failure.negotiation and not self._is_retry
        return failure.problem.code in NO_COMMON_VERSION and not has_simpler_offer

    async def _open_at(self, backend: Backend, access: ConnectionProfile, secret: bytes | None) -> Transport:
        url, roots = backend.connection_url, self._pki.trusted_roots() if self._pki else NO_ROOTS
        if access.profile >= 2 and not is_tls(url):
            raise NoConnection(
                f"{without_user_info(url)}: security_profile {access.profile} needs TLS: not connected, nothing sent: "
                "use a wss:// (https:// for SOAP) address in [backend]"
            )
        return await self._connect_with_roots(access, backend, secret, roots)

    async def _connect_with_roots(
        self, access: ConnectionProfile, backend: Backend, secret: bytes | None, roots: TrustedRoots
    ) -> Transport:
        """Connect. A new root is tried alone, then the roots that it replaces, at an address that is known (2.x
        M05.FR.14-16): another central system has to show a certificate of the new root."""
        connector = self._connector_for(backend.connection_url)
        if roots.first is not None:
            try:
                return await connector.connect(backend, secret, roots.first)
            except NoConnection as e:
                if e.trouble is not ConnectFailure.SERVER_CERTIFICATE or not self._hooks.is_known_address(access):
                    raise
                log.warning("%s: the new root is not proven: the roots that it replaces are tried", self.url)
        return await connector.connect(backend, secret, roots)

    def _connector_for(self, url: str) -> GuardedConnector:
        """Return the connector of the transport for this address. The addresses of one transport
        share it: an answer to a request may come over the next connection."""
        scheme = url_scheme(url)
        if scheme not in self._families:
            self._families[scheme] = find_family(url, self._hooks.installed_transports)
        entry = self._families[scheme]
        if entry not in self._connectors:
            config = self._config
            ctx = ConnectorContext(
                config.backend.name,
                config.dialects,
                config.timeouts,
                self._hooks.trace,
                self._hooks.traffic or TrafficCounter(),
                config.wire,
            )
            self._connectors[entry] = GuardedConnector(entry, ctx)
        return self._connectors[entry]

    def backend_answered(self) -> None:
        """Reset the pauses, because a CALL was answered. The handshake alone shows nothing of
        the backend: it may be the work of a proxy."""
        self._backoff.reset()

    def next_pause_s(self) -> float:
        """Return the pause in real seconds. What a backend has set is domain time, ``rate``
        times as fast."""
        if self._backend.reconnect_s is not None:
            return max(RECONNECT_LEAST_S, self._backend.reconnect_s)
        if self._config.timeouts.backoff_s is None:
            self._backoff.apply_settings(self._settings)
        return self._backoff.next_wait_s() / self._rate

    def _access_from_file(self) -> ConnectionProfile:
        key = self._settings.text_value("authorization_key") if self._config.is_primary else ""
        return ConnectionProfile(profile=self._backend.security_profile, key=key)

    def _basic_auth_password(self, access: ConnectionProfile) -> bytes | None:
        if access.key:
            return authorization_key_bytes(access.key)
        password = self._hooks.password()
        return password.encode() if password else None

    def _effective_backend(self, access: ConnectionProfile) -> Backend:
        """Return the station file's backend with the present address and certificate. Raises
        ``NoConnection``."""
        made = self._effective_address(access)
        if not access.certificate or not (access.profile == 3 or made.soap_tls):
            return made
        files = self._pki.client_certificate(access.certificate) if self._pki else None
        if files is None:
            raise NoConnection("the client certificate in use is missing: have a new one signed")
        return replace(made, client_cert=files[0], client_key=files[1])

    def next_backend(self) -> Backend:
        """Return address, security profile and certificate of the next attempt. Raises ``NoConnection``."""
        return self._effective_backend(self._access())

    def address_over(self, bearer_via: str) -> tuple[str, int]:
        """Return host and port of an attempt over a bearer with this ``via``."""
        made = self._effective_address(self._access(), bearer_via)
        url = urlsplit(f"//{made.via}" if made.via else made.connection_url)
        return url.hostname or "", url.port or (443 if is_tls(made.connection_url) else 80)

    def _effective_address(self, access: ConnectionProfile, bearer_via: str | None = None) -> Backend:
        """Return the station file's backend with the present address. ``via`` is the way to the
        file's ``url`` alone; over some bearers it is another one. ``bearer_via`` None: that of the bearer in use."""
        from_file = self._backend.url if self._has_websocket else self._backend.soap_url or self._backend.url
        url, via = access.url or from_file, self._backend.via
        via = (self._hooks.bearer_via() if bearer_via is None else bearer_via) or via
        if access.profile >= 2 and access.profile > self._backend.security_profile and not is_tls(url):
            url = (not access.url and self._backend.secure_url) or secured_url(url)
        if access.url or url == self._backend.secure_url or from_file != self._backend.url:
            via = ""
        interface = self._hooks.interface() or None
        return replace(self._backend, url=url, via=via, security_profile=access.profile, interface=interface)


async def _close_unused(connecting: asyncio.Future[Transport]) -> None:
    """Wait until this attempt is over, and close what it has opened at the moment at which it was given up."""
    [opened] = await asyncio.gather(connecting, return_exceptions=True)
    if not isinstance(opened, BaseException):
        await opened.close()


def _at_soap_url(backend: Backend) -> Backend:
    """Return the backend with its address for SOAP. ``via`` is the way to the other one."""
    return replace(backend, url=backend.soap_url, via="")
