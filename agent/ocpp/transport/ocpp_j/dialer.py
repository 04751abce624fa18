"""Opening a WebSocket connection to a backend: options, sockets, security profiles, and the
error line when it fails."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from agent.domain.backend_connection import ConnectFailure
from agent.model.json_limits import LENGTH_MAX
from agent.model.lazy_import import load_later
from agent.ocpp.transport import tls
from agent.ocpp.transport.basic_auth import authorization_header
from agent.ocpp.transport.connect_problems import ConnectProblem, ProblemCode
from agent.ocpp.transport.ocpp_j.websocket import WebSocket, open_socket
from agent.ocpp.transport.tls_contexts import TlsContextCache
from agent.ocpp.transport.transport import NoConnection, WireOptions, is_tls, without_user_info
from agent.ports.pki import NO_ROOTS, TrustedRoots
from agent.station_file.settings import Backend

if TYPE_CHECKING:
    from websockets.uri import WebSocketURI

log = logging.getLogger("agent.ocpp")

READ_AHEAD = 4
"""Frames that are read before they are processed: each may be as long as a message."""
CLOSE_TIMEOUT_S = 2.0
KEEPALIVE = (20, 3)
"""Interval and count, after ``WireOptions.keepalive_idle_s``. It works in the kernel, even while this process is
stopped."""
REDIRECTS = 5
MOVED = (301, 302, 303, 307, 308)


class Dialer:
    """Opens connections. It remembers that a server cannot do compression."""

    def __init__(self, open_timeout_s: float, wire: WireOptions = WireOptions()) -> None:  # noqa: B008  frozen
        self._open_timeout_s, self._wire = open_timeout_s, wire
        self._contexts = TlsContextCache()
        self._compress, self._one_key_share = wire.compress, wire.one_key_share

    async def connect(
        self,
        backend: Backend,
        subprotocols: Sequence[str],
        password: bytes | None,
        roots: TrustedRoots = NO_ROOTS,
    ) -> WebSocket:
        """Open a connection. ``backend``: address, profile and certificate to use; ``roots``:
        trusted too. Raises ``NoConnection``."""
        is_secured = is_tls(backend.connection_url)
        context = self._contexts.context_for(backend, roots, self._one_key_share) if is_secured else None
        try:
            connection = await open_connection(
                backend, subprotocols, password, context, self._open_timeout_s, self._compress
            )
        except NoConnection as e:
            if e.negotiation and self._wire.compress:
                self._compress = not self._compress
            if e.trouble in (ConnectFailure.TLS_CIPHER, ConnectFailure.OWN_CERTIFICATE) and self._wire.one_key_share:
                self._one_key_share = not self._one_key_share  # a server without this curve
            raise
        _set_socket_options(connection.tcp_socket, self._wire)
        return connection


def preload_library() -> None:
    """Import the WebSocket library before ``open_connection`` needs it: the import is a sixth of
    the time until the first frame."""
    load_later("importlib.metadata")  # ``websockets`` imports it only for its own version number
    import websockets.client
    import websockets.extensions.permessage_deflate  # noqa: F401


async def open_connection(
    backend: Backend,
    subprotocols: Sequence[str],
    password: bytes | None,
    context: ssl.SSLContext | None,
    open_timeout_s: float,
    compress: bool = True,
) -> WebSocket:
    """Open a connection on which one of ``subprotocols`` was agreed. Raises ``NoConnection``."""
    from websockets.exceptions import NegotiationError

    try:
        async with asyncio.timeout(open_timeout_s):
            connection = await _follow_redirects(backend, subprotocols, password, context, compress)
    except NegotiationError as e:
        raise _failed_attempt(backend, e, negotiation=True) from e
    except Exception as e:  # any error of the library is a failed attempt
        raise _failed_attempt(backend, e, trouble=_classify_failure(backend, e)) from e
    if connection.subprotocol is None and backend.subprotocol_echo == "missing_is_first":
        log.warning(
            "%s: the server named no OCPP version: taken as %s",
            without_user_info(backend.connection_url),
            subprotocols[0],
        )
    elif connection.subprotocol not in subprotocols:
        await connection.close(1002, "no common OCPP version")
        offered = ", ".join(subprotocols)
        raise NoConnection(
            f"{without_user_info(backend.connection_url)}: the server agreed to no OCPP version (offered: {offered}): "
            "check [backend] versions, and that this is the OCPP port of the backend",
            problem=ConnectProblem(ProblemCode.NO_SUBPROTOCOL),
        )
    return connection


async def _follow_redirects(
    backend: Backend,
    subprotocols: Sequence[str],
    password: bytes | None,
    context: ssl.SSLContext | None,
    compress: bool,
) -> WebSocket:
    """Connect through redirects that do not change how the connection is secured; another host
    never gets the password."""
    from websockets.exceptions import InvalidStatus
    from websockets.uri import parse_uri

    url, headers, moves = backend.connection_url, authorization_header(backend, password), 0
    while True:
        uri = parse_uri(url)
        try:
            return await _open_websocket(backend, uri, subprotocols, headers, context, compress)
        except InvalidStatus as e:
            moves += 1
            if e.response.status_code not in MOVED or moves > REDIRECTS:
                raise
            url = urljoin(url, e.response.headers.get("Location", ""))
            there = parse_uri(url)
            same = (there.host, there.port) == (uri.host, uri.port)
            if there.secure != uri.secure or (backend.via and not same):
                raise
            headers = headers if same else {}


async def _open_websocket(
    backend: Backend,
    uri: WebSocketURI,
    subprotocols: Sequence[str],
    headers: dict[str, str],
    context: ssl.SSLContext | None,
    compress: bool,
) -> WebSocket:
    from websockets.client import ClientProtocol

    extensions = [_deflate_extension()] if compress else None
    offered: Any = list(subprotocols)
    protocol = ClientProtocol(uri, extensions=extensions, subprotocols=offered, max_size=LENGTH_MAX)
    at = (uri.host, uri.port)
    if backend.via:
        host, _, port = backend.via.rpartition(":")
        at = (host.strip("[]"), int(port))
    return await open_socket(
        uri, at, protocol, headers, context if uri.secure else None, READ_AHEAD, CLOSE_TIMEOUT_S, backend.interface
    )


def _deflate_extension() -> Any:
    """Return the compression extension. Small windows: most of the gain for 44 KiB less memory
    per connection."""
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

    return ClientPerMessageDeflateFactory(
        server_max_window_bits=11, client_max_window_bits=11, compress_settings={"memLevel": 4}
    )


def _set_socket_options(sock: Any, wire: WireOptions) -> None:
    """Set the options that find half-open connections: keepalive finds them while idle,
    TCP_USER_TIMEOUT while data is unacknowledged."""
    if sock is None:
        return
    interval_s, count = KEEPALIVE
    wanted = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, wire.keepalive_idle_s),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval_s),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, wire.user_timeout_s * 1000),
    ]
    for level, option, value in wanted:
        try:
            sock.setsockopt(level, option, value)
        except OSError:
            pass  # not in this kernel: the pings of the link still find a dead connection


def _tls_line(error: ssl.SSLError, trouble: ConnectFailure) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted ({error.verify_message}): check [backend] ca and the station's clock"
    if trouble is ConnectFailure.OWN_CERTIFICATE:
        return f"the server does not accept this station's certificate ({error.reason}): have a new one signed"
    return f"TLS failed ({error.reason}): check that the port speaks TLS 1.2 or newer, and [backend] ca, client_cert"


_STATUS_HELP = {
    401: "wrong or missing password: check AuthorizationKey or [backend] password, and security_profile",
    403: "not allowed: check charge_point_id and password, and whether the backend has released this station",
    404: "not known there: check the path in [backend] url and charge_point_id",
}


def _classify_failure(backend: Backend, error: Exception) -> ConnectFailure:
    if (failed := tls.ssl_error(error)) is not None:
        return tls.classify_failure(failed, backend.security_profile == 3)
    status = getattr(getattr(error, "response", None), "status_code", None)
    return ConnectFailure.CREDENTIALS if status in (401, 403) else ConnectFailure.OTHER


def _describe_address(backend: Backend) -> str:
    return f"what is behind {backend.via}" if backend.via else "host and port in [backend] url"


def _failed_attempt(
    backend: Backend, error: Exception, negotiation: bool = False, trouble: ConnectFailure = ConnectFailure.OTHER
) -> NoConnection:
    from agent.ocpp.transport.ocpp_j.handshake_problems import name_problem

    problem = name_problem(error)
    return NoConnection(_describe_failure(backend, error, problem), negotiation, trouble, problem)


def _describe_failure(backend: Backend, error: Exception, problem: ConnectProblem) -> str:
    where = without_user_info(backend.connection_url) + (f" via {backend.via}" if backend.via else "")
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"{where}: refused with HTTP {status}: {_STATUS_HELP.get(status, 'the server has a problem of its own')}"
    if (failed := tls.ssl_error(error)) is not None:
        return f"{where}: {_tls_line(failed, tls.classify_failure(failed, backend.security_profile == 3))}"
    if isinstance(error, socket.gaierror):
        return f"{where}: the name cannot be resolved: check [backend] url, DNS and the network"
    if isinstance(error, ConnectionRefusedError):
        return f"{where}: connection refused: check host and port in [backend] url, and that the backend runs"
    if isinstance(error, TimeoutError):
        return f"{where}: no answer in time: check the network and the firewall"
    if isinstance(error, ConnectionError) and is_tls(backend.connection_url):
        return f"{where}: hung up while TLS was agreed: check that this port speaks TLS, and what the backend logs"
    if isinstance(error, ConnectionResetError) or isinstance(error.__cause__, EOFError | OSError):
        return f"{where}: hung up before it answered: check {_describe_address(backend)}, and that the backend runs"
    if isinstance(error, OSError):
        return f"{where}: no connection ({error.strerror or error}): check the network"
    if problem.code is ProblemCode.REDIRECTED:  # the error repeats the address, with the query
        return f"{where}: redirected to {problem.location} (HTTP {problem.status}): check [backend] url"
    reason = without_user_info(str(error))[:120]
    return f"{where}: no WebSocket connection ({type(error).__name__}: {reason!a}): check [backend] url"
