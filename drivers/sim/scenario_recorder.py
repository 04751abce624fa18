"""What is done to the simulated station through the control API, recorded as a scenario (docs/scenarios.md)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from agent.model.secret_texts import HIDDEN
from agent.scenario.recording import ScenarioRecording
from drivers.sim.checked_values import Impossible
from drivers.sim.message_composer import hide_secrets
from drivers.sim.status_client import StatusClient
from drivers.sim.world import World

Json: TypeAlias = dict[str, Any]
Step: TypeAlias = dict[str, Any]

POWER_CUT_S = 5
LONGEST_TITLE = 200
LONGEST_NOTE = 300
UNRECORDED = ("/recording", "/doctor")
"""Calls that do nothing to the station."""
_PAGE_OPENED = re.compile(r"/pay/[^/]+/(\d{1,3})/[^/]+/v1")
_PAGE_PAID = re.compile(r"/pay/do/[^/]+")


class ScenarioRecorder:
    """The present recording, or the latest one. ``version`` grows with each change, of which ``changed`` is called."""

    def __init__(self, world: World, watch: StatusClient, changed: Callable[[], None]) -> None:
        self._world, self._watch, self._changed = world, watch, changed
        self._recording: ScenarioRecording | None = None
        self._clock = (time.monotonic(), 0.0)
        self._page: tuple[int, int, float] | None = None
        self.version = 0
        watch.trace.listeners.append(self._add_frame)

    @property
    def is_running(self) -> bool:
        return self._recording is not None and self._recording.end is None

    # --- begin and end -----------------------------------------------------------------------------------------------

    def begin_recording(self, title: str) -> None:
        """Begin. Raises ``Impossible`` while one runs."""
        if self.is_running:
            raise Impossible("a recording runs already: end it first")
        outlets = self._world.file.evses
        made = ScenarioRecording(title, frozenset(e.number for e in outlets if str(e.kind) == "DC"))
        self._recording, self._page = made, None
        for frame in self._watch.trace.frames_since(0):
            self._add_frame(frame)
        made.mark_beginning()
        self._note_visible_change()

    def end_recording(self) -> None:
        """End. Raises ``Impossible`` if none runs."""
        if self._recording is None or not self.is_running:
            raise Impossible("no recording runs")
        self._recording.finish_recording(self._station_s(), self._is_connected())
        self._note_visible_change()

    # --- what is done ------------------------------------------------------------------------------------------------

    def mark_before_call(self) -> tuple[int, float, bool]:
        """Return where the conversation is before a call is carried out."""
        made = self._recording
        return made.frames.next_seq if made is not None else 0, self._station_s(), self._is_connected()

    def note_carried_out_call(self, path: str, raw: bytes, before: tuple[int, float, bool]) -> None:
        """Record a call that was carried out. ``path``: below ``/api/v1``."""
        made = self._recording
        if made is None or not self.is_running or path.startswith(UNRECORDED):
            return
        body = json.loads(raw) if raw.strip() else {}
        step = step_of_control_call(path, body)
        if step is None:
            made.left_out.append(_left_out_note(path, body))
        else:
            mark, station_s, connected = before
            made.add_carried_out_deed(next(iter(step)), step, station_s, connected, mark)
        self._note_visible_change()

    def note_payment_page(self, path: str) -> None:
        """Record a payment at the page of a QR code: its opening counts as the deed once it is paid. ``path``: of a
        POST."""
        made = self._recording
        if made is None or not self.is_running:
            return
        if opened := _PAGE_OPENED.fullmatch(path):
            self._page = (int(opened[1]), made.frames.next_seq, self._station_s())
        elif _PAGE_PAID.fullmatch(path) and self._page is not None:
            evse, mark, station_s = self._page
            self._page = None
            made.add_carried_out_deed("scan", {"scan": evse}, station_s, self._is_connected(), mark)
            self._note_visible_change()

    # --- what comes of it --------------------------------------------------------------------------------------------

    def event_picture(self) -> Json:
        made, text = self._recording, self.scenario_text()
        steps = [line.strip().rstrip(",") for line in text.splitlines() if line.startswith("  ")]
        return {
            "running": self.is_running, "title": made.title if made is not None else None, "steps": steps,
            "deeds": len(made.deeds) if made is not None else 0,
            "left_out": list(made.left_out) if made is not None else [], "toml": text,
        }  # fmt: skip

    def scenario_text(self) -> str:
        """Return the file as far as it is; "": nothing was recorded."""
        if self._recording is None:
            return ""
        return self._recording.format_scenario(self._station_s(), self._is_connected())

    def _add_frame(self, frame: Json) -> None:
        """Add a frame of the agent. A composed one shows nothing that the station does."""
        if self._recording is not None and self.is_running and not frame.get("composed"):
            version = str(frame["version"] or "")
            self._recording.add_frame(frame["dir"] == "out", version, str(frame["frame"]), self._station_s())
            self._note_visible_change()

    def _station_s(self) -> float:
        """Return an instant in seconds of the station's time, whose rate may change."""
        real_s, station_s = self._clock
        now_s = time.monotonic()
        self._clock = (now_s, station_s + (now_s - real_s) * self._world.speed)
        return self._clock[1]

    def _is_connected(self) -> bool:
        said = self._watch.said
        return said is not None and (said.get("backend") or {}).get("link") == "up"

    def _note_visible_change(self) -> None:
        self.version += 1
        self._changed()


