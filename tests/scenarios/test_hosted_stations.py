"""Several stations behind one port, with real worlds and without agents: paths, events, and one that has ended."""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from agent.desk import pictures
from agent.station_file.settings import parse_station_file
from drivers.sim.control import Control
from drivers.sim.event_stream import ChangeFeed
from drivers.sim.hosted_stations import HostedStations
from drivers.sim.http_access import Access, path_below_station
from drivers.sim.http_server import serve_control_api
from drivers.sim.runner import bind_listener
from drivers.sim.status_client import StatusClient
from drivers.sim.world import World
from tests.support.busy_machine import deadline
from tests.support.picture_judge import complaints

STATION = """
[station]
id = "{name}"
[backend]
url = "ws://127.0.0.1:9"
[[evse]]
number = 1
"""
NAMES = ("CP-1", "LU*2|b", "CP-3")
SECOND = "/stations/LU%2A2%7Cb"


class SeveralStations:
    """The first two run, the third has not started. ``http``: to their server."""

    def __init__(self, stations: HostedStations, http: aiohttp.ClientSession) -> None:
        self.stations, self.http = stations, http

    async def get(self, path: str, **more: Any) -> tuple[int, Any]:
        async with self.http.get(path, allow_redirects=False, **more) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type == "application/json" else text

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.http.post(path, json=body) as answer:
            return answer.status, await answer.text()


async def open_control(stack: contextlib.AsyncExitStack, name: str, folder: Path) -> Control:
    raw = tomllib.loads(STATION.format(name=name))
    file, feed = parse_station_file(raw, folder / "station.toml"), ChangeFeed()
    opened = World.open(file, backend_url="ws://127.0.0.1:9", status_socket=folder / "status")
    world = await stack.enter_async_context(opened)
    world.add_change_listener(feed.notify_change)
    return Control(world, StatusClient(folder / "status", feed.notify_change), feed, None, lambda step_s: None)


@pytest.fixture
async def several(tmp_path: Path) -> AsyncIterator[SeveralStations]:
    async with contextlib.AsyncExitStack() as stack:
        stations = HostedStations(NAMES)
        for station, folder in zip(stations.in_order[:2], ("a", "b"), strict=True):
            station.begin_service(await open_control(stack, station.station_id, tmp_path / folder))
        stations.in_order[2].note_end("[simulation] state_dir /x: Permission denied")
        listener = stack.enter_context(contextlib.closing(bind_listener(0)))
        await stack.enter_async_context(serve_control_api(stations, listener, with_page=True))
        http = aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield SeveralStations(stations, await stack.enter_async_context(http))


async def plugged_stations(several: SeveralStations) -> list[str]:
    """The ids of the stations whose outlet has a cable, as the list of all shows it."""
    status, found = await several.get("/api/v1/stations")
    assert status == 200
    assert complaints(pictures.StationsPicture, found) == []
    return [s["id"] for s in found["stations"] if s["picture"] and s["picture"]["evses"][0]["cable"]]


async def test_a_call_is_for_the_station_of_its_path(several: SeveralStations) -> None:
    assert await plugged_stations(several) == []
    assert await several.post(f"{SECOND}/api/v1/evses/1/plug", {}) == (202, "")
    assert await plugged_stations(several) == ["LU*2|b"]
    assert (await several.get(f"{SECOND}/api/v1/evses/1"))[1]["cable"]
    assert not (await several.get("/stations/CP-1/api/v1/evses/1"))[1]["cable"]


async def test_without_a_name_it_is_the_first_station(several: SeveralStations) -> None:
    assert (await several.post("/api/v1/evses/1/plug", {}))[0] == 202
    assert await plugged_stations(several) == ["CP-1"]
    root, named = [await several.get(f"{base}/api/v1/evses/1") for base in ("", "/stations/CP-1")]
    assert root == named


