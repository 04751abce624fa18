"""A WebSocket proxy between a station and its backend that changes what goes over the wire, by one fault.

It reads and writes OCPP-J with ``websockets`` and ``json`` alone, and shares no code with the agent or the audit.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

CALL, RESULT = 2, 3


@dataclass
class PassingFrame:
    """One frame on its way. ``payload`` may be changed; ``dropped``: it does not go on. ``action`` of an answer is that
    of its request, ``asked`` the content of that."""

    wire: FaultyWire
    from_station: bool
    kind: int
    id: str
    action: str
    payload: Any
    asked: Any = None
    dropped: bool = False

    @property
    def is_call(self) -> bool:
        return self.kind == CALL

    def is_request(self, *actions: str) -> bool:
        """Whether it is one of these requests of the station."""
        return self.from_station and self.kind == CALL and self.action in actions

    def is_order(self, *actions: str) -> bool:
        """Whether it is one of these requests of the backend."""
        return not self.from_station and self.kind == CALL and self.action in actions

    def is_answer(self, *actions: str) -> bool:
        """Whether it is the station's answer to one of these requests of the backend."""
        return self.from_station and self.kind == RESULT and self.action in actions

    def answer_itself(self, payload: Any) -> None:
        """The proxy answers in the place of the other side, which gets nothing."""
        self.dropped = True
        self.wire.send_later(not self.from_station, [RESULT, self.id, payload])

    def send_again(self, after_s: float = 0.0) -> None:
        """The same request once more, under an id of its own, whose answer goes nowhere."""
        self.wire.invent(self.from_station, self.action, json.loads(json.dumps(self.payload)), after_s)


@dataclass
class FaultyWire:
    """``memory``: what a fault has to remember. It lasts over all connections of the station. ``speed``: how many times
    as fast the station's time runs; delays are in its time."""

    change: Callable[[PassingFrame], None]
    speed: float = 1.0
    memory: dict[str, Any] = field(default_factory=dict)
    requests: dict[tuple[bool, str], tuple[str, Any]] = field(default_factory=dict)
    ids: Any = field(default_factory=lambda: itertools.count(1))
    invented: set[str] = field(default_factory=set)
    ends: dict[bool, Any] = field(default_factory=dict)
    """By whether it is the station's: the connection."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def invent(self, from_station: bool, action: str, payload: Any, after_s: float = 0.0) -> None:
        """A request that this side never sent."""
        message_id = f"invented-{next(self.ids)}"
        self.invented.add(message_id)
        self.send_later(from_station, [CALL, message_id, action, payload], after_s)

    def send_later(self, from_station: bool, message: list[Any], after_s: float = 0.0) -> None:
        """Send to the other side, after the frames that are on their way now."""

        async def send() -> None:
            await asyncio.sleep(after_s / self.speed)
            with contextlib.suppress(ConnectionClosed, KeyError):
                await self.ends[not from_station].send(json.dumps(message))

        task = asyncio.ensure_future(send())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def passed_on(self, from_station: bool, text: str) -> str | None:
        """What goes on in the place of a text, None for nothing."""
        message = json.loads(text)
        frame = self._read_frame(from_station, message)
        if frame is None:
            return None if message[1] in self.invented else text
        self.change(frame)
        if frame.dropped:
            return None
        middle = [frame.action] if frame.is_call else []
        return json.dumps([frame.kind, frame.id, *middle, frame.payload])

    def _read_frame(self, from_station: bool, message: list[Any]) -> PassingFrame | None:
        """None: an error, or an answer to what the proxy has invented."""
        if message[0] == CALL:
            self.requests[from_station, message[1]] = (message[2], json.loads(json.dumps(message[3])))
            return PassingFrame(self, from_station, CALL, message[1], message[2], message[3])
        if message[0] != RESULT or message[1] in self.invented:
            return None
        action, asked = self.requests.get((not from_station, message[1]), ("", None))
        return PassingFrame(self, from_station, RESULT, message[1], action, message[2], asked)


@asynccontextmanager
async def open_faulty_wire(
    change: Callable[[PassingFrame], None], backend_url: str, speed: float = 1.0
) -> AsyncIterator[str]:
    """The proxy in front of a backend. Yields the address for the station."""
    wire = FaultyWire(change, speed)

    async def serve_station(station: ServerConnection) -> None:
        assert station.request is not None
        versions: Any = [station.subprotocol]
        url = backend_url + station.request.path
        async with connect(url, subprotocols=versions, compression=None, proxy=None, ping_interval=None) as backend:
            wire.ends = {True: station, False: backend}
            pumps = [asyncio.ensure_future(pump(wire, station, backend, True)),
                     asyncio.ensure_future(pump(wire, backend, station, False))]  # fmt: skip
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for one in pumps:
                one.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def first_offer(connection: ServerConnection, offered: Any) -> Any:
        return offered[0] if offered else None

    async with serve(
        serve_station, "127.0.0.1", 0, select_subprotocol=first_offer, compression=None, ping_interval=None
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        try:
            yield f"ws://127.0.0.1:{port}"
        finally:
            for task in wire.tasks:
                task.cancel()


async def pump(wire: FaultyWire, source: Any, target: Any, from_station: bool) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for text in source:
            passed = wire.passed_on(from_station, str(text))
            if passed is not None:
                await target.send(passed)