def _left_out_note(path: str, body: Json) -> str:
    """Return what is said of a call that is no step: of one with a secret its action only."""
    text = hide_secrets(json.dumps(body, ensure_ascii=False))
    return f"POST {path} {str(body.get('action', '')) if text == HIDDEN else text}"[:LONGEST_NOTE]


def step_of_control_call(path: str, body: Json) -> Step | None:
    """Return the step that does what this call has done. None: the language has no word for it."""
    name, _, rest = path.strip("/").partition("/")
    if name == "evses":
        number, _, what = rest.partition("/")
        make = _EVSE_STEPS.get(what)
        return make(int(number), body) if make else None
    if path == "/agent":
        return {"power_cut": POWER_CUT_S} if body["action"] == "kill" else None
    make_other = _STEPS.get(path)
    if make_other is not None:
        return make_other(body)
    return {"press": rest} if name == "buttons" else None


def _plug_in_step(evse: int, body: Json) -> Step:
    car = {key: value for key, value in (body.get("car") or {}).items() if value is not None}
    return {"plug": evse, **({} if body.get("ready", True) else {"ready": False}), **({"car": car} if car else {})}


def _unplug_step(evse: int, body: Json) -> Step:
    return {"unplug": evse, **({"side": "vehicle"} if body.get("side") == "ev" else {})}


def _vehicle_step(evse: int, body: Json) -> Step:
    return {"vehicle": evse, **{key: body[key] for key in ("ready", "max_a") if body.get(key) is not None}}


def _fault_step(evse: int, body: Json) -> Step:
    return {
        "fault": body["fault"],
        **_evse_key_of_step(evse),
        **({} if body.get("active", True) else {"active": False}),
    }


def _evse_key_of_step(evse: int | None) -> Step:
    return {} if evse in (None, 1) else {"evse": evse}


def _card_tap_step(body: Json) -> Step:
    """Return the step of a card. A reader hands on the UID of a contactless card in capital letters."""
    return {"tap": body.get("token") or str(body["uid"]).upper(), **_evse_key_of_step(body.get("evse"))}


def _bank_card_step(body: Json) -> Step:
    chosen = {"behaviour": body.get("behaviour"), "last4": body.get("pan_last4")}
    return {"pay": body.get("evse") or 1, **{key: value for key, value in chosen.items() if value is not None}}


def _link_state_step(body: Json) -> Step:
    state = "down" if body.get("up") is False else "stalled" if body.get("stall") else "up"
    return {"link": state, **{k: body[k] for k in ("latency_ms", "kbit_s", "loss") if body.get(k) is not None}}


def _backend_request_step(body: Json) -> Step:
    if "operation" in body:
        return {"backend": body["operation"], **({"with": body["with"]} if body.get("with") else {})}
    return {"backend": body["action"], **({"payload": body["payload"]} if body.get("payload") else {})}


def _composed_message_step(body: Json) -> Step | None:
    """Return the step of a request to the station that is as it should be: a backend can send it. A file that is
    handed on keeps no secret of this station."""
    if body["sender"] != "backend" or "action" not in body or body.get("malformed"):
        return None
    text = json.dumps(body, ensure_ascii=False)
    if hide_secrets(text) != text:
        return None
    return _backend_request_step({"action": body["action"], "payload": body.get("payload")})


_EVSE_STEPS: Mapping[str, Callable[[int, Json], Step]] = {
    "plug": _plug_in_step,
    "unplug": _unplug_step,
    "ev": _vehicle_step,
    "fault": _fault_step,
    "clear": lambda evse, body: {"clear": evse},
}
_STEPS: Mapping[str, Callable[[Json], Step | None]] = {
    "/cards/tap": _card_tap_step,
    "/terminal/card": _bank_card_step,
    "/terminal/badge": _card_tap_step,
    "/links/backend": _link_state_step,
    "/power": lambda body: {"mains": "on" if body["mains"] else "off"},
    "/backend": _backend_request_step,
    "/composer": _composed_message_step,
}