async def test_one_that_has_ended_says_why_and_disturbs_no_other(several: SeveralStations) -> None:
    _, found = await several.get("/api/v1/stations")
    first, second, third = found["stations"]
    assert [s["state"] for s in (first, second, third)] == ["running", "running", "ended"]
    assert (third["error"], third["picture"]) == ("[simulation] state_dir /x: Permission denied", None)
    for path in ("station", "health", "evses/1", "events", "display/1.png"):
        status, refusal = await several.get(f"{third['path']}api/v1/{path}")
        assert status == 409
        assert "station CP-3 is not running: [simulation] state_dir /x" in refusal["error"]
    assert (await several.post(f"{third['path']}api/v1/cards/tap", {"uid": "04A1B2C3"}))[0] == 409
    assert (await several.get(f"{SECOND}/api/v1/station"))[0] == 200


async def test_a_station_that_there_is_not(several: SeveralStations) -> None:
    for path in ("/stations/CP-9/api/v1/station", "/stations/CP-9/", "/stations/CP-9", "/stations/CP-9/pay/x"):
        status, refusal = await several.get(path)
        assert status == 404, path
        assert "there is no station 'CP-9'; there are CP-1, LU*2|b, CP-3" in refusal["error"]


async def test_the_page_of_each_station_and_its_parts(several: SeveralStations) -> None:
    for base in ("/", "/stations/CP-1/", f"{SECOND}/", "/stations/CP-3/"):
        status, page = await several.get(base)
        assert (status, page[:15]) == (200, "<!doctype html>")
        for name in ("app.js", "style.css", "texts.js", "texts.json"):
            assert (await several.get(base + name))[0] == 200, base + name
    async with several.http.get("/stations/CP-1", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/stations/CP-1/")


async def test_without_the_page_each_address_leads_to_the_description_of_its_station(several: SeveralStations) -> None:
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(bind_listener(0)))
        await stack.enter_async_context(serve_control_api(several.stations, listener, with_page=False))
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        for base, leads_to in (("/", "/api/v1/"), ("/stations/CP-1/", "/stations/CP-1/api/v1/")):
            async with http.get(base) as answer:
                assert (answer.status, answer.url.path) == (200, leads_to)


async def test_the_description_of_each_station_leads_to_itself(several: SeveralStations) -> None:
    _, whole = await several.get("/api/v1/openapi.json")
    _, own = await several.get(f"{SECOND}/api/v1/openapi.json")
    assert [s["url"] for s in whole["servers"]] == ["/api/v1"]
    assert [s["url"] for s in own["servers"]] == [f"{SECOND}/api/v1"]
    assert {**whole, "servers": None} == {**own, "servers": None}
    _, page = await several.get(f"{SECOND}/api/v1/")
    assert 'data-path="./evses/{n}/plug"' in page, "relative to the address of the page"
    assert (await several.get(f"{SECOND}/api/v1/stations")) == (await several.get("/api/v1/stations"))


async def test_what_is_done_is_recorded_at_the_station_where_it_is_done(several: SeveralStations) -> None:
    for base in ("", SECOND):
        await several.post(f"{base}/api/v1/recording", {"action": "start", "title": "x"})
    await several.post(f"{SECOND}/api/v1/cards/tap", {"uid": "04A1B2C3", "evse": 1})
    assert (await several.get(f"{SECOND}/api/v1/recording"))[1]["deeds"] == 1
    assert (await several.get("/api/v1/recording"))[1]["deeds"] == 0


async def next_entry(events: AsyncIterator[Any]) -> dict[str, Any]:
    async with deadline(30):
        message = await anext(events)
        assert complaints(pictures.EventMessage, message) == []
        assert complaints(pictures.StationEntry, message["data"]) == []
        return dict(message["data"])


