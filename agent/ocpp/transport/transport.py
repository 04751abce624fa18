"""The contract of a transport: how the messages of OCPP reach a backend and come from it (decision 35).

A ``Connector`` opens a ``Transport`` by address and credentials. A transport carries messages, not
frames: what they look like on the wire, and which answer belongs to which request, is its own
affair. Everything above (``call_channel``, the link, its queues, the dialects) knows only this
file. ``families.py`` finds the transport for an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol, TypeAlias

from agent.domain.backend_connection import ConnectFailure
from agent.model.fastclass import frozen
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.transport.connect_problems import UNKNOWN_PROBLEM, ConnectProblem
from agent.ocpp.transport.timeouts import Timeouts
from agent.ocpp.transport.traffic import TrafficCounter
from agent.ocpp.wire.calls import AnswerError, CallError, CallResult, Finding, SendNow
from agent.ports.pki import TrustedRoots
from agent.station_file.settings import Backend

Trace: TypeAlias = Callable[[str, str, str, str], None]
"""Show a message to people: direction ("in", "out"), link, OCPP version, text. The transport
removes the secrets first."""


class Closed(Exception):
    """The connection is gone, or about to go."""


class NoConnection(Exception):
    """No connection could be opened. ``str()`` is one line for a technician: what, where, what
    to do. ``negotiation``: the next attempt makes a simpler offer (no compression, for example)."""

    def __init__(
        self,
        line: str,
        negotiation: bool = False,
        trouble: ConnectFailure = ConnectFailure.OTHER,
        problem: ConnectProblem = UNKNOWN_PROBLEM,
    ) -> None:
        super().__init__(line)
        self.negotiation, self.trouble, self.problem = negotiation, trouble, problem


class Transport(Protocol):
    """One connection to a backend, or what takes its place where the wire has none. It is usable
    from the moment it is returned until ``receive_message`` raises ``Closed``."""

    @property
    def dialect(self) -> Dialect:
        """The version of OCPP that was agreed with the backend."""
        ...

    @property
    def end_reason(self) -> str:
        """Why the connection has ended, for the log."""
        ...

    @property
    def tls_root(self) -> bytes | None:
        """The authority (DER) at the end of the backend's certificate chain; None without TLS;
        b"" if it is not known."""
        ...

    async def send_call(self, id_: str, action: str, payload: Mapping[str, Any], timeout_s: float) -> None:
        """Send a request. Its answer comes from ``receive_message`` with the same ``id_``, or not
        at all; after ``timeout_s`` nothing waits for it any more, but it is still welcome. Return
        when the request is written: do not wait for the answer. Raises ``NotExpressibleError`` for
        a payload that cannot be written; a lost connection is reported by ``receive_message``
        alone."""
        ...

    async def send_unanswered(self, id_: str, action: str, payload: Mapping[str, Any]) -> None:
        """Send a message that gets no answer (SEND of OCPP 2.1). Raises ``NotExpressibleError``
        likewise, also where this wire has no such messages, and ``Closed`` if the message cannot be
        written: no answer shows later that it was lost."""
        ...

    async def send_answer_error(self, error: AnswerError) -> None:
        """Report that an answer of the backend cannot be used (CALLRESULTERROR of OCPP 2.1). Is called for a
        version that has this message. Never raises: a lost connection is reported by ``receive_message``."""
        ...

    async def send_response(self, response: CallResult | CallError | SendNow) -> None:
        """Answer a request of the backend. A ``SendNow`` that was received is given back here in
        its turn. Never raises: a lost connection is reported by ``receive_message``. A backend
        that has rejected this station may wait in vain (OCPP 1.6 4.2)."""
        ...

    async def receive_message(self) -> tuple[Finding, int]:
        """Return the next message and its size in characters. Raises ``Closed`` at the end of the
        connection, and nothing else, whatever the backend sends. While it is not called, at most
        a few messages are buffered."""
        ...

    async def is_alive(self) -> bool:
        """Find out whether the backend is still there, after silence or a call without an answer.
        If it is not, end the connection at once. A wire without a ping (SOAP) may look whether
        the backend can be reached."""
        ...

    async def close(self) -> None:
        """Close the connection in order. Return when it is gone."""
        ...


class Connector(Protocol):
    """Opens the connections of one link, one after the other. It keeps what outlives a
    connection: TLS sessions, the ids of requests whose answers may come late. A listening port
    belongs to the ``Transport`` and is closed with it."""

    async def connect(self, backend: Backend, password: bytes | None, roots: TrustedRoots) -> Transport:
        """Open a connection. ``backend``: the address, security profile and certificate to use;
        ``roots``: trusted besides. Raises ``NoConnection``."""
        ...


@frozen
class WireOptions:
    """How a connection is made. The defaults suit a network that costs nothing."""

    compress: bool = True
    """Offer to compress (permessage-deflate, with context take-over)."""
    one_key_share: bool = False
    """Offer the curve P-256 alone for the key exchange of TLS: 2.2 KB less than the default with its post-quantum
    groups."""
    keepalive_idle_s: int = 60
    """TCP looks for a sign of life after this silence. A ping of the link that comes first makes it unnecessary."""
    saves_pings: bool = False
    """A heartbeat that is due before the next ping takes the place of this one."""
    user_timeout_s: int = 60
    """Data that is not acknowledged for so long ends the connection."""


@frozen
class ConnectorContext:
    """What a connector may use."""

    link: str
    """The name of the link, for the trace."""
    dialects: Sequence[Dialect]
    """The versions of OCPP to offer, the preferred one first."""
    timeouts: Timeouts
    trace: Trace
    traffic: TrafficCounter = field(default_factory=TrafficCounter)
    """Counts what is sent and received. A transport that does not use it leaves no trace in the data budget."""
    wire: WireOptions = WireOptions()


@frozen
class TransportFamily:
    """A way to carry OCPP, found by the scheme of the backend's URL."""

    make_connector: Callable[[ConnectorContext], Connector]
    preload_library: Callable[[], None] = lambda: None
    """Import what the first connection will need, while the disk works."""


_SECURED = {"ws": "wss", "http": "https"}
_USER_INFO = r"//[^/?#\s]*@"
"""Compiled when a text has an address with a user."""


def url_scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def is_tls(url: str) -> bool:
    """Return whether connections to this address use TLS."""
    return url_scheme(url) in _SECURED.values()


def secured_url(url: str) -> str:
    """Return the same address with TLS."""
    scheme, _, rest = url.partition(":")
    return f"{_SECURED.get(scheme.lower(), scheme)}:{rest}"


def without_user_info(url: str) -> str:
    """Return a URL, or a text with one in it, without user and password, for logs and displays."""
    return re.sub(_USER_INFO, "//", url) if "@" in url else url
