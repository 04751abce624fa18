"""The handlers of the control API for what is done beside the station: doctor, recordings, messages, histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aiohttp import web

from drivers.sim import body_forms, request_body
from drivers.sim.backend_requests import BackendRequests
from drivers.sim.checked_values import Unknown
from drivers.sim.conversation_files import DiagramDrawing, recording_text
from drivers.sim.doctor_run import DoctorRun
from drivers.sim.message_composer import MessageComposer
from drivers.sim.message_schemas import example_payload, message_senders, request_schema
from drivers.sim.power_history import PowerHistory
from drivers.sim.scenario_recorder import ScenarioRecorder
from drivers.sim.status_client import StatusClient
from drivers.sim.world import World


class StationTools:
    """``doctor`` None: for the station file of the world; ``requests`` None: there is no built-in central system."""

    def __init__(
        self,
        world: World,
        watch: StatusClient,
        changed: Callable[[], None],
        doctor: DoctorRun | None = None,
        requests: BackendRequests | None = None,
    ) -> None:
        self.doctor = doctor or DoctorRun(world.file.path, changed)
        self.recorder = ScenarioRecorder(world, watch, changed)
        self.composer = MessageComposer(world, watch, changed)
        self.history = PowerHistory(world)
        self._diagrams = DiagramDrawing()
        self._world, self._watch = world, watch
        self.requests = requests or BackendRequests(None, watch, "", lambda line: None)

    def works_in_events(self) -> Mapping[str, DoctorRun | ScenarioRecorder | MessageComposer]:
        """Return what has events of its own, by their name."""
        return {"doctor": self.doctor, "recording": self.recorder, "composer": self.composer}

    async def get_doctor(self, request: web.Request) -> web.Response:
        return web.json_response(self.doctor.event_picture())

    async def run_doctor(self, request: web.Request) -> None:
        b = body_forms.DOCTOR.read_values(await request.read())
        self.doctor.start_examination(b["language"])

    async def get_recording(self, request: web.Request) -> web.Response:
        return web.json_response(self.recorder.event_picture())

    async def get_recorded_scenario(self, request: web.Request) -> web.Response:
        text = self.recorder.scenario_text()
        if not text:
            raise Unknown("nothing was recorded yet")
        headers = {"Content-Disposition": 'attachment; filename="recorded.toml"'}
        return web.Response(text=text, content_type="application/toml", headers=headers)

    async def control_recording(self, request: web.Request) -> None:
        b = body_forms.RECORDING.read_values(await request.read())
        if b["action"] == "stop":
            self.recorder.end_recording()
        else:
            self.recorder.begin_recording(b["title"] or f"Recorded by hand, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")

    async def get_composer(self, request: web.Request) -> web.Response:
        return web.json_response(self.composer.event_picture())

    async def get_composer_actions(self, request: web.Request) -> web.Response:
        version = request.match_info["version"]
        return web.json_response({"version": version, "actions": message_senders(version)})

    async def get_request_form(self, request: web.Request) -> web.Response:
        version, action = request.match_info["version"], request.match_info["action"]
        schema = request_schema(version, action)
        return web.json_response({
            "version": version, "action": action, "senders": message_senders(version)[action], "schema": schema,
            "example": example_payload(schema),
        })  # fmt: skip

    async def send_composed_message(self, request: web.Request) -> None:
        raw = await request.read()
        given = request_body.key_names(raw)
        if given & {"text", "message_id"}:
            await self._watch.wait_until_fresh()  # the ids with which the agent waits are known then
        if "text" in given:
            self.composer.send_raw_text(body_forms.COMPOSED_TEXT.read_values(raw))
        else:
            self.composer.send_request(body_forms.COMPOSED_REQUEST.read_values(raw))

    async def get_conversation_file(self, request: web.Request) -> web.Response:
        headers = {"Content-Disposition": 'attachment; filename="conversation.jsonl"'}
        text = await self._conversation_text()
        return web.Response(text=text, content_type="application/jsonl", headers=headers)

    async def get_conversation_diagram(self, request: web.Request) -> web.Response:
        """Draw the conversation. A picture in a page of another server starts no process here: its request has no
        ``Origin``, but the browser says where it comes from (Fetch Metadata)."""
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise web.HTTPForbidden(reason="is drawn for the page of this station")
        picture = await self._diagrams.draw_recording(await self._conversation_text())
        headers = {"Content-Disposition": 'attachment; filename="conversation.svg"'}
        return web.Response(body=picture, content_type="image/svg+xml", headers=headers)

    async def _conversation_text(self) -> str:
        await self._watch.wait_until_fresh()
        station = self._world.file.station.id
        links = {b.name: b.charge_point_id or station for b in self._world.file.backends}
        return recording_text(station, links, self._watch.trace.frames_since(0))

    async def get_power_history(self, request: web.Request) -> web.Response:
        return web.json_response(self.history.history_picture())

    async def send_backend_request(self, request: web.Request) -> None:
        raw = await request.read()
        form = body_forms.OCPP_REQUEST if "action" in request_body.key_names(raw) else body_forms.OPERATION
        self.requests.send_request(form.read_values(raw))
