"""A recording proxy between a station and its real backend: both sides are heard, neither is changed.

The station connects to this proxy, the proxy to the backend, with the same charge point id, subprotocols and login. A
refusal of the backend is passed on to the station.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit
from weakref import WeakKeyDictionary

from agent.scenario.frames import FrameLog

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

OPEN_S = 20.0
MOST_BYTES = 16 * 2**20
BAD_GATEWAY, NOT_FOUND = 502, 404
NoteRecord = Callable[..., None]


class RecordingProxy:
    """``station_id``: the station that is recorded; "" takes the first one. Others pass, unrecorded."""

    def __init__(
        self, backend_url: str, frames: FrameLog, note_record: NoteRecord, station_id: str = "",
        trusted: Path | None = None,
    ) -> None:  # fmt: skip
        self._backend_url, self.frames, self._note_record = backend_url.rstrip("/"), frames, note_record
        self.station_id, self.listening_port = station_id, 0
        self._tls = _trusting_context(trusted) if urlsplit(backend_url).scheme == "wss" else None
        self._recorded = 0
        """Connections of the recorded station: a new one may be there before the old one is gone."""
        self._onward: WeakKeyDictionary[ServerConnection, ClientConnection] = WeakKeyDictionary()

    @contextlib.asynccontextmanager
    async def open_proxy(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen. Raises ``OSError``."""
        from websockets.asyncio.server import serve as listen

        async with listen(
            self._pass_frames, host, port, process_request=self._connect_onward,
            select_subprotocol=self._chosen_subprotocol, ping_interval=None, compression=None, server_header=None,
            open_timeout=OPEN_S + 5, max_size=MOST_BYTES,
        ) as server:  # fmt: skip
            self.listening_port = next(iter(server.sockets)).getsockname()[1]
            yield

    async def wait_for_station(self, patience_s: float, silence_s: float) -> bool:
        """Wait until the station is connected and has sent a status, or nothing for ``silence_s``. Returns whether it
        is connected."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not self.frames.connected:
                    await self.frames.wait_for_change(1.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(silence_s):
                while not any(f.action == "StatusNotification" for f in self.frames.frames):
                    await self.frames.wait_for_change(1.0)
        return self.frames.connected

    # --- the handshake -----------------------------------------------------------------------------------------------

    async def _connect_onward(self, connection: ServerConnection, request: Request) -> Response | None:
        """Connect to the backend as the station connects here. None lets the handshake of the station go on."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidStatus
        from websockets.typing import Subprotocol

        path = urlsplit(request.path).path.rstrip("/")
        station = unquote(path.rpartition("/")[2])
        if not station or request.headers.get("Upgrade", "").lower() != "websocket":
            return connection.respond(NOT_FOUND, "the path must end with the station's id: ws://host:port/STATION\n")
        offered = [
            Subprotocol(name.strip())
            for line in request.headers.get_all("Sec-WebSocket-Protocol")
            for name in line.split(",")
        ]
        login = {"Authorization": request.headers["Authorization"]} if "Authorization" in request.headers else {}
        try:
            self._onward[connection] = await connect(
                f"{self._backend_url}/{quote(station, safe='')}", subprotocols=offered or None,
                additional_headers=login, ssl=self._tls, compression=None, ping_interval=None, open_timeout=OPEN_S,
                max_size=MOST_BYTES, user_agent_header=None, proxy=None,
            )  # fmt: skip
        except InvalidStatus as e:
            status = e.response.status_code
            self._note_record("refused", station=station, status=status)
            return connection.respond(status, "the backend refuses this station\n")
        except (OSError, TimeoutError, InvalidHandshake) as e:
            self._note_record("backend_unreachable", station=station, error=str(e)[:200])
            return connection.respond(BAD_GATEWAY, f"the backend cannot be reached: {e}\n")
        return None

    def _chosen_subprotocol(self, connection: ServerConnection, offered: Any) -> Any:
        """Return the subprotocol that the backend has chosen."""
        onward = self._onward.get(connection)
        return onward.subprotocol if onward is not None else None

    # --- the frames --------------------------------------------------------------------------------------------------

    async def _pass_frames(self, connection: ServerConnection) -> None:
        onward = self._onward.pop(connection)
        assert connection.request is not None
        station = unquote(urlsplit(connection.request.path).path.rstrip("/").rpartition("/")[2])
        self.station_id = self.station_id or station
        recorded, version = station == self.station_id, str(connection.subprotocol or "").removeprefix("ocpp")
        if recorded:
            self._recorded += 1
            self.frames.set_connection(True, version)
        try:
            async with asyncio.TaskGroup() as group:
                upward = group.create_task(self._pump_frames(connection, onward, recorded, True, version))
                downward = group.create_task(self._pump_frames(onward, connection, recorded, False, version))
                await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.gather(onward.close(), connection.close())
        finally:
            if recorded:
                self._recorded -= 1
                self.frames.set_connection(self._recorded > 0)

    async def _pump_frames(
        self, source: Any, destination: Any, recorded: bool, from_station: bool, version: str
    ) -> None:
        """Pass frames on until one side has closed."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            async for raw in source:
                if recorded:
                    text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
                    self.frames.add_text(from_station, version, text)
                await destination.send(raw)


def _trusting_context(trusted: Path | None) -> ssl.SSLContext:
    """Return a context that trusts these roots, or those of the system, as the link of a station does: a private root
    need not have every extension that RFC 5280 wants."""
    context = ssl.create_default_context(cafile=trusted)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
