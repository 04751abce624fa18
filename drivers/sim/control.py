"""The handlers of the control API.

It is a public interface (docs/control-api.md). A POST changes the world and returns at once, a GET shows the present
state. A handler raises ``ValueError`` for a wrong body, ``Unknown``, ``Impossible`` or ``NotRunning``;
``http_server.py`` turns these into HTTP statuses.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aiohttp import web

from drivers.sim import body_forms, request_body, station_snapshot
from drivers.sim.api_page import ApiDescription
from drivers.sim.checked_values import Unknown
from drivers.sim.event_stream import ChangeFeed, EventStream, parse_count
from drivers.sim.request_body import BodyForm
from drivers.sim.station_tools import StationTools
from drivers.sim.status_client import StatusClient
from drivers.sim.supervisor import NotRunning, Supervisor
from drivers.sim.world import World

Json: TypeAlias = dict[str, Any]


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
        self.description = ApiDescription()
        self.events = EventStream(self.station_picture, watch, feed, self.tools)
        self._set_clock, self._set_pace = set_clock, set_pace

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

    async def wait_until_fresh(self) -> None:
        """Wait until the agent has said what it knows now, unless it is down."""
        if self._agent_picture() is not None:
            await self.watch.wait_until_fresh()

    async def get_station(self, request: web.Request) -> web.Response:
        await self.wait_until_fresh()
        return web.json_response(self.station_picture())

    async def get_display(self, request: web.Request) -> web.Response:
        png = await asyncio.to_thread(self.world.devices.render_display_png, self._evse_number(request))
        etag = hashlib.sha1(png, usedforsecurity=False).hexdigest()[:16]
        if request.headers.get("If-None-Match") == f'"{etag}"':
            return web.Response(status=304, headers={"ETag": f'"{etag}"'})
        return web.Response(body=png, content_type="image/png", headers={"ETag": f'"{etag}"'})

    async def get_trace(self, request: web.Request) -> web.Response:
        since = parse_count("since", request.query.get("since", "0"))
        await self.watch.wait_until_fresh()
        lines = (json.dumps(f) + "\n" for f in self.watch.trace.frames_since(since))
        return web.Response(text="".join(lines), content_type="application/jsonl")

    async def get_evse(self, request: web.Request) -> web.Response:
        n = self._evse_number(request)
        await self.wait_until_fresh()
        return web.json_response(next(e for e in self.station_picture()["evses"] if e["number"] == n))

    # --- the street ------------------------------------------------------------------------------------------------

    async def plug_in_vehicle(self, request: web.Request) -> None:
        n, b = await self._read_request(request, body_forms.PLUG)
        self.world.plug_in_vehicle(n, ready=b["ready"], car=b["car"])

    async def unplug_vehicle(self, request: web.Request) -> None:
        n, b = await self._read_request(request, body_forms.UNPLUG)
        self.world.unplug_vehicle(n, b["side"])

    async def set_vehicle_demand(self, request: web.Request) -> None:
        n, b = await self._read_request(request, body_forms.VEHICLE_DEMAND)
        if b["ready"] is None and b["max_a"] is None:
            raise ValueError("ready or max_a: one of them must be given")
        self.world.set_vehicle_demand(n, b["ready"], b["max_a"])

    async def set_fault_state(self, request: web.Request) -> None:
        n, b = await self._read_request(request, body_forms.FAULT)
        self.world.set_fault_state(n, b["fault"], b["active"])

    async def clear_latched_faults(self, request: web.Request) -> None:
        """Acknowledge the latched faults, as ``chargy-agent faults clear`` does."""
        n, _ = await self._read_request(request, body_forms.EMPTY)
        store = (self.world.file.station.state_dir / "agent.db").resolve()
        if self.watch.send_query("faults", do="clear", evses=[n], store=str(store)) is None:
            raise NotRunning("the agent is not running: it clears what is latched once its board shows that it is over")

    async def set_meter_register(self, request: web.Request) -> None:
        n, b = await self._read_request(request, body_forms.METER_REGISTER)
        self.world.set_meter_register(n, b["wh"])

    async def set_bay_occupied(self, request: web.Request) -> None:
        n, b = await self._read_request(request, body_forms.PARKING_BAY)
        self.world.set_bay_occupied(n, b["occupied"])

    async def tap_card_or_token(self, request: web.Request) -> None:
        raw = await request.read()
        if "token" in request_body.key_names(raw):
            b = body_forms.SERIAL_TOKEN.read_values(raw)
            self._check_evse(b["evse"])
            self.world.devices.tap_serial_token(b["token"], b["evse"])
            return
        b = body_forms.CONTACTLESS_CARD.read_values(raw)
        self._check_evse(b["evse"])
        self.world.devices.tap_contactless_card(b["uid"], b["evse"], b["card"], b["hold_s"])

    async def press_button(self, request: web.Request) -> None:
        body_forms.EMPTY.read_values(await request.read())
        self.world.devices.press_button(request.match_info["name"])

    async def tap_bank_card(self, request: web.Request) -> None:
        b = body_forms.BANK_CARD.read_values(await request.read())
        self._check_evse(b["evse"])
        self.world.devices.tap_bank_card(b["pan_last4"], b["behaviour"], b["evse"])

    async def tap_terminal_badge(self, request: web.Request) -> None:
        b = body_forms.TERMINAL_BADGE.read_values(await request.read())
        self._check_evse(b["evse"])
        self.world.devices.tap_terminal_badge(b["uid"], b["evse"])

    async def act_on_terminals(self, request: web.Request) -> None:
        b = body_forms.TERMINAL_ACTION.read_values(await request.read())
        self._check_evse(b["evse"])
        self.world.devices.act_on_terminals(b["action"], b["evse"])

    async def act_on_modem(self, request: web.Request) -> None:
        self.world.devices.act_on_modem(**body_forms.MODEM.read_given_values(await request.read()))

    # --- the site and the road ---------------------------------------------------------------------------------------

    async def set_link_condition(self, request: web.Request) -> None:
        changes = body_forms.LINK.read_given_values(await request.read())
        self.world.devices.set_link_condition(request.match_info["name"], **changes)

    async def set_site_limit(self, request: web.Request) -> None:
        changes = body_forms.SITE_LIMIT.read_given_values(await request.read())
        if "manager" in changes:
            self.world.set_energy_manager_silent(changes["manager"] == "silent")
        if "max_a" in changes:
            self.world.set_site_limit(changes["max_a"])

    async def set_mains_power(self, request: web.Request) -> None:
        b = body_forms.MAINS.read_values(await request.read())
        self.world.set_mains_power(b["mains"])

    async def step_clock(self, request: web.Request) -> None:
        b = body_forms.CLOCK_STEP.read_values(await request.read())
        self._set_clock(b["step_s"])

    async def set_time_rate(self, request: web.Request) -> None:
        b = body_forms.TIME_RATE.read_values(await request.read())
        if self.agent is None:
            raise NotRunning("a bench has no agent of its own: its time is this machine's")
        self._set_pace(float(b["speed"]))
        self.feed.notify_change()

    async def control_agent(self, request: web.Request) -> None:
        b = body_forms.AGENT_ACTION.read_values(await request.read())
        if self.agent is None:
            raise NotRunning("a bench has no agent of its own: start and stop yours yourself")
        {"kill": self.agent.kill, "stop": self.agent.stop, "start": self.agent.start}[b["action"]]()

    # --- common ------------------------------------------------------------------------------------------------------

    def _agent_picture(self) -> Json | None:
        """Return the newest picture of the agent. It is None once the process is gone, even if its last lines are still
        unread."""
        return self.watch.said if self.agent is None or self.agent.pid else None

    async def _read_request(self, request: web.Request, form: BodyForm) -> tuple[int, Json]:
        n = self._evse_number(request)
        return n, form.read_values(await request.read())

    def _evse_number(self, request: web.Request) -> int:
        text = request.match_info["n"]
        n = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
        if n not in self.world.evses:
            raise Unknown(f"EVSE {text!r} does not exist; there are {', '.join(map(str, self.world.evses))}")
        return n

    def _check_evse(self, n: int | None) -> None:
        if n is not None and n not in self.world.evses:
            raise Unknown(f"EVSE {n} does not exist; there are {', '.join(map(str, self.world.evses))}")
