"""The calls of the control API, one row each: the server makes its routes of them, ``openapi.py`` their description.

What each does in the world: docs/control-api.md, a public contract. Rows and keys are added, none is taken away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from agent.desk import pictures
from drivers.sim import body_forms
from drivers.sim.request_body import BodyForm

V1 = "/api/v1"
JSON, HTML = "application/json", "text/html"


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer. ``picture``: the type of its JSON; None: it is no JSON. ``content_type`` "": it has no body."""

    status: int
    meaning: str
    content_type: str = ""
    picture: Any = None


@dataclass(frozen=True, slots=True)
class QueryKey:
    """A whole number in the query of a GET."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """A call. ``handler``: the attribute of ``Control``, whose last part names the operation; with ``is_about_all``
    that of ``HostedStations``. ``bodies``: forms, of which a body has one. ``group``: the heading under which the
    browsable page shows it."""

    method: str
    path: str
    handler: str
    group: str
    summary: str
    answers: tuple[ApiAnswer, ...]
    bodies: tuple[BodyForm, ...] = ()
    queries: tuple[QueryKey, ...] = ()
    is_about_all: bool = False

    @property
    def operation(self) -> str:
        return self.handler.rpartition(".")[2]

    @property
    def path_names(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)


ACCEPTED = ApiAnswer(202, "Accepted: it is done in the world, or will be at once; the agent and the backend follow")
SINCE = QueryKey("since", "only frames after this `seq`")
STATE, OUTLETS, CARDS, SITE, TOOLS, ALL = (
    "State",
    "Outlets",
    "Cards and buttons",
    "Site, road and agent",
    "Beside the station",
    "All stations",
)


def _get_route(
    path: str,
    handler: str,
    group: str,
    summary: str,
    *answers: ApiAnswer,
    queries: tuple[QueryKey, ...] = (),
    is_about_all: bool = False,
) -> ApiRoute:
    return ApiRoute("GET", path, handler, group, summary, answers, queries=queries, is_about_all=is_about_all)


def _post_route(path: str, handler: str, group: str, summary: str, *bodies: BodyForm) -> ApiRoute:
    return ApiRoute("POST", path, handler, group, summary, (ACCEPTED,), bodies)


def _json_answer(picture: Any, meaning: str, status: int = 200) -> ApiAnswer:
    return ApiAnswer(status, meaning, JSON, picture)


API_ROUTES = (
    _get_route("/", "description.get_page", STATE, "This description, for a browser", ApiAnswer(200, "A page", HTML)),
    _get_route(
        "/openapi.json",
        "description.get_document",
        STATE,
        "This description in OpenAPI 3.1",
        _json_answer(dict[str, Any], "The document"),
    ),
    _get_route(
        "/health",
        "get_health",
        STATE,
        "Whether the agent has opened its devices",
        _json_answer(pictures.HealthPicture, "It has"),
        _json_answer(pictures.HealthPicture, "Not yet", 503),
    ),
    _get_route(
        "/station",
        "get_station",
        STATE,
        "The whole picture",
        _json_answer(pictures.StationPicture, "The picture as it is now"),
    ),
    _get_route(
        "/evses/{n}", "get_evse", STATE, "The picture of one EVSE", _json_answer(pictures.EvsePicture, "As it is now")
    ),
    _get_route(
        "/display/{n}.png",
        "get_display",
        STATE,
        "What the panel of an EVSE shows a driver",
        ApiAnswer(200, "The picture", "image/png"),
        ApiAnswer(304, "It is the one of the ETag in If-None-Match"),
    ),
    _get_route(
        "/trace",
        "get_trace",
        STATE,
        "The OCPP frames both ways: a JSON object (FramePicture) a line",
        ApiAnswer(200, "Lines", "application/jsonl"),
        queries=(SINCE,),
    ),
    _get_route(
        "/conversation.jsonl",
        "tools.get_conversation_file",
        STATE,
        "The OCPP frames both ways as a recording (docs/recording.md)",
        ApiAnswer(200, "Lines", "application/jsonl"),
    ),
    _get_route(
        "/conversation.svg",
        "tools.get_conversation_diagram",
        STATE,
        "The OCPP frames both ways as a sequence diagram",
        ApiAnswer(200, "The picture", "image/svg+xml"),
        ApiAnswer(409, "There are no frames that can be drawn", JSON, pictures.ErrorPicture),
    ),
    _get_route(
        "/history",
        "tools.get_power_history",
        STATE,
        "Power and register of each EVSE in the last quarter of an hour",
        _json_answer(pictures.HistoryPicture, "A sample a second"),
    ),
    _get_route(
        "/events",
        "events.send_server_sent_events",
        STATE,
        "Server-sent events: station, doctor, recording, composer with their pictures, frame with each OCPP frame",
        ApiAnswer(200, "Events until the listener leaves", "text/event-stream"),
        queries=(SINCE, QueryKey("newest", "at the beginning at most so many older frames")),
    ),
    _get_route(
        "/events/socket",
        "events.send_socket_events",
        STATE,
        "The same events over a WebSocket: a JSON object (EventMessage) a message",
        ApiAnswer(101, "The connection is a WebSocket now"),
        queries=(SINCE, QueryKey("newest", "at the beginning at most so many older frames")),
    ),
    _post_route(
        "/evses/{n}/plug", "plug_in_vehicle", OUTLETS, "Plug the cable into socket and vehicle", body_forms.PLUG
    ),
    _post_route(
        "/evses/{n}/unplug", "unplug_vehicle", OUTLETS, "Pull the cable at the station or at the car", body_forms.UNPLUG
    ),
    _post_route(
        "/evses/{n}/ev",
        "set_vehicle_demand",
        OUTLETS,
        "Let the vehicle ask for energy or pause, or take less current",
        body_forms.VEHICLE_DEMAND,
    ),
    _post_route("/evses/{n}/fault", "set_fault_state", OUTLETS, "Begin or end a fault", body_forms.FAULT),
    _post_route(
        "/evses/{n}/clear",
        "clear_latched_faults",
        OUTLETS,
        "A person has looked at what is latched",
        body_forms.EMPTY,
    ),
    _post_route(
        "/evses/{n}/meter",
        "set_meter_register",
        OUTLETS,
        "Set the meter's lifetime register",
        body_forms.METER_REGISTER,
    ),
    _post_route("/evses/{n}/bay", "set_bay_occupied", OUTLETS, "The parking-bay sensor", body_forms.PARKING_BAY),
    _post_route(
        "/cards/tap",
        "tap_card_or_token",
        CARDS,
        "Hold a contactless card to the reader, or let a serial reader send a text",
        body_forms.CONTACTLESS_CARD,
        body_forms.SERIAL_TOKEN,
    ),
    _post_route("/terminal/card", "tap_bank_card", CARDS, "A bank card at the payment terminal", body_forms.BANK_CARD),
    _post_route(
        "/terminal/badge", "tap_terminal_badge", CARDS, "A badge at the payment terminal", body_forms.TERMINAL_BADGE
    ),
    _post_route("/terminal", "act_on_terminals", CARDS, "The payment terminal itself", body_forms.TERMINAL_ACTION),
    _post_route("/buttons/{name}", "press_button", CARDS, "Press a button once", body_forms.EMPTY),
    _post_route("/modem", "act_on_modem", SITE, "A fault of the modem, its signal, its network", body_forms.MODEM),
    _post_route("/clock", "step_clock", SITE, "The board's clock is off at the next start", body_forms.CLOCK_STEP),
    _post_route("/links/{name}", "set_link_condition", SITE, "The road to the backend, or one bearer", body_forms.LINK),
    _post_route("/limits", "set_site_limit", SITE, "The limit of the site's energy manager", body_forms.SITE_LIMIT),
    _post_route("/power", "set_mains_power", SITE, "The grid", body_forms.MAINS),
    _post_route("/agent", "control_agent", SITE, "Kill, stop or start the agent", body_forms.AGENT_ACTION),
    _post_route("/time", "set_time_rate", SITE, "How fast the station's time runs", body_forms.TIME_RATE),
    _get_route(
        "/doctor",
        "tools.get_doctor",
        TOOLS,
        "The latest run of the doctor, or the present one as far as it is",
        _json_answer(pictures.DoctorPicture, "The run"),
    ),
    _post_route("/doctor", "tools.run_doctor", TOOLS, "Have the doctor examine the station", body_forms.DOCTOR),
    _get_route(
        "/recording",
        "tools.get_recording",
        TOOLS,
        "The present recording as far as it is, or the latest one",
        _json_answer(pictures.RecordingPicture, "The recording"),
    ),
    _get_route(
        "/recording.toml",
        "tools.get_recorded_scenario",
        TOOLS,
        "The recording as a scenario file",
        ApiAnswer(200, "The file", "application/toml"),
        ApiAnswer(404, "Nothing was recorded yet", JSON, pictures.ErrorPicture),
    ),
    _post_route("/recording", "tools.control_recording", TOOLS, "Begin or end a recording", body_forms.RECORDING),
    _post_route(
        "/backend",
        "tools.send_backend_request",
        TOOLS,
        "Have the built-in central system send a request",
        body_forms.OPERATION,
        body_forms.OCPP_REQUEST,
    ),
    _get_route(
        "/composer",
        "tools.get_composer",
        TOOLS,
        "Whether messages can be composed, and the newest ones with their answers",
        _json_answer(pictures.ComposerPicture, "The messages"),
    ),
    _get_route(
        "/composer/{version}",
        "tools.get_composer_actions",
        TOOLS,
        "The requests of a version of OCPP, and which side sends each",
        _json_answer(pictures.ActionsPicture, "The actions"),
    ),
    _get_route(
        "/composer/{version}/{action}",
        "tools.get_request_form",
        TOOLS,
        "The JSON Schema of a request, and an example",
        _json_answer(pictures.RequestForm, "The form"),
    ),
    _post_route(
        "/composer",
        "tools.send_composed_message",
        TOOLS,
        "Send a request to the backend for the station, or to the station for the backend; malformed on purpose if "
        "wanted",
        body_forms.COMPOSED_REQUEST,
        body_forms.COMPOSED_TEXT,
    ),
    _get_route(
        "/stations",
        "get_stations",
        ALL,
        "All stations of this server with their pictures",
        _json_answer(pictures.StationsPicture, "The stations, in the order in which they were named"),
        is_about_all=True,
    ),
    _get_route(
        "/stations/events",
        "send_stations_events",
        ALL,
        "Server-sent events: station with the entry of a station (StationEntry), of each at once and after its changes",
        ApiAnswer(200, "Events until the listener leaves", "text/event-stream"),
        is_about_all=True,
    ),
    _get_route(
        "/stations/events/socket",
        "send_stations_socket",
        ALL,
        "The same events over a WebSocket: a JSON object (EventMessage) a message",
        ApiAnswer(101, "The connection is a WebSocket now"),
        is_about_all=True,
    ),
)
