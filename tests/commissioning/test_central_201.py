"""The test central system on OCPP 2.0.1, asked by the ``ocpp`` package's own station side."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from ocpp.routing import on
from ocpp.v201 import ChargePoint, call, call_result

from agent.csms import central_system as csms
from agent.csms.central_system import Central
from tests.commissioning.test_central import T0, T1, T2, command, get, kinds, running
from tests.support.busy_machine import deadline, stretched

TX = "5d2f0a4e-1"
TOKEN = {"idToken": "04A1B2C3", "type": "ISO14443"}


class StationUnderTest(ChargePoint):
    """A station by the ``ocpp`` package; what it was asked last is in ``asked``."""

    @on("RequestStartTransaction")
    def remote_start(self, **asked: Any) -> Any:
        self.asked = asked
        return call_result.RequestStartTransaction(status="Accepted")

    @on("RequestStopTransaction")
    def remote_stop(self, **asked: Any) -> Any:
        self.asked = asked
        return call_result.RequestStopTransaction(status="Rejected")

    @on("Reset")
    def reset(self, **asked: Any) -> Any:
        self.asked = asked
        return call_result.Reset(status="Scheduled")

    @on("GetVariables")
    def get_variables(self, get_variable_data: list[dict[str, Any]]) -> Any:
        self.asked = {"get_variable_data": get_variable_data}
        return call_result.GetVariables(
            [{**d, "attribute_status": "Accepted", "attribute_value": "7"} for d in get_variable_data]
        )

    @on("SetVariables")
    def set_variables(self, set_variable_data: list[dict[str, Any]]) -> Any:
        names = ("component", "variable")
        return call_result.SetVariables(
            [{**{k: d[k] for k in names}, "attribute_status": "RebootRequired"} for d in set_variable_data]
        )

    @on("UnlockConnector")
    def unlock(self, **asked: Any) -> Any:
        return call_result.UnlockConnector(status="Unlocked")

    @on("TriggerMessage")
    def trigger(self, **asked: Any) -> Any:
        return call_result.TriggerMessage(status="NotImplemented")

    @on("ChangeAvailability")
    def availability(self, **asked: Any) -> Any:
        return call_result.ChangeAvailability(status="Accepted")


@contextlib.asynccontextmanager
async def station(central: Central, offers: tuple[str, ...] = ("ocpp2.0.1",)) -> AsyncIterator[StationUnderTest]:
    url: Any = f"ws://127.0.0.1:{central.port}/CP-1"
    async with websockets.connect(url, subprotocols=list(offers), proxy=None) as connection:  # type: ignore[arg-type]
        point = StationUnderTest("CP-1", connection, response_timeout=stretched(10))
        point.spoken = connection.subprotocol
        receiving = asyncio.create_task(point.start())
        yield point
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


def sample(wh: float | None, at: str, context: str = "Sample.Periodic", **more: Any) -> dict[str, Any]:
    return {"timestamp": at, "sampledValue": [{"value": wh, "context": context, **more}]}


def event(kind: str, seq_no: int, at: str, *samples: dict[str, Any], tx: str = TX, **more: Any) -> Any:
    info = {"transactionId": tx, **more.pop("info", {})}
    return call.TransactionEvent(
        event_type=kind, timestamp=at, trigger_reason="Authorized", seq_no=seq_no, transaction_info=info,
        meter_value=list(samples) or None, evse=more.pop("evse", {"id": 1, "connectorId": 1}), **more,
    )  # fmt: skip


async def test_a_boot_shows_what_it_is_and_in_which_version() -> None:
    async with running(interval_s=77) as central, station(central) as point:
        answer = await point.call(
            call.BootNotification(charging_station={"model": "M", "vendorName": "V"}, reason="PowerUp")
        )
        assert (answer.status, answer.interval) == ("Accepted", 77)
        record = central.ledger.stations["CP-1"]
        assert (record.version, record.boots, record.boot["chargingStation"]["vendorName"]) == ("2.0.1", 1, "V")
        await point.call(call.StatusNotification(timestamp=T0, connector_status="Occupied", evse_id=1, connector_id=1))
        body = (await get(central, "/"))[1]
        assert "<td>2.0.1<td>1<td>1: Occupied<" in body


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("04A1B2C3", {"status": "Accepted"}),
        ("B10C0001", {"status": "Blocked"}),
        ("F1EE70001", {"status": "Accepted", "group_id_token": {"id_token": "F1EE7", "type": "Central"}}),
    ],
)
async def test_a_token_says_by_its_beginning_what_becomes_of_it(token: str, expected: dict[str, Any]) -> None:
    async with running() as central, station(central) as point:
        answer = await point.call(call.Authorize(id_token={"idToken": token, "type": "ISO14443"}))
        assert answer.id_token_info == expected


async def test_a_whole_session_is_one_bill(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    events = [
        event("Started", 0, T0, sample(100, T0, "Transaction.Begin"), id_token=TOKEN),
        event("Updated", 1, T1, sample(0.4, T1, unitOfMeasure={"unit": "kWh"})),
        event("Updated", 2, T1),
        event(
            "Ended", 3, T2, sample(100, T0, "Transaction.Begin"), sample(912, T2, "Transaction.End"), evse=None,
            info={"stoppedReason": "Local"},
        ),
    ]  # fmt: skip
    async with running(journal=journal) as central, station(central) as point:
        for message in events:
            for _ in range(2):  # each answer may have been lost
                answer = await point.call(message)
                assert (answer.id_token_info or {}).get("status") == ("Accepted" if message.seq_no == 0 else None)
        assert kinds(central) == []
        bill = json.loads((await get(central, "/ledger.json"))[1])["transactions"][0]
    assert (bill["transaction_id"], bill["energy_wh"], bill["reason"]) == (TX, 812, "Local")
    assert (bill["readings"], bill["last_wh"], bill["repeats"], bill["id_tag"]) == (1, 400, 4, "04A1B2C3")
    async with running(journal=journal) as central, station(central) as point:
        await point.call(events[-1])  # a restarted central system knows what it has heard
        assert kinds(central) == []
        assert central.ledger.transactions[TX].energy_wh == 812


async def test_a_start_without_token_and_register_gets_them_later() -> None:
    async with running() as central, station(central) as point:
        await point.call(event("Started", 0, T0))
        await point.call(event("Updated", 1, T1, sample(500, T1), id_token=TOKEN))
        await point.call(event("Ended", 2, T2, sample(700, T2, "Transaction.End")))
        bill = central.ledger.transactions[TX]
        assert (bill.id_tag, bill.meter_start_wh, bill.energy_wh) == ("04A1B2C3", 500, 200)
        assert kinds(central) == []


async def test_what_a_station_must_not_do_is_written_down() -> None:
    async with running() as central, station(central) as point:
        await point.call(event("Started", 0, T0, sample(100, T0)))
        expected = []
        for wrong, kind in (
            (event("Updated", 2, T1, sample(110, T1)), "order"),  # number 1 is missing
            (event("Updated", 3, T1, sample(50, T1)), "register"),
            (event("Updated", 0, T1, tx="unknown"), "orphan"),
            (event("Started", 0, T1, sample(110, T1), tx="second"), "overlap"),
            (event("Started", 4, T2, sample(120, T2)), "doubled"),
        ):
            await point.call(wrong)
            expected.append(kind)
            assert kinds(central) == expected
        await point.call(event("Ended", 5, T2, sample(130, T2, "Transaction.End")))
        await point.call(event("Ended", 6, T2, sample(131, T2, "Transaction.End")))
        assert kinds(central) == [*expected, "doubled"]


async def test_what_is_only_noted_is_answered() -> None:
    said = [
        call.SecurityEventNotification(type="StartupOfTheDevice", timestamp=T0),
        call.FirmwareStatusNotification(status="Idle"),
        call.LogStatusNotification(status="Idle"),
        call.NotifyEvent(
            generated_at=T0, seq_no=0,
            event_data=[{
                "eventId": 1, "timestamp": T0, "trigger": "Alerting", "actualValue": "1",
                "eventNotificationType": "HardWiredNotification", **VARIABLE,
            }],
        ),
    ]  # fmt: skip
    async with running() as central, station(central) as point:
        for message in said:
            assert type(await point.call(message, suppress=False)).__name__ == type(message).__name__
        assert kinds(central) == []
        assert central.ledger.stations["CP-1"].calls["NotifyEvent"] == 1


async def test_a_report_is_put_together_of_its_parts() -> None:
    entry = {
        "component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"},
        "variableAttribute": [{"value": "300"}],
    }  # fmt: skip
    async with running() as central, station(central) as point:
        for number in range(2):
            await point.call(
                call.NotifyReport(
                    request_id=7, generated_at=T0, seq_no=number, tbc=number == 0, report_data=[entry] * 3
                )
            )
        assert json.loads((await get(central, "/ledger.json"))[1])["stations"]["CP-1"]["reports"] == {"7": 6}
        await point.call(call.NotifyReport(request_id=8, generated_at=T0, seq_no=1, report_data=[entry]))
        assert kinds(central) == ["order"]


VARIABLE = {"component": {"name": "TxCtrlr"}, "variable": {"name": "EVConnectionTimeOut"}}
COMMANDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("RequestStartTransaction", {"idToken": TOKEN, "remoteStartId": 3, "evseId": 1}, {"status": "Accepted"}),
    ("RequestStopTransaction", {"transactionId": TX}, {"status": "Rejected"}),
    ("Reset", {"type": "OnIdle"}, {"status": "Scheduled"}),
    (
        "GetVariables",
        {"getVariableData": [VARIABLE]},
        {"getVariableResult": [{**VARIABLE, "attributeStatus": "Accepted", "attributeValue": "7"}]},
    ),
    (
        "SetVariables",
        {"setVariableData": [{**VARIABLE, "attributeValue": "8"}]},
        {"setVariableResult": [{**VARIABLE, "attributeStatus": "RebootRequired"}]},
    ),
    ("UnlockConnector", {"evseId": 1, "connectorId": 1}, {"status": "Unlocked"}),
    ("TriggerMessage", {"requestedMessage": "Heartbeat"}, {"status": "NotImplemented"}),
    ("ChangeAvailability", {"operationalStatus": "Inoperative", "evse": {"id": 1}}, {"status": "Accepted"}),
]


async def test_commands_bring_the_stations_answers() -> None:
    async with running() as central, station(central) as point:
        for action, payload, answer in COMMANDS:
            status, body = await command(central, {"station": "CP-1", "action": action, "payload": payload})
            assert (status, json.loads(body)) == (200, answer), action
        assert point.asked["get_variable_data"][0]["component"] == {"name": "TxCtrlr"}


@pytest.mark.parametrize(
    ("action", "payload"),
    [("RemoteStartTransaction", {}), ("Authorize", {}), ("Reset", {"type": "Soft"}), ("Reset", {"kind": "OnIdle"})],
)
async def test_a_wrong_command_says_what_is_wrong(action: str, payload: dict[str, Any]) -> None:
    async with running() as central, station(central):
        status, body = await command(central, {"station": "CP-1", "action": action, "payload": payload})
        assert (status, list(json.loads(body))) == (400, ["error"])


@pytest.mark.parametrize(
    ("versions", "offers", "spoken"),
    [
        ((), ("ocpp1.6", "ocpp2.0.1"), "ocpp2.0.1"),
        ((), ("ocpp1.6",), "ocpp1.6"),
        (("1.6",), ("ocpp2.0.1", "ocpp1.6"), "ocpp1.6"),
        (("2.0.1",), ("ocpp1.6",), None),
    ],
)
async def test_the_newest_common_version_is_spoken(
    versions: tuple[str, ...], offers: tuple[str, ...], spoken: str | None
) -> None:
    async with running(versions=versions) as central, station(central, offers) as point:
        assert point.spoken == spoken
        if spoken:
            assert central.ledger.stations["CP-1"].version == spoken.removeprefix("ocpp")


def test_a_version_that_is_not_spoken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    csms.add_arguments(parser)
    assert csms.main(parser.parse_args(["--ocpp", "3.0"])) == 2
    assert "2.1, 2.0.1, 1.6" in capsys.readouterr().err


async def test_a_station_that_comes_back_in_another_version_keeps_its_bills() -> None:
    async with running() as central:
        async with station(central) as point:
            await point.call(event("Started", 0, T0, sample(100, T0)))
            await point.call(event("Ended", 1, T1, sample(200, T1, "Transaction.End")))
        async with station(central, ("ocpp1.6",)) as point:
            await point._connection.send(
                json.dumps(
                    [2, "x", "StartTransaction", {"connectorId": 1, "idTag": "A", "meterStart": 200, "timestamp": T2}]
                )
            )
            async with deadline(10):
                while len(central.ledger.transactions) < 2:
                    await asyncio.sleep(0.02)
        assert list(central.ledger.transactions) == [TX, 1001]
        assert kinds(central) == []
