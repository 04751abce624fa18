"""The port of a payment master, to which its satellites connect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.domain.events import Event
from agent.domain.orders import SendToSatellite
from agent.domain.satellite_messages import (
    SatelliteConnected,
    SatelliteLost,
    SatelliteMessage,
    SatelliteMessageReceived,
)
from agent.model.fastclass import mutable
from agent.services.satellites.connection import PATH, PING_S, PONG_S, SharedConnection
from agent.services.satellites.message_codec import LARGEST_BYTES, MalformedMessage, encode_message
from agent.services.satellites.shared_tls import certificate_names, master_context
from agent.station_file.tables import MasterTable

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

log = logging.getLogger(__name__)

AGAIN_S = 30.0
"""Between two attempts to open the port."""
OPEN_S = 10.0
"""How long a handshake may take."""


@mutable
class ConnectedSatellite:
    socket: ServerConnection
    connection: SharedConnection
    ended: asyncio.Event


class SatelliteListener:
    """``names``: the satellites that may connect. ``post``: is given what happens; ``wait_until_handled``: returns when
    the station has handled it."""

    orders = (SendToSatellite,)

    def __init__(
        self,
        table: MasterTable,
        names: Collection[str],
        post: Callable[[Event], None],
        wait_until_handled: Callable[[], Awaitable[None]],
    ) -> None:
        self._table, self._names, self._post = table, frozenset(names), post
        self._wait_until_handled = wait_until_handled
        self._connected: dict[str, ConnectedSatellite] = {}
        self._problem = ""
        self.is_open = False
        """The port can be reached."""

    def accept_order(self, order: SendToSatellite) -> None:
        there = self._connected.get(order.satellite)
        if there is not None:
            there.connection.queue_text(encode_message(order.message))

    async def run(self) -> None:
        """Serve until cancelled. A port that cannot be opened is tried again; the station goes on."""
        while True:
            try:
                await self._serve_satellites()
            except OSError as e:
                if str(e) != self._problem:
                    self._problem = str(e)
                    log.error("payment.master: port %d cannot be opened: %s", self._table.port, e.strerror or e)
            await asyncio.sleep(AGAIN_S)

    async def _serve_satellites(self) -> None:
        from websockets.asyncio.server import serve as listen

        table = self._table
        context = master_context(table.certificate, table.key, table.ca)
        async with listen(
            self._serve_connection, table.host or None, table.port, ssl=context, process_request=_check_path,
            max_size=LARGEST_BYTES, compression=None, ping_interval=PING_S, ping_timeout=PONG_S, open_timeout=OPEN_S,
            server_header=None, logger=quiet_library_logger(),
        ) as server:  # fmt: skip
            self._problem, self.is_open = "", True
            try:
                await server.serve_forever()
            finally:
                self.is_open = False

    async def _serve_connection(self, socket: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        names = certificate_names(socket.transport.get_extra_info("peercert"))
        name = next((n for n in names if n in self._names), "")
        if not name:
            log.error("payment.master: %s is no satellite of the station file", " ".join(names) or "a caller")
            await socket.close(1008)
            return
        connection = SharedConnection(socket, SatelliteMessage, self._receiver(name), self._wait_until_handled)
        there = ConnectedSatellite(socket, connection, asyncio.Event())
        try:
            program = await there.connection.exchange_hello(__version__)
            await self._replace_connection(name, there)
        except (MalformedMessage, TimeoutError, ConnectionClosed) as e:
            log.error("payment.master: satellite %s: %.200s", name, e or type(e).__name__)
            return
        log.info("payment: satellite %s is connected (%s)", name, program)
        try:
            await there.connection.run()
        finally:
            if self._connected.get(name) is there:
                del self._connected[name]
                self._post(SatelliteLost(name))
                log.warning("payment: the connection to satellite %s has ended", name)
            there.ended.set()

    async def _replace_connection(self, name: str, there: ConnectedSatellite) -> None:
        """End the connection of before, and let this one count: the satellite has forgotten the other, which may be
        dead. A farewell over it would be waited for in vain."""
        while (before := self._connected.get(name)) is not None:
            before.socket.transport.abort()
            await before.ended.wait()
        self._connected[name] = there
        self._post(SatelliteConnected(name))

    def _receiver(self, name: str) -> Callable[[Any], None]:
        return lambda message: self._post(SatelliteMessageReceived(name, message))


def _check_path(socket: ServerConnection, request: Request) -> Response | None:
    return None if request.path == PATH else socket.respond(HTTPStatus.NOT_FOUND, "")


def quiet_library_logger() -> logging.Logger:
    """Return a logger for the library: handshakes that fail are noise of a network."""
    quiet = logging.getLogger("websockets.satellites")
    quiet.setLevel(logging.CRITICAL)
    return quiet