async def socket_messages(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[Any]:
    async for message in socket:
        yield message.json()


async def test_the_events_of_all_stations_over_a_websocket(several: SeveralStations) -> None:
    async with several.http.ws_connect("/api/v1/stations/events/socket") as socket:
        events = socket_messages(socket)
        assert [(await next_entry(events))["id"] for _ in NAMES] == list(NAMES)
        await several.post(f"{SECOND}/api/v1/evses/1/plug", {})
        changed = await next_entry(events)
        assert (changed["id"], changed["picture"]["evses"][0]["cable"]) == ("LU*2|b", True)
        several.stations.in_order[1].note_end("the agent does not start")
        while changed["state"] != "ended":
            changed = await next_entry(events)
        assert (changed["id"], changed["error"]) == ("LU*2|b", "the agent does not start")


async def test_the_same_events_for_a_listener_of_server_sent_events(several: SeveralStations) -> None:
    async with several.http.get("/api/v1/stations/events") as answer, deadline(30):
        assert answer.content_type == "text/event-stream"
        for name in NAMES:
            assert await answer.content.readline() == b"event: station\n"
            entry = json.loads((await answer.content.readline()).removeprefix(b"data: "))
            assert entry["id"] == name
            await answer.content.readline()


async def test_a_foreign_page_reaches_no_station(several: SeveralStations) -> None:
    for path in ("/api/v1/stations", f"{SECOND}/api/v1/station", "/stations/CP-1/"):
        assert (await several.get(path, headers={"Origin": "http://evil.example"}))[0] == 403
        assert (await several.get(path, headers={"Host": "evil.example"}))[0] == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await several.http.ws_connect("/api/v1/stations/events/socket", origin="http://evil.example")
    assert refusal.value.status == 403


@pytest.mark.parametrize(
    ("path", "is_open"),
    [
        ("/pay/CP-1/1/x/v1", True),
        ("/stations/CP-1/pay/CP-1/1/x/v1?maxcost=3", True),
        ("/stations/CP-1/api/v1/station", False),
        ("/stations/CP-1/pay", False),
        ("/stations/CP-1%2Fpay%2F/api/v1/station", False),
        ("/stations/CP-1/api/v1/links/x?y=/stations/CP-1/pay/", False),
        ("/stations//pay/x", False),
        ("/stations", False),
        ("/", False),
    ],
)
async def test_only_the_payment_pages_are_open_without_the_token(path: str, is_open: bool, tmp_path: Path) -> None:
    access = Access.for_host("127.0.0.2", 80, tmp_path / "not there yet")
    assert access.token
    request: Any = type("Request", (), {"headers": {"Host": "127.0.0.2"}, "raw_path": path, "remote": "127.0.0.2"})()
    request.cookies = request.query = {}
    assert (access.refusal_reason(request) == "") == is_open


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/pay/at/x", "/pay/at/x"),
        ("/stations/CP-1/pay/at/x?maxcost=3", "/pay/at/x?maxcost=3"),
        ("/stations/pay/pay/CP%2F1/1", "/pay/CP%2F1/1"),
    ],
)
def test_the_path_below_a_station(path: str, below: str) -> None:
    assert path_below_station(path) == below


async def test_an_address_with_the_token_leads_to_this_machine_only(tmp_path: Path) -> None:
    """Two slashes at the beginning of a path would name another machine."""
    stations = HostedStations(["CP-1"])
    with contextlib.closing(bind_listener(0)) as listener:
        port = listener.getsockname()[1]
        async with (
            serve_control_api(stations, listener, True, Access("0.0.0.0", port, "secret")),
            aiohttp.ClientSession() as http,
        ):
            for path, location in (
                ("//evil.example/", "/evil.example/"),
                ("/%09/evil.example/", "/%09/evil.example/"),
                ("/%5Cevil.example/", "/%5Cevil.example/"),
                ("/stations/LU%2F2/", "/stations/LU%2F2/"),
                ("/x", "/x"),
                ("/", "/"),
            ):
                url = URL(f"http://127.0.0.1:{port}{path}?token=secret", encoded=True)
                async with http.get(url, allow_redirects=False) as answer:
                    assert (answer.status, answer.headers["Location"]) == (303, location)
