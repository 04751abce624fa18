"""The test central system over SOAP (``chargy-agent csms --soap``): a link of the agent against it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from agent.csms.central_system import Central as BackOffice
from agent.csms.central_system import Options, open_central
from agent.csms.errors import NotConnected
from agent.csms.station15 import COMMANDS
from agent.domain.messages import (
    ConnectorStatus,
    MeterSampled,
    Sample,
    StatusChanged,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.orders import Response
from agent.model.types import Reading, ReadingContext, Stamp, Token
from agent.ocpp.v15 import V15
from tests.ocpp.ocpp_stand_ins import Central, Room, build, running, served, until

CARD, T0 = Token("04A1B2C3"), Stamp(1, 0.0)
START = TransactionStarted("s1", 1, CARD, T0, 1000)
READING = Reading(Stamp(1, 60.0), 1500, power_w=3680.0, voltage_v=(230.0,), soc_percent=40.0)
SAMPLES = (Sample(ReadingContext.END, READING, ("Energy.Active.Import.Register", "Voltage", "SoC")),)
END = TransactionEnded(
    "s1", 1, CARD, Stamp(1, 60.0), 1500, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, samples=SAMPLES
)


@contextlib.asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[tuple[BackOffice, Room]]:
    async with open_central(Options(port=0, soap_port=0, quiet=True, **options)) as central:
        url = f"http://127.0.0.1:{central.soap_port}/"
        yield central, build(Central(), dialects=(V15,), url=url, soap_port=0, security_profile=0)


async def test_a_session_is_in_the_ledger_without_a_violation() -> None:
    async with opened() as (central, room), running(room):
        room.link.send(StatusChanged(1, T0, ConnectorStatus.OCCUPIED))
        room.outbox.put(START)
        room.outbox.put(MeterSampled("s1", 1, SAMPLES))
        room.outbox.put(END)
        room.link.queue_changed()
        record = central.ledger.station_record("CP-1")
        await until(lambda: not room.outbox.rows and record.statuses)
        assert record.version == "1.5"
        assert central.ledger.violations == []
        (transaction,) = central.ledger.transactions.values()
        assert (transaction.meter_start_wh, transaction.meter_stop_wh) == (1000, 1500)


PAYLOADS: dict[str, dict[str, Any]] = {
    "CancelReservation": {"reservationId": 4},
    "ChangeAvailability": {"connectorId": 1, "type": "Operative"},
    "ChangeConfiguration": {"key": "HeartBeatInterval", "value": "300"},
    "DataTransfer": {"vendorId": "example", "data": "a < b"},
    "GetConfiguration": {"key": ["HeartbeatInterval", "Nonsense"]},
    "GetDiagnostics": {"location": "ftp://host/"},
    "RemoteStartTransaction": {"idTag": "04A1", "connectorId": 1},
    "RemoteStopTransaction": {"transactionId": 7},
    "ReserveNow": {"connectorId": 1, "expiryDate": "2026-11-25T10:00:00Z", "idTag": "04A1", "reservationId": 4},
    "Reset": {"type": "Soft"},
    "SendLocalList": {
        "updateType": "Full", "listVersion": 2,
        "localAuthorizationList": [{"idTag": "04A1", "idTagInfo": {"status": "Accepted"}}, {"idTag": "04A2"}],
    },
    "UnlockConnector": {"connectorId": 1},
    "UpdateFirmware": {"location": "ftp://host/f", "retrieveDate": "2026-11-25T10:00:00Z"},
}  # fmt: skip
DATA = {
    "GetConfiguration": {"heartbeat_interval_s": 300}, "GetDiagnostics": {"filename": "log.zip"},
    "GetLocalListVersion": {"version": 2}, "ChangeConfiguration": {"heartbeat_interval_s": "Accepted"},
}  # fmt: skip
FOUND = {
    "GetConfiguration": {
        "configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "300"}],
        "unknownKey": ["Nonsense"],
    },
    "GetDiagnostics": {"fileName": "log.zip"},
    "GetLocalListVersion": {"listVersion": 2},
    "UnlockConnector": {"status": "Unlocked"},
    "UpdateFirmware": {},
}


async def test_all_fifteen_requests_go_to_the_station_and_their_answers_back() -> None:
    async with opened() as (central, room), running(room):
        for action in sorted(COMMANDS):
            word = "Unlocked" if action == "UnlockConnector" else "Accepted"
            data = DATA.get(action, {})
            room.domain = lambda asked, word=word, data=data: Response(asked.link, asked.request, word, data)
            answer = await central.send_command("CP-1", action, PAYLOADS.get(action, {}))
            assert answer == FOUND.get(action, {"status": "Accepted"}), action
        with pytest.raises(ValueError, match=r"not one that a central system sends in OCPP 1\.5"):
            await central.send_command("CP-1", "TriggerMessage", {"requestedMessage": "Heartbeat"})
        assert central.ledger.violations == []


async def test_a_station_whose_port_is_gone_is_an_error_for_the_operator() -> None:
    async with opened() as (central, room):
        async with running(room):
            pass
        answer = await central.send_command("CP-1", "ClearCache", {})
        assert answer["error"] == "GenericError"
        with pytest.raises(NotConnected):
            await central.send_command("CP-9", "ClearCache", {})


async def test_what_is_no_soap_is_a_violation() -> None:
    async with opened() as (central, _), aiohttp.ClientSession() as http:
        for body in (b"hello", b"<!DOCTYPE a><a/>", b"<a/>"):
            async with http.post(f"http://127.0.0.1:{central.soap_port}/", data=body) as reply:
                assert reply.status == 400
        assert [v.kind for v in central.ledger.violations] == ["garbage"] * 3
        assert central.connected == {}


async def test_a_password_is_needed_where_there_is_one() -> None:
    async with opened(passwords={"CP-1": "p" * 16}) as (central, _):
        url = f"http://127.0.0.1:{central.soap_port}/"
        secured = {"dialects": (V15,), "url": url, "soap_port": 0, "security_profile": 1}
        async with running(build(Central(), password="p" * 16, **secured)):
            assert "CP-1" in central.connected
    async with opened(passwords={"CP-1": "p" * 16}) as (central, room), running(room, up=False):
        await until(lambda: len(room.traced) > 2)  # sent, refused, and sent again
        assert central.connected == {}


async def test_a_newer_connection_takes_the_place_of_an_older_one() -> None:
    """A station that changes from SOAP to a WebSocket is one station."""
    async with opened() as (central, room):
        async with running(room):
            assert central.connected["CP-1"][0].version == "1.5"
        async with served(Central()):
            pass
        both = build(Central(port=central.port))
        async with running(both):
            assert central.connected["CP-1"][0].version == "1.6"
