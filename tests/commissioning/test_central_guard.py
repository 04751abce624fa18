"""The test central system and the web pages of others: none of them commands a station or takes its place."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st
from ocpp.v16 import call

from agent.csms.central_system import Central
from agent.csms.http_post import BODY_MAX, HEAD_MAX
from agent.model.web_origin import host_name, is_foreign_origin, is_local_host
from tests.commissioning.test_central import command, get, running, station
from tests.support.busy_machine import stretched

START = {"station": "CP-1", "action": "RemoteStartTransaction", "payload": {"idTag": "04A1"}}


def own(central: Central) -> str:
    return f"127.0.0.1:{central.port}"


async def test_a_get_commands_nothing() -> None:
    """An image of a foreign page is a GET without an Origin."""
    async with running() as central, station(central) as point:
        path = "/command?station=CP-1&action=RemoteStartTransaction&payload=%7B%22idTag%22:%2204A1%22%7D"
        status, body = await get(central, path)
        assert (status, "POST" in json.loads(body)["error"]) == (405, True)
        assert not hasattr(point, "asked")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:9000", "Origin": "http://evil.example:9000"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_a_page_of_another_server_commands_nothing(headers: dict[str, str], status: int) -> None:
    async with running() as central, station(central) as point:
        assert (await command(central, START, **headers))[0] == status
        assert not hasattr(point, "asked")


async def test_a_page_of_this_server_and_a_script_may() -> None:
    async with running() as central, station(central) as point:
        for headers in ({}, {"Origin": f"http://{own(central)}"}, {"Content-Type": "application/json; charset=utf-8"}):
            point.asked = {}
            assert (await command(central, START, **headers))[0] == 200
            assert point.asked == {"id_tag": "04A1"}


@pytest.mark.parametrize("path", ["/", "/ledger.json"])
async def test_what_was_charged_is_not_shown_to_a_page_of_another_name(path: str) -> None:
    async with running() as central:
        assert (await get(central, path))[0] == 200
        assert (await get(central, path, Host="csms:9000"))[0] == 200  # a container's name
        assert (await get(central, path, Host="evil.example"))[0] == 403


@pytest.mark.parametrize("host", ["", "evil.example"])
async def test_a_foreign_pages_websocket_takes_no_stations_place(host: str) -> None:
    async with running() as central, station(central) as real:
        url = f"ws://{host or '127.0.0.1'}:{central.port}/CP-1"
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(
                url, subprotocols=["ocpp1.6"], proxy=None, origin=websockets.Origin(f"http://{host or 'evil.example'}"),
                host="127.0.0.1", port=central.port,
            )  # fmt: skip
        assert refused.value.response.status_code == 403
        assert (await real.call(call.Heartbeat())).current_time


async def test_a_station_may_know_this_machine_by_any_name() -> None:
    async with running() as central:
        connect: Any = {"host": "127.0.0.1", "port": central.port, "proxy": None, "subprotocols": ["ocpp1.6"]}
        async with websockets.connect("ws://csms.example.org/CP-1", **connect) as connection:
            assert connection.subprotocol == "ocpp1.6"
        same = websockets.Origin(f"http://{own(central)}")  # as some WebSocket clients of stations send it
        async with websockets.connect(f"ws://{own(central)}/CP-1", **connect, origin=same) as connection:
            assert connection.subprotocol == "ocpp1.6"


async def _said(central: Central, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", central.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    answer = await asyncio.wait_for(reader.read(), stretched(10))
    writer.close()
    return answer


@pytest.mark.parametrize("size", [1, 2, 7, 5000])
async def test_a_post_may_come_in_pieces(size: int) -> None:
    async with running() as central, station(central) as point:
        body = json.dumps(START).encode()
        head = f"POST /command HTTP/1.1\r\nHost: {own(central)}\r\nContent-Type: application/json\r\n"
        whole = (head + f"content-length: {len(body)}\r\n\r\n").encode() + body
        answer = await _said(central, *(whole[i : i + size] for i in range(0, len(whole), size)))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert point.asked == {"id_tag": "04A1"}


async def test_a_post_without_end_is_refused() -> None:
    async with running() as central:
        long = f"POST /command HTTP/1.1\r\nContent-Length: {BODY_MAX + 1}\r\n\r\n".encode()
        for request in (long, b"POST /command HTTP/1.1\r\nX: " + b"x" * (HEAD_MAX + 1)):
            assert (await _said(central, request)).startswith(b"HTTP/1.1 413 ")


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_header_is_judged(origin: str, host: str) -> None:
    assert is_foreign_origin(f"http://{host}.example", host)
    assert is_foreign_origin(origin, host) in (True, False)
    assert is_local_host(host) in (True, False)
    assert isinstance(host_name(host), str)
