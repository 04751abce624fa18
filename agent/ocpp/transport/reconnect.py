"""Connecting to one backend: with which address and credentials, when to try again, and the
report of the result (decision 12)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from agent.domain.backend_connection import ConnectionProfile
from agent.domain.events import Connected, ConnectFailed, Event
from agent.domain.variables import Settings
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.dialects.keys_v1x import authorization_key_bytes
from agent.ocpp.transport import connector, tls
from agent.ocpp.transport.backoff import Backoff
from agent.ocpp.transport.timeouts import Timeouts
from agent.ocpp.transport.websocket import WebSocket
from agent.ports.pki import NO_ROOTS, PkiPort
from agent.station_file.settings import Backend

RECONNECT_LEAST_S = 0.02
"""The shortest pause, whatever the station file says: a server that closes at once must not keep
a core busy."""


class Reconnector:
    """Connects to one backend. ``access``: the address and credentials, asked for every attempt;
    None: what the station file and the settings say. ``password`` is the file's, used while no
    AuthorizationKey is set or this link is not ``primary``."""

    def __init__(
        self,
        backend: Backend,
        dialects: Sequence[Dialect],
        settings: Settings,
        post_event: Callable[[Event], None],
        password: Callable[[], str | None],
        primary: bool,
        timeouts: Timeouts,
        jitter: random.Random,
        access: Callable[[], ConnectionProfile] | None = None,
        pki: PkiPort | None = None,
        rate: float = 1.0,
    ) -> None:
        self._rate = rate
        self._backend, self._settings, self._post_event, self._pki = backend, settings, post_event, pki
        self._subprotocols = [d.subprotocol for d in dialects]
        self._password, self._primary, self._timeouts = password, primary, timeouts
        self._access = access or self._access_from_file
        self._dialer = connector.Dialer(timeouts.open_s)
        self._backoff = Backoff(jitter, timeouts.backoff_s or 10.0, timeouts.backoff_random_s)
        self._used: ConnectionProfile | None = None
        self._is_retry = False

    @property
    def url(self) -> str:
        """The backend's address for logs and displays, without user and password."""
        return connector.without_user_info(self._effective_address(self._used or self._access()).connection_url)

    @property
    def is_outdated(self) -> bool:
        """Whether the address or credentials to use differ from those of the present connection."""
        return not self._access().dials_like(self._used)

    async def connect(self) -> WebSocket:
        """Open a connection and report the result to the domain. Raises ``NoConnection``."""
        access = self._used = self._access()
        roots = self._pki.trusted_roots() if self._pki else NO_ROOTS
        try:
            secret = self._basic_auth_password(access)
            ws = await self._dialer.connect(self._effective_backend(access), self._subprotocols, secret, roots)
        except connector.NoConnection as e:
            half = self._is_retry = (
                e.negotiation and not self._is_retry
            )  # the other half is the attempt without compression
            if not half:
                self._post_event(ConnectFailed(self._backend.name, access, e.trouble, str(e)))
            raise
        self._is_retry = False
        root = tls.root_of(ws.transport.get_extra_info("ssl_object"))
        if self._pki:
            self._pki.root_used(self._backend.name, root)
        self._post_event(Connected(self._backend.name, access))
        return ws

    def backend_answered(self) -> None:
        """Reset the pauses, because a CALL was answered. The handshake alone shows nothing of
        the backend: it may be the work of a proxy."""
        self._backoff.reset()

    def next_pause_s(self) -> float:
        """Return the pause in real seconds. What a backend has set is domain time, ``rate``
        times as fast."""
        if self._backend.reconnect_s is not None:
            return max(RECONNECT_LEAST_S, self._backend.reconnect_s)
        if self._timeouts.backoff_s is None:
            self._backoff.apply_settings(self._settings)
        return self._backoff.next_wait_s() / self._rate

    def _access_from_file(self) -> ConnectionProfile:
        key = self._settings.text_value("authorization_key") if self._primary else ""
        return ConnectionProfile(profile=self._backend.security_profile, key=key)

    def _basic_auth_password(self, access: ConnectionProfile) -> bytes | None:
        if access.key:
            return authorization_key_bytes(access.key)
        password = self._password()
        return password.encode() if password else None

    def _effective_backend(self, access: ConnectionProfile) -> Backend:
        """Return the station file's backend with the present address and certificate. Raises
        ``NoConnection``."""
        made = self._effective_address(access)
        if not access.certificate or access.profile != 3:
            return made
        files = self._pki.client_certificate(access.certificate) if self._pki else None
        if files is None:
            raise connector.NoConnection("the client certificate in use is missing: have a new one signed")
        return replace(made, client_cert=files[0], client_key=files[1])

    def _effective_address(self, access: ConnectionProfile) -> Backend:
        """Return the station file's backend with the present address. ``via`` is the way to the
        file's ``url`` alone."""
        url, via = access.url or self._backend.url, self._backend.via
        if access.profile >= 2 and access.profile > self._backend.security_profile and not connector.is_tls(url):
            url = (not access.url and self._backend.secure_url) or "wss:" + url.partition(":")[2]
        if access.url or url == self._backend.secure_url:
            via = ""
        return replace(self._backend, url=url, via=via, security_profile=access.profile)
