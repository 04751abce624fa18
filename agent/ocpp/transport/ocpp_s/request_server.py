"""The HTTP side of the station as a server: the requests of the backend, one POST each.

A connection of no caller is cut off before a byte is read. A body has a limit, and so have the time until it is whole
and the number of connections."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from agent.model.fastclass import frozen
from agent.ocpp.transport.bound_socket import bind_to_interface
from agent.ocpp.transport.ocpp_s.http_exchange import TooLarge, header_octets, read_limited_body
from agent.ocpp.wire.soap_envelope import MEDIA_TYPE

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("agent.ocpp")

WHOLE_WITHIN_S = 10.0
"""From the connection, or the answer before, a request must be whole in this time once it has begun."""
IDLE_S = 60.0
"""A connection without a request is closed after this time."""
CONNECTIONS_MOST = 16
BACKLOG = 8
LINES_MOST = 20
"""So many different lines about connections that are cut off are logged."""


@frozen
class HttpReply:
    """``action``: for the count of traffic."""

    status: int
    body: bytes
    action: str = ""
    content_type: str = f"{MEDIA_TYPE}; charset=utf-8"


class RequestServer:
    """Listens on one address. ``answer_envelope`` makes the reply to a body; ``admits_caller`` judges the address of a
    connection; ``charge_request(action, received, sent)`` counts octets of HTTP."""

    def __init__(
        self,
        answer_envelope: Callable[[bytes], Awaitable[HttpReply]],
        admits_caller: Callable[[str], bool],
        charge_request: Callable[[str, int, int], None],
    ) -> None:
        self._answer_envelope, self._admits_caller = answer_envelope, admits_caller
        self._charge_request, self._whole_within_s = charge_request, WHOLE_WITHIN_S
        self._listener: asyncio.Server | None = None
        self._http: web.Server | None = None
        self._timers: dict[Any, asyncio.TimerHandle] = {}
        self._logged_lines: set[str] = set()

    async def open_port(self, host: str, port: int, interface: str) -> int:
        """Listen, on this interface alone if one is given. Return the port. Raises ``OSError``."""
        from aiohttp import web

        self._http = web.Server(self._serve_request, keepalive_timeout=IDLE_S, access_log=None, tcp_keepalive=False)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bind_to_interface(listening, interface)
            listening.bind((host, port))
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(lambda: _Gate(self), sock=listening, backlog=BACKLOG)
        except BaseException:
            listening.close()
            raise
        return int(listening.getsockname()[1])

    async def close_port(self) -> None:
        """Stop listening and close every connection."""
        if self._listener is not None:
            self._listener.close()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._http is not None:
            await self._http.shutdown(0.1)

    # --- connections -------------------------------------------------------------------------------------------------

    def accept_connection(self, transport: asyncio.Transport) -> asyncio.Protocol | None:
        """Return what serves a new connection; None: it is cut off."""
        peer = transport.get_extra_info("peername")
        caller = str(peer[0]) if peer else ""
        if self._http is None or not self._admits_caller(caller):
            self._log_once(f"{caller or '?'} wants to send SOAP requests and is no caller of this station: cut off")
            return None
        self._timers = {t: timer for t, timer in self._timers.items() if not t.is_closing()}
        if len(self._timers) >= CONNECTIONS_MOST:
            self._log_once(f"more than {CONNECTIONS_MOST} connections for SOAP requests: cut off")
            return None
        self._start_timer(transport, self._whole_within_s)
        return cast(asyncio.Protocol, self._http())

    def _start_timer(self, transport: Any, limit_s: float) -> None:
        """Abort the connection unless a whole request arrives within ``limit_s``."""
        if (timer := self._timers.pop(transport, None)) is not None:
            timer.cancel()
        self._timers[transport] = asyncio.get_running_loop().call_later(limit_s, self._give_up, transport)

    def _log_once(self, line: str) -> None:
        """Log a line once, and some lines at most: a scanner must not fill the journal."""
        if line not in self._logged_lines and len(self._logged_lines) < LINES_MOST:
            self._logged_lines.add(line)
            log.warning("%s", line)

    def _give_up(self, transport: Any) -> None:
        self._timers.pop(transport, None)
        transport.abort()

    # --- requests ----------------------------------------------------------------------------------------------------

    async def _serve_request(self, request: web.BaseRequest) -> web.Response:
        from aiohttp import web

        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        transport = request.transport
        try:
            await _send_continue(request)
            body = await read_limited_body(request.content)
        except TooLarge:
            return _closing_response(413)
        except (OSError, web.HTTPException, ValueError):  # a body that cannot be unpacked, or ends too soon
            return _closing_response(400)
        self._hold_timer(transport)
        reply = await self._answer_envelope(body)
        received = len(body) + header_octets(request.raw_headers)
        self._charge_request(reply.action, received, len(reply.body) + 120)
        if transport is not None and not transport.is_closing():
            self._start_timer(transport, IDLE_S + self._whole_within_s)
        return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": reply.content_type})

    def _hold_timer(self, transport: Any) -> None:
        """Stop the timer of a connection while its request is worked on; the connection still counts."""
        if (timer := self._timers.get(transport)) is not None:
            timer.cancel()


async def _send_continue(request: web.BaseRequest) -> None:
    """Ask for the body of a client that waits for that (RFC 9110, 10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def _closing_response(status: int) -> web.Response:
    from aiohttp import web

    response = web.Response(status=status)
    response.force_close()
    return response


class _Gate(asyncio.Protocol):
    """The first protocol of a connection: it lets a caller through to HTTP, and cuts off all others."""

    def __init__(self, server: RequestServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pipe = cast(asyncio.Transport, transport)
        inside = self._server.accept_connection(pipe)
        if inside is None:
            pipe.abort()
            return
        pipe.set_protocol(inside)
        inside.connection_made(pipe)
