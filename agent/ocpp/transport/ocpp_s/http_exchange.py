"""The HTTP side of the station as a client: one POST for each call, over connections that are kept for a while."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from agent.model.fastclass import frozen
from agent.model.json_limits import LENGTH_MAX
from agent.ocpp.transport import tls
from agent.ocpp.transport.bound_socket import bind_to_interface, connect_through
from agent.ocpp.transport.traffic import ConnectionTraffic, TrafficCounter, WireBytes
from agent.station_file.settings import Backend

if TYPE_CHECKING:
    import aiohttp

KEPT_S = 30.0
"""A connection without an exchange is kept for so long. The messages of a session share one; a network that forgets
idle connections has not forgotten it yet."""
CONNECTIONS_MOST = 2
"""One for the call under way, one for a call whose answer is late."""
CONTENT_TYPE = 'application/soap+xml; charset=utf-8; action="/{action}"'


@frozen
class HttpAnswer:
    status: int
    body: bytes


class TooLarge(Exception):
    """More octets than a message may have."""


async def read_limited_body(stream: aiohttp.StreamReader) -> bytes:
    """Read a body to its end, unpacked. Raises ``TooLarge``."""
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > LENGTH_MAX:
            raise TooLarge
    return bytes(body)


def header_octets(headers: Any) -> int:
    """Return the size of the head of a message: its headers (pairs) and about one line."""
    return 40 + sum(len(name) + len(value) + 4 for name, value in headers)


class HttpExchange:
    """Sends envelopes to one address. ``headers``: of every request."""

    def __init__(
        self,
        backend: Backend,
        context: ssl.SSLContext | None,
        headers: dict[str, str],
        user_timeout_s: int,
        counter: TrafficCounter,
    ) -> None:
        self._backend, self._context, self._headers = backend, context, headers
        self._user_timeout_s, self._counter = user_timeout_s, counter
        self._url: SplitResult = urlsplit(backend.connection_url)
        self._session: aiohttp.ClientSession | None = None
        self._peer, self._own_host = ("", 0), ""
        self._traffic: tuple[WireBytes, ConnectionTraffic] | None = None
        self._opened_sockets: list[socket.socket] = []
        self._seen_pipe: asyncio.Transport | None = None
        self.tls_root: bytes | None = None if context is None else b""

    # --- is the backend there ----------------------------------------------------------------------------------------

    async def reach_backend(self) -> str:
        """Open a TCP connection to the backend and close it. Return the own address that it had. Raises ``OSError``."""
        host, port = self._dialled_address()
        connection = await connect_through(self._backend.interface or "", host, port)
        with connection:
            self._peer = connection.getpeername()[:2]
            self._own_host = str(connection.getsockname()[0])
            return self._own_host

    async def check_certificate(self) -> None:
        """Perform a TLS handshake, so that a certificate that is not accepted is a failed attempt to connect. Raises
        ``OSError``; ``ssl.SSLError`` is one."""
        if self._context is None:
            return
        connection = await connect_through(self._backend.interface or "", *self._peer)
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, sock=connection, ssl=self._context, server_hostname=self._url.hostname
            )
        except BaseException:
            connection.close()
            raise
        self.tls_root = tls.root_of(transport.get_extra_info("ssl_object"))
        transport.abort()

    def _dialled_address(self) -> tuple[str, int]:
        if self._backend.via:
            host, _, port = self._backend.via.rpartition(":")
            return host.strip("[]"), int(port)
        return self._url.hostname or "", self._url.port or (443 if self._context is not None else 80)

    @property
    def peer_address(self) -> str:
        """The address that the backend was reached at."""
        return self._peer[0]

    # --- exchanges ---------------------------------------------------------------------------------------------------

    def open_session(self) -> None:
        """Make what keeps the connections. The name is resolved once, by ``reach_backend``."""
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS_MOST, keepalive_timeout=KEPT_S, **self._socket_options(aiohttp.TCPConnector)
        )
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True
        )

    def _socket_options(self, connector: Any) -> dict[str, Any]:
        """Return how the sockets are made. Before aiohttp 3.12 (Debian 13) they can have the own address of the bearer,
        and the routes of the kernel decide which interface carries them."""
        if "socket_factory" in inspect.signature(connector).parameters:
            return {"socket_factory": self._make_socket}
        return {"local_addr": (self._own_host, 0)} if self._backend.interface else {}

    def _make_socket(self, address: Any) -> socket.socket:
        family, kind, protocol = address[:3]
        connection = socket.socket(family, kind, protocol)
        bind_to_interface(connection, self._backend.interface or "")
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._user_timeout_s * 1000)
        except OSError:
            pass  # not in this kernel: the time-out of the exchange finds a dead connection
        self._opened_sockets.append(connection)
        return connection

    async def post_envelope(self, action: str, envelope: bytes, timeout_s: float) -> HttpAnswer:
        """Send an envelope and return what comes back. Raises ``aiohttp.ClientError``, ``OSError``, ``TimeoutError``,
        ``TooLarge``."""
        import aiohttp

        assert self._session is not None
        host, port = self._peer
        shown = f"[{host}]" if ":" in host else host
        url = f"{self._url.scheme}://{shown}:{port}{self._url.path or '/'}"
        if self._url.query:
            url += f"?{self._url.query}"
        headers = {"Host": self._url.netloc, "Content-Type": CONTENT_TYPE.format(action=action)}
        async with self._session.post(
            url, data=envelope, headers=headers, allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            ssl=self._context if self._context is not None else True,
            server_hostname=self._url.hostname if self._context is not None else None,
        ) as response:  # fmt: skip
            pipe = response.connection.transport if response.connection is not None else None
            body = await read_limited_body(response.content)
            self._keep_tls_session(pipe)
            self._charge_exchange(action, response, len(envelope), len(body))
            return HttpAnswer(response.status, body)

    def _keep_tls_session(self, pipe: asyncio.Transport | None) -> None:
        """Keep the TLS session of a new connection on which data was read, for the next connection."""
        if self._context is None or pipe is None or pipe is self._seen_pipe:
            return
        self._seen_pipe = pipe
        if (made := pipe.get_extra_info("ssl_object")) is not None:
            tls.root_of(made)

    async def close_session(self) -> None:
        self._end_count()
        if self._session is not None:
            await self._session.close()

    # --- what it costs -----------------------------------------------------------------------------------------------

    def _charge_exchange(self, action: str, response: aiohttp.ClientResponse, sent: int, received: int) -> None:
        """Charge an exchange to its action. A new TCP connection is counted as one."""
        if self._opened_sockets or self._traffic is None:
            self._end_count()
            wire, opened = WireBytes(), self._opened_sockets[-1] if self._opened_sockets else None
            self._traffic = wire, self._counter.open_connection(wire, opened)
            self._opened_sockets.clear()
        wire, traffic = self._traffic
        wire.sent += sent + header_octets(response.request_info.headers.items())
        traffic.charge_message(action)  # the request; its answer counts as a message too
        wire.received += received + header_octets(response.raw_headers)
        traffic.charge_message(action)

    def _end_count(self) -> None:
        if self._traffic is not None:
            self._counter.close_connection(self._traffic[1])
            self._traffic = None
