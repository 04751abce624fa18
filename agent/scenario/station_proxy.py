"""A proxy between a station and its backend, frame by frame.

The station connects to the proxy, the proxy to the backend, with the same charge point id, subprotocols and login. A
refusal of the backend is passed on to the station.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

OPEN_S = 20.0
MOST_BYTES = 16 * 2**20
BAD_GATEWAY, NOT_FOUND = 502, 404


class StationProxy:
    """What all such proxies do. ``pass_frames`` is for each to fill in. ``trusted``: root certificates of the backend,
    None: those of the system."""

    def __init__(self, backend_url: str, trusted: Path | None = None) -> None:
        self._backend_url, self.listening_port = backend_url.rstrip("/"), 0
        self._tls = trusting_context(trusted) if urlsplit(backend_url).scheme == "wss" else None
        self._onward: WeakKeyDictionary[ServerConnection, ClientConnection] = WeakKeyDictionary()

    async def pass_frames(self, connection: ServerConnection, onward: ClientConnection, station_id: str) -> None:
        """Pass frames on until one side has closed. ``connection``: to the station, ``onward``: to the backend."""
        raise NotImplementedError

    def note_problem(self, kind: str, **data: Any) -> None:
        """Note that the backend refuses a station, or cannot be reached."""

    @contextlib.asynccontextmanager
    async def open_proxy(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen. Raises ``OSError``."""
        from websockets.asyncio.server import serve as listen

        async with listen(
            self._serve_station, host, port, process_request=self.connect_onward,
            select_subprotocol=self._chosen_subprotocol, ping_interval=None, compression=None, server_header=None,
            open_timeout=OPEN_S + 5, max_size=MOST_BYTES,
        ) as server:  # fmt: skip
            self.listening_port = next(iter(server.sockets)).getsockname()[1]
            yield

    async def connect_onward(self, connection: ServerConnection, request: Request) -> Response | None:
        """Connect to the backend as the station connects here. None lets the handshake of the station go on."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidStatus
        from websockets.typing import Subprotocol

        station = _station_of_path(request.path)
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
            self.note_problem("refused", station=station, status=status)
            return connection.respond(status, "the backend refuses this station\n")
        except (OSError, TimeoutError, InvalidHandshake) as e:
            self.note_problem("backend_unreachable", station=station, error=str(e)[:200])
            return connection.respond(BAD_GATEWAY, f"the backend cannot be reached: {e}\n")
        return None

    def _chosen_subprotocol(self, connection: ServerConnection, offered: Any) -> Any:
        """Return the subprotocol that the backend has chosen."""
        onward = self._onward.get(connection)
        return onward.subprotocol if onward is not None else None

    async def _serve_station(self, connection: ServerConnection) -> None:
        onward = self._onward.pop(connection)
        assert connection.request is not None
        await self.pass_frames(connection, onward, _station_of_path(connection.request.path))


def _station_of_path(path: str) -> str:
    return unquote(urlsplit(path).path.rstrip("/").rpartition("/")[2])


def trusting_context(trusted: Path | None) -> ssl.SSLContext:
    """Return a context that trusts these roots, or those of the system, as the link of a station does: a private root
    need not have every extension that RFC 5280 wants. Raises ``OSError``."""
    context = ssl.create_default_context(cafile=trusted)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
