"""The events of the control API: the picture after every change, doctor, recording, and each OCPP frame.

The same events go out as server-sent events (WHATWG HTML, 9.2) and as messages of a WebSocket (RFC 6455).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

from drivers.sim.http_access import HEADERS
from drivers.sim.station_tools import StationTools
from drivers.sim.status_client import StatusClient

Json: TypeAlias = dict[str, Any]

EVENTS_EVERY_S = 0.1
KEEP_ALIVE_S = 15.0
LONGEST_COMMAND = 1024
"""Of what a listener sends, in bytes. It is not looked at."""


class ChangeFeed:
    """Wakes all tasks that wait for the next change. ``closing``: no listener shall wait any more."""

    def __init__(self) -> None:
        self.version = 0
        self.closing = False
        self._next = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    def add_change_listener(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called at each change too."""
        self._listeners.append(listener)

    def notify_change(self) -> None:
        self.version += 1
        self._next.set()
        self._next = asyncio.Event()
        for listener in self._listeners:
            listener()

    def close_feed(self) -> None:
        self.closing = True
        self.notify_change()

    async def wait_for_change(self, version: int, timeout_s: float) -> None:
        """Wait for a change newer than ``version``, at most ``timeout_s``."""
        if self.version != version:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._next.wait()


@dataclass(frozen=True, slots=True)
class StationEvent:
    """An event. ``event_id``: where a listener that comes back begins; "": this event is none to begin at."""

    name: str
    data: Json
    event_id: str = ""

    def server_sent_text(self) -> bytes:
        named = f"id: {self.event_id}\n" if self.event_id else ""
        return f"{named}event: {self.name}\ndata: {json.dumps(self.data)}\n\n".encode()

    def socket_message(self) -> str:
        return json.dumps({"event": self.name, "id": self.event_id or None, "data": self.data})


async def answer_with_server_sent_events(
    request: web.Request, events: AsyncIterator[StationEvent | None]
) -> web.StreamResponse:
    """Send the events until they end or the listener leaves. None among them: nothing has happened for a while."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **HEADERS})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # the listener left
        async for event in events:
            await response.write(event.server_sent_text() if event is not None else b": still here\n\n")
    return response


async def answer_with_socket_events(
    request: web.Request, events: AsyncIterator[StationEvent | None]
) -> web.WebSocketResponse:
    """Send the events as messages of a WebSocket, as ``answer_with_server_sent_events`` does."""
    socket = web.WebSocketResponse(heartbeat=KEEP_ALIVE_S, max_msg_size=LONGEST_COMMAND)
    await socket.prepare(request)
    sending = asyncio.create_task(_send_to_socket(socket, events))
    try:
        async for _ in socket:  # only a reader learns that the listener has closed
            pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return socket


async def _send_to_socket(socket: web.WebSocketResponse, events: AsyncIterator[StationEvent | None]) -> None:
    with contextlib.suppress(ConnectionError):  # the listener left
        async for event in events:
            if event is not None:  # the heartbeat of the WebSocket keeps it alive
                await socket.send_str(event.socket_message())
        await socket.close()


class EventStream:
    """The handlers of both ways. ``picture``: the picture of the station as it is now."""

    def __init__(self, picture: Callable[[], Json], watch: StatusClient, feed: ChangeFeed, tools: StationTools) -> None:
        self._picture, self._watch, self._feed, self._tools = picture, watch, feed, tools

    async def send_server_sent_events(self, request: web.Request) -> web.StreamResponse:
        return await answer_with_server_sent_events(request, self._events_after(self._first_frame_seq(request)))

    async def send_socket_events(self, request: web.Request) -> web.WebSocketResponse:
        return await answer_with_socket_events(request, self._events_after(self._first_frame_seq(request)))

    async def _events_after(self, seq: int) -> AsyncIterator[StationEvent | None]:
        """Yield ``station`` at once and on every change, ``doctor`` and ``recording`` likewise once there is something
        to show, and ``frame`` for each OCPP frame after ``seq``; None: nothing has happened for a while.

        Frames come in the order of the trace. A listener that starts again after its last frame misses none and gets
        none twice.
        """
        version, sent = -1, ""
        works = self._tools.works_in_events()
        shown = dict.fromkeys(works, 0)
        while not self._feed.closing:
            version, before = self._feed.version, version
            frames = self._watch.trace.frames_since(seq)
            seq = self._watch.trace.last_seq
            now = json.dumps({**self._picture(), "time": None})
            if now != sent:
                sent = now
                yield StationEvent("station", self._picture())
            for name, work in works.items():
                if work.version != shown[name]:
                    shown[name] = work.version
                    yield StationEvent(name, work.event_picture())
            for frame in frames:
                yield StationEvent("frame", frame, f"{self._watch.trace.run}-{frame['seq']}")
            if before == version:
                yield None
            await asyncio.sleep(EVENTS_EVERY_S)
            await self._feed.wait_for_change(version, KEEP_ALIVE_S)

    def _first_frame_seq(self, request: web.Request) -> int:
        """Return the ``seq`` after which the listener begins. Raises ``ValueError``.

        That is the last frame it had (a browser that connects again sends its id), else ``since``, else now.
        ``newest`` limits the number of older frames.
        """
        trace = self._watch.trace
        run, _, seq = request.headers.get("Last-Event-ID", "").rpartition("-")
        if run:
            since = parse_count("Last-Event-ID", seq) if run == trace.run else 0
        else:
            since = parse_count("since", request.query.get("since", str(trace.last_seq)))
        newest = request.query.get("newest")
        return since if newest is None else max(since, trace.last_seq - parse_count("newest", newest))


def parse_count(name: str, text: str) -> int:
    """Return the whole number of a query. Raises ``ValueError``."""
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{name}: must be a whole number, is {text!r}")
    return int(text)
