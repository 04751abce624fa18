"""The HTTP server of the field page: the bounds of each connection, and which requests are answered at all.

aiohttp parses HTTP. Each connection has one request, a bound of time, and each request one of bytes; what a page may do
in a browser is in ``HEADERS``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from aiohttp import web

from agent.model.web_origin import is_foreign_origin, is_local_host

log = logging.getLogger(__name__)

HEAD_S, BODY_S, REQUEST_S, CONNECTION_S = 10.0, 20.0, 90.0, 180.0
"""How long the head of a request may take, its body, all until its answer (a kit is judged by each driver, which takes
seconds on a slow board), and a connection with its answer."""
CONNECTIONS_MOST = 32
LINE_BYTES = 8190
BACKLOG = 16
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # no-referrer would make the Origin of each form "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Server": "chargy-agent",
}
Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class BoundedServer(web.Server):
    """Answers requests by ``handler``. A connection that sends no head in time, or lasts too long, is cut off."""

    def __init__(self, handler: Handler, host_names: Iterable[str] = ()) -> None:
        super().__init__(
            self._answer_request, keepalive_timeout=0.0, max_line_size=LINE_BYTES, max_field_size=LINE_BYTES,
            lingering_time=0.0, logger=log, access_log=None,
        )  # fmt: skip
        self._handler, self._host_names = handler, ("", *host_names)
        self._silent: set[object] = set()
        self._not_yet_open: set[object] = set()
        """Accepted; what comes at once is accepted at once, before any of it is open."""

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override]
        if len(self.connections) + len(self._not_yet_open) >= CONNECTIONS_MOST:
            return _RefusedConnection()
        protocol = super().__call__()
        loop = asyncio.get_running_loop()
        self._silent.add(protocol)
        self._not_yet_open.add(protocol)
        loop.call_later(HEAD_S, self._drop_if_silent, protocol)
        loop.call_later(CONNECTION_S, _abort_connection, protocol)
        return protocol

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._not_yet_open.discard(handler)
        super().connection_made(handler, transport)

    def _drop_if_silent(self, protocol: web.RequestHandler) -> None:
        self._not_yet_open.discard(protocol)  # its TLS handshake has failed
        if protocol in self._silent:
            self._silent.discard(protocol)
            _abort_connection(protocol)

    async def _answer_request(self, request: web.BaseRequest) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        try:
            async with asyncio.timeout(REQUEST_S):
                response = await self._judge_request(request)
        except TimeoutError:
            response = plain_answer(408)
        except web.HTTPException as e:
            response = plain_answer(e.status)
        except Exception:
            log.exception("the field page has a defect, please report: %s", request.path)
            response = plain_answer(500)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.force_close()
        return response

    async def _judge_request(self, request: web.BaseRequest) -> web.StreamResponse:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            return plain_answer(400)
        if not any(is_local_host(hosts[0], name) for name in self._host_names):
            return plain_answer(421)  # a page of a foreign name that was made to lead here
        if request.method not in ("GET", "HEAD", "POST"):
            return plain_answer(405)
        if request.method == "POST":
            if is_foreign_origin(request.headers.get("Origin"), hosts[0]):
                return plain_answer(403)
            if request.content_length is None:
                return plain_answer(411)
        elif request.body_exists:
            return plain_answer(400)
        return await self._handler(request)


def plain_answer(status: int) -> web.Response:
    from http import HTTPStatus

    return web.Response(status=status, text=f"{status} {HTTPStatus(status).phrase}\n")


class _RefusedConnection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


def _abort_connection(protocol: web.RequestHandler) -> None:
    transport = protocol.transport
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return the context of a server. Raises ``OSError`` (``ssl.SSLError`` is one)."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context


def bind_listener(host: str, port: int, interface: str) -> socket.socket:
    """Bind and listen. ``interface``: what comes in at another one is not answered. Raises ``OSError``."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if interface:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.asynccontextmanager
async def serve_requests(
    server: BoundedServer, listener: socket.socket, tls: ssl.SSLContext | None
) -> AsyncIterator[None]:
    """Answer requests on ``listener`` inside ``async with``."""
    listening = await asyncio.get_running_loop().create_server(
        server, sock=listener, ssl=tls, ssl_handshake_timeout=HEAD_S if tls is not None else None
    )
    try:
        yield
    finally:
        listening.close()
        await server.shutdown(1.0)
