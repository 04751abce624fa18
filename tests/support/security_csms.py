"""A central system that asks stations who they are: HTTP Basic, TLS, client certificates, and changes of all that."""

from __future__ import annotations

import base64
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from tests.support.simulated_station import Simulated
from tests.support.station_rig import SPEED, Backend, station_text
from tests.support.tls_terminator import TlsFront

QUICK = "call_timeout_s = 2.0"
_QUIET = logging.getLogger("tests.secure")
_QUIET.setLevel(logging.CRITICAL)
"""Handshakes that fail are what these tests are about."""


@dataclass
class SecureBackend(Backend):
    """``tls``: None speaks plainly. ``key``: the only password that it takes (None: whatever comes). ``users``: user
    and password of every WebSocket that was asked for, None where none was shown."""

    tls: ssl.SSLContext | None = None
    key: bytes | None = None
    users: list[tuple[str, bytes] | None] = field(default_factory=list)

    async def __aenter__(self) -> SecureBackend:
        self._server = await serve(
            self._station,
            "127.0.0.1",
            0,
            process_request=self._enter,
            select_subprotocol=self._choose,
            ping_interval=None,
            logger=_QUIET,
        )
        self.front = TlsFront(next(iter(self._server.sockets)).getsockname()[1], self.tls)
        self.port = self.front.port
        self.url = f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.front.close()
        await super().__aexit__(*exc)

    def become(self, tls: ssl.SSLContext | None, key: bytes | None = None) -> None:
        """The same address from now on, another server; open connections are cut."""
        self.tls, self.key = tls, key
        self.users.clear()
        self.front.become(tls)

    @property
    def there(self) -> bool:
        """Is the station connected?"""
        return bool(self._connections)

    def _enter(self, connection: ServerConnection, request: Any) -> Any:
        self.users.append(who(request.headers.get("Authorization")))
        if self.key is not None and (self.users[-1] is None or self.users[-1][1] != self.key):
            return connection.respond(401, "who are you?\n")
        return None

    def events(self) -> list[str]:
        """Security events that were sent, in their order."""
        calls = [json.loads(text) for direction, text in self.frames if direction == "in"]
        return [c[3]["type"] for c in calls if c[0] == 2 and c[2] == "SecurityEventNotification"]


def who(header: str | None) -> tuple[str, bytes] | None:
    """User and password of HTTP Basic."""
    if header is None:
        return None
    user, _, password = base64.b64decode(header.removeprefix("Basic ")).partition(b":")
    return user.decode(), password


@asynccontextmanager
async def guarded(
    folder: Path, csms: SecureBackend, backend: str = "", evses: int = 1, **more: str
) -> AsyncIterator[Simulated]:
    """A simulated station of this central system, up. ``backend``: further lines of its table."""
    text = station_text(evses, backend=f"{QUICK}\n{backend}", **more)
    async with csms, Simulated(folder, text, csms.url, SPEED) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        yield station
