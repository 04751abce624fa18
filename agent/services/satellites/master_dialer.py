"""The connection of a satellite to its payment master. It is kept up for as long as the station runs."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from agent import __version__
from agent.domain.events import Event
from agent.domain.orders import SendToMaster
from agent.domain.satellite_messages import MasterConnected, MasterLost, MasterMessage, MasterMessageReceived
from agent.services.satellites.connection import PATH, PING_S, PONG_S, SharedConnection
from agent.services.satellites.message_codec import LARGEST_BYTES, MalformedMessage, encode_message
from agent.services.satellites.satellite_listener import OPEN_S, quiet_library_logger
from agent.services.satellites.shared_tls import MASTER_NAME, satellite_context
from agent.station_file.tables import SatelliteTable

log = logging.getLogger(__name__)

FIRST_S, LONGEST_S = 1.0, 30.0
"""Between two attempts: doubled each time, and a little at random, since a site comes back all at once."""

LASTED_S = 30.0
"""A connection that stood for so long was a good one. A dead one ends after half of it."""


class MasterDialer:
    """``post``: is given what happens; ``wait_until_handled``: returns when the station has handled it."""

    orders = (SendToMaster,)

    def __init__(
        self, table: SatelliteTable, post: Callable[[Event], None], wait_until_handled: Callable[[], Awaitable[None]]
    ) -> None:
        self._table, self._post, self._wait_until_handled = table, post, wait_until_handled
        self._connection: SharedConnection | None = None
        self._problem = ""
        self._wait_s = FIRST_S

    def accept_order(self, order: SendToMaster) -> None:
        if self._connection is not None:
            self._connection.queue_text(encode_message(order.message))

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        from websockets.exceptions import WebSocketException

        while True:
            try:
                await self._keep_connection()
            except (OSError, EOFError, TimeoutError, MalformedMessage, WebSocketException) as e:
                self._note_problem(str(e) or type(e).__name__)
            await asyncio.sleep(self._wait_s * random.uniform(0.8, 1.2))
            self._wait_s = min(2 * self._wait_s, LONGEST_S)

    def _note_problem(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("payment: the payment master at %s cannot be reached: %.200s", self._table.master, problem)

    def _post_message(self, message: MasterMessage) -> None:
        self._post(MasterMessageReceived(message))

    async def _keep_connection(self) -> None:
        """Connect, and exchange messages until the connection ends. Only one that has lasted lets the next attempt come
        soon: all outlets of this station appear and disappear at the terminal with it. Raises ``OSError``,
        ``TimeoutError``, ``MalformedMessage`` and ``WebSocketException`` if it cannot be made."""
        from websockets.asyncio.client import connect

        table = self._table
        context = satellite_context(table.certificate, table.key, table.ca)
        async with connect(
            f"wss://{table.master}{PATH}", ssl=context, server_hostname=MASTER_NAME, max_size=LARGEST_BYTES,
            compression=None, ping_interval=PING_S, ping_timeout=PONG_S, open_timeout=OPEN_S, proxy=None,
            user_agent_header=None, logger=quiet_library_logger(),
        ) as socket:  # fmt: skip
            connection = SharedConnection(socket, MasterMessage, self._post_message, self._wait_until_handled)
            program = await connection.exchange_hello(__version__)
            log.info("payment: the payment master at %s is connected (%s)", table.master, program)
            self._connection, self._problem = connection, ""
            loop = asyncio.get_running_loop()
            connected_s = loop.time()
            self._post(MasterConnected())
            try:
                await connection.run()
            finally:
                self._connection = None
                if loop.time() - connected_s >= LASTED_S:
                    self._wait_s = FIRST_S
                self._post(MasterLost())
                log.warning("payment: the connection to the payment master has ended")
