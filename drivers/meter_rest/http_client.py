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


class MeterHttpClient:
    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.name = f"{host}:{port}"
        self._host, self._port, self._timeout_s = host, port, timeout_s

    async def send_request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
        """Send a request. Return status and answer. Raises ``Unreachable``, ``Garbled``."""
        going = _RunningRequest()
        try:
            async with asyncio.timeout(WHOLE * self._timeout_s):
                return await asyncio.to_thread(self._request_blocking, going, method, path, body)
        except TimeoutError:
            raise Unreachable(f"{self.name}: {method} {_path_without_query(path)}: no end of the answer") from None
        finally:
            going.hang_up()

    def _request_blocking(
        self, going: _RunningRequest, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, bytes]:
        import http.client

        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        sent = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {"Connection": "close"} | ({"Content-Type": "application/json"} if sent else {})
        try:
            connection.connect()
            going.attach_socket(connection.sock)
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            octets = answer.read(MOST_OCTETS + 1)
        except (OSError, http.client.HTTPException) as e:
            raise Unreachable(
                f"{self.name}: {method} {_path_without_query(path)}: {type(e).__name__}: {e}; "
                "check address, power and network cable"
            ) from e
        finally:
            connection.close()
        if len(octets) > MOST_OCTETS:
            raise Garbled(
                f"{self.name}: {_path_without_query(path)}: more than {MOST_OCTETS} octets: is this the meter?"
            )
        return answer.status, octets

    async def get_object(self, path: str) -> dict[str, Any]:
        return await self.request_object("GET", path)

    async def request_object(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, good: int = 200
    ) -> dict[str, Any]:
        """Return the JSON object of an answer with this status, its numbers exact. Raises ``Unreachable``,
        ``Garbled``, and ``Refused`` for every other status."""
        status, octets = await self.send_request(method, path, body)
        if status != good:
            raise Refused(f"{self.name}: {method} {_path_without_query(path)}: answered with HTTP {status}, not {good}")
        return self._parse_object(octets, path)

    def _parse_object(self, octets: bytes, path: str) -> dict[str, Any]:
        try:
            found = json_limits.read_json(octets, parse_float=Decimal, parse_constant=_refuse_constant)
        except ValueError as e:  # also nesting without end
            raise Garbled(f"{self.name}: {_path_without_query(path)}: no JSON ({e})") from e
        if not isinstance(found, dict):
            raise Garbled(f"{self.name}: {_path_without_query(path)}: no JSON object")
        return found


class _RunningRequest:
    """A request in its thread, which does not wait for a slow sender: ``hang_up`` closes the socket, now or as soon as
    there is one."""

    def __init__(self) -> None:
        self._line: list[socket.socket] = []
        self._over = False

    def attach_socket(self, line: socket.socket) -> None:
        self._line.append(line)
        if self._over:
            self.hang_up()

    def hang_up(self) -> None:
        self._over = True
        for line in self._line:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


def _path_without_query(path: str) -> str:
    return path.partition("?")[0]


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")
