"""The simulated stations that one server serves: how far each of them is, and for which one a request is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeAlias
from urllib.parse import quote

from aiohttp import web

from drivers.sim.checked_values import Unknown
from drivers.sim.control import Control
from drivers.sim.event_stream import (
    KEEP_ALIVE_S,
    ChangeFeed,
    StationEvent,
    answer_with_server_sent_events,
    answer_with_socket_events,
)
from drivers.sim.http_access import STATIONS
from drivers.sim.supervisor import NotRunning

Json: TypeAlias = dict[str, Any]
PageHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

NAME_IN_PATH = "station"
EVENTS_OF_ALL_EVERY_S = 0.5
"""An overview needs no more; the events of each station itself come sooner."""


class HostedStation:
    """One station. ``control`` None: it has not begun yet, or it has ended. ``pay_page`` answers requests below its
    ``/pay/``. ``note_change`` is called at each change of it."""

    def __init__(self, station_id: str, note_change: Callable[[], None]) -> None:
        self.station_id = station_id
        self.control: Control | None = None
        self.pay_page: PageHandler | None = None
        self.error = ""
        self._note_change, self._state = note_change, "starting"

    @property
    def path(self) -> str:
        """Below this path are its page and its control API, beside those of other stations."""
        return f"{STATIONS}{quote(self.station_id, safe='')}"

    def begin_service(self, control: Control, pay_page: PageHandler | None = None) -> None:
        self.control, self.pay_page, self._state = control, pay_page, "running"
        control.feed.add_change_listener(self._note_change)
        self._note_change()

    def withdraw_service(self) -> None:
        """Serve it no longer, because it begins to end."""
        self.close_feed()
        self.control, self.pay_page = None, None
        self._note_change()

    def note_end(self, error: str = "") -> None:
        """Show it as ended. ``error``: why, unless it was asked to."""
        self.withdraw_service()
        self._state, self.error = "ended", error
        self._note_change()

    def close_feed(self) -> None:
        """Let all its listeners leave."""
        if self.control is not None:
            self.control.feed.close_feed()

    def entry_picture(self) -> Json:
        """Return its entry in the list of the stations."""
        error, picture = self.error, None
        if self.control is not None:
            try:
                picture = self.control.station_picture()
            except OSError as e:  # its files are gone, and it will end; the list is of the others too
                error = str(e)
        return {
            "id": self.station_id, "state": self._state, "error": error, "path": f"{self.path}/", "picture": picture,
        }  # fmt: skip


class HostedStations:
    """All of them, in the order in which they were named. The first is also served where no station is named."""

    def __init__(self, station_ids: Iterable[str]) -> None:
        self.feed = ChangeFeed()
        self._by_id = {name: HostedStation(name, self.feed.notify_change) for name in station_ids}

    @property
    def in_order(self) -> list[HostedStation]:
        return list(self._by_id.values())

    def find_station(self, request: web.Request) -> HostedStation:
        """Return the station that the path names, or else the first one. Raises ``Unknown``."""
        name = request.match_info.get(NAME_IN_PATH)
        if name is None:
            return self.in_order[0]
        if name not in self._by_id:
            raise Unknown(f"there is no station {name!r}; there are {', '.join(self._by_id)}")
        return self._by_id[name]

    def find_control(self, request: web.Request) -> Control:
        """Return the handlers of the station that the path names. Raises ``Unknown``, ``NotRunning``."""
        station = self.find_station(request)
        if station.control is None:
            why = f": {station.error}" if station.error else ""
            raise NotRunning(f"station {station.station_id} is not running{why}")
        return station.control

    # --- the calls about all stations --------------------------------------------------------------------------------

    async def get_stations(self, request: web.Request) -> web.Response:
        running = [s.control for s in self.in_order if s.control is not None]
        await asyncio.gather(*(control.wait_until_fresh() for control in running))
        return web.json_response({"stations": [s.entry_picture() for s in self.in_order]})

    async def send_stations_events(self, request: web.Request) -> web.StreamResponse:
        return await answer_with_server_sent_events(request, self._changed_entries())

    async def send_stations_socket(self, request: web.Request) -> web.WebSocketResponse:
        return await answer_with_socket_events(request, self._changed_entries())

    async def _changed_entries(self) -> AsyncIterator[StationEvent | None]:
        """Yield ``station`` with the entry of each station at once, and of one that has changed; None: nothing has
        happened for a while."""
        version, sent = -1, dict[str, str]()
        while not self.feed.closing:
            version, before = self.feed.version, version
            for station in self.in_order:
                entry = station.entry_picture()
                now = json.dumps({**entry, "picture": _without_time(entry["picture"])})
                if sent.get(station.station_id) != now:
                    sent[station.station_id] = now
                    yield StationEvent("station", entry)
            if before == version:
                yield None
            await asyncio.sleep(EVENTS_OF_ALL_EVERY_S)
            await self.feed.wait_for_change(version, KEEP_ALIVE_S)

    def close_feeds(self) -> None:
        """Let all listeners leave."""
        for station in self.in_order:
            station.close_feed()
        self.feed.close_feed()


def _without_time(picture: Json | None) -> Json | None:
    return None if picture is None else {**picture, "time": None}
