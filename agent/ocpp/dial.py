"""Getting a WebSocket connection to a backend: options, sockets, security profiles, and what to say when it fails."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.settings import Backend

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MAX_MESSAGE = 2 * 1024 * 1024
READ_AHEAD = 4
"""Frames that are read before somebody takes them: each may be as long as a message."""
CLOSE_TIMEOUT_S = 2.0
KEEPALIVE = (60, 20, 3)
"""Idle, interval, count: works in the kernel, even while this process is stopped."""
USER_TIMEOUT_S = 60


class NoConnection(Exception):
    """``str()`` is one line for a technician: what, where, what to do. ``negotiation``: try again without offering
    compression."""

    def __init__(self, line: str, negotiation: bool = False) -> None:
        super().__init__(line)
        self.negotiation = negotiation


def tls_context(backend: Backend) -> ssl.SSLContext:
    """Security profiles 2 and 3 (and any wss URL): TLS 1.2 or newer, host name and chain checked against ``ca`` or the
    system's store; the client certificate in profile 3. Raises ``OSError`` (``ssl.SSLError`` is one)."""
    context = ssl.create_default_context(cafile=None if backend.ca is None else str(_readable(backend.ca)))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if backend.client_cert is not None:
        key = backend.client_key or backend.client_cert
        context.load_cert_chain(str(_readable(backend.client_cert)), str(_readable(key)))
    return context


def _readable(path: Path) -> Path:
    with path.open("rb"):
        return path


def basic_auth(user: str, password: bytes) -> str:
    """Security profiles 1 and 2: the user is the charge point's id, the password may be any bytes (whitepaper 2.2)."""
    return "Basic " + base64.b64encode(user.encode() + b":" + password).decode("ascii")


_USER_INFO = re.compile(r"//[^/?#\s]*@")


def shown(url: str) -> str:
    """A URL, or a text with one in it, as it may be written down: without user and password."""
    return _USER_INFO.sub("//", url)


def is_tls(url: str) -> bool:
    return url.lower().startswith("wss:")


class Dialler:
    """One ``SSLContext`` for the life of the process, and the memory that a server cannot do compression."""

    def __init__(self, backend: Backend, open_timeout_s: float) -> None:
        self._backend, self._open_timeout_s = backend, open_timeout_s
        self._context: ssl.SSLContext | None = None
        self._compress = True

    async def connect(self, subprotocols: Sequence[str], password: bytes | None) -> ClientConnection:
        """Raises ``NoConnection``."""
        profile = self._backend.security_profile
        if profile >= 2 and not is_tls(self._backend.endpoint):
            raise NoConnection(
                f"{shown(self._backend.endpoint)}: security_profile {profile} needs TLS: not connected, nothing sent: "
                "use a wss:// address in [backend] url"
            )
        try:
            if self._context is None and is_tls(self._backend.endpoint):
                self._context = tls_context(self._backend)
        except OSError as e:
            raise NoConnection(f"[backend] ca, client_cert, client_key: not usable ({e}): check the files") from e
        try:
            return await connect(
                self._backend, subprotocols, password, self._context, self._open_timeout_s, self._compress
            )
        except NoConnection as e:
            if e.negotiation:
                self._compress = not self._compress
            raise


async def connect(
    backend: Backend,
    subprotocols: Sequence[str],
    password: bytes | None,
    context: ssl.SSLContext | None,
    open_timeout_s: float,
    compress: bool = True,
) -> ClientConnection:
    """A connection on which one of ``subprotocols`` was agreed. Raises ``NoConnection``."""
    from websockets.asyncio import client
    from websockets.exceptions import NegotiationError

    try:
        connection = await client.connect(
            backend.endpoint, **_options(backend, subprotocols, password, context, open_timeout_s, compress)
        )
    except NegotiationError as e:
        raise NoConnection(_line(backend, e), negotiation=True) from e
    except Exception as e:  # whatever a server can provoke in the library is a failed attempt
        raise NoConnection(_line(backend, e)) from e
    if connection.subprotocol not in subprotocols:
        await connection.close(1002, "no common OCPP version")
        offered = ", ".join(subprotocols)
        raise NoConnection(
            f"{shown(backend.endpoint)}: the server agreed to no OCPP version (offered: {offered}): "
            "check [backend] versions, and that this is the OCPP port of the backend"
        )
    _tune(connection.transport.get_extra_info("socket"))
    return connection


def _options(
    backend: Backend,
    subprotocols: Sequence[str],
    password: bytes | None,
    context: ssl.SSLContext | None,
    open_timeout_s: float,
    compress: bool,
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "subprotocols": list(subprotocols),
        "compression": None,
        "user_agent_header": None,
        "proxy": None,
        "open_timeout": open_timeout_s,
        "close_timeout": CLOSE_TIMEOUT_S,
        "ping_interval": None,  # the link pings after silence only: pings, not messages, eat a SIM card's volume
        "max_size": MAX_MESSAGE,
        "max_queue": READ_AHEAD,
    }
    if compress:
        options["extensions"] = [_deflate()]
    if password is not None and backend.security_profile in (1, 2):
        options["additional_headers"] = {"Authorization": basic_auth(backend.charge_point_id, password)}
    if context is not None and is_tls(backend.endpoint):
        options["ssl"] = context
    if backend.via:
        host, _, port = backend.via.rpartition(":")
        options |= {"host": host.strip("[]"), "port": int(port)}
    return options


def _deflate() -> Any:
    """Small windows: most of the gain for 44 KiB less memory per connection."""
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

    return ClientPerMessageDeflateFactory(
        server_max_window_bits=11, client_max_window_bits=11, compress_settings={"memLevel": 4}
    )


def _tune(sock: Any) -> None:
    """Half-open connections: keepalive finds them while idle, TCP_USER_TIMEOUT while data is unacknowledged."""
    if sock is None:
        return
    idle_s, interval_s, count = KEEPALIVE
    wanted = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval_s),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_S * 1000),
    ]
    for level, option, value in wanted:
        try:
            sock.setsockopt(level, option, value)
        except OSError:
            pass  # a kernel without it: the pings of the link still find a dead connection


_STATUS_HELP = {
    401: "wrong or missing password: check AuthorizationKey or [backend] password, and security_profile",
    403: "not allowed: check charge_point_id and password, and whether the backend has released this station",
    404: "not known there: check the path in [backend] url and charge_point_id",
}


def _line(backend: Backend, error: Exception) -> str:
    where = shown(backend.endpoint) + (f" via {backend.via}" if backend.via else "")
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"{where}: refused with HTTP {status}: {_STATUS_HELP.get(status, 'the server has a problem of its own')}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{where}: certificate not accepted ({error.verify_message}): check [backend] ca and the station's clock"
    if isinstance(error, ssl.SSLError):
        return f"{where}: TLS failed ({error.reason}): check that the port speaks TLS and [backend] ca, client_cert"
    if isinstance(error, socket.gaierror):
        return f"{where}: the name cannot be resolved: check [backend] url, DNS and the network"
    if isinstance(error, ConnectionRefusedError):
        return f"{where}: nobody listens there: check host and port in [backend] url, and that the backend runs"
    if isinstance(error, TimeoutError):
        return f"{where}: no answer in time: check the network and the firewall"
    if isinstance(error, OSError):
        return f"{where}: no connection ({error.strerror or error}): check the network"
    said = shown(str(error))[:120]
    return f"{where}: no WebSocket connection ({type(error).__name__}: {said!a}): check [backend] url"
