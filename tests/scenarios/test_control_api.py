"""The calls of the control API and their error codes, against a real world (docs/control-api.md)."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.station_file.settings import load_station_file
from drivers.sim import request_body as body
from drivers.sim.control import Control
from drivers.sim.event_stream import ChangeFeed
from drivers.sim.http_server import serve_control_api
from drivers.sim.runner import bind_listener, print_line
from drivers.sim.station_snapshot import Child, describe_changes
from drivers.sim.station_snapshot import station_picture as picture_of
from drivers.sim.status_client import StatusClient, Trace
from drivers.sim.world import World
from tests.scenarios.control_rig import write_station
from tests.support.hosted_station import host_single_station


class Rig:
    def __init__(self, control: Control, http: aiohttp.ClientSession, clock: list[float]) -> None:
        self.control, self.http, self.clock = control, http, clock

    async def post(self, path: str, body: Any = None, **more: Any) -> int:
        data = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
        async with self.http.post(f"/api/v1/{path}", data=data, **more) as answer:
            text = await answer.text()
            if answer.status == 202:
                assert text == ""
            else:
                assert json.loads(text)["error"]
            return answer.status

    async def get(self, path: str, **more: Any) -> tuple[int, bytes, Any]:
        async with self.http.get(path, **more) as answer:
            return answer.status, await answer.read(), answer.headers

    async def evse(self, n: int) -> Any:
        return json.loads((await self.get("/api/v1/station"))[1])["evses"][n - 1]


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Rig]:
    with tempfile.TemporaryDirectory(dir="/tmp") as short, contextlib.closing(bind_listener(0)) as listener:
        status = Path(short) / "status"
        file = load_station_file(write_station(folder, "ws://127.0.0.1:9"))
        feed, clock = ChangeFeed(), list[float]()
        async with World.open(file, backend_url="ws://127.0.0.1:9", status_socket=status) as world:
            world.add_change_listener(feed.notify_change)
            control = Control(world, StatusClient(status, feed.notify_change), feed, None, clock.append)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            stations = host_single_station(control)
            async with serve_control_api(stations, listener, True), aiohttp.ClientSession(url) as http:
                yield Rig(control, http, clock)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(tmp_path) as rig:
        yield rig


GOOD: list[tuple[str, Any]] = [
    (
        "evses/1/plug",
        {"ready": True, "car": {"phases": 1, "max_a": 16, "capacity_kwh": 50, "soc": 20, "profile": "normal"}},
    ),
    ("evses/1/plug", {}),
    ("evses/1/plug", {"car": None}),
    ("evses/1/fault", {"fault": "ConnectorLockFailure", "active": True}),
    ("evses/1/fault", {"fault": "MREC6UnderVoltage", "active": False}),
    ("evses/1/meter", {"wh": 123456}),
    ("evses/2/bay", {"occupied": True}),
    ("cards/tap", {"uid": "04A1B2C3D4E5F6", "evse": 1, "card": "desfire_ev1", "hold_s": 0.5}),
    ("cards/tap", {"uid": "04a1b2c3", "evse": None, "card": "classic"}),
    ("cards/tap", {"token": "a text, Ünïcode too", "evse": None}),
    ("cards/tap", {"token": "x" * 36, "evse": 1}),
    ("clock", {"step_s": -3600}),
    ("buttons/language", {}),
    ("buttons/outlet-2", {}),
    ("links/backend", {"up": False}),
    ("links/backend", {"up": True, "latency_ms": 300, "kbit_s": 40, "loss": 0.1, "stall": True}),
    ("limits", {"max_a": 10}),
    ("limits", {"max_a": None}),
    ("power", {"mains": False}),
]


@pytest.mark.parametrize(("path", "wish"), GOOD)
async def test_what_can_be_is_accepted_at_once(rig: Rig, path: str, wish: Any) -> None:
    assert await rig.post(path, wish) == 202


WRONG: list[tuple[str, Any, int]] = [
    ("evses/1/plug", b"{", 400),
    ("evses/1/plug", b"[]", 400),
    ("evses/1/plug", b"\xff", 400),
    ("evses/1/plug", b"[" * 100_000, 400),
    *(("evses/1/plug", b'{"ready":' + b"[" * n + b"]" * n + b"}", 400) for n in (40, 960, 980, 990, 9990, 9996)),
    ("evses/1/plug", {"ready": 1}, 400),
    ("evses/1/plug", {"raedy": True}, 400),
    ("evses/1/plug", {"car": {"profile": "flying"}}, 400),
    ("evses/1/unplug", {"side": "left"}, 400),
    ("evses/1/unplug", {"side": "station"}, 409),
    ("evses/1/unplug", {"side": "ev"}, 409),
    ("evses/1/ev", {}, 400),
    ("evses/1/ev", {"ready": True}, 409),
    ("evses/1/fault", {"fault": "NoSuchFault", "active": True}, 400),
    ("evses/1/fault", {}, 400),
    ("evses/1/meter", {"wh": -1}, 400),
    ("evses/1/meter", {"wh": 1.5}, 400),
    ("evses/1/meter", {"wh": True}, 400),
    ("evses/1/bay", {}, 400),
    ("evses/3/plug", {}, 404),
    ("evses/0/plug", {}, 404),
    ("evses/one/plug", {}, 404),
    ("evses/1/fly", {}, 404),
    ("cards/tap", {}, 400),
    ("cards/tap", {"uid": "XYZ"}, 400),
    ("cards/tap", {"uid": "04A1B2C3D4E5F6", "card": "gold"}, 400),
    ("cards/tap", {"uid": "04A1B2C3D4E5F6", "evse": 9}, 404),
    ("cards/tap", {"uid": "04A1B2C3D4E5F6", "token": "both"}, 400),
    ("cards/tap", {"token": ""}, 400),
    ("cards/tap", {"token": "x" * 37}, 400),
    ("cards/tap", {"token": "two\nlines"}, 400),
    ("cards/tap", b"5", 400),
    ("terminal/card", {"pan_last4": "1234", "behaviour": "approve", "evse": 1}, 404),
    ("terminal/badge", {"uid": "04A1B2C3D4E5F6"}, 404),
    ("terminal/badge", {"uid": "XYZ"}, 400),
    ("terminal", {"action": "offline"}, 404),
    ("modem", {"fault": "no_sim", "active": True}, 404),
    ("clock", {"step_s": "soon"}, 400),
    ("clock", b'{"step_s": NaN}', 400),
    ("buttons/self-destruct", {}, 404),
    ("links/moon", {"up": True}, 404),
    ("links/backend", {"loss": 1.5}, 400),
    ("links/backend", {"up": None}, 400),
    ("limits", {}, 400),
    ("limits", {"manager": "silent"}, 409),
    ("limits", {"manager": "asleep"}, 400),
    ("limits", {"manager": None}, 400),
    *(
        (path, f'{{"{key}": {"9" * 400}}}'.encode(), 400)
        for path, key in (
            ("limits", "max_a"),
            ("evses/1/ev", "max_a"),
            ("links/backend", "latency_ms"),
            ("clock", "step_s"),
        )
    ),
    ("power", {"mains": "on"}, 400),
    ("agent", {"action": "dance"}, 400),
    ("agent", {"action": "kill"}, 409),
]


@pytest.mark.parametrize(("path", "wish", "status"), WRONG)
async def test_what_cannot_be_says_why(rig: Rig, path: str, wish: Any, status: int) -> None:
    assert await rig.post(path, wish) == status


async def test_plug_pull_at_the_car_and_at_the_station(rig: Rig) -> None:
    assert await rig.post("evses/1/plug", {"ready": False, "car": {"soc": 33}}) == 202
    one = await rig.evse(1)
    assert (one["cable"], one["car"], one["ready"], one["soc"]) == (True, True, False, 33)
    assert await rig.post("evses/1/plug") == 409
    assert await rig.post("evses/1/ev", {"ready": True, "max_a": 10}) == 202
    assert (await rig.evse(1))["ready"] is True
    assert await rig.post("evses/1/unplug", {"side": "ev"}) == 202
    one = await rig.evse(1)
    assert (one["cable"], one["car"]) == (True, False)
    assert await rig.post("evses/1/unplug") == 202
    assert (await rig.evse(1))["cable"] is False


async def test_the_picture_has_every_key_of_the_contract(rig: Rig) -> None:
    _, raw, _ = await rig.get("/api/v1/station")
    picture = json.loads(raw)
    assert set(picture) == {
        "agent", "backend", "links", "mains", "time", "lamps", "evses", "ledger", "simulation", "buttons", "displays",
        "traffic",
    }  # fmt: skip
    assert set(picture["agent"]) == {"up", "pid", "restarts", "version", "queue", "screen_language"}
    assert set(picture["evses"][0]) == {
        "number", "kind", "cable", "car", "ready", "cp", "pwm", "locked", "contactor", "limit_a", "limit_w",
        "current_a", "power_w", "meter_wh", "soc", "faults", "screen", "reported", "told", "session_state",
        "session", "last_session", "latched", "code", "messages",
    }  # fmt: skip
    assert picture["evses"][0]["meter_wh"] == 5000
    assert picture["links"]["backend"]["up"] is True
    assert picture["ledger"] == {"holds": [], "captures": [], "voids": []}
    assert picture["agent"]["up"] is False
    assert picture["backend"] is None


async def test_clock_step_reaches_the_next_start(rig: Rig) -> None:
    await rig.post("clock", {"step_s": 86400})
    assert rig.clock == [86400]


async def test_the_display_is_a_png_with_a_tag(rig: Rig) -> None:
    status, png, headers = await rig.get("/api/v1/display/1.png")
    assert (status, png[:8]) == (200, b"\x89PNG\r\n\x1a\n")
    again, rest, _ = await rig.get("/api/v1/display/1.png", headers={"If-None-Match": headers["ETag"]})
    assert (again, rest) == (304, b"")
    assert (await rig.get("/api/v1/display/7.png"))[0] == 404


async def test_health_without_an_agent(rig: Rig) -> None:
    assert (await rig.get("/api/v1/health"))[0] == 503


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost:1"},
    {"Origin": "null"},
    {"Origin": "http://[x"},
])  # fmt: skip
async def test_foreign_sites_are_kept_out(rig: Rig, headers: dict[str, str]) -> None:
    assert await rig.post("evses/1/plug", {}, headers=headers) == 403
    assert (await rig.evse(1))["cable"] is False


async def test_the_own_page_gets_in_with_its_headers(rig: Rig) -> None:
    status, _, headers = await rig.get("/")
    assert status == 200
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    origin = str(rig.http._base_url).rstrip("/")
    assert await rig.post("evses/1/plug", {}, headers={"Origin": origin}) == 202


async def test_wrong_method_and_path_answer_in_json(rig: Rig) -> None:
    for path, status in (("/api/v1/power", 405), ("/api/v1/nothing", 404), ("/api/v1/trace?since=x", 400)):
        answer = await rig.get(path)
        assert answer[0] == status
        assert json.loads(answer[1])["error"]


async def test_events_tell_changes_and_frames(rig: Rig) -> None:
    async with rig.http.get("/api/v1/events") as stream:
        name, data = await _event(stream)
        assert name == "station"
        assert data["mains"] is True
        assert data["time"]
        await rig.post("power", {"mains": False})
        while data["mains"]:
            name, data = await _event(stream)
            assert name == "station"
        frame = {"t": 1.5, "dir": "out", "link": "chargy", "version": "1.6", "frame": '[2,"1","Heartbeat",{}]'}
        rig.control.watch.trace.add_frame({"v": 1, "n": 7, **frame})
        rig.control.feed.notify_change()
        while name != "frame":
            name, data = await _event(stream)
        assert data == {"seq": 1, **frame}
    assert json.loads((await rig.get("/api/v1/trace?since=0"))[1]) == data
    assert (await rig.get("/api/v1/trace?since=1"))[1] == b""


async def _frames_from(rig: Rig, query: str, last_id: str = "") -> list[int]:
    """The numbers of the frames that a listener gets, up to the newest."""
    newest, found = rig.control.watch.trace.last_seq, list[int]()
    async with rig.http.get(f"/api/v1/events{query}", headers={"Last-Event-ID": last_id} if last_id else {}) as stream:
        while not found or found[-1] < newest:
            name, data = await _event(stream)
            if name == "frame":
                found.append(data["seq"])
    return found


async def test_a_listener_begins_where_it_says(rig: Rig) -> None:
    trace = rig.control.watch.trace
    for n in range(9):
        trace.add_frame({"v": 1, "n": n, "t": 1.5, "dir": "out", "link": "chargy", "version": "1.6", "frame": "[]"})
    assert await _frames_from(rig, "?since=0") == list(range(1, 10))
    assert await _frames_from(rig, "?since=6") == [7, 8, 9]
    assert await _frames_from(rig, "?since=0&newest=4") == [6, 7, 8, 9]
    assert await _frames_from(rig, "?since=8&newest=4") == [9]
    assert await _frames_from(rig, "?since=0&newest=4", f"{trace.run}-8") == [9], "a browser that connects again"
    assert await _frames_from(rig, "?since=7&newest=20", "0badcafe-8") == list(range(1, 10)), "of an earlier run"
    for wrong in ("?since=x", "?since=-1", "?since=1&newest=x"):
        assert (await rig.get(f"/api/v1/events{wrong}"))[0] == 400
    picture = json.loads((await rig.get("/api/v1/station"))[1])
    assert picture["simulation"] == {"run": trace.run, "speed": 1.0, "built_in_backend": False}


async def _event(stream: aiohttp.ClientResponse) -> tuple[str, Any]:
    name = ""
    while line := (await stream.content.readline()).decode().rstrip("\n"):
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            return name, json.loads(value)
    return await _event(stream)


def test_only_this_machine_is_served() -> None:
    with contextlib.closing(bind_listener(0)) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        assert listener.family is socket.AF_INET


def test_no_one_who_reads_stdout_does_not_stop_the_station() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writing, b"x" * 4096):
                pass
        os.set_blocking(writing, True)
        print_line("would block for ever", out)
        os.read(reading, 1 << 20)
        print_line("heard", out)
        assert os.read(reading, 100) == b"heard\n"
        os.close(reading)
        print_line("to no reader", out)


# --- parts ----------------------------------------------------------------------------------------------------------


KEYS = (
    body.boolean_key("a", None), body.number_key("b", None, 0, 10), body.integer_key("c", 0),
    body.printable_text_key("d", None), body.hexadecimal_key("e", None),
    body.choice_key("f", "x", "y", default="x"), body.nullable_key(body.object_key("g", None)),
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdefgh"), inner, max_size=4),
)


@given(st.binary() | JSON.map(lambda v: json.dumps(v).encode()))
def test_any_body_is_either_read_or_refused_in_one_line(raw: bytes) -> None:
    try:
        found = body.read_body(raw, *KEYS)
    except ValueError as refused:
        found, line = None, str(refused)
        assert line.splitlines() == [line]
    if found is not None:
        assert set(found) == set("abcdefg")
        assert found["b"] is None or 0 <= found["b"] <= 10
        assert found["f"] in ("x", "y")


@given(st.integers(0, 60), st.integers(0, 70))
def test_trace_since_gives_exactly_the_newer_ones_that_are_kept(count: int, since: int) -> None:
    trace = Trace(size=20)
    for i in range(count):
        trace.add_frame({"frame": str(i)})
    assert [f["seq"] for f in trace.frames_since(since)] == list(range(max(since + 1, count - 19, 1), count + 1))


class NoDevices:
    """As little of the devices as a picture needs."""

    def lamp_colors(self) -> dict[str, Any]:
        return {}

    def link_conditions(self) -> dict[str, Any]:
        return {}

    def terminal_pictures(self) -> list[dict[str, Any]]:
        return []

    def button_names(self) -> list[str]:
        return []

    def display_panels(self) -> list[dict[str, Any]]:
        return []

    def bank_ledger(self) -> dict[str, Any]:
        return {}

    def modem_picture(self) -> None:
        return None


class Nowhere:
    """A world of one EVSE, as little as a picture needs."""

    evses = {1: None}
    mains_on = True
    devices = NoDevices()

    def evse_picture(self, n: int) -> dict[str, Any]:
        return {"number": n}

    def limit_picture(self) -> None:
        return None


def _said(status: str, session: Any) -> dict[str, Any]:
    evse = {"number": 1, "screen": "x", "reported": {"status": status, "error": "NoError"}, "session": session}
    backend = {"url": "ws://x", "link": "up", "ocpp": "1.6", "boot": "Accepted"}
    return {"agent": {"version": "1", "queue": 0, "pid": 5}, "backend": backend, "evses": [evse], "ready": True}


@pytest.fixture
def steps() -> Iterator[list[dict[str, Any]]]:
    session = {"id": "s1", "energy_wh": 7}
    said = [None, _said("Available", None), _said("Charging", session), _said("Finishing", None)]
    return [picture_of(Nowhere(), Child(5, 0), s, "now") for s in said]


def test_news_are_reported_once(steps: list[dict[str, Any]]) -> None:
    down, free, charging, over = steps
    assert list(describe_changes(down, free)) == ["backend: link up (OCPP 1.6)", "backend: boot Accepted"]
    assert list(describe_changes(free, charging)) == ["outlet 1: Charging", "outlet 1: session started"]
    assert list(describe_changes(charging, over)) == ["outlet 1: Finishing", "outlet 1: session ended"]
    last = {"id": charging["evses"][0]["session"]["id"], "energy_wh": 812, "cost_cents": 41, "cost_final": True}
    picture = {**over, "evses": [{**over["evses"][0], "last_session": last}]}
    assert list(describe_changes(charging, picture))[1] == "outlet 1: session ended, 0.812 kWh, 0.41"
    assert list(describe_changes(over, over)) == []


OUTAGES = [
    (
        {"backend": {"up": True, "error": "no server listens at x:9"}},
        "backend: no connection, ws://x: no server listens at x:9",
    ),
    ({"backend": {"up": True}}, "backend: no connection, ws://x: refused with HTTP 404"),
    ({"backend": {"up": False}}, ""),
    ({"backend": {"up": True, "stall": True}}, ""),
]


@pytest.mark.parametrize(("links", "said"), OUTAGES)
def test_an_outage_is_reported_once_unless_a_person_cut_the_road_here(links: dict[str, Any], said: str) -> None:
    def picture(trouble: str, link: str = "down") -> dict[str, Any]:
        report = _said("Available", None)
        report["backend"] = {"url": "ws://x", "link": link, "ocpp": "1.6", "boot": None, "error": trouble}
        return {**picture_of(Nowhere(), Child(5, 0), report, "now"), "links": links}

    none, first, second = picture(""), picture("ws://x: refused with HTTP 404"), picture("no answer in time")
    lines = list(describe_changes(none, first))
    assert lines[:1] == ([said] if said else [])
    assert all("keeps trying" in line for line in lines[1:])
    assert list(describe_changes(first, second)) == []
    assert list(describe_changes(second, picture("", "up"))) == ["backend: link up (OCPP 1.6)"]
