"""The test central system, asked by the ``ocpp`` package's own station side and by raw frames."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result

from agent.csms import central_system as csms
from agent.csms.central_system import Central, Options, open_central
from agent.csms.operator_console import run_line
from agent.model.types import AuthorizationStatus, Verdict
from tests.support.busy_machine import stretched

T0, T1, T2 = "2026-11-25T10:00:00Z", "2026-11-25T10:05:00Z", "2026-11-25T10:10:00Z"


class StationUnderTest(ChargePoint):
    """A station by the ``ocpp`` package that accepts a remote start."""

    @on("RemoteStartTransaction")
    def remote_start(self, id_tag: str, **rest: Any) -> Any:
        self.asked = {"id_tag": id_tag, **rest}
        return call_result.RemoteStartTransaction(status="Accepted")


@contextlib.asynccontextmanager
async def station(central: Central, station_id: str = "CP-1", **connect: Any) -> AsyncIterator[StationUnderTest]:
    url = f"ws://127.0.0.1:{central.port}/{quote(station_id, safe='')}"
    async with websockets.connect(url, subprotocols=["ocpp1.6"], proxy=None, **connect) as connection:
        point = StationUnderTest(station_id, connection, response_timeout=stretched(10))
        receiving = asyncio.create_task(point.start())
        yield point
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


@contextlib.asynccontextmanager
async def raw(central: Central, **connect: Any) -> AsyncIterator[Any]:
    url = f"ws://127.0.0.1:{central.port}/RAW"
    async with websockets.connect(url, **{"subprotocols": ["ocpp1.6"], "proxy": None, **connect}) as connection:
        yield connection


def running(**options: Any) -> contextlib.AbstractAsyncContextManager[Central]:
    return open_central(Options(port=0, quiet=True, **options))


async def get(central: Central, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    def fetch() -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{central.port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=stretched(10)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    return await asyncio.to_thread(fetch)


async def command(central: Central, wish: Any, **headers: str) -> tuple[int, str]:
    """``wish``: the body, as JSON unless it is bytes."""
    body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
    return await get(central, "/command", body, **{"Content-Type": "application/json", **headers})


def start_message(connector: int = 1, wh: int = 100, at: str = T0) -> Any:
    return call.StartTransaction(connector_id=connector, id_tag="04A1B2C3", meter_start=wh, timestamp=at)


def kinds(central: Central) -> list[str]:
    return [v.kind for v in central.ledger.violations]


async def test_boot_is_accepted_with_the_interval_and_counted() -> None:
    async with running(interval_s=77) as central, station(central, "CP/1 ü") as point:
        answer = await point.call(call.BootNotification(charge_point_model="M", charge_point_vendor="V"))
        assert (answer.status, answer.interval) == ("Accepted", 77)
        record = central.ledger.stations["CP/1 ü"]
        assert (record.boots, record.boot["chargePointModel"]) == (1, "M")


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("04A1B2C3", {"status": "Accepted"}),
        ("BAD1", {"status": "Invalid"}),
        ("dead00", {"status": "Invalid"}),
        ("B10C0001", {"status": "Blocked"}),
        ("E80001", {"status": "Expired"}),
        ("F1EE70001", {"status": "Accepted", "parent_id_tag": "F1EE7"}),
    ],
)
async def test_a_token_says_by_its_beginning_what_becomes_of_it(token: str, expected: dict[str, str]) -> None:
    async with running() as central, station(central) as point:
        assert (await point.call(call.Authorize(id_tag=token))).id_tag_info == expected


async def test_with_a_table_unknown_tokens_are_invalid_unless_all_are_accepted() -> None:
    table = {"BAD7": Verdict(AuthorizationStatus.ACCEPTED), "X": Verdict(AuthorizationStatus.NO_CREDIT)}
    for accept_all, unknown in ((False, "Invalid"), (True, "Accepted")):
        async with running(tokens=table, accept_all=accept_all) as central, station(central) as point:
            tokens = ("BAD7", "X", "04FF")
            statuses = [(await point.call(call.Authorize(id_tag=t))).id_tag_info["status"] for t in tokens]
            assert statuses == ["Accepted", "Invalid", unknown]


async def test_what_a_station_has_sent_before_it_closed_is_read() -> None:
    """A station that restarts sends a status, its answer to the Reset and the close frame. The answer to the status
    comes too late; that to the Reset is there."""
    async with running() as central, raw(central) as connection:
        await connection.send(
            json.dumps([2, "a", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}])
        )
        await connection.recv()
        reset = asyncio.create_task(central.send_command("RAW", "Reset", {"type": "Soft"}))
        asked = json.loads(await connection.recv())
        status = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
        for frame in ([2, "b", "StatusNotification", status], [3, asked[1], {"status": "Accepted"}]):
            connection.protocol.send_text(json.dumps(frame).encode())
        connection.protocol.send_close(1000)
        connection.transport.write(b"".join(connection.protocol.data_to_send()))
        assert await reset == {"status": "Accepted"}
        assert central.ledger.station_record("RAW").statuses


async def test_a_start_sent_again_is_the_same_transaction() -> None:
    async with running() as central, station(central) as point:
        first = await point.call(start_message(), unique_id="a")
        same_message = await point.call(start_message(), unique_id="a")
        same_facts = await point.call(start_message(), unique_id="b")
        other = await point.call(start_message(connector=2), unique_id="c")
        ids = [m.transaction_id for m in (first, same_message, same_facts, other)]
        assert ids[0] == ids[1] == ids[2] != ids[3]
        assert central.ledger.transactions[ids[0]].repeats == 2
        assert kinds(central) == []


async def test_a_whole_session_is_one_bill(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    async with running(journal=journal) as central, station(central) as point:
        tx = (await point.call(start_message())).transaction_id
        sample = {
            "timestamp": T1,
            "sampledValue": [{"value": "0.4", "unit": "kWh"}, {"value": "7", "measurand": "SoC"}],
        }
        await point.call(call.MeterValues(connector_id=1, transaction_id=tx, meter_value=[sample]))
        stop = call.StopTransaction(meter_stop=912, timestamp=T2, transaction_id=tx, reason="Local", id_tag="04A1B2C3")
        await point.call(stop)
        await point.call(stop)  # its answer may have been lost
        bill = json.loads((await get(central, "/ledger.json"))[1])["transactions"][0]
    assert bill["energy_wh"] == 812
    assert (bill["readings"], bill["last_wh"], bill["repeats"], bill["reason"]) == (1, 400, 1, "Local")
    written = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [f["kind"] for f in written] == ["start", "meter", "stop"]
    assert written[-1]["energy_wh"] == 812


async def test_a_restarted_central_system_knows_its_bills(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    async with running(journal=journal) as central, station(central) as point:
        tx = (await point.call(start_message(), unique_id="a")).transaction_id
        await point.call(call.StopTransaction(meter_stop=1, timestamp=T2, transaction_id=9))
        before = central.ledger.as_json()
    with journal.open("a") as file:
        file.write('{"t":1,"kind":"st')  # torn by a power cut
    async with running(journal=journal) as central, station(central) as point:
        assert central.ledger.as_json()["transactions"] == before["transactions"]
        assert central.ledger.as_json()["violations"] == before["violations"]
        assert (await point.call(start_message(), unique_id="x")).transaction_id == tx
        assert (await point.call(start_message(connector=2))).transaction_id == tx + 1


async def test_what_a_station_must_not_do_is_written_down() -> None:
    async with running() as central, station(central) as point:
        tx = (await point.call(start_message())).transaction_id

        async def meter(wh: str, at: str, transaction_id: int | None = tx) -> None:
            value = [{"timestamp": at, "sampledValue": [{"value": wh}]}]
            await point.call(call.MeterValues(connector_id=1, meter_value=value, transaction_id=transaction_id))

        async def stop(wh: int, transaction_id: int) -> None:
            await point.call(call.StopTransaction(meter_stop=wh, timestamp=T2, transaction_id=transaction_id))

        expected = []
        for wrong, kind in (
            (meter("50", T1), "register"),
            (meter("60", T0), "order"),
            (meter("60", T1, 77), "orphan"),
            (meter("many", T1), "schema"),
            (meter("60", "yesterday"), "timestamp"),
            (point.call(start_message(wh=101)), "overlap"),
            (stop(200, 4711), "orphan"),
        ):
            await wrong
            expected.append(kind)
            assert kinds(central) == expected
        await stop(200, tx)
        await stop(201, tx)
        assert kinds(central) == [*expected, "doubled"]


async def test_a_message_against_the_schema_is_refused_and_written_down() -> None:
    async with running() as central, raw(central) as wire:
        await wire.send(json.dumps([2, "1", "BootNotification", {"chargePointModel": "M"}]))
        answer = json.loads(await wire.recv())
        assert answer[:2] == [4, "1"]
        await wire.send(json.dumps([2, "2", "MakeCoffee", {}]))
        assert json.loads(await wire.recv())[:3] == [4, "2", "NotSupported"]
        assert kinds(central) == ["schema", "schema"]
        assert "chargePointVendor" in central.ledger.violations[0].text


@pytest.mark.parametrize(
    "garbage", ["{", "null", "[]", "[2]", '[9,"1"]', '[2,"1","Heartbeat"]', '[2,"1",{},{}]', "[" * 9999, b"\xff\xfe"]
)
async def test_garbage_is_written_down_and_the_link_lives_on(garbage: str | bytes) -> None:
    async with running() as central, raw(central) as wire:
        await wire.send(garbage)
        await wire.send(json.dumps([2, "h", "Heartbeat", {}]))
        assert json.loads(await wire.recv())[:2] == [3, "h"]
        assert kinds(central) == ["garbage"]


async def test_a_command_brings_the_stations_answer() -> None:
    async with running() as central, station(central) as point:
        wish = {
            "station": "CP-1",
            "action": "RemoteStartTransaction",
            "payload": {"idTag": "04A1", "connectorId": 1},
        }
        assert await command(central, wish) == (200, '{"status": "Accepted"}')
        assert point.asked == {"id_tag": "04A1", "connector_id": 1}
        line = '{"station": "CP-1", "action": "RemoteStartTransaction", "payload": {"idTag": "04A2"}}'
        assert await run_line(central, line) == {"status": "Accepted"}


async def test_a_refusing_station_is_quoted_and_a_silent_one_is_named() -> None:
    async with running() as central, station(central):
        status, body = await command(central, {"station": "CP-1", "action": "ClearCache"})
        assert (status, json.loads(body)["error"]) == (200, "NotImplemented")
    async with running(answer_within_s=0.2) as central, raw(central):
        assert (await command(central, {"station": "RAW", "action": "ClearCache"}))[0] == 504


async def test_an_answer_against_the_schema_is_written_down() -> None:
    async with running() as central, raw(central) as wire:
        asking = asyncio.create_task(command(central, {"station": "RAW", "action": "ClearCache"}))
        _, message_id, action, payload = json.loads(await wire.recv())
        assert (action, payload) == ("ClearCache", {})
        await wire.send(json.dumps([3, message_id, {"status": "Perhaps"}]))
        assert "Perhaps" in json.loads((await asking)[1])["description"]
        assert kinds(central) == ["schema"]


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"station": "UNKNOWN", "action": "Reset"}, 409),
        ({"station": "CP-1"}, 400),
        ({"station": "CP-1", "action": "MakeCoffee"}, 400),
        (b"{", 400),
        (b"[" * 5000, 400),
        ([], 400),
        ({"station": ["CP-1"], "action": "Reset"}, 400),
        ({"station": "CP-1", "action": ["Reset"]}, 400),
        ({"station": "CP-1", "action": "Reset", "payload": []}, 400),
        ({"station": "CP-1", "action": "Reset", "payload": {"kind": "Soft"}}, 400),
        ({"station": "CP-1", "action": "Reset", "payload": {"type": "Sideways"}}, 400),
    ],
)
async def test_a_wrong_command_says_what_is_wrong(wish: Any, status: int) -> None:
    async with running() as central, station(central):
        got, body = await command(central, wish)
        assert got == status
        assert json.loads(body)["error"]


async def test_the_page_shows_stations_and_bills_and_escapes() -> None:
    async with running() as central, station(central, "<b>CP") as point:
        await point.call(start_message())
        await point.call(call.StatusNotification(connector_id=1, error_code="NoError", status="Charging"))
        status, body = await get(central, "/")
        assert status == 200
        assert "&lt;b&gt;CP" in body
        assert "Charging NoError" in body
        assert (await get(central, "/nothing"))[0] == 404


@pytest.mark.parametrize("login", [None, "CP-1:wrong", "CP-2:secret", "CP-1"])
async def test_a_wrong_password_is_refused(login: str | None) -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}
    async with running(passwords={"CP-1": "secret", "CP-2": "other"}) as central:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with station(central, additional_headers=headers):
                pass
        assert refused.value.response.status_code == 401
        right = {"Authorization": "Basic " + base64.b64encode(b"CP-1:secret").decode()}
        async with station(central, additional_headers=right) as point:
            assert (await point.call(call.Heartbeat())).current_time


async def test_without_a_common_version_the_connection_is_closed() -> None:
    async with running() as central, raw(central, subprotocols=["ocpp1.2"]) as wire:
        assert wire.subprotocol is None
        with pytest.raises(websockets.ConnectionClosedError):
            await wire.recv()
        assert kinds(central) == ["subprotocol"]


async def test_a_newer_connection_replaces_the_older_one() -> None:
    async with running() as central, station(central) as old, station(central) as new:
        assert (await new.call(call.Heartbeat())).current_time
        await asyncio.wait_for(old._connection.wait_closed(), stretched(5))
        wish = {"station": "CP-1", "action": "RemoteStartTransaction", "payload": {"idTag": "A"}}
        assert (await command(central, wish))[0] == 200
        assert new.asked == {"id_tag": "A"}


def test_the_command_line_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    csms.add_arguments(parser)
    assert csms.main(parser.parse_args(["--password", "secret"])) == 2
    assert csms.main(parser.parse_args(["--token", "04=Maybe"])) == 2
    complaints = capsys.readouterr().err
    assert "STATION=PASSWORD" in complaints
    assert "Maybe" in complaints
    args = ["--token", "04=Blocked", "--token", "05=Accepted:G", "--password", "A=b=c"]
    options = csms.options_of(parser.parse_args(args))
    assert options.tokens["05"] == Verdict(AuthorizationStatus.ACCEPTED, "G")
    assert options.passwords == {"A": "b=c"}


SPAWN = "import argparse,sys;from agent.csms import central_system as c;p=argparse.ArgumentParser();"
SPAWN += "c.add_arguments(p);sys.exit(c.main(p.parse_args()))"


def spawn(stdin: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SPAWN, "--port", "0", "--quiet"],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("stdin", ["pipe", "null"])
async def test_sigterm_ends_it_with_a_station_on_the_line(stdin: str) -> None:
    child = spawn(subprocess.PIPE if stdin == "pipe" else subprocess.DEVNULL)
    try:
        assert child.stdout is not None
        said = await asyncio.to_thread(child.stdout.readline)
        port = int(said.split("ws://127.0.0.1:")[1].split("/")[0])
        async with websockets.connect(f"ws://127.0.0.1:{port}/CP", subprotocols=["ocpp1.6"], proxy=None):
            if child.stdin:
                child.stdin.write('{"station": "UNKNOWN", "action": "Reset"}\n')
                child.stdin.flush()
                answer = json.loads(await asyncio.to_thread(child.stdout.readline))
                assert "UNKNOWN" in answer["error"]
            child.send_signal(signal.SIGTERM)
            # the server's own default would wait for 10 s
            assert await asyncio.to_thread(child.wait, stretched(5)) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""
    finally:
        child.kill()
        child.communicate()
