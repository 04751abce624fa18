"""A simulated station, driven through its control API (docs/control-api.md). Every call has the name that the API's
description gives it (``operationId``).

Calls wait for their HTTP answer. In a test whose own event loop serves the station, make them in a thread:
``await asyncio.to_thread(station.plug_in_vehicle, 1)``.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict, TypeVar

from agent.desk.pictures import (
    ActionsPicture,
    ComposerPicture,
    DoctorPicture,
    EvsePicture,
    FramePicture,
    HistoryPicture,
    RecordingPicture,
    RequestForm,
    StationEntry,
    StationPicture,
)
from agent.model.fastclass import frozen

T = TypeVar("T")

HTTP_S = 30.0
WAIT_S = 60.0
WAIT_VARIABLE = "CHARGY_DESK_WAIT_S"
"""The environment variable that replaces ``WAIT_S``, for slow machines."""
LOOK_EVERY_S = 0.1
CALL = 2
"""The message type of a request (OCPP-J, 4.2.1)."""


class ControlError(Exception):
    """The control API has refused a call, or nothing answers. ``status``: of HTTP; 0: there was no answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class NotReached(AssertionError):
    """What was waited for has not come in time."""


class VehicleTable(TypedDict, total=False):
    """A vehicle. ``profile``: ``normal``, ``single_phase``, ``sleepy``, ``stays_c``, ``greedy``, ``dc400``, ``dc800``;
    ``soc``: state of charge in percent."""

    profile: str
    phases: int
    max_a: float
    capacity_kwh: float
    soc: float
    cells: int


@frozen
class OcppCall:
    """A request on the wire. ``seq``: of its frame; ``direction``: ``out`` to the backend, ``in`` from it."""

    action: str
    payload: Mapping[str, Any]
    message_id: str
    direction: str
    seq: int


