"""Messages that are composed through the control API, over a real link between a station and a backend that are both
written here with the ``websockets`` package."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from agent.commands.replay.recorded_conversation import read_recorded_lines
from agent.desk import pictures
from agent.station_file.settings import load_station_file
from drivers.sim.control import Control
from drivers.sim.event_stream import ChangeFeed
from drivers.sim.http_server import serve_control_api
from drivers.sim.message_composer import KEPT, hide_secrets
from drivers.sim.runner import bind_listener
from drivers.sim.status_client import StatusClient
from drivers.sim.world import World
from tests.scenarios.control_rig import Simulation, simulated, wait_for, write_station
from tests.support.busy_machine import Deadline, deadline
from tests.support.hosted_station import host_single_station
from tests.support.picture_judge import complaints

STATUS = {"connectorId": 1, "errorCode": "GroundFailure", "status": "Faulted"}


class Desk:
    """A station without an agent, whose link is used by a station and a backend of this test."""

    def __init__(self, control: Control, http: aiohttp.ClientSession) -> None:
        self.control, self.http = control, http
        self.station: ClientConnection
        self.backend: ServerConnection

    async def compose(self, sender: str, action: str, payload: Any = None, **more: Any) -> tuple[int, str]:
        return await self.post({"sender": sender, "action": action, "payload": payload or {}, **more})

    async def post(self, body: Any) -> tuple[int, str]:
        async with self.http.post("/api/v1/composer", json=body) as answer:
            return answer.status, await answer.text()

    async def get(self, path: str) -> Any:
        async with self.http.get(f"/api/v1/{path}") as answer:
            return await answer.json()

    async def newest(self) -> Any:
        picture = await self.get("composer")
        assert complaints(pictures.ComposerPicture, picture) == []
        return picture["messages"][-1]

    async def answered(self, count: int = 1) -> Any:
        patience = Deadline(30)
        while len((message := await self.newest())["answers"]) < count:
            assert not patience.over, message
            await asyncio.sleep(0.01)
        return message

    def trace(self) -> list[Any]:
        return [(f["dir"], f["frame"]) for f in self.control.watch.trace.frames_since(0)]


@contextlib.asynccontextmanager
async def opened_desk(folder: Path, subprotocol: str = "ocpp1.6", path: str = "") -> AsyncIterator[Desk]:
    accepted: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def accept(connection: ServerConnection) -> None:
        accepted.put_nowait(connection)
        await connection.wait_closed()

    async with contextlib.AsyncExitStack() as stack:
        names = [Subprotocol(subprotocol)]
        server = await stack.enter_async_context(serve(accept, "127.0.0.1", 0, subprotocols=names))
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        status = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))) / "status"
        feed, listener = ChangeFeed(), stack.enter_context(contextlib.closing(bind_listener(0)))
        world = await stack.enter_async_context(
            World.open(load_station_file(write_station(folder, url)), backend_url=url, status_socket=status)
        )
        control = Control(world, StatusClient(status, feed.notify_change), feed, None, lambda step_s: None)
        await stack.enter_async_context(serve_control_api(host_single_station(control), listener, True))
        api = f"http://127.0.0.1:{listener.getsockname()[1]}"
        desk = Desk(control, await stack.enter_async_context(aiohttp.ClientSession(api)))
        assert world.devices.far_ends is not None
        port = world.devices.far_ends.link_proxies["backend"].port
        await stack.enter_async_context(deadline(120))
        desk.station = await stack.enter_async_context(connect(f"ws://127.0.0.1:{port}/CP-1", subprotocols=names))
        desk.backend = await accepted.get()
        yield desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened_desk(tmp_path) as desk:
        yield desk


async def test_a_request_for_the_station_is_answered_and_the_station_does_not_learn_of_it(desk: Desk) -> None:
    assert await desk.compose("station", "Authorize", {"idTag": "04A1"}) == (202, "")
    kind, message_id, action, payload = json.loads(await desk.backend.recv())
    assert (kind, action, payload) == (2, "Authorize", {"idTag": "04A1"})
    await desk.backend.send(json.dumps([3, message_id, {"idTagInfo": {"status": "Accepted"}}]))
    message = await desk.answered()
    assert (message["sender"], message["action"], message["version"]) == ("station", "Authorize", "1.6")
    assert [json.loads(a["text"]) for a in message["answers"]] == [
        [3, message_id, {"idTagInfo": {"status": "Accepted"}}]
    ]
    assert not message["answers"][0]["is_error"]
    await desk.backend.send('[2,"1","ClearCache",{}]')
    assert await desk.station.recv() == '[2,"1","ClearCache",{}]', "the answer was for nothing that it has asked"
    assert [direction for direction, _ in desk.trace()] == ["out", "in"]
    frames = desk.control.watch.trace.frames_since(0)
    assert [complaints(pictures.FramePicture, f) for f in frames] == [[], []]
    assert all(f["composed"] for f in frames)


async def test_a_request_for_the_backend_is_answered_and_the_backend_does_not_learn_of_it(desk: Desk) -> None:
    assert await desk.compose("backend", "Reset", {"type": "Soft"}, message_id="mine") == (202, "")
    assert json.loads(await desk.station.recv()) == [2, "mine", "Reset", {"type": "Soft"}]
    await desk.station.send('[4,"mine","NotSupported","",{}]')
    message = await desk.answered()
    assert (message["message_id"], message["answers"][0]["is_error"]) == ("mine", True)
    await desk.station.send('[2,"2","Heartbeat",{}]')
    assert await desk.backend.recv() == '[2,"2","Heartbeat",{}]'
    assert desk.trace() == [], "the agent reports what it receives and sends"


async def test_a_request_that_is_sent_twice_has_both_answers(desk: Desk) -> None:
    assert await desk.compose("station", "Heartbeat", malformed="duplicate_id") == (202, "")
    first, second = await desk.backend.recv(), await desk.backend.recv()
    assert first == second
    for _ in range(2):
        await desk.backend.send(json.dumps([3, json.loads(first)[1], {"currentTime": "2026-11-29T07:00:00Z"}]))
    assert (await desk.answered(2))["malformed"] == "duplicate_id"


@pytest.mark.parametrize("message_id", ["-1", ""])
async def test_an_error_that_could_not_read_the_id_belongs_to_the_broken_message(desk: Desk, message_id: str) -> None:
    assert await desk.compose("station", "Heartbeat", malformed="broken_json") == (202, "")
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(await desk.backend.recv())
    await desk.backend.send(json.dumps([4, message_id, "RpcFrameworkError", "", {}]))
    assert (await desk.answered())["answers"][0]["is_error"]


async def test_any_text_can_be_sent(desk: Desk) -> None:
    for text in ("no JSON at all \x07", '[2,"by-hand","Heartbeat",{}]'):
        assert await desk.post({"sender": "station", "text": text}) == (202, "")
        assert await desk.backend.recv() == text
    await desk.backend.send('[3,"by-hand",{}]')
    assert (await desk.answered())["action"] == "Heartbeat"


async def test_an_id_of_the_conversation_is_not_taken_from_the_station(desk: Desk) -> None:
    """Who sends a request of the station once more does not take away its answer."""
    frame = {"t": None, "dir": "out", "link": "backend", "version": "1.6", "frame": '[2,"7","Heartbeat",{}]'}
    desk.control.watch.trace.add_frame(frame)
    assert await desk.post({"sender": "station", "text": frame["frame"]}) == (202, "")
    await desk.backend.recv()
    await desk.backend.send('[3,"7",{"currentTime":"2026-11-29T07:00:00Z"}]')
    assert (await desk.station.recv()).startswith('[3,"7"')
    assert (await desk.newest())["answers"] == []


async def test_an_id_that_the_agent_waits_with_stays_its_own(desk: Desk) -> None:
    """Also for a request that is composed field by field. When it was answered, the id is free again."""
    frame = {"t": None, "dir": "out", "link": "backend", "version": "1.6", "frame": '[2,"7","Authorize",{}]'}
    answer = {**frame, "dir": "in", "frame": '[3,"7",{}]'}
    desk.control.watch.trace.add_frame(frame)
    assert await desk.compose("station", "Heartbeat", message_id="7") == (202, "")
    await desk.backend.recv()
    await desk.backend.send(answer["frame"])
    assert await desk.station.recv() == answer["frame"]
    assert (await desk.newest())["answers"] == []
    desk.control.watch.trace.add_frame(answer)
    assert await desk.compose("station", "Heartbeat", message_id="7") == (202, "")
    await desk.backend.recv()
    await desk.backend.send(answer["frame"])
    await desk.answered()


async def test_after_its_answer_an_id_belongs_to_the_backend_again(desk: Desk) -> None:
    assert await desk.post({"sender": "backend", "text": '[2,"7","Reset",{}]'}) == (202, "")
    assert await desk.station.recv() == '[2,"7","Reset",{}]'
    await desk.station.send('[3,"7",{"status":"Rejected"}]')
    await desk.answered()
    await desk.station.send('[3,"7",{"status":"Accepted"}]')
    assert await desk.backend.recv() == '[3,"7",{"status":"Accepted"}]'
    assert len((await desk.newest())["answers"]) == 1


@pytest.mark.parametrize("malformed", ["broken_json", "wrong_message_type"])
async def test_one_error_without_an_id_is_taken_out_for_a_broken_message(desk: Desk, malformed: str) -> None:
    for _ in range(2):
        assert await desk.compose("station", "Heartbeat", malformed=malformed) == (202, "")
        await desk.backend.recv()
    for message_id in ("-1", "", "-1", ""):
        await desk.backend.send(f'[4,"{message_id}","RpcFrameworkError","",{{}}]')
    assert [json.loads(await desk.station.recv())[1] for _ in range(2)] == ["-1", ""]
    messages = (await desk.get("composer"))["messages"]
    assert [len(message["answers"]) for message in messages] == [1, 1]


async def test_half_a_character_is_refused_and_the_connection_stays(desk: Desk) -> None:
    """JSON can escape it, and UTF-8 has no octets for it."""
    for body in (
        {"sender": "station", "action": "DataTransfer", "payload": {"vendorId": "\ud83d"}},
        {"sender": "station", "text": "\ud83d"},
    ):
        status, text = await desk.post(body)
        assert (status, "half a character" in text) == (400, True)
    assert await desk.compose("station", "DataTransfer", {"vendorId": "\U0001f50c"}) == (202, "")
    assert json.loads(await desk.backend.recv())[3] == {"vendorId": "\U0001f50c"}


async def test_half_a_character_of_a_far_side_stays_escaped_in_a_recording(desk: Desk) -> None:
    frame = {"t": None, "dir": "in", "link": "backend", "version": "1.6", "frame": '[2,"é","\ud83d",{}]'}
    desk.control.watch.trace.add_frame(frame)
    async with desk.http.get("/api/v1/conversation.jsonl") as answer:
        assert answer.status == 200
        assert r"[2,\"é\",\"\ud83d\",{}]" in await answer.text()


@pytest.mark.parametrize(
    "body",
    [
        {"action": "Heartbeat"},
        {"sender": "operator", "action": "Heartbeat"},
        {"sender": "station"},
        {"sender": "station", "action": "Heartbeat", "malformed": "rude"},
        {"sender": "station", "action": "Heartbeat", "message_id": "x" * 37},
        {"sender": "station", "action": "Heartbeat", "text": "x"},
        {"sender": "station", "text": ""},
    ],
)
async def test_a_wrong_body_is_refused(desk: Desk, body: Any) -> None:
    status, text = await desk.post(body)
    assert (status, list(json.loads(text))) == (400, ["error"])


async def test_without_a_connection_nothing_is_sent(desk: Desk) -> None:
    assert (await desk.get("composer"))["available"]
    await desk.station.close()
    patience = Deadline(30)
    while (picture := await desk.get("composer"))["available"]:
        assert not patience.over
        await asyncio.sleep(0.01)
    assert (picture["reason"], picture["version"]) == ("no_connection", None)
    status, text = await desk.compose("station", "Heartbeat")
    assert (status, "not connected" in text) == (409, True)


async def test_the_newest_messages_are_kept(desk: Desk) -> None:
    for n in range(KEPT + 5):
        assert (await desk.compose("station", "Heartbeat", message_id=f"id-{n}"))[0] == 202
        await desk.backend.recv()
    await desk.backend.send('[3,"id-2",{}]')
    assert await desk.station.recv() == '[3,"id-2",{}]', "too old to be known"
    assert (await desk.newest())["message_id"] == f"id-{KEPT + 4}"


async def test_the_forms_of_the_version_that_is_spoken(tmp_path: Path) -> None:
    async with opened_desk(tmp_path, "ocpp2.0.1") as desk:
        version = (await desk.get("composer"))["version"]
        actions = await desk.get(f"composer/{version}")
        assert complaints(pictures.ActionsPicture, actions) == []
        assert (actions["actions"]["SetVariables"], actions["actions"]["NotifyReport"]) == (["backend"], ["station"])
        form = await desk.get(f"composer/{version}/SetVariables")
        assert complaints(pictures.RequestForm, form) == []
        assert await desk.compose("backend", "SetVariables", form["example"]) == (202, "")
        assert json.loads(await desk.station.recv())[3] == form["example"]
        assert "error" in await desk.get("composer/1.5")
        assert "error" in await desk.get(f"composer/{version}/NoSuchAction")


async def test_secrets_are_not_shown(desk: Desk) -> None:
    secret = {"key": "AuthorizationKey", "value": "0123456789ABCDEF"}
    assert await desk.compose("backend", "ChangeConfiguration", secret) == (202, "")
    assert json.loads(await desk.station.recv())[3] == secret
    assert (await desk.newest())["text"] == "***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"location":"https://me:word@example.com/x"}', '{"location":"https://example.com/x"}'),
        ('{"location":"ftp://me:two words@10.0.0.1/x?sig=1"}', '{"location":"ftp://10.0.0.1/x?***"}'),
        ('{"location":"https://example.com/x"}', '{"location":"https://example.com/x"}'),
        ('{"key":"\\u0041uthorizationKey","value":"0123456789ABCDEF"}', "***"),
        ('{"location":"https://me:\\u0022@example.com/x"}', "***"),
        ('{"text":"caf\\u00e9"}', '{"text":"caf\\u00e9"}'),
    ],
)
def test_what_of_a_text_is_shown(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


def test_a_text_is_looked_through_in_a_time_that_grows_with_its_length() -> None:
    for part in ("://", "a://", "\\u003a//"):
        begin_s = time.process_time()
        hide_secrets('{"u":"' + part * 40_000)
        assert time.process_time() - begin_s < 2


async def test_the_conversation_is_a_recording_and_a_picture(desk: Desk) -> None:
    assert (await desk.http.get("/api/v1/conversation.svg")).status == 409
    assert await desk.compose("station", "Heartbeat", message_id="mine") == (202, "")
    await desk.backend.recv()
    await desk.backend.send('[3,"mine",{"currentTime":"2026-11-29T07:00:00Z"}]')
    await desk.answered()
    async with desk.http.get("/api/v1/conversation.jsonl") as answer:
        lines = (await answer.text()).splitlines()
    read = read_recorded_lines(lines, "", "conversation.jsonl")
    assert (read.station_id, [f.action for f in read.frames]) == ("CP-1", ["Heartbeat", "Heartbeat"])
    assert [f.from_station for f in read.frames] == [True, False]
    async with desk.http.get("/api/v1/conversation.svg") as answer:
        assert (answer.status, answer.content_type) == (200, "image/svg+xml")
        assert "Heartbeat" in await answer.text()


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 409)])
async def test_the_conversation_is_not_drawn_for_a_picture_in_a_foreign_page(
    desk: Desk, site: str, status: int
) -> None:
    """It would start a process. For the own page the answer is here that there is nothing to draw."""
    async with desk.http.get("/api/v1/conversation.svg", headers={"Sec-Fetch-Site": site}) as answer:
        assert answer.status == status


async def test_a_recorded_scenario_has_what_a_backend_can_send(desk: Desk) -> None:
    """What the station has not done itself, and what is wrong on purpose, is left out."""
    async with desk.http.post("/api/v1/recording", json={"action": "start"}) as answer:
        assert answer.status == 202
    assert await desk.compose("backend", "Reset", {"type": "Soft"}) == (202, "")
    assert await desk.compose("backend", "Reset", {"type": "Soft"}, malformed="wrong_type") == (202, "")
    assert await desk.compose("station", "StatusNotification", STATUS) == (202, "")
    secret = {"key": "AuthorizationKey", "value": "0123456789ABCDEF"}
    assert await desk.compose("backend", "ChangeConfiguration", secret) == (202, "")
    address = {"location": "ftp://me:word@example.com/x"}
    assert await desk.compose("backend", "GetDiagnostics", address) == (202, "")
    picture = await desk.get("recording")
    assert picture["deeds"] == 1
    assert tomllib.loads(picture["toml"])["steps"][0] == {"backend": "Reset", "payload": {"type": "Soft"}}
    assert [note.split(" ")[1] for note in picture["left_out"]] == ["/composer"] * 4
    assert picture["left_out"][2] == "POST /composer ChangeConfiguration"
    assert not any(hidden in json.dumps(picture) for hidden in ("0123456789ABCDEF", "word"))
    assert "Faulted" not in "".join(picture["steps"])


async def test_the_history_has_a_sample_of_each_outlet(desk: Desk) -> None:
    history = desk.control.tools.history
    for _ in range(3):
        history.take_sample()
    picture = await desk.get("history")
    assert complaints(pictures.HistoryPicture, picture) == []
    assert len(picture["t"]) == 3
    assert picture["evses"][0] == {"number": 1, "power_w": [0, 0, 0], "meter_wh": [5000, 5000, 5000]}
    assert [evse["number"] for evse in picture["evses"]] == [1, 2]


def composed(simulation: Simulation, body: Any) -> Any:
    """The message as it is shown with its answer."""
    known = len(simulation.get("composer")["messages"])
    assert simulation.post("composer", body) == 202
    return wait_for(
        lambda: next((m for m in simulation.get("composer")["messages"][known:] if m["answers"]), None), "an answer"
    )


def frames_about(simulation: Simulation, message_id: str) -> Any:
    def both() -> Any:
        found = [f for f in simulation.trace() if message_id in f["frame"]]
        return found if len(found) > 1 else None

    return wait_for(both, "request and answer in the trace")


def test_agent_and_central_system_answer_what_is_composed(tmp_path: Path) -> None:
    """Both as they are, and the trace has each frame once."""
    with simulated(str(write_station(tmp_path)), "--port", "0", "--ocpp", "2.0.1") as simulation:
        wait_for(lambda: simulation.get("composer")["available"], "a connection", 90)
        component = {"component": {"name": "ClockCtrlr"}, "variable": {"name": "DateTime"}}
        request = {"sender": "backend", "action": "GetVariables", "payload": {"getVariableData": [component]}}
        right = composed(simulation, request)
        assert json.loads(right["answers"][0]["text"])[2]["getVariableResult"][0]["attributeStatus"] == "Accepted"
        wrong = composed(simulation, {**request, "malformed": "wrong_type"})
        assert json.loads(wrong["answers"][0]["text"])[2] in ("TypeConstraintViolation", "FormatViolation")
        heartbeat = composed(simulation, {"sender": "station", "action": "Heartbeat"})
        assert "currentTime" in json.loads(heartbeat["answers"][0]["text"])[2]
        unknown = composed(simulation, {"sender": "station", "action": "Heartbeat", "malformed": "unknown_action"})
        assert unknown["answers"][0]["is_error"]
        for message in (right, wrong, heartbeat, unknown):
            about = frames_about(simulation, message["message_id"])
            sides = ["out", "in"] if message["sender"] == "station" else ["in", "out"]
            assert [f["dir"] for f in about] == sides, message
            assert [f.get("composed", False) for f in about] == [message["sender"] == "station"] * 2
