"""Each deviation on real WebSockets: what the station sends, and what the backend and the station get."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus

from agent.cli import main
from agent.station_file.settings import load_station_file
from agent.station_file.tables import MISBEHAVIOURS
from drivers.sim.misbehaviour import kinds
from drivers.sim.misbehaviour.kinds import KINDS
from drivers.sim.misbehaviour.messages import BackendClock
from drivers.sim.misbehaviour.proxy import MisbehavingProxy, misbehaviour_problem, open_misbehaving_proxy, without_tls
from tests.support.busy_machine import deadline

AT, LATER = "2026-11-28T10:00:00.000Z", "2026-11-28T10:00:30.000Z"
ACCEPTED = {"status": "Accepted"}
FREE = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
START = {"connectorId": 1, "idTag": "04A1B2C3", "meterStart": 1000, "timestamp": AT}
STOP = {"transactionId": 7, "idTag": "04A1B2C3", "meterStop": 1500, "timestamp": LATER}


def reading(value: str, at: str = AT) -> dict[str, Any]:
    sample = {"timestamp": at, "sampledValue": [{"value": value, "context": "Sample.Periodic"}]}
    return {"connectorId": 1, "transactionId": 7, "meterValue": [sample]}


class Site:
    """A station and a backend in the hands of the test, and the proxy between them."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        """What the backend has received: requests as [action, payload], anything else as it is."""
        self.ids: list[str] = []
        self.answers: dict[str, Any] = {"StartTransaction": {"transactionId": 7, "idTagInfo": ACCEPTED}}
        self.backend: ServerConnection
        self.station: ClientConnection
        self.url = ""
        self.protocols: Any = []
        self._connected = asyncio.Event()
        self._calls = 0

    async def serve_station(self, connection: ServerConnection) -> None:
        self.backend = connection
        self._connected.set()
        async for raw in connection:
            try:
                message = json.loads(raw)
            except ValueError:
                self.received.append(str(raw))
                continue
            if message[0] != 2:
                self.received.append(message)
                continue
            self.received.append(message[2:])
            self.ids.append(message[1])
            await connection.send(json.dumps([3, message[1], self.answers.get(message[2], {})]))

    async def call(self, action: str, payload: dict[str, Any]) -> Any:
        """A request of the station. Returns the payload of the answer that it gets."""
        self._calls += 1
        await self.station.send(json.dumps([2, f"call-{self._calls}", action, payload]))
        kind, message_id, answer = json.loads(await self.station.recv())
        assert (kind, message_id) == (3, f"call-{self._calls}")
        return answer

    async def request(self, action: str, payload: dict[str, Any]) -> None:
        await self.backend.send(json.dumps([2, "request", action, payload]))

    async def until_received(self, count: int) -> list[Any]:
        async with deadline(20):
            while len(self.received) < count:
                await asyncio.sleep(0.01)
        return self.received

    async def connected(self) -> None:
        await self._connected.wait()


@contextlib.asynccontextmanager
async def misbehaving(*names: str, version: str = "1.6") -> AsyncIterator[Site]:
    site = Site()
    protocols: Any = [f"ocpp{version}"]
    async with serve(site.serve_station, "127.0.0.1", 0, subprotocols=protocols) as server, deadline(30):
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        clock = BackendClock()
        proxy = MisbehavingProxy(url, [KINDS[name](clock) for name in names], clock)
        async with proxy.open_proxy("127.0.0.1", 0):
            site.url, site.protocols = f"ws://127.0.0.1:{proxy.listening_port}/CP-1", protocols
            async with connect(site.url, subprotocols=protocols, proxy=None, close_timeout=1) as site.station:
                await site.connected()
                yield site


PLAYS: dict[str, tuple[list[tuple[str, dict[str, Any]]], list[Any]]] = {
    "clock_of_1970": (
        [("StartTransaction", START), ("StopTransaction", STOP)],
        [["StartTransaction", {**START, "timestamp": "1970-01-01T00:00:00.000Z"}],
         ["StopTransaction", {**STOP, "timestamp": "1970-01-01T00:00:30.000Z"}]],
    ),
    "wrong_clock": (
        [("StartTransaction", START)],
        [["StartTransaction", {**START, "timestamp": "2026-11-28T12:00:00.000Z"}]],
    ),
    "duplicate_start": ([("StartTransaction", START)], [["StartTransaction", START]] * 2),
    "duplicate_stop": ([("StopTransaction", STOP)], [["StopTransaction", STOP]] * 2),
    "stop_never_sent": (
        [("StopTransaction", STOP), ("StatusNotification", FREE)], [["StatusNotification", FREE]],
    ),
    "no_meter_values": ([("MeterValues", reading("1100")), ("StopTransaction", STOP)], [["StopTransaction", STOP]]),
    "out_of_order": (
        [("MeterValues", reading("1100")), ("StopTransaction", STOP)],
        [["StopTransaction", STOP], ["MeterValues", reading("1100")]],
    ),
    "frozen_meter": (
        [("MeterValues", reading("1100")), ("MeterValues", reading("1200", LATER))],
        [["MeterValues", reading("1100")], ["MeterValues", reading("1100", LATER)]],
    ),
    "meter_starts_at_zero": ([("StartTransaction", START)], [["StartTransaction", {**START, "meterStart": 0}]]),
    "lower_case_tags": (
        [("Authorize", {"idTag": "04A1B2C3"}), ("StartTransaction", START)],
        [["Authorize", {"idTag": "04a1b2c3"}], ["StartTransaction", {**START, "idTag": "04a1b2c3"}]],
    ),
    "invalid_words": ([("StatusNotification", FREE)], [["StatusNotification", {**FREE, "errorCode": "Unknown"}]]),
    "stuck_preparing": ([("StatusNotification", FREE)], [["StatusNotification", {**FREE, "status": "Preparing"}]]),
    "available_with_cable": (
        [("StatusNotification", {**FREE, "status": status}) for status in ("Finishing", "Charging")],
        [["StatusNotification", FREE], ["StatusNotification", {**FREE, "status": "Charging"}]],
    ),
    "no_file_status": (
        [("FirmwareStatusNotification", {"status": "Downloading"}), ("StatusNotification", FREE)],
        [["StatusNotification", FREE]],
    ),
    "repeats_file_status": (
        [("DiagnosticsStatusNotification", {"status": "Uploading"})],
        [["DiagnosticsStatusNotification", {"status": "Uploading"}]] * 20,
    ),
    "chatty": ([("StatusNotification", FREE)], [["StatusNotification", FREE]] * 3),
    "malformed_frames": (
        [("StatusNotification", FREE)], [["StatusNotification", FREE], '[2, "half", "StatusNotification", {"connec'],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PLAYS))
async def test_what_the_backend_receives_in_1_6(name: str) -> None:
    calls, expected = PLAYS[name]
    async with misbehaving(name) as site:
        for action, payload in calls:
            await site.call(action, payload)
        received = await site.until_received(len(expected))
    if name == "malformed_frames":
        assert received[1].startswith('[2, "half", "StatusNotification", {'), "and the rest is missing"
        with pytest.raises(ValueError, match=r"delimiter|value|Unterminated"):
            json.loads(received[1])
        expected = [expected[0], received[1]]
    assert received == expected
    assert len(set(site.ids)) == len(site.ids), "each request has a message id of its own"


def event(kind: str, number: int, **more: Any) -> dict[str, Any]:
    info = {"transactionId": "T1"}
    return {"eventType": kind, "timestamp": AT, "triggerReason": "Authorized", "seqNo": number, "transactionInfo": info,
            "evse": {"id": 1}, **more}  # fmt: skip


def event_reading(number: int, value: float, at: str = AT) -> dict[str, Any]:
    values = [{"timestamp": at, "sampledValue": [{"value": value}]}]
    return event("Updated", number, triggerReason="MeterValuePeriodic", meterValue=values)


TOKEN = {"idToken": "04A1B2C3", "type": "ISO14443"}
ENDED = event("Ended", 3, triggerReason="StopAuthorized")
AUTHORIZED = event("Updated", 2, idToken=TOKEN)
PLAYS_201: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "duplicate_start": ([event("Started", 0)], [event("Started", 0)] * 2),
    "duplicate_stop": ([ENDED], [ENDED] * 2),
    "stop_never_sent": ([ENDED, event("Started", 0)], [event("Started", 0)]),
    "stop_without_start": ([event("Started", 0, idToken=TOKEN), ENDED], [ENDED]),
    "no_meter_values": ([event_reading(1, 10.0), AUTHORIZED], [AUTHORIZED]),
    "out_of_order": ([event_reading(1, 10.0), ENDED], [ENDED, event_reading(1, 10.0)]),
    "frozen_meter": (
        [event_reading(1, 10.0), event_reading(2, 20.0, LATER)],
        [event_reading(1, 10.0), event_reading(2, 10.0, LATER)],
    ),
    "meter_starts_at_zero": (
        [event("Started", 0, meterValue=[{"timestamp": AT, "sampledValue": [{"value": 5.0}]}])],
        [event("Started", 0, meterValue=[{"timestamp": AT, "sampledValue": [{"value": 0}]}])],
    ),
    "lower_case_tags": (
        [event("Updated", 1, idToken=TOKEN)], [event("Updated", 1, idToken={**TOKEN, "idToken": "04a1b2c3"})],
    ),
    "wrong_clock": ([ENDED], [{**ENDED, "timestamp": "2026-11-28T12:00:00.000Z"}]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PLAYS_201))
async def test_what_the_backend_receives_in_2_0_1(name: str) -> None:
    calls, expected = PLAYS_201[name]
    async with misbehaving(name, version="2.0.1") as site:
        for payload in calls:
            await site.call("TransactionEvent", payload)
        received = await site.until_received(len(expected))
    assert received == [["TransactionEvent", payload] for payload in expected]


async def test_a_stop_without_its_start_has_no_number() -> None:
    async with misbehaving("stop_without_start") as site:
        first = await site.call("StartTransaction", START)
        second = await site.call("StartTransaction", START)
        assert first["idTagInfo"] == ACCEPTED
        assert first["transactionId"] != second["transactionId"]
        for number in (first["transactionId"], 7):
            await site.call("StopTransaction", {**STOP, "transactionId": number})
        received = await site.until_received(2)
    assert [(action, payload["transactionId"]) for action, payload in received] == [
        ("StopTransaction", -1), ("StopTransaction", 7),
    ]  # fmt: skip


async def test_a_silent_station_answers_nothing_and_still_has_its_time() -> None:
    async with misbehaving("silent") as site:
        site.answers["BootNotification"] = {**ACCEPTED, "currentTime": "2030-01-01T00:00:00Z", "interval": 60}
        await site.call("BootNotification", {})
        await site.request("Reset", {"type": "Soft"})
        answer = await site.call("Heartbeat", {})
        await site.call("StatusNotification", FREE)
        received = await site.until_received(2)
    assert answer["currentTime"].startswith("2030-01-01T00:0")
    assert [action for action, _ in received] == ["BootNotification", "StatusNotification"], (
        "neither heartbeat nor answer"
    )


async def test_a_trigger_is_accepted_and_nothing_else_happens() -> None:
    async with misbehaving("trigger_without_message") as site:
        await site.request("TriggerMessage", {"requestedMessage": "MeterValues"})
        assert await site.until_received(1) == [[3, "request", ACCEPTED]]
        await site.request("Reset", {"type": "Soft"})
        assert json.loads(await site.station.recv())[2] == "Reset", "the trigger did not reach the agent"


@pytest.mark.parametrize(("delay_s", "answered"), [(3600.0, []), (0.01, [[3, "request", ACCEPTED]])])
async def test_answers_are_late(monkeypatch: pytest.MonkeyPatch, delay_s: float, answered: list[Any]) -> None:
    monkeypatch.setattr(kinds.AnswersLate, "answer_delay_s", delay_s)
    async with misbehaving("answers_late") as site:
        await site.request("Reset", {"type": "Soft"})
        await site.station.recv()
        await site.station.send('[3,"request",{"status":"Accepted"}]')
        await site.call("StatusNotification", FREE)
        received = await site.until_received(1 + len(answered))
    assert [m for m in received if m[0] == 3] == answered
    assert ["StatusNotification", FREE] in received, "what the station sends itself is in time"


async def test_a_boot_that_was_rejected_is_ignored() -> None:
    async with misbehaving("ignores_boot_answer") as site:
        site.answers["BootNotification"] = {"status": "Rejected", "currentTime": AT, "interval": 60}
        assert (await site.call("BootNotification", {}))["status"] == "Accepted"


async def test_a_chatty_station_and_answers_that_were_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds.Chatty, "period_s", 0.02)
    monkeypatch.setattr(kinds.AnswersUnasked, "period_s", 0.02)
    async with misbehaving("chatty", "answers_unasked") as site:
        site.answers["BootNotification"] = {**ACCEPTED, "currentTime": AT, "interval": 300}
        await site.call("BootNotification", {})
        async with deadline(20):
            while (
                sum(m == ["Heartbeat", {}] for m in site.received) < 3
                or [3, "unasked-2", ACCEPTED] not in site.received
            ):
                await asyncio.sleep(0.01)


async def test_message_ids_come_again_and_each_answer_finds_its_request() -> None:
    async with misbehaving("repeated_message_ids") as site:
        for number in range(4):
            site.answers["Authorize"] = {"idTagInfo": ACCEPTED, "number": number}
            assert (await site.call("Authorize", {"idTag": "A"}))["number"] == number
    assert site.ids == ["1", "2", "3", "1"]


async def test_a_station_that_does_not_connect_again() -> None:
    async with misbehaving("never_reconnects") as site:
        await site.call("StatusNotification", FREE)
        await site.backend.close(1001, "going away")
        await site.station.wait_closed()
        with pytest.raises(InvalidStatus) as refused:
            await connect(site.url, subprotocols=site.protocols, proxy=None)
    assert refused.value.response.status_code == 503
    assert len(site.received) == 1


@pytest.mark.parametrize(("name", "sent", "received"), [
    ("stuck_preparing", "Available", "Occupied"), ("available_with_cable", "Occupied", "Available"),
])  # fmt: skip
async def test_statuses_of_2_x(name: str, sent: str, received: str) -> None:
    async with misbehaving(name, version="2.0.1") as site:
        await site.call("StatusNotification", {"timestamp": AT, "connectorStatus": sent, "evseId": 1, "connectorId": 1})
        assert [payload["connectorStatus"] for _, payload in await site.until_received(1)] == [received]


async def test_several_deviations_work_together() -> None:
    async with misbehaving("out_of_order", "frozen_meter", "duplicate_stop", "wrong_clock") as site:
        for value, at in (("1100", AT), ("1200", LATER)):
            await site.call("MeterValues", reading(value, at))
        await site.call("StopTransaction", STOP)
        received = await site.until_received(4)
    late = "2026-11-28T12:00:30.000Z"
    assert [action for action, _ in received] == ["StopTransaction", "StopTransaction", "MeterValues", "MeterValues"]
    assert received[1] == ["StopTransaction", {**STOP, "timestamp": late}]
    assert received[3] == ["MeterValues", reading("1100", late)]


async def test_what_the_station_does_not_change_passes_both_ways_with_its_errors() -> None:
    async with misbehaving("stuck_preparing") as site:
        await site.request("Reset", {"type": "Soft"})
        assert json.loads(await site.station.recv()) == [2, "request", "Reset", {"type": "Soft"}]
        await site.station.send('[4,"request","InternalError","",{}]')
        assert await site.until_received(1) == [[4, "request", "InternalError", "", {}]]
        await site.backend.close(1001, "going away")
        await site.station.wait_closed()


def test_every_deviation_has_a_name_a_text_and_a_test() -> None:
    assert tuple(sorted(MISBEHAVIOURS)) == tuple(sorted(KINDS)) == MISBEHAVIOURS
    assert all(kind.does and kind.seen for kind in KINDS.values())
    tested_alone = {
        "stop_without_start", "silent", "trigger_without_message", "answers_late", "answers_unasked",
        "ignores_boot_answer", "repeated_message_ids", "never_reconnects",
    }  # fmt: skip
    assert {*PLAYS, *tested_alone} == set(KINDS)


# --- the station file ------------------------------------------------------------------------------------------------

STATION = """
[station]
id = "CP-1"
[backend]
url = "{url}"
{backend}
[[evse]]
number = 1
[simulation]
misbehaviour = ["chatty"]
"""


def station(folder: Path, url: str = "ws://127.0.0.1:9", backend: str = "") -> Path:
    path = folder / "station.toml"
    path.write_text(STATION.format(url=url, backend=backend))
    return path


def test_a_real_station_never_misbehaves_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(station(tmp_path)), "--clock-rate", "1"]) == 2
    said = capsys.readouterr().err
    assert "[simulation] misbehaviour: only a simulated station (chargy-agent simulate) misbehaves on request" in said
    assert not (tmp_path / "state").exists(), "the store was not opened"


def test_a_bench_has_no_agent_that_could_misbehave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(station(tmp_path)), "--port", "0"]) == 2
    assert "[simulation] misbehaviour: belongs to simulate" in capsys.readouterr().err


@pytest.mark.parametrize(("url", "backend", "said"), [
    ("http://127.0.0.1:9", 'versions = ["1.5"]', "it is for OCPP-J"),
    ("wss://127.0.0.1:9", 'security_profile = 3\nclient_cert = "c.pem"\nclient_key = "k.pem"', "security profile 3"),
])  # fmt: skip
def test_what_the_proxy_cannot_do_is_refused(tmp_path: Path, url: str, backend: str, said: str) -> None:
    file = load_station_file(station(tmp_path, url=url, backend=backend))
    assert said in misbehaviour_problem(file, url)


async def test_the_proxy_takes_over_tls_and_the_address(tmp_path: Path) -> None:
    secured = 'security_profile = 2\npassword = "a-password-of-16"'
    file = load_station_file(station(tmp_path, url="wss://127.0.0.1:9/ocpp/CP-1", backend=secured))
    assert misbehaviour_problem(file, file.backends[0].url) == ""
    assert without_tls(file).backends[0].security_profile == 1
    async with open_misbehaving_proxy(file, file.backends[0].url, lambda: 1.0) as url:
        assert url.startswith("ws://127.0.0.1:")