class Station:
    """One simulated station. ``url``: what ``simulate`` prints; ``token``: for a station on another machine.
    ``wait_s``: how long the methods ``wait_...`` wait unless they are given a time of their own. ``name``: the id of
    the station, where there are several; "": the only one, or the first."""

    def __init__(self, url: str, token: str = "", wait_s: float | None = None, *, name: str = "") -> None:
        self.url = url.rstrip("/")
        if name:
            self.url += f"/stations/{urllib.parse.quote(name, safe='')}"
        self.wait_s = float(os.environ.get(WAIT_VARIABLE, WAIT_S)) if wait_s is None else wait_s
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    # --- the present state -------------------------------------------------------------------------------------------

    def get_station(self) -> StationPicture:
        picture: StationPicture = json.loads(self._send_request("/station"))
        return picture

    def get_evse(self, evse: int = 1) -> EvsePicture:
        picture: EvsePicture = json.loads(self._send_request(f"/evses/{evse}"))
        return picture

    def get_health(self) -> bool:
        """Return whether the agent has opened its devices."""
        try:
            self._send_request("/health")
        except ControlError as e:
            if e.status in (0, 503):
                return False
            raise
        return True

    def get_display(self, evse: int = 1) -> bytes:
        """Return what the panel of an EVSE shows, as PNG."""
        return self._send_request(f"/display/{evse}.png")

    def get_trace(self, since: int = 0) -> list[FramePicture]:
        """Return the OCPP frames after ``since``, oldest first."""
        return [json.loads(line) for line in self._send_request(f"/trace?since={since}").splitlines()]

    def get_doctor(self) -> DoctorPicture:
        picture: DoctorPicture = json.loads(self._send_request("/doctor"))
        return picture

    def get_recording(self) -> RecordingPicture:
        picture: RecordingPicture = json.loads(self._send_request("/recording"))
        return picture

    def get_stations(self) -> list[StationEntry]:
        """Return the stations of the same server in the order in which they were named, this one among them."""
        stations: list[StationEntry] = json.loads(self._send_request("/stations"))["stations"]
        return stations

    def get_recorded_scenario(self) -> str:
        """Return the recording as a scenario file."""
        return self._send_request("/recording.toml").decode()

    def get_conversation_file(self) -> str:
        """Return the OCPP frames as a recording (docs/recording.md), JSON lines."""
        return self._send_request("/conversation.jsonl").decode()

    def get_conversation_diagram(self) -> bytes:
        """Return the OCPP frames as a sequence diagram, SVG."""
        return self._send_request("/conversation.svg")

    def get_power_history(self) -> HistoryPicture:
        picture: HistoryPicture = json.loads(self._send_request("/history"))
        return picture

    def get_composer(self) -> ComposerPicture:
        picture: ComposerPicture = json.loads(self._send_request("/composer"))
        return picture

    def get_composer_actions(self, version: str) -> ActionsPicture:
        """Return the requests of a version of OCPP, each with the sides that send it."""
        picture: ActionsPicture = json.loads(self._send_request(f"/composer/{version}"))
        return picture

    def get_request_form(self, version: str, action: str) -> RequestForm:
        """Return the JSON Schema of a request of OCPP, and an example."""
        picture: RequestForm = json.loads(self._send_request(f"/composer/{version}/{action}"))
        return picture

    # --- waiting -----------------------------------------------------------------------------------------------------

    def wait_until_healthy(self, timeout_s: float | None = None) -> None:
        self._wait_for(self.get_health, bool, timeout_s, "the agent to open its devices")

    def wait_for_picture(
        self, condition: Callable[[StationPicture], object], timeout_s: float | None = None
    ) -> StationPicture:
        """Wait until ``condition`` holds, and return the picture. While the agent is down what only it knows is null;
        a ``TypeError`` or ``KeyError`` of the condition counts as not yet. Raises ``NotReached``."""
        return self._wait_for(self.get_station, condition, timeout_s, "the picture")

    def wait_for_evse(
        self, condition: Callable[[EvsePicture], object], evse: int = 1, timeout_s: float | None = None
    ) -> EvsePicture:
        """Wait until ``condition`` holds at an EVSE, as ``wait_for_picture``."""
        return self._wait_for(lambda: self.get_evse(evse), condition, timeout_s, f"EVSE {evse}")

    def wait_for_status(self, status: str, evse: int = 1, timeout_s: float | None = None) -> EvsePicture:
        """Wait until the backend was sent this status of an EVSE. Raises ``NotReached``."""

        def is_reported(picture: EvsePicture) -> bool:
            reported = picture["reported"]
            return reported is not None and reported["status"] == status

        return self.wait_for_evse(is_reported, evse, timeout_s)

    def wait_for_call(
        self, action: str, since: int = 0, direction: Literal["out", "in"] = "out", timeout_s: float | None = None
    ) -> OcppCall:
        """Wait for a request on the wire of OCPP-J. ``since``: the ``seq`` of a frame that came before. Raises
        ``NotReached``."""
        found = self._wait_for(
            lambda: self.calls_since(since), lambda calls: _first_call(calls, action, direction), timeout_s, action
        )
        call = _first_call(found, action, direction)
        assert call is not None
        return call

    def calls_since(self, seq: int = 0) -> list[OcppCall]:
        """Return the requests on the wire of OCPP-J in both directions."""
        return [call for frame in self.get_trace(seq) if (call := _parse_call(frame)) is not None]

    # --- vehicles, cards and faults ----------------------------------------------------------------------------------

    def plug_in_vehicle(self, evse: int = 1, *, ready: bool = True, car: VehicleTable | None = None) -> None:
        self.post_call(f"/evses/{evse}/plug", {"ready": ready, "car": car})

    def unplug_vehicle(self, evse: int = 1, *, side: Literal["station", "ev"] = "station") -> None:
        self.post_call(f"/evses/{evse}/unplug", {"side": side})

    def set_vehicle_demand(self, evse: int = 1, *, ready: bool | None = None, max_a: float | None = None) -> None:
        self.post_call(f"/evses/{evse}/ev", _given(ready=ready, max_a=max_a))

    def tap_contactless_card(
        self,
        uid: str,
        evse: int | None = None,
        *,
        card: Literal["desfire_ev1", "random_uid", "classic"] = "desfire_ev1",
        hold_s: float = 0.5,
    ) -> None:
        self.post_call("/cards/tap", {"uid": uid, "evse": evse, "card": card, "hold_s": hold_s})

    def tap_serial_token(self, token: str, evse: int | None = None) -> None:
        self.post_call("/cards/tap", {"token": token, "evse": evse})

    def tap_bank_card(self, *, evse: int | None = None, behaviour: str = "approve", pan_last4: str = "1234") -> None:
        self.post_call("/terminal/card", {"evse": evse, "behaviour": behaviour, "pan_last4": pan_last4})

    def tap_terminal_badge(self, uid: str, *, evse: int | None = None) -> None:
        self.post_call("/terminal/badge", {"uid": uid, "evse": evse})

    def act_on_terminals(self, action: Literal["power_cycle", "offline", "online"], *, evse: int | None = None) -> None:
        self.post_call("/terminal", {"action": action, "evse": evse})

    def set_fault_state(self, fault: str, evse: int = 1, *, active: bool = True) -> None:
        self.post_call(f"/evses/{evse}/fault", {"fault": fault, "active": active})

    def clear_latched_faults(self, evse: int = 1) -> None:
        self.post_call(f"/evses/{evse}/clear", {})

    def set_meter_register(self, wh: int, evse: int = 1) -> None:
        self.post_call(f"/evses/{evse}/meter", {"wh": wh})

    def set_bay_occupied(self, occupied: bool, evse: int = 1) -> None:
        self.post_call(f"/evses/{evse}/bay", {"occupied": occupied})

    def press_button(self, name: str) -> None:
        self.post_call(f"/buttons/{urllib.parse.quote(name, safe='')}", {})

    # --- the site, the road and the agent ----------------------------------------------------------------------------

    def set_link_condition(
        self,
        name: str = "backend",
        *,
        up: bool | None = None,
        latency_ms: float | None = None,
        kbit_s: float | None = None,
        loss: float | None = None,
        stall: bool | None = None,
    ) -> None:
        """Change the road to the backend, or one bearer. None: as it is."""
        changes = _given(up=up, latency_ms=latency_ms, kbit_s=kbit_s, loss=loss, stall=stall)
        self.post_call(f"/links/{urllib.parse.quote(name, safe='')}", changes)

    def act_on_modem(
        self, *, fault: str | None = None, active: bool = True, signal: int | None = None, apn: str | None = None
    ) -> None:
        self.post_call("/modem", _given(fault=fault, active=active, signal=signal, apn=apn))

    def set_site_limit(self, max_a: float | None) -> None:
        """Set the limit of the site in amperes; None: no limit."""
        self.post_call("/limits", {"max_a": max_a})

    def set_mains_power(self, mains: bool) -> None:
        self.post_call("/power", {"mains": mains})

    def step_clock(self, step_s: float) -> None:
        self.post_call("/clock", {"step_s": step_s})

    def set_time_rate(self, speed: float) -> None:
        self.post_call("/time", {"speed": speed})

    def control_agent(self, action: Literal["kill", "stop", "start"]) -> None:
        self.post_call("/agent", {"action": action})

    # --- beside the station ------------------------------------------------------------------------------------------

    def run_doctor(self, language: Literal["en", "fr", "de"] = "en") -> None:
        self.post_call("/doctor", {"language": language})

    def control_recording(self, action: Literal["start", "stop"], *, title: str | None = None) -> None:
        self.post_call("/recording", {"action": action, **_given(title=title)})

    def send_backend_request(self, operation: str, **parameters: Any) -> None:
        """Have the built-in central system send an operation of docs/scenarios.md."""
        self.post_call("/backend", {"operation": operation, "with": parameters})

    def send_ocpp_request(self, action: str, payload: Mapping[str, Any]) -> None:
        """Have the built-in central system send any action of OCPP."""
        self.post_call("/backend", {"action": action, "payload": payload})

    def send_composed_message(
        self,
        sender: Literal["station", "backend"],
        action: str,
        payload: Mapping[str, Any],
        *,
        malformed: str | None = None,
        message_id: str | None = None,
    ) -> None:
        """Send a request to the other side for the station or for the backend. ``malformed``: what is wrong with it."""
        body = {"sender": sender, "action": action, "payload": payload}
        self.post_call("/composer", body | _given(malformed=malformed, message_id=message_id))

    def send_composed_text(self, sender: Literal["station", "backend"], text: str) -> None:
        """Send any text as a message."""
        self.post_call("/composer", {"sender": sender, "text": text})

    # --- HTTP --------------------------------------------------------------------------------------------------------

    def post_call(self, path: str, body: Mapping[str, Any]) -> None:
        """Make any call of the control API. ``path``: below ``/api/v1``. Raises ``ControlError``."""
        self._send_request(path, json.dumps(body).encode())

    def _send_request(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.url}/api/v1{path}", body, self._headers)
        try:
            with urllib.request.urlopen(request, timeout=HTTP_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as e:
            raise ControlError(e.code, f"{path}: {_error_text(e.read(1000))}") from None
        except OSError as e:
            raise ControlError(0, f"{self.url} does not answer: {e}") from None

    def _wait_for(
        self, look: Callable[[], T], condition: Callable[[T], object], timeout_s: float | None, what: str
    ) -> T:
        timeout_s = self.wait_s if timeout_s is None else timeout_s
        end_s = time.monotonic() + timeout_s
        while True:
            seen = look()
            try:
                if condition(seen):
                    return seen
            except (KeyError, TypeError):
                pass  # the agent is down: what only it knows is null
            if time.monotonic() > end_s:
                raise NotReached(f"{what}: not as wanted within {timeout_s:g} s: {seen}")
            time.sleep(LOOK_EVERY_S)


def _given(**values: Any) -> dict[str, Any]:
    """Return the keys that have a value."""
    return {name: value for name, value in values.items() if value is not None}


def _parse_call(frame: FramePicture) -> OcppCall | None:
    """Return the request in a frame; None: it is an answer, or no JSON (SOAP)."""
    try:
        kind, message_id, action, payload = json.loads(frame["frame"])
    except (ValueError, TypeError):  # also: not four parts
        return None
    return OcppCall(action, payload, message_id, frame["dir"], frame["seq"]) if kind == CALL else None


def _first_call(calls: list[OcppCall], action: str, direction: str) -> OcppCall | None:
    return next((c for c in calls if c.action == action and c.direction == direction), None)


def _error_text(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return body.decode("utf-8", "replace")[:200]
