"""A recording is played to backends that answer alike, otherwise, late or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from agent.commands.replay.recorded_conversation import load_recording
from agent.commands.replay.replay_outcome import DifferenceKind, ReplayOutcome
from agent.commands.replay.station_player import CannotReplay, ReplayRequest, StationPlayer, shift_instants
from agent.csms.central_system import Central, Options, open_central
from tests.replay.recorded_lines import CARD, TypedRecording, a_day
from tests.support.busy_machine import stretched

ACCEPTED = {"idTagInfo": {"status": "Accepted"}}


class ScriptedBackend:
    """Answers as its table says, and sends requests of its own. It shares nothing with what it tests but JSON.

    ``answers``: by action a payload, a function of the request, a whole CALLERROR as a list, or None: no answer.
    ``sends``: by action, what is sent after the answer to it.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "BootNotification": {"currentTime": "2027-01-01T00:00:00Z", "interval": 300, "status": "Accepted"},
            "Authorize": ACCEPTED,
            "StartTransaction": lambda payload: {"transactionId": 1000 + self.count("StartTransaction"), **ACCEPTED},
            "StopTransaction": ACCEPTED,
        }
        self.sends: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self.closes_after: str = ""
        self.received: list[Any] = []
        self.connections: list[tuple[str, str | None]] = []
        self.refuses = False
        self.connection: ServerConnection | None = None

    def count(self, action: str) -> int:
        return sum(m[0] == 2 and m[2] == action for m in self.received)

    def payloads(self, action: str) -> list[dict[str, Any]]:
        return [m[3] for m in self.received if m[0] == 2 and m[2] == action]

    async def serve_station(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.connection = connection
        self.connections.append((connection.request.path, connection.request.headers.get("Authorization")))
        async for raw in connection:
            message = json.loads(raw)
            self.received.append(message)
            if message[0] != 2:
                continue
            action = message[2]
            answer = self.answers.get(action, {})
            answer = answer(message[3]) if callable(answer) else answer
            if isinstance(answer, list):
                await connection.send(json.dumps([4, message[1], *answer]))
            elif answer is not None:
                await connection.send(json.dumps([3, message[1], answer]))
            for number, (request, payload) in enumerate(self.sends.get(action, [])):
                await connection.send(json.dumps([2, f"own-{len(self.received)}-{number}", request, payload]))
            if action == self.closes_after:
                await connection.close(1001, "going away")

    def check_request(self, connection: ServerConnection, request: Any) -> Any:
        return connection.respond(503, "not now\n") if self.refuses else None

    @contextlib.asynccontextmanager
    async def listening(self, protocol: str = "ocpp1.6") -> AsyncIterator[str]:
        protocols: Any = [protocol]
        async with serve(
            self.serve_station, "127.0.0.1", 0, subprotocols=protocols, process_request=self.check_request
        ) as server:
            yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ocpp"


async def play(made: TypedRecording, folder: Path, url: str, **more: Any) -> ReplayOutcome:
    options = {"patience_s": stretched(20.0), "request_wait_s": 0.2, **more}
    conversation = load_recording(made.save(folder))
    return await StationPlayer(conversation, ReplayRequest(url, conversation.station_id, **options)).play_conversation()


def found(outcome: ReplayOutcome) -> list[tuple[str, str, str, Any, Any]]:
    return [(str(d.kind), d.action, d.path, d.recorded, d.present) for d in outcome.list_differences()]


def backend_with_request() -> ScriptedBackend:
    """It sends what the recorded backend has sent."""
    backend = ScriptedBackend()
    backend.sends["StatusNotification"] = [("GetConfiguration", {"key": ["HeartbeatInterval"]})]
    return backend


async def test_a_backend_that_does_the_same_shows_no_difference(tmp_path: Path) -> None:
    backend = backend_with_request()
    async with backend.listening() as url:
        outcome = await play(a_day(), tmp_path, url, password="secret-1")
    assert found(outcome) == []
    assert not outcome.has_differences()
    assert (len(outcome.answers), outcome.requests_met, outcome.unplayed) == (10, 1, 0)
    assert [p["transactionId"] for p in backend.payloads("StopTransaction")] == [1001, 1002], "the numbers of now"
    assert [p["transactionId"] for p in backend.payloads("MeterValues")] == [1001, 1002]
    assert [m[2] for m in backend.received if m[0] == 3] == [{"configurationKey": []}], "the recorded answer"
    assert [path for path, _ in backend.connections] == ["/ocpp/CP-1"] * 2, "the link was lost once"
    assert {row["action"]: row["count"] for row in outcome.latency}["Authorize"] == 2
    assert all(login == "Basic Q1AtMTpzZWNyZXQtMQ==" for _, login in backend.connections)


async def test_each_other_answer_is_shown_with_its_path(tmp_path: Path) -> None:
    backend = backend_with_request()
    backend.answers["BootNotification"] = {**backend.answers["BootNotification"], "interval": 60}
    backend.answers["Authorize"] = {"idTagInfo": {"status": "Blocked"}}
    backend.answers["MeterValues"] = ["InternalError", "broken", {}]
    async with backend.listening() as url:
        outcome = await play(a_day(), tmp_path, url)
        ignoring = await play(a_day(), tmp_path, url, ignored=("BootNotification.interval", "Authorize.*"))
    boot, *others = found(outcome)
    assert boot == ("answer", "BootNotification", "interval", 300, 60)
    blocked = ("answer", "Authorize", "idTagInfo.status", "Accepted", "Blocked")
    failed = ("answer", "MeterValues", "", "an answer", "error InternalError")
    assert others == [blocked, failed] * 2
    assert found(ignoring) == [failed] * 2


async def test_requests_that_are_missing_added_or_other_than_recorded_are_shown(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    backend.sends["StatusNotification"] = [("GetConfiguration", {"key": ["ConnectionTimeOut"]})]
    backend.sends["BootNotification"] = [("TriggerMessage", {"requestedMessage": "StatusNotification"})]
    made = a_day()
    made.call("Reset", {"type": "Soft"}, {"status": "Accepted"}, from_station=False)
    async with backend.listening() as url:
        outcome = await play(made, tmp_path, url)
    assert found(outcome) == [
        ("request", "GetConfiguration", "key.0", "HeartbeatInterval", "ConnectionTimeOut"),
        ("request missing", "Reset", "", {"type": "Soft"}, None),
        ("request added", "TriggerMessage", "", None, {"requestedMessage": "StatusNotification"}),
    ]
    assert outcome.list_differences(answers_only=True) == []
    refused = [m for m in backend.received if m[0] == 4]
    assert [m[2] for m in refused] == ["NotImplemented"], "what the recorded station was not asked for"


async def test_a_command_has_the_backend_send_with_the_numbers_of_now(tmp_path: Path) -> None:
    made = TypedRecording()
    made.boot()
    made.session(41)
    made.call("RemoteStopTransaction", {"transactionId": 41}, {"status": "Rejected"}, from_station=False)
    asked = tmp_path / "asked"
    script = f"import os, sys; open({str(asked)!r} + '.new', 'w').write(' '.join(sys.argv[1:]));"
    script += f"os.replace({str(asked)!r} + '.new', {str(asked)!r})"
    backend = ScriptedBackend()

    async def send_when_asked() -> None:
        while not asked.exists():
            await asyncio.sleep(0.02)
        assert backend.connection is not None
        await backend.connection.send('[2,"own","RemoteStopTransaction",{"transactionId":1001}]')

    async with backend.listening() as url:
        sending = asyncio.create_task(send_when_asked())
        outcome = await play(made, tmp_path, url, backend_command=(sys.executable, "-c", script))
        await sending
    assert asked.read_text() == 'RemoteStopTransaction {"transactionId": 1001} CP-1'
    assert (found(outcome), outcome.requests_met) == ([], 1)
    assert [m[2] for m in backend.received if m[0] == 3] == [{"status": "Rejected"}]


async def test_a_command_that_fails_leaves_the_request_missing(tmp_path: Path) -> None:
    made = TypedRecording()
    made.boot()
    made.call("Reset", {"type": "Soft"}, {"status": "Accepted"}, from_station=False)
    async with ScriptedBackend().listening() as url:
        outcome = await play(made, tmp_path, url, backend_command=("false",))
    assert [d.kind for d in outcome.list_differences()] == [DifferenceKind.REQUEST_MISSING]


async def test_a_backend_that_is_silent_and_one_that_hangs_up(tmp_path: Path) -> None:
    silent = backend_with_request()
    silent.answers["Authorize"] = None
    made = TypedRecording()
    made.boot()
    made.session(41)
    async with silent.listening() as url:
        outcome = await play(made, tmp_path, url, patience_s=stretched(2.0))
    assert [(kind, action) for kind, action, *_ in found(outcome)] == [("no answer", "Authorize")]
    hanging = backend_with_request()
    hanging.answers["Authorize"], hanging.closes_after = None, "Authorize"
    async with hanging.listening() as url:
        outcome = await play(a_day(), tmp_path, url)
    assert found(outcome) == [("connection", "Authorize", "", "a connection", "closed by the backend (1001)")] * 2
    assert len(hanging.connections) == 4, "it connects again for the next message, and after the link was lost"


async def test_a_backend_that_cannot_be_used_at_the_beginning_or_later(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    backend.refuses = True
    async with backend.listening() as url:
        with pytest.raises(CannotReplay, match="refuses CP-1: HTTP 503"):
            await play(a_day(), tmp_path, url)
        other = TypedRecording(version="2.0.1")
        other.boot()
        backend.refuses = False
        with pytest.raises(CannotReplay, match=r"does not speak OCPP 2\.0\.1|HTTP 400"):
            await play(other, tmp_path, url)
        backend.closes_after = "Authorize"
        backend.answers["Authorize"] = lambda payload: setattr(backend, "refuses", True)
        outcome = await play(a_day(), tmp_path, url)
    assert [kind for kind, *_ in found(outcome)][:2] == ["connection", "connection"]
    assert outcome.unplayed == 7
    with pytest.raises(CannotReplay, match="cannot be reached"):
        await play(a_day(), tmp_path, url)


async def test_a_profile_for_the_new_transaction_may_come_with_its_number(tmp_path: Path) -> None:
    """It was taken for another profile: the number was learned after the frame that follows the answer."""
    profile = {"connectorId": 1, "csChargingProfiles": {"transactionId": 41}}
    made = TypedRecording()
    made.boot()
    made.session(41)
    made.call("SetChargingProfile", profile, {"status": "Accepted"}, from_station=False)
    backend = ScriptedBackend()
    profile_now = {"connectorId": 1, "csChargingProfiles": {"transactionId": 1001}}
    backend.sends["StartTransaction"] = [("SetChargingProfile", profile_now)]
    async with backend.listening() as url:
        outcome = await play(made, tmp_path, url)
    assert found(outcome) == []
    assert outcome.requests_met == 1


async def test_transactions_of_2_x_keep_their_ids_unless_new_ones_are_asked_for(tmp_path: Path) -> None:
    made = TypedRecording(version="2.0.1")
    for number, kind in enumerate(("Started", "Ended")):
        made.call(
            "TransactionEvent", {"eventType": kind, "seqNo": number, "transactionInfo": {"transactionId": "T1"}}, {}
        )
    backend = ScriptedBackend()
    async with backend.listening("ocpp2.0.1") as url:
        for new_ids in (False, True):
            assert found(await play(made, tmp_path, url, new_ids=new_ids)) == []
    ids = [p["transactionInfo"]["transactionId"] for p in backend.payloads("TransactionEvent")]
    assert ids[:2] == ["T1", "T1"]
    assert ids[2] == ids[3] != "T1"


async def test_the_speed_decides_how_long_it_takes_and_times_may_be_moved(tmp_path: Path) -> None:
    made = TypedRecording()
    made.boot()
    made.now_s += 100.0
    made.call("Heartbeat", {}, {"currentTime": "2026-11-28T10:03:22Z"})
    began_s = time.monotonic()
    backend = ScriptedBackend()
    async with backend.listening() as url:
        await play(made, tmp_path, url, speed=200.0)
        took_s = time.monotonic() - began_s
        made.session(41)
        await play(made, tmp_path, url, shift_times=True)
    assert took_s >= 101.0 / 200.0
    moved = backend.payloads("StartTransaction")[0]["timestamp"]
    assert moved != made.instant()
    assert abs(time.time() - instant_s(moved)) < 400.0


def instant_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_an_instant_is_moved_and_nothing_else() -> None:
    text = '[2,"1","A",{"at":"2026-11-28T10:00:00Z","end":"2026-11-28T23:59:59.5+01:00","id":"2026-11-28"}]'
    moved = '[2,"1","A",{"at":"2026-11-28T11:00:00.000Z","end":"2026-11-29T00:59:59.500+01:00","id":"2026-11-28"}]'
    assert shift_instants(text, 3600.0) == moved


# --- with the independent central system -----------------------------------------------------------------------------


def books(central: Central) -> list[dict[str, Any]]:
    """The bills, without what depends on the moment."""
    return [t.as_json() for t in central.ledger.transactions.values()]


@contextlib.asynccontextmanager
async def central_system(**options: Any) -> AsyncIterator[tuple[Central, str]]:
    async with open_central(Options(port=0, quiet=True, **options)) as central:
        yield central, f"ws://127.0.0.1:{central.port}"


async def test_two_replays_of_a_typed_day_have_the_same_books(tmp_path: Path) -> None:
    found_books: list[list[dict[str, Any]]] = []
    for _ in range(2):
        async with central_system() as (central, url):
            outcome = await play(a_day(), tmp_path, url)
            assert outcome.list_differences(answers_only=True) == []
            assert central.ledger.violations == []
            found_books.append(books(central))
    assert found_books[0] == found_books[1]
    bills = [(t["id_tag"], t["meter_start_wh"], t["meter_stop_wh"], t["reason"]) for t in found_books[0]]
    assert bills == [(CARD, 1000, 1500, "Local"), (CARD, 1500, 2300, "Local")]
