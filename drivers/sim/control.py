"""The handlers of the control API.

It is a public interface (docs/control-api.md). A POST changes the world and returns at once, a GET shows the present
state. A handler raises ``ValueError`` for a wrong body, ``Unknown``, ``Impossible`` or ``NotRunning``;
``http_server.py`` turns these into HTTP statuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aiohttp import web

from drivers.sim import request_body, station_snapshot
from drivers.sim.checked_values import Unknown
from drivers.sim.modem_far_end import MODEM_FAULTS, MOST_SIGNAL
from drivers.sim.station_tools import StationTools
from drivers.sim.status_client import StatusClient
from drivers.sim.supervisor import NotRunning, Supervisor
from drivers.sim.terminal import ACTIONS, CARD_BEHAVIOURS
from drivers.sim.time_rate import FASTEST, SLOWEST
from drivers.sim.world import World

Json: TypeAlias = dict[str, Any]

EVENTS_EVERY_S = 0.1
KEEP_ALIVE_S = 15.0
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class ChangeFeed:
    """Wakes all tasks that wait for the next change."""

    def __init__(self) -> None:
        self.version = 0
        self._next = asyncio.Event()

    def notify_change(self) -> None:
        self.version += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait_for_change(self, version: int, timeout_s: float) -> None:
        """Wait for a change newer than ``version``, at most ``timeout_s``."""
        if self.version != version:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._next.wait()


class Control:
    """The handlers for one world. ``agent`` is None for ``bench``, where the user runs the agent."""

    def __init__(
        self,
        world: World,
        watch: StatusClient,
        feed: ChangeFeed,
        agent: Supervisor | None,
        set_clock: Callable[[float], None],
        set_pace: Callable[[float], None] = lambda rate: None,
        tools: StationTools | None = None,
    ) -> None:
        self.world, self.watch, self.feed, self.agent = world, watch, feed, agent
        self.tools = tools or StationTools(world, watch, feed.notify_change)
        self._set_clock, self._set_pace = set_clock, set_pace
        self.closing = False

    # --- the present state -----------------------------------------------------------------------------------------

    def station_picture(self) -> Json:
        child = (
            station_snapshot.Child(self.agent.pid, self.agent.restarts)
            if self.agent
            else station_snapshot.Child(None, 0)
        )
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return {
            **station_snapshot.station_picture(self.world, child, self._agent_picture(), now, self.watch.last_sessions),
            "simulation": {
                "run": self.watch.trace.run,
                "speed": self.world.speed,
                "built_in_backend": self.tools.requests.is_offered,
            },
        }

    async def get_health(self, request: web.Request) -> web.Response:
        if station_snapshot.is_agent_ready(self._agent_picture()):
            return web.json_response({"ready": True})
        return web.json_response({"ready": False, "error": "the agent has not opened its devices yet"}, status=503)

    async def get_station(self, request: web.Request) -> web.Response:
        if self._agent_picture() is not None:
            await self.watch.wait_until_fresh()
        return web.json_response(self.station_picture())

    async def get_display(self, request: web.Request) -> web.Response:
        png = await asyncio.to_thread(self.world.devices.render_display_png, self._evse_number(request))
        etag = hashlib.sha1(png, usedforsecurity=False).hexdigest()[:16]
        if request.headers.get("If-None-Match") == f'"{etag}"':
            return web.Response(status=304, headers={"ETag": f'"{etag}"'})
        return web.Response(body=png, content_type="image/png", headers={"ETag": f'"{etag}"'})

    async def get_trace(self, request: web.Request) -> web.Response:
        since = _parse_count("since", request.query.get("since", "0"))
        await self.watch.wait_until_fresh()
        lines = (json.dumps(f) + "\n" for f in self.watch.trace.frames_since(since))
        return web.Response(text="".join(lines), content_type="application/jsonl")

    async def get_events(self, request: web.Request) -> web.StreamResponse:
        """Send ``event: station`` at once and on every change, ``event: doctor`` and ``event: recording`` likewise once
        there is something to show, and ``event: frame`` for each OCPP frame after ``since``.

        Frames come in the order of the trace. A listener that starts again after its last frame misses none and gets
        none twice.
        """
        seq, version, sent = self._first_frame_seq(request), -1, ""
        works = self.tools.works_in_events()
        shown = dict.fromkeys(works, 0)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **HEADERS})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the listener left
            while not self.closing:
                version, before = self.feed.version, version
                frames = self.watch.trace.frames_since(seq)
                seq = self.watch.trace.last_seq
                now = json.dumps({**self.station_picture(), "time": None})
                if now != sent:
                    sent = now
                    await response.write(_encode_event("station", self.station_picture()))
                for name, work in works.items():
                    if work.version != shown[name]:
                        shown[name] = work.version
                        await response.write(_encode_event(name, work.event_picture()))
                for frame in frames:
                    await response.write(_encode_event("frame", frame, f"{self.watch.trace.run}-{frame['seq']}"))
                if before == version:
                    await response.write(b": still here\n\n")
                await asyncio.sleep(EVENTS_EVERY_S)
                await self.feed.wait_for_change(version, KEEP_ALIVE_S)
        return response

    def _first_frame_seq(self, request: web.Request) -> int:
        """Return the ``seq`` after which the listener begins.

        That is the last frame it had (a browser that connects again sends its id), else ``since``, else now.
        ``newest`` limits the number of older frames.
        """
        trace = self.watch.trace
        run, _, seq = request.headers.get("Last-Event-ID", "").rpartition("-")
        if run:
            since = _parse_count("Last-Event-ID", seq) if run == trace.run else 0
        else:
            since = _parse_count("since", request.query.get("since", str(trace.last_seq)))
        newest = request.query.get("newest")
        return since if newest is None else max(since, trace.last_seq - _parse_count("newest", newest))

    # --- the street ------------------------------------------------------------------------------------------------

    async def plug_in_vehicle(self, request: web.Request) -> None:
        n, b = await self._read_request(
            request,
            request_body.boolean_key("ready", True),
            request_body.nullable_key(request_body.object_key("car", None)),
        )
        self.world.plug_in_vehicle(n, ready=b["ready"], car=b["car"])

    async def unplug_vehicle(self, request: web.Request) -> None:
        n, b = await self._read_request(request, request_body.choice_key("side", "station", "ev", default="station"))
        self.world.unplug_vehicle(n, b["side"])

    async def set_vehicle_demand(self, request: web.Request) -> None:
        n, b = await self._read_request(
            request,
            request_body.boolean_key("ready", None),
            request_body.nullable_key(request_body.number_key("max_a", None, 0)),
        )
        if b["ready"] is None and b["max_a"] is None:
            raise ValueError("ready or max_a: one of them must be given")
        self.world.set_vehicle_demand(n, b["ready"], b["max_a"])

    async def set_fault_state(self, request: web.Request) -> None:
        n, b = await self._read_request(
            request, request_body.printable_text_key("fault"), request_body.boolean_key("active", True)
        )
        self.world.set_fault_state(n, b["fault"], b["active"])

    async def clear_latched_faults(self, request: web.Request) -> None:
        """Acknowledge the latched faults, as ``chargy-agent faults clear`` does."""
        n, _ = await self._read_request(request)
        store = (self.world.file.station.state_dir / "agent.db").resolve()
        if self.watch.send_query("faults", do="clear", evses=[n], store=str(store)) is None:
            raise NotRunning("the agent is not running: it clears what is latched once its board shows that it is over")

    async def set_meter_register(self, request: web.Request) -> None:
        n, b = await self._read_request(request, request_body.integer_key("wh"))
        self.world.set_meter_register(n, b["wh"])

    async def set_bay_occupied(self, request: web.Request) -> None:
        n, b = await self._read_request(request, request_body.boolean_key("occupied"))
        self.world.set_bay_occupied(n, b["occupied"])

    async def tap_card_or_token(self, request: web.Request) -> None:
        raw = await request.read()
        evse = request_body.nullable_key(request_body.integer_key("evse", None, 1))
        if "token" in request_body.key_names(raw):
            b = request_body.read_body(raw, request_body.printable_text_key("token", longest=36), evse)
            self._check_evse(b["evse"])
            self.world.devices.tap_serial_token(b["token"], b["evse"])
            return
        cards = request_body.choice_key("card", "desfire_ev1", "random_uid", "classic", default="desfire_ev1")
        b = request_body.read_body(
            raw, request_body.hexadecimal_key("uid"), evse, cards, request_body.number_key("hold_s", 0.5, 0, 3600)
        )
        self._check_evse(b["evse"])
        self.world.devices.tap_contactless_card(b["uid"], b["evse"], b["card"], b["hold_s"])

    async def press_button(self, request: web.Request) -> None:
        request_body.read_body(await request.read())
        self.world.devices.press_button(request.match_info["name"])

    async def tap_bank_card(self, request: web.Request) -> None:
        evse = request_body.nullable_key(request_body.integer_key("evse", None, 1))
        behaviour = request_body.choice_key("behaviour", *CARD_BEHAVIOURS, default="approve")
        b = request_body.read_body(
            await request.read(), request_body.digits_key("pan_last4", 4, "1234"), behaviour, evse
        )
        self._check_evse(b["evse"])
        self.world.devices.tap_bank_card(b["pan_last4"], b["behaviour"], b["evse"])

    async def act_on_terminals(self, request: web.Request) -> None:
        evse = request_body.nullable_key(request_body.integer_key("evse", None, 1))
        b = request_body.read_body(await request.read(), request_body.choice_key("action", *ACTIONS), evse)
        self._check_evse(b["evse"])
        self.world.devices.act_on_terminals(b["action"], b["evse"])

    async def act_on_modem(self, request: web.Request) -> None:
        raw = await request.read()
        b = request_body.read_body(
            raw,
            request_body.choice_key("fault", *MODEM_FAULTS, default=None),
            request_body.boolean_key("active", True),
            request_body.integer_key("signal", None, most=MOST_SIGNAL),
            request_body.nullable_key(request_body.printable_text_key("apn", None)),
        )
        given = request_body.key_names(raw)
        if not given & {"fault", "signal", "apn"}:
            raise ValueError("fault, signal or apn: one of them must be given")
        self.world.devices.act_on_modem(**{k: v for k, v in b.items() if k in given})

    # --- the site and the road ---------------------------------------------------------------------------------------

    async def set_link_condition(self, request: web.Request) -> None:
        whole, share = (
            [request_body.number_key(k, None, 0) for k in ("latency_ms", "kbit_s")],
            request_body.number_key("loss", None, 0, 1),
        )
        keys = (
            request_body.boolean_key("up", None),
            request_body.nullable_key(whole[0]),
            request_body.nullable_key(whole[1]),
            share,
            request_body.boolean_key("stall", None),
        )
        raw = await request.read()
        b = request_body.read_body(raw, *keys)
        given = request_body.key_names(raw)
        self.world.devices.set_link_condition(request.match_info["name"], **{k: v for k, v in b.items() if k in given})

    async def set_site_limit(self, request: web.Request) -> None:
        raw = await request.read()
        b = request_body.read_body(
            raw,
            request_body.nullable_key(request_body.number_key("max_a", None, low=0)),
            request_body.choice_key("manager", "online", "silent", default=None),
        )
        given = request_body.key_names(raw)
        if not given:
            raise ValueError("max_a: is missing")
        if "manager" in given:
            self.world.set_energy_manager_silent(b["manager"] == "silent")
        if "max_a" in given:
            self.world.set_site_limit(b["max_a"])

    async def set_mains_power(self, request: web.Request) -> None:
        b = request_body.read_body(await request.read(), request_body.boolean_key("mains"))
        self.world.set_mains_power(b["mains"])

    async def step_clock(self, request: web.Request) -> None:
        b = request_body.read_body(await request.read(), request_body.number_key("step_s", low=-4e9, high=4e9))
        self._set_clock(b["step_s"])

    async def set_time_rate(self, request: web.Request) -> None:
        b = request_body.read_body(await request.read(), request_body.number_key("speed", low=SLOWEST, high=FASTEST))
        if self.agent is None:
            raise NotRunning("a bench has no agent of its own: its time is this machine's")
        self._set_pace(float(b["speed"]))
        self.feed.notify_change()

    async def control_agent(self, request: web.Request) -> None:
        b = request_body.read_body(await request.read(), request_body.choice_key("action", "kill", "stop", "start"))
        if self.agent is None:
            raise NotRunning("a bench has no agent of its own: start and stop yours yourself")
        {"kill": self.agent.kill, "stop": self.agent.stop, "start": self.agent.start}[b["action"]]()

    # --- common ------------------------------------------------------------------------------------------------------

    def _agent_picture(self) -> Json | None:
        """Return the newest picture of the agent. It is None once the process is gone, even if its last lines are still
        unread."""
        return self.watch.said if self.agent is None or self.agent.pid else None

    async def _read_request(self, request: web.Request, *keys: request_body.Key) -> tuple[int, Json]:
        n = self._evse_number(request)
        return n, request_body.read_body(await request.read(), *keys)

    def _evse_number(self, request: web.Request) -> int:
        text = request.match_info["n"]
        n = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
        if n not in self.world.evses:
            raise Unknown(f"EVSE {text!r} does not exist; there are {', '.join(map(str, self.world.evses))}")
        return n

    def _check_evse(self, n: int | None) -> None:
        if n is not None and n not in self.world.evses:
            raise Unknown(f"EVSE {n} does not exist; there are {', '.join(map(str, self.world.evses))}")


def _parse_count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{name}: must be a whole number, is {text!r}")
    return int(text)


def _encode_event(name: str, data: Json, event_id: str = "") -> bytes:
    named = f"id: {event_id}\n" if event_id else ""
    return f"{named}event: {name}\ndata: {json.dumps(data)}\n\n".encode()
