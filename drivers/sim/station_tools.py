"""The handlers of the control API for what is done beside the station: doctor, recordings, requests of the backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aiohttp import web

from drivers.sim import body_forms, request_body
from drivers.sim.backend_requests import BackendRequests
from drivers.sim.checked_values import Unknown
from drivers.sim.doctor_run import DoctorRun
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
        self.requests = requests or BackendRequests(None, watch, "", lambda line: None)

    def works_in_events(self) -> Mapping[str, DoctorRun | ScenarioRecorder]:
        """Return what has events of its own, by their name."""
        return {"doctor": self.doctor, "recording": self.recorder}

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

    async def send_backend_request(self, request: web.Request) -> None:
        raw = await request.read()
        form = body_forms.OCPP_REQUEST if "action" in request_body.key_names(raw) else body_forms.OPERATION
        self.requests.send_request(form.read_values(raw))
