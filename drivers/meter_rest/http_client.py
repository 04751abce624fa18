"""HTTP as these meters want it: one request per connection, small answers, on a private link.

The library's own client, in a thread: it is what transfers of files use too, and a board needs no other package.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from agent.model import json_limits
from agent.ports import Garbled, Refused, Unreachable

MOST_OCTETS = 256 * 1024
WHOLE = 4.0
"""So many times the time-out of one step may a request take with all its steps."""


class Web:
    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.name = f"{host}:{port}"
        self._host, self._port, self._timeout_s = host, port, timeout_s

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
        """Status and answer. Raises ``Unreachable``, ``Garbled``."""
        going = _Going()
        try:
            async with asyncio.timeout(WHOLE * self._timeout_s):
                return await asyncio.to_thread(self._ask, going, method, path, body)
        except TimeoutError:
            raise Unreachable(f"{self.name}: {method} {_short(path)}: no end of the answer") from None
        finally:
            going.stop()

    def _ask(self, going: _Going, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        import http.client

        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        sent = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {"Connection": "close"} | ({"Content-Type": "application/json"} if sent else {})
        try:
            connection.connect()
            going.on(connection.sock)
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            octets = answer.read(MOST_OCTETS + 1)
        except (OSError, http.client.HTTPException) as e:
            raise Unreachable(
                f"{self.name}: {method} {_short(path)}: {type(e).__name__}: {e}; check address, power and network cable"
            ) from e
        finally:
            connection.close()
        if len(octets) > MOST_OCTETS:
            raise Garbled(f"{self.name}: {_short(path)}: more than {MOST_OCTETS} octets: is this the meter?")
        return answer.status, octets

    async def get(self, path: str) -> dict[str, Any]:
        return await self.said("GET", path)

    async def said(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, good: int = 200
    ) -> dict[str, Any]:
        """The JSON object of an answer with this status, its numbers exact. Raises ``Unreachable``, ``Garbled``, and
        ``Refused`` for every other status."""
        status, octets = await self.ask(method, path, body)
        if status != good:
            raise Refused(f"{self.name}: {method} {_short(path)}: answered with HTTP {status}, not {good}")
        return self._object(octets, path)

    def _object(self, octets: bytes, path: str) -> dict[str, Any]:
        try:
            found = json_limits.read(octets, parse_float=Decimal, parse_constant=_no_number)
        except ValueError as e:  # also nesting without end
            raise Garbled(f"{self.name}: {_short(path)}: no JSON ({e})") from e
        if not isinstance(found, dict):
            raise Garbled(f"{self.name}: {_short(path)}: no JSON object")
        return found


class _Going:
    """A request in its thread, which waits for nobody who drips: ``stop`` hangs up, now or as soon as there is a
    line."""

    def __init__(self) -> None:
        self._line: list[socket.socket] = []
        self._over = False

    def on(self, line: socket.socket) -> None:
        self._line.append(line)
        if self._over:
            self.stop()

    def stop(self) -> None:
        self._over = True
        for line in self._line:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


def _short(path: str) -> str:
    return path.partition("?")[0]


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
