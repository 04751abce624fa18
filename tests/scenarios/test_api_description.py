"""The OpenAPI document of the control API says what the server does, and what docs/control-api.md promises."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from agent.desk import pictures
from agent.station_file.settings import parse_station_file
from drivers.sim.api_page import render_api_page
from drivers.sim.api_routes import API_ROUTES, V1
from drivers.sim.body_forms import PLUG
from drivers.sim.car import Car
from drivers.sim.control import Control
from drivers.sim.derived_file import with_outlet_defaults, without_addresses
from drivers.sim.event_stream import ChangeFeed
from drivers.sim.http_access import Access
from drivers.sim.http_server import make_application, serve_control_api
from drivers.sim.openapi import openapi_document
from drivers.sim.request_body import BodyForm
from drivers.sim.runner import bind_listener
from drivers.sim.status_client import StatusClient
from drivers.sim.world import World
from tests.scenarios.test_control_api import GOOD, WRONG, Rig
from tests.scenarios.test_control_api import rig as rig
from tests.support.busy_machine import deadline
from tests.support.hosted_station import host_single_station
from tests.support.picture_judge import complaints

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = openapi_document()
CONTRACT = Path(__file__).with_name("control_api_contract.txt")
STATIONS = ("ac_bearers", "ac_energy_manager", "ac_two_sockets", "mixed")


def body_schemas(path: str) -> dict[str, Any]:
    """The schema of the body of a POST. ``path``: with names filled in, as a client sends it."""
    for known, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), f"/{path}") and "post" in operations:
            return dict(operations["post"]["requestBody"]["content"]["application/json"]["schema"])
    raise AssertionError(path)


def test_the_document_is_valid_openapi() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_a_document_with_a_mistake_is_found() -> None:
    broken = json.loads(json.dumps(DOCUMENT))
    del broken["paths"]["/evses/{n}/plug"]["post"]["parameters"]
    broken["paths"]["/station"]["get"]["responses"]["200"]["content"] = []
    assert len(list(OpenAPIV31SpecValidator(broken).iter_errors())) >= 2


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [route.operation for route in API_ROUTES]
    assert len(set(names)) == len(names)


def documented_calls() -> set[tuple[str, str]]:
    text = (ROOT / "docs" / "control-api.md").read_text("utf-8")
    return set(re.findall(r"^\| `(GET|POST) (/[^`]*)` \|", text, re.MULTILINE))


def served_calls(app: web.Application) -> set[tuple[str, str]]:
    found = {(r.method, r.resource.canonical) for r in app.router.routes() if r.resource is not None}
    return {(method, path.removeprefix(V1)) for method, path in found if method != "HEAD" and path.startswith(V1)}


async def test_the_contract_the_document_and_the_server_have_the_same_calls(rig: Rig) -> None:
    app = make_application(host_single_station(rig.control), True, Access())
    described = {(method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert len(described) > 30
    assert described == documented_calls()
    assert described == served_calls(app)


async def test_it_is_served_and_its_page_needs_nothing_else(rig: Rig) -> None:
    status, raw, headers = await rig.get("/api/v1/openapi.json")
    assert (status, json.loads(raw)) == (200, DOCUMENT)
    assert headers["Content-Type"].startswith("application/json")
    status, raw, headers = await rig.get("/api/v1/")
    page = raw.decode()
    assert (status, page) == (200, render_api_page(DOCUMENT))
    assert "`" not in page, "names are marked as HTML marks them"
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    loaded = re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', page)
    assert sorted(loaded) == ["/api.css", "/api.js", "/icon.svg"]
    for name in loaded:
        assert (await rig.get(name))[0] == 200
    for route in API_ROUTES:
        assert f'id="{route.operation}"' in page


async def test_without_the_page_the_address_leads_to_the_description(rig: Rig) -> None:
    async with contextlib.AsyncExitStack() as stack:
        listener, stations = stack.enter_context(bind_listener(0)), host_single_station(rig.control)
        await stack.enter_async_context(serve_control_api(stations, listener, with_page=False))
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        async with http.get("/") as answer:
            assert (answer.status, answer.url.path) == (200, "/api/v1/")
        async with http.get("/app.js") as answer:
            assert answer.status == 404


@pytest.mark.parametrize(("path", "body"), GOOD)
def test_a_body_that_is_accepted_is_valid(path: str, body: Any) -> None:
    assert list(Draft202012Validator(body_schemas(path)).iter_errors(body)) == []


UNSEEN = ("NoSuchFault", "\\n")
"""What a schema does not know: the catalogue of the faults, and what can be printed."""
REFUSED = [
    (path, body)
    for path, body, status in WRONG
    if status == 400 and isinstance(body, dict) and not any(text in json.dumps(body) for text in UNSEEN)
]


@pytest.mark.parametrize(("path", "body"), REFUSED)
def test_a_body_that_is_refused_is_not_valid(path: str, body: Any) -> None:
    assert list(Draft202012Validator(body_schemas(path)).iter_errors(body)) != []


def promises() -> set[str]:
    """What a client may rely on, a line each: calls, keys of bodies, keys of pictures."""
    found = {f"{name}.{key}" for name, s in DOCUMENT["components"]["schemas"].items() for key in s["properties"]}
    for route in API_ROUTES:
        call = f"{route.method} {route.path}"
        found |= {call, *(f"{call}: {key.name}" for form in route.bodies for key in form.keys)}
        found |= {f"{call}?{key.name}" for key in route.queries}
    return found


def test_the_contract_only_grows() -> None:
    """A new call or key is added to the file; no line of it may ever go."""
    kept = set(CONTRACT.read_text("utf-8").splitlines())
    assert kept - promises() == set(), "clients of other people rely on these"
    assert promises() - kept == set(), f"add these lines to {CONTRACT.name}"


# --- the forms of the bodies, with any value ------------------------------------------------------------------------

FORMS = [(route.operation, form) for route in API_ROUTES for form in route.bodies]


def values_for(form: BodyForm) -> st.SearchStrategy[Any]:
    """Values that are often right: no number that JSON Schema calls whole and Python does not, and only text that can
    be printed."""
    numbers = st.integers(-5, 10**6) | st.integers(-5, 600).map(lambda n: n + 0.5)
    texts = st.text("0123456789abcdefABCDEFxyz ", max_size=45)
    choices = [c for key in form.keys for c in key.schema.get("enum", ())]
    cars = st.dictionaries(
        st.sampled_from(["profile", "phases", "max_a", "capacity_kwh", "soc", "cells", "color"]),
        numbers | st.sampled_from([1, 3, "normal", "dc400"]),
        max_size=3,
    )
    return st.none() | st.booleans() | numbers | texts | cars | st.sampled_from(choices or [""])


def is_read_by_server(form: BodyForm, body: dict[str, Any]) -> bool:
    try:
        values = form.read_values(json.dumps(body).encode())
        if form is PLUG:
            Car.from_api_table(values["car"], ready=True)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("operation", "form"), FORMS, ids=[f"{name}-{n}" for n, (name, _) in enumerate(FORMS)])
@settings(max_examples=60)
@given(data=st.data())
def test_a_form_and_its_schema_agree(operation: str, form: BodyForm, data: st.DataObject) -> None:
    names = [key.name for key in form.keys] or ["other"]
    value = values_for(form)
    body = data.draw(st.dictionaries(st.sampled_from([*names, *names, "other"]), value, max_size=4))
    valid = Draft202012Validator(form.json_schema()).is_valid(body)
    assert valid == is_read_by_server(form, body), (operation, body)


# --- the pictures ---------------------------------------------------------------------------------------------------


async def test_the_answers_without_an_agent_have_their_form(rig: Rig) -> None:
    for path, picture in (
        ("/health", pictures.HealthPicture),
        ("/station", pictures.StationPicture),
        ("/evses/1", pictures.EvsePicture),
        ("/doctor", pictures.DoctorPicture),
        ("/recording", pictures.RecordingPicture),
        ("/evses/9", pictures.ErrorPicture),
    ):
        _, raw, _ = await rig.get(f"/api/v1{path}")
        assert complaints(picture, json.loads(raw)) == [], path


async def test_one_evse_is_that_of_the_whole_picture(rig: Rig) -> None:
    assert await rig.post("evses/2/plug", {"car": {"soc": 33}}) == 202
    one = json.loads((await rig.get("/api/v1/evses/2"))[1])
    assert (one["number"], one["soc"]) == (2, 33)
    assert (await rig.get("/api/v1/evses/3"))[0] == 404


def test_a_key_that_no_type_names_is_found() -> None:
    assert complaints(pictures.ErrorPicture, {"error": "x", "code": 5}) != []
    assert complaints(pictures.ErrorPicture, {}) != []
    assert complaints(pictures.LimitPicture, {"max_a": "10", "manager": "online"}) != []


@contextlib.asynccontextmanager
async def opened_world(name: str, folder: Path) -> AsyncIterator[Control]:
    """The far ends of a shipped station, without an agent."""
    raw = tomllib.loads((ROOT / "config" / "stations" / f"{name}.toml").read_text("utf-8"))
    file = without_addresses(parse_station_file(with_outlet_defaults(raw), folder / "station.toml"))
    feed = ChangeFeed()
    async with World.open(file, backend_url="ws://127.0.0.1:9", status_socket=folder / "status") as world:
        yield Control(world, StatusClient(folder / "status", feed.notify_change), feed, None, lambda step_s: None)


@pytest.mark.parametrize("name", STATIONS)
async def test_the_picture_of_a_shipped_station_has_its_form(name: str, tmp_path: Path) -> None:
    async with opened_world(name, tmp_path) as control:
        picture = json.loads(json.dumps(control.station_picture()))
        assert complaints(pictures.StationPicture, picture) == []
        also = {"ac_bearers": "modem", "ac_energy_manager": "limits", "mixed": "terminals"}.get(name)
        assert also is None or also in picture


# --- events over a WebSocket ----------------------------------------------------------------------------------------

FRAME = {"t": 1.5, "dir": "out", "link": "chargy", "version": "1.6", "frame": '[2,"1","Heartbeat",{}]'}


async def next_message(socket: aiohttp.ClientWebSocketResponse, event: str) -> dict[str, Any]:
    async with deadline(30):
        while True:
            message = await socket.receive_json()
            assert complaints(pictures.EventMessage, message) == []
            if message["event"] == event:
                return dict(message)


async def test_the_same_events_come_over_a_websocket(rig: Rig) -> None:
    trace = rig.control.watch.trace
    for n in range(3):
        trace.add_frame({"v": 1, "n": n, **FRAME})
    async with rig.http.ws_connect("/api/v1/events/socket?since=0&newest=2") as socket:
        picture = (await next_message(socket, "station"))["data"]
        assert complaints(pictures.StationPicture, picture) == []
        await socket.send_str("what a listener sends is not looked at")
        frames = [await next_message(socket, "frame") for _ in range(2)]
        assert [f["id"] for f in frames] == [f"{trace.run}-2", f"{trace.run}-3"]
        assert frames[0]["data"] == {"seq": 2, **FRAME}
        assert complaints(pictures.FramePicture, frames[0]["data"]) == []
        await rig.post("power", {"mains": False})
        while (await next_message(socket, "station"))["data"]["mains"]:
            pass


async def test_a_websocket_of_a_foreign_site_is_refused(rig: Rig) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await rig.http.ws_connect("/api/v1/events/socket", origin="http://evil.example")
    assert refusal.value.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await rig.http.ws_connect("/api/v1/events/socket?since=x")
    assert refusal.value.status == 400


async def test_the_end_of_the_station_closes_the_websocket(rig: Rig) -> None:
    async with rig.http.ws_connect("/api/v1/events/socket") as socket:
        await next_message(socket, "station")
        rig.control.feed.close_feed()
        async with deadline(30):
            assert [m async for m in socket if m.type is aiohttp.WSMsgType.BINARY] == []
        assert socket.close_code == aiohttp.WSCloseCode.OK
