"""The test central system over SOAP (``chargy-agent csms --soap``): a link of the agent against it, in each version."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import pytest

from agent.csms.central_system import Central as BackOffice
from agent.csms.central_system import Options, add_arguments, open_central, options_of
from agent.csms.errors import NotConnected
from agent.csms.soap_stations import Station12, Station15, Station16S
from agent.domain.charging.profiles import Period, Unit
from agent.domain.events import RequestReceived
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
from agent.domain.requests import SetChargingProfileRequest
from agent.model.types import Reading, ReadingContext, Stamp, Token
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.v12 import V12
from agent.ocpp.v15 import V15
from agent.ocpp.v16 import V16
from tests.ocpp.ocpp_stand_ins import Central, Room, build, running, served, until

CARD, T0 = Token("04A1B2C3"), Stamp(1, 0.0)
START = TransactionStarted("s1", 1, CARD, T0, 1000)
READING = Reading(Stamp(1, 60.0), 1500, power_w=3680.0, voltage_v=(230.0,), soc_percent=40.0)
SAMPLES = (Sample(ReadingContext.END, READING, ("Energy.Active.Import.Register", "Voltage", "SoC")),)
END = TransactionEnded(
    "s1", 1, CARD, Stamp(1, 60.0), 1500, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, samples=SAMPLES
)


@contextlib.asynccontextmanager
async def opened(dialects: Sequence[Dialect] = (V15,), **options: Any) -> AsyncIterator[tuple[BackOffice, Room]]:
    async with open_central(Options(port=0, soap_port=0, quiet=True, **options)) as central:
        url = f"http://127.0.0.1:{central.soap_port}/"
        yield central, build(Central(), dialects=dialects, url=url, soap_port=0, security_profile=0)


OF_VERSIONS = {V12: Station12.commands, V15: Station15.commands, V16: Station16S.commands}
"""Each version, and the requests that a station of it gets over SOAP."""


def name_of(dialect: Dialect) -> str:
    return dialect.name


@pytest.mark.parametrize("dialect", OF_VERSIONS, ids=name_of)
async def test_a_session_is_in_the_ledger_without_a_violation(dialect: Dialect) -> None:
    async with opened((dialect,)) as (central, room), running(room):
        room.link.send(StatusChanged(1, T0, ConnectorStatus.OCCUPIED))
        room.outbox.put(START)
        room.outbox.put(MeterSampled("s1", 1, SAMPLES))
        room.outbox.put(END)
        room.link.queue_changed()
        record = central.ledger.station_record("CP-1")
        await until(lambda: not room.outbox.rows and record.statuses)
        assert record.version == dialect.name
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
    "GetCompositeSchedule": {"connectorId": 1, "duration": 3600, "chargingRateUnit": "A"},
    "SetChargingProfile": {
        "connectorId": 1,
        "csChargingProfiles": {
            "chargingProfileId": 3, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Absolute", "validTo": "2030-11-25T10:00:00Z",
            "chargingSchedule": {
                "startSchedule": "2026-11-25T10:00:00Z", "chargingRateUnit": "A",
                "chargingSchedulePeriod": [
                    {"startPeriod": 0, "limit": 16.5, "numberPhases": 3}, {"startPeriod": 600, "limit": 10.0},
                ],
            },
        },
    },
    "TriggerMessage": {"requestedMessage": "Heartbeat"},
}  # fmt: skip
DATA = {
    "GetConfiguration": {"heartbeat_interval_s": 300}, "GetDiagnostics": {"filename": "log.zip"},
    "GetLocalListVersion": {"version": 2}, "ChangeConfiguration": {"heartbeat_interval_s": "Accepted"},
    "GetCompositeSchedule": {
        "start_utc_s": 1_795_600_800.0, "duration_s": 3600, "unit": Unit.A,
        "spans": (Period(0, 16.5, 3), Period(600, 10.0, 1)), "dc": False,
    },
}  # fmt: skip
FOUND = {
    "GetConfiguration": {
        "configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "300"}],
        "unknownKey": ["Nonsense"],
    },
    "GetDiagnostics": {"fileName": "log.zip"},
    "GetLocalListVersion": {"listVersion": 2},
    "GetCompositeSchedule": {
        "status": "Accepted", "connectorId": 1, "scheduleStart": "2026-11-25T10:00:00.000Z",
        "chargingSchedule": {
            "duration": 3600, "startSchedule": "2026-11-25T10:00:00.000Z", "chargingRateUnit": "A",
            "chargingSchedulePeriod": [
                {"startPeriod": 0, "limit": 16.5, "numberPhases": 3},
                {"startPeriod": 600, "limit": 10.0, "numberPhases": 1},
            ],
        },
    },
    "UnlockConnector": {"status": "Unlocked"},
    "UpdateFirmware": {},
}  # fmt: skip


def test_each_version_has_its_requests() -> None:
    assert {dialect.name: len(commands) for dialect, commands in OF_VERSIONS.items()} == {
        "1.2": 9,
        "1.5": 15,
        "1.6": 19,
    }


@pytest.mark.parametrize("dialect", OF_VERSIONS, ids=name_of)
async def test_all_requests_go_to_the_station_and_their_answers_back(dialect: Dialect) -> None:
    async with opened((dialect,)) as (central, room), running(room):
        for action in sorted(OF_VERSIONS[dialect]):
            word = "Unlocked" if action == "UnlockConnector" else "Accepted"
            data = DATA.get(action, {})
            room.domain = lambda asked, word=word, data=data: Response(asked.link, asked.request, word, data)
            answer = await central.send_command("CP-1", action, PAYLOADS.get(action, {}))
            assert answer == FOUND.get(action, {"status": "Accepted"}), action
        with pytest.raises(ValueError, match=rf"not one that a central system sends in OCPP {dialect.name}"):
            await central.send_command("CP-1", "GetLog", {"requestId": 1, "logType": "SecurityLog", "log": {}})
        assert central.ledger.violations == []
        profiles = [e.ask for e in room.of(RequestReceived) if isinstance(e.ask, SetChargingProfileRequest)]
        assert [[p.limit for p in ask.profile.schedule.periods] for ask in profiles] == (
            [[16.5, 10.0]] if dialect is V16 else []
        )


async def test_a_version_that_is_not_offered_gives_way_to_one_that_is() -> None:
    async with opened((V16, V12, V15), versions=("1.5",)) as (central, room), running(room):
        assert room.link.ocpp_version == "1.5"
        assert central.connected["CP-1"][0].version == "1.5"


async def test_a_message_that_breaks_the_schema_is_refused_with_a_word_of_ocpp() -> None:
    """A fault without one is trouble of the server: the station would send the message again, without limit."""
    async with opened() as (central, _), aiohttp.ClientSession() as http:
        namespace = "urn://Ocpp/Cs/2012/06/"
        body = (
            f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:o="{namespace}"><s:Header>'
            "<o:chargeBoxIdentity>CP-1</o:chargeBoxIdentity></s:Header><s:Body><o:startTransactionRequest>"
            "<o:connectorId>x</o:connectorId></o:startTransactionRequest></s:Body></s:Envelope>"
        )
        async with http.post(f"http://127.0.0.1:{central.soap_port}/", data=body.encode()) as reply:
            assert reply.status == 400
            assert "o:ProtocolError" in await reply.text()


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
        async with running(build(Central(), password="p" * 16, soap_password="p" * 16, **secured)):
            assert "CP-1" in central.connected
            assert await central.send_command("CP-1", "ClearCache", {}) == {"status": "Accepted"}
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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--ocpp", "1.5"], "--ocpp 1.5: is spoken over SOAP only: add --soap"),
        (["--ocpp", "1.7"], "--ocpp 1.7: not spoken here; known: 2.1, 2.0.1, 1.6, 1.5, 1.2"),
        (["--soap", "--ocpp", "2.0.1"], "--soap: none of 2.0.1 is spoken over SOAP; known: 1.6, 1.5, 1.2"),
    ],
)
def test_versions_that_no_open_wire_carries_are_refused(line: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        options_of(read_arguments(line))


def test_the_versions_of_the_command_line_are_those_of_both_wires() -> None:
    options = options_of(read_arguments(["--soap", "--ocpp", "1.6", "--ocpp", "1.2"]))
    assert (options.subprotocols, options.soap_versions) == (("ocpp1.6",), ("1.6", "1.2"))
    assert options_of(read_arguments(["--soap"])).soap_versions == ("1.6", "1.5", "1.2")


def read_arguments(line: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(line)
