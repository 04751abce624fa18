"""The HTTP side of the station as a server: the requests of the backend, one POST each.

A connection of no caller is cut off before a byte is read, of TLS too. A body has a limit, and so have the time until
it is whole and the number of connections."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from agent.model.fastclass import frozen
from agent.ocpp.transport.bound_socket import bind_to_interface
from agent.ocpp.transport.ocpp_s.http_exchange import TooLarge, header_octets, read_limited_body
from agent.ocpp.transport.ocpp_s.port_security import OPEN_PORT, PortSecurity
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
NO_ROOM_S = 1.0
"""Pause where the system has no room for a connection."""
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
    connection; ``charge_request(action, received, sent)`` counts octets of HTTP; ``security``: of the port."""

    def __init__(
        self,
        answer_envelope: Callable[[bytes], Awaitable[HttpReply]],
        admits_caller: Callable[[str], bool],
        charge_request: Callable[[str, int, int], None],
        security: PortSecurity = OPEN_PORT,
    ) -> None:
        self._answer_envelope, self._admits_caller = answer_envelope, admits_caller
        self._charge_request, self._security, self._whole_within_s = charge_request, security, WHOLE_WITHIN_S
        self._accepting: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()
        """Connections that are not open yet: a TLS handshake takes its time."""
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
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except BaseException:
            listening.close()
            raise
        own_port = int(listening.getsockname()[1])
        self._accepting = asyncio.create_task(self._accept_connections(listening))
        return own_port

    async def close_port(self) -> None:
        """Stop listening and close every connection. None waits for the end of TLS of the other side."""
        tasks = [task for task in (self._accepting, *self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        timers, self._timers = self._timers, {}
        for timer in timers.values():
            timer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.shutdown(0.1)
        for transport in timers:
            transport.abort()

    # --- connections -------------------------------------------------------------------------------------------------

    async def _accept_connections(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    connection, address = await loop.sock_accept(listening)
                except OSError as e:
                    self._log_once(f"a connection for SOAP requests was not accepted: {e.strerror or e}")
                    await asyncio.sleep(NO_ROOM_S)
                    continue
                if not self._has_place_for(str(address[0])):
                    connection.close()
                    continue
                opening = asyncio.create_task(self._open_connection(connection, str(address[0])))
                self._opening.add(opening)
                opening.add_done_callback(self._opening.discard)

    def _has_place_for(self, caller: str) -> bool:
        """Return whether a connection from this address is kept."""
        if not self._admits_caller(caller):
            self._log_once(f"{caller} wants to send SOAP requests and is no caller of this station: cut off")
            return False
        self._timers = {t: timer for t, timer in self._timers.items() if not t.is_closing()}
        if len(self._timers) + len(self._opening) >= CONNECTIONS_MOST:
            self._log_once(f"more than {CONNECTIONS_MOST} connections for SOAP requests: cut off")
            return False
        return True

    async def _open_connection(self, connection: socket.socket, caller: str) -> None:
        """Serve a connection of a caller, after the handshake of TLS if the port has it."""
        context = self._security.context
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _FirstProtocol(self), connection, ssl=context,
                ssl_handshake_timeout=self._whole_within_s if context is not None else None,
            )  # fmt: skip
        except OSError as e:  # of TLS, or the caller is gone; TimeoutError is one
            self._log_once(f"{caller}: no TLS for SOAP requests ({getattr(e, 'reason', '') or type(e).__name__})")

    def begin_connection(self, transport: asyncio.Transport) -> asyncio.Protocol:
        """Return what serves a new connection."""
        assert self._http is not None
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
        if not self._security.admits_login(request.headers.get("Authorization", "")):
            self._log_once(f"{request.remote or '?'} sends SOAP requests with a wrong password, or without one")
            return _closing_response(401, {"WWW-Authenticate": 'Basic realm="ocpp", charset="UTF-8"'})
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


def _closing_response(status: int, headers: dict[str, str] | None = None) -> web.Response:
    from aiohttp import web

    response = web.Response(status=status, headers=headers)
    response.force_close()
    return response


class _FirstProtocol(asyncio.Protocol):
    """The first protocol of a connection: its time begins before HTTP reads."""

    def __init__(self, server: RequestServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pipe = cast(asyncio.Transport, transport)
        inside = self._server.begin_connection(pipe)
        pipe.set_protocol(inside)
        inside.connection_made(pipe)
