"""A whole link over SOAP: against a central system that ``zeep`` makes, in both roles, on real sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from zeep.exceptions import Fault

from agent.domain.backend_connection import ConnectFailure, ConnectionProfile
from agent.domain.events import (
    Connected,
    ConnectFailed,
    LinkChanged,
    RequestReceived,
    SecurityNoticed,
    TokenAuthorized,
    TransactionAcknowledged,
)
from agent.domain.messages import (
    BootWanted,
    ConnectorStatus,
    HeartbeatWanted,
    Message,
    MeterSampled,
    Sample,
    SecurityHappened,
    StatusChanged,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken, Response
from agent.model.fastclass import replace
from agent.model.json_limits import LENGTH_MAX
from agent.model.traffic import CONNECTION
from agent.model.types import AuthorizationStatus, Reading, ReadingContext, Stamp, Token, Verdict
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.outbound import queue_rows
from agent.ocpp.transport.ocpp_s import http_exchange, request_server
from agent.ocpp.transport.ocpp_s.tried_versions import REFUSALS_MOST
from agent.ocpp.transport.traffic import TrafficCounter
from agent.ocpp.v12 import V12
from agent.ocpp.v15 import V15
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ports.pki import NO_ROOTS, TrustedRoots
from tests.ocpp.ocpp_stand_ins import Central, Room, boot_answer, build, running, served, until
from tests.ocpp.test_soap_wire import ENTITY, RESET, request_text
from tests.support.busy_machine import Deadline, stretched
from tests.support.certificate_authorities import Authority, tls
from tests.support.soap_descriptions import DESCRIPTIONS, OF_15, SIDES, example_fields
from tests.support.tls_terminator import TlsFront
from tests.support.zeep_central import ANSWERS, NOW, SOAP, ZeepCentral, body_schema, wsdl_client

CARD, T0 = Token("04A1B2C3"), Stamp(1, 0.0)
START = TransactionStarted("s1", 1, CARD, T0, 1000)
END = TransactionEnded("s1", 1, CARD, Stamp(1, 60.0), 1500, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)
REGISTER = "Energy.Active.Import.Register"
SERVER_FAULT_11 = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault><faultcode>e:Server</faultcode>'
    b"<faultstring>no route</faultstring></e:Fault></e:Body></e:Envelope>"
)
READING = Reading(Stamp(1, 30.0), 1250, power_w=3680.0, soc_percent=40.0)


@pytest.fixture(autouse=True, scope="module")
def _descriptions() -> None:
    """All are read before a link waits for its answers: to read one holds the loop of both ends."""
    for version, side in itertools.product(DESCRIPTIONS, SIDES):
        wsdl_client(version, side)
        body_schema(version, side)


def soap_room(central: ZeepCentral, **changes: Any) -> Room:
    given = {"dialects": (V15,), "url": central.url, "soap_port": 0, **changes}
    return build(Central(), **given)


@contextlib.asynccontextmanager
async def soap_link(central: ZeepCentral | None = None, **changes: Any) -> AsyncIterator[tuple[ZeepCentral, Room]]:
    async with (central or ZeepCentral()).listening() as csms, running(soap_room(csms, **changes)) as room:
        yield csms, room
        assert csms.complaints == []


def own_port(central: ZeepCentral) -> int:
    return int(central.station_url.rsplit(":", 1)[1].strip("/"))


# --- what the station sends -------------------------------------------------------------------------------------------


async def test_a_session_goes_over_one_connection_and_every_message_is_valid() -> None:
    async with soap_link() as (csms, room):
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: room.of(TokenAuthorized))
        assert room.of(TokenAuthorized) == [TokenAuthorized("t1", CARD, Verdict(AuthorizationStatus.ACCEPTED))]
        room.link.send(StatusChanged(1, T0, ConnectorStatus.OCCUPIED))
        room.outbox.put(START)
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows and csms.of("StatusNotification"))
        assert sorted(csms.actions()) == [
            "Authorize", "BootNotification", "StartTransaction", "StatusNotification", "StopTransaction",
        ]  # fmt: skip
        assert csms.of("StopTransaction")[0]["transactionId"] == 7
        assert csms.of("StatusNotification")[0]["status"] == "Occupied"
        assert len(csms.connections) == 1
        assert room.clock.heard
        assert {h["chargeBoxIdentity"] for h in csms.headers} == {"CP-1"}
        assert csms.http[0]["Content-Type"] == 'application/soap+xml; charset=utf-8; action="/BootNotification"'
        assert room.link.ocpp_version == "1.5"


def fault_in(code: str, subcode: str = "", reason: str = "no") -> tuple[int, bytes]:
    """A fault without a namespace of OCPP, as any server of SOAP writes it."""
    inner = f"<e:Subcode><e:Value>cs:{subcode}</e:Value></e:Subcode>" if subcode else ""
    text = (
        f'<e:Envelope xmlns:e="{SOAP}"><e:Body><e:Fault><e:Code><e:Value>e:{code}</e:Value>{inner}</e:Code>'
        f"<e:Reason><e:Text>{reason}</e:Text></e:Reason></e:Fault></e:Body></e:Envelope>"
    )
    return 400 if code == "Sender" else 500, text.encode()


@pytest.mark.parametrize("word", ["InternalError", "ProtocolError"])
async def test_a_start_that_the_backend_refuses_has_its_attempts(word: str) -> None:
    """A word of OCPP is the backend's answer to this message, as an error code is over JSON."""
    refusal = fault_in("Receiver" if word == "InternalError" else "Sender", word)
    async with soap_link(ZeepCentral({**ANSWERS, "StartTransaction": refusal})) as (csms, room):
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("message_retry_interval_s", 0)
        room.settings.put_value("retry_start_while_charging", False)
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: room.outbox.dead)
        assert len(csms.of("StartTransaction")) == 2
        assert room.link.is_up


@pytest.mark.parametrize(
    "page",
    [
        (200, b"<html>Please log in</html>"),
        (302, b""),
        (503, b"busy"),
        (401, b"who"),
        (200, b""),
        (500, b"<html>Internal Server Error</html>"),
        (400, b"Bad Request"),
        (500, b"<" + b"a" * (LENGTH_MAX + 10)),
        fault_in("Receiver", "", "upstream connect error"),
        fault_in("Receiver", "FailedCheck"),
        (500, SERVER_FAULT_11),
    ],
    ids=[
        "login", "302", "503", "401", "empty", "500", "400", "too large", "Receiver", "Receiver of others", "SOAP 1.1",
    ],
)  # fmt: skip
async def test_what_is_no_answer_neither_acknowledges_nor_refuses_a_bill(page: tuple[int, bytes]) -> None:
    """That counts as no attempt, and the link stays up: heartbeats show that the backend is there."""
    async with soap_link() as (csms, room):
        room.settings.put_value("message_attempts", 100_000)  # after these it would rest for a minute each time
        room.settings.put_value("message_retry_interval_s", 0)
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        csms.answers["StopTransaction"] = page
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: room.outbox.dead or len(csms.of("StopTransaction")) > 2)
        assert [(r.message, r.attempts) for r in room.outbox.rows] == [(END, 0)]
        assert room.outbox.dead == []
        csms.answers["StopTransaction"] = {}
        await until(lambda: not room.outbox.rows)
        assert csms.actions().count("BootNotification") == 1  # the backend is the same
        assert [e.up for e in room.of(LinkChanged)] == [True]
        sent = [a for a in csms.actions() if a in ("StopTransaction", "Heartbeat")]
        assert sent[:4] == ["StopTransaction", "Heartbeat"] * 2  # is it the backend, or that message?


@pytest.mark.parametrize("page", [(503, b"busy"), fault_in("Receiver")], ids=["page", "Receiver"])
async def test_a_server_that_processes_nothing_is_no_backend(page: tuple[int, bytes]) -> None:
    """The link goes down with the second CALL, and nothing counts as an attempt; then all leaves in its order."""
    async with soap_link() as (csms, room):
        room.settings.put_value("message_attempts", 1)
        room.settings.put_value("message_retry_interval_s", 0)
        answers = dict(csms.answers)
        csms.answers |= dict.fromkeys(answers, page)
        room.outbox.put(START)
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: len(room.of(Connected)) > 3)
        assert [(r.message, r.attempts) for r in room.outbox.rows] == [(START, 0), (END, 0)]
        assert [e.up for e in room.of(LinkChanged)][:2] == [True, False]
        csms.answers |= answers
        await until(lambda: not room.outbox.rows)
        assert room.outbox.dead == []
        assert [a for a in csms.actions() if "Transaction" in a][-2:] == ["StartTransaction", "StopTransaction"]


@pytest.mark.parametrize("is_waiting", [False, True], ids=["later", "waiting"])
async def test_a_heartbeat_at_which_the_server_stumbles_holds_no_bill(is_waiting: bool) -> None:
    """The message in doubt cannot show whether there is a backend: the next one does, also on a new connection."""
    async with soap_link() as (csms, room):
        room.settings.put_value("message_retry_interval_s", 0)
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        csms.answers["Heartbeat"] = (500, b"<html>NullPointerException</html>")
        if is_waiting:  # the doubt of another message is asked after with a heartbeat
            csms.answers["StopTransaction"] = (500, b"<html>busy</html>")
        else:
            room.link.send(HeartbeatWanted())
            await until(lambda: room.link.unprocessed)
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: csms.of("StopTransaction") and csms.of("Heartbeat"))
        csms.answers["StopTransaction"] = {}
        await until(lambda: not room.outbox.rows)
        assert room.outbox.dead == []
        assert room.link.is_up
        if not is_waiting:
            assert [e.up for e in room.of(LinkChanged)] == [True]
            assert len(csms.of("Heartbeat")) == 1


async def test_an_end_that_is_never_processed_holds_the_queue_and_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing billed is given up for an error page, and nothing passes it: the log names what waits, and why."""
    async with soap_link(ZeepCentral({**ANSWERS, "StopTransaction": (500, b"<html>")})) as (_, room):
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("message_retry_interval_s", 0)
        for message in (START, END):
            room.outbox.put(message)
        room.outbox.put(replace(START, session="s2"), "s2")
        room.link.queue_changed()
        await until(lambda: "sent again without limit" in caplog.text)
        assert [r.message.session for r in room.outbox.rows] == ["s1", "s2"]
        assert room.outbox.dead == []
        assert room.link.is_up
        (line,) = (r.message for r in caplog.records if "sent again without limit" in r.message)
        assert "TransactionEnded of session s1 gets no answer to 2 CALLs, but to others (at last: HTTP 500" in line


async def test_a_sample_that_is_never_processed_becomes_a_dead_letter() -> None:
    """It is neither a start nor an end: those leave, and a person can have it sent again."""
    async with soap_link(ZeepCentral({**ANSWERS, "MeterValues": (500, b"<html>")})) as (csms, room):
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("message_retry_interval_s", 0)
        sample = MeterSampled("s1", 1, (Sample(ReadingContext.PERIODIC, READING, (REGISTER,)),))
        for message in (START, sample, END):
            room.outbox.put(message)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        [(row, reason)] = room.outbox.dead
        assert row.message == sample
        assert reason.startswith("no answer to 2 CALLs, but to others (at last: HTTP 500, ")
        assert csms.actions()[-1] == "StopTransaction"


STUMBLES = {**ANSWERS, "MeterValues": (500, b"<html>"), "Heartbeat": (500, b"<html>")}
SAMPLES = [
    MeterSampled("s1", 1, (Sample(ReadingContext.PERIODIC, Reading(Stamp(1, at_s), 1200), (REGISTER,)),))
    for at_s in (30.0, 40.0)
]


@contextlib.asynccontextmanager
async def stumbling_server(waiting: Iterable[Message]) -> AsyncIterator[tuple[ZeepCentral, Room]]:
    """The server answers starts, ends and statuses, and stumbles at samples and at the heartbeats that ask whether it
    is there. The start of the session has left."""
    async with soap_link(ZeepCentral(STUMBLES), rate=200.0) as (csms, room):
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("message_retry_interval_s", 1)
        for message in (START, *waiting):
            room.outbox.put(message)
        room.link.queue_changed()
        await until(lambda: csms.of("MeterValues"))
        yield csms, room


async def say_statuses(csms: ZeepCentral, room: Room, is_over: Callable[[], bool]) -> None:
    """Send one status after the other, until it is over."""
    patience = Deadline(60)
    for status in itertools.cycle((ConnectorStatus.OCCUPIED, ConnectorStatus.AVAILABLE)):
        count = len(csms.of("StatusNotification"))
        room.link.send(StatusChanged(1, T0, status))
        await until(lambda count=count: is_over() or len(csms.of("StatusNotification")) > count)
        if is_over():
            return
        assert not patience.over, csms.actions()[-20:]


async def test_samples_do_not_hold_an_end_where_heartbeats_stumble_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection ends with the heartbeat behind a sample. Other messages are answered: it is a backend."""
    monkeypatch.setattr(queue_rows, "DOUBT_S", 0.0)
    async with stumbling_server((*SAMPLES, END)) as (csms, room):
        await say_statuses(csms, room, lambda: not room.outbox.rows)
        assert [row.message for row, _ in room.outbox.dead] == SAMPLES
        assert "CALLs, but to others (at last: HTTP 500, " in room.outbox.dead[0][1]
        assert len(csms.of("StopTransaction")) == 1


async def test_a_backend_out_of_order_has_time_to_come_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its statuses are answered, perhaps because they need no database. No sample is given up for that."""
    monkeypatch.setattr(queue_rows, "DOUBT_S", 1e9)
    async with stumbling_server((SAMPLES[0], END)) as (csms, room):
        await say_statuses(csms, room, lambda: len(csms.of("MeterValues")) > 5)
        assert [r.message for r in room.outbox.rows] == [SAMPLES[0], END]
        csms.answers |= ANSWERS | {"MeterValues": {}}
        await until(lambda: not room.outbox.rows)
        assert room.outbox.dead == []
        assert csms.actions()[-1] in ("StopTransaction", "StatusNotification")


async def test_a_server_that_answers_nothing_else_is_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it lasts: nothing shows that it has ever processed a message since."""
    monkeypatch.setattr(queue_rows, "DOUBT_S", 0.0)
    async with stumbling_server((SAMPLES[0], END)) as (csms, room):
        await until(lambda: len(csms.of("MeterValues")) > 5)
        assert [r.message for r in room.outbox.rows] == [SAMPLES[0], END]


async def test_a_record_for_a_bill_is_not_given_up_where_heartbeats_stumble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_rows, "DOUBT_S", 0.0)
    late = replace(SAMPLES[0], late=True)
    async with stumbling_server((late, END)) as (csms, room):
        await say_statuses(csms, room, lambda: len(csms.of("MeterValues")) > 5)
        assert [r.message for r in room.outbox.rows] == [late, END]
        assert room.outbox.dead == []


async def test_one_heartbeat_at_which_a_server_stumbles_holds_no_end_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doubt is over with the next heartbeat that is answered: the late sample becomes a dead letter as it would
    have without it."""
    monkeypatch.setattr(queue_rows, "DOUBT_S", 1e9)
    late = replace(SAMPLES[0], late=True)
    async with stumbling_server((late, END)) as (csms, room):
        await until(lambda: len(room.of(Connected)) > 1)
        csms.answers["Heartbeat"] = ANSWERS["Heartbeat"]
        await until(lambda: not room.outbox.rows)
        assert [row.message for row, _ in room.outbox.dead] == [late]
        assert csms.actions()[-1] == "StopTransaction"


async def test_samples_at_which_a_server_stumbles_are_sent_in_shorter_messages() -> None:
    """A server that shows a page for a long message has the next one shorter, and the end of the session after it."""
    async with soap_link() as (csms, room):
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        csms.most_octets = 4000
        for number in range(40):
            reading = Reading(Stamp(1, 30.0 + number), 1250 + number)
            room.outbox.put(MeterSampled("s1", 1, (Sample(ReadingContext.PERIODIC, reading, (REGISTER,)),)))
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert room.outbox.dead == []
        assert csms.pages > 0
        assert sum(len(call["values"]) for call in csms.of("MeterValues")) == 40
        assert csms.actions()[-1] == "StopTransaction"


async def test_an_answer_after_its_time_out_still_counts() -> None:
    async with soap_link(call_timeout_s=0.4) as (csms, room):
        room.settings.put_value("message_attempts", 1000)
        csms.delay_s = 0.6
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: csms.of("StartTransaction"))
        csms.delay_s = 0.0
        await until(lambda: room.of(TransactionAcknowledged))
        assert room.outbox.transaction_id("chargy", "s1", "1.5") == "7"


async def test_a_backend_that_is_gone_is_found_and_found_again() -> None:
    csms = ZeepCentral()
    async with contextlib.AsyncExitStack() as stack:
        async with csms.listening():
            room = await stack.enter_async_context(running(soap_room(csms)))
        room.outbox.put(START)
        room.link.queue_changed()
        failed = await until(lambda: room.of(ConnectFailed))
        assert "ConnectionRefusedError" in failed[0].info
        async with csms.listening():
            await until(lambda: not room.outbox.rows)
        assert [e.up for e in room.of(LinkChanged)] == [True, False, True]


async def test_silence_is_looked_into_without_a_message() -> None:
    csms = ZeepCentral()
    async with contextlib.AsyncExitStack() as stack:
        async with csms.listening():
            room = soap_room(csms)
            room.settings.put_value("ping_interval_s", 1)
            await stack.enter_async_context(running(room))
        await until(lambda: room.of(ConnectFailed))
        assert csms.actions() == ["BootNotification"]


async def test_a_rejected_station_answers_with_a_fault() -> None:
    csms = ZeepCentral({**ANSWERS, "BootNotification": {**ANSWERS["BootNotification"], "status": "Rejected"}})
    async with csms.listening(), running(soap_room(csms), up=False):
        await until(lambda: csms.station_url)
        with pytest.raises(Fault) as refused:
            await csms.ask("ClearCache")
        assert [q.localname for q in refused.value.subcodes] == ["SecurityError"]


# --- what the backend requests ----------------------------------------------------------------------------------------


DATA: dict[str, dict[str, Any]] = {
    "GetLocalListVersion": {"version": 4},
    "GetDiagnostics": {"filename": "log.zip"},
    "GetConfiguration": {"heartbeat_interval_s": 300},
    "DataTransfer": {"data": "<ok>"},
    "ChangeConfiguration": {"heartbeat_interval_s": "Accepted"},
}
FIELDS: dict[str, dict[str, Any]] = {
    "ChangeConfiguration": {"key": "HeartBeatInterval", "value": "300"},
    "GetConfiguration": {"key": ["HeartBeatInterval", "Nonsense"]},
    "DataTransfer": {"vendorId": "example", "data": "a & b"},
    "RemoteStopTransaction": {"transactionId": 7},
}
FOUND: dict[str, Any] = {
    "GetLocalListVersion": 4,
    "GetDiagnostics": "log.zip",
    "UpdateFirmware": None,
    "DataTransfer": {"status": "Accepted", "data": "<ok>"},
    "SendLocalList": {"status": "Accepted", "hash": None},
    "GetConfiguration": {
        "configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "300"}],
        "unknownKey": ["Nonsense"],
    },
}


async def test_zeep_calls_all_fifteen_operations() -> None:
    async with soap_link() as (csms, room):
        for action in OF_15.operations["station"]:
            data = DATA.get(action, {})
            word = "Unlocked" if action == "UnlockConnector" else "Accepted"
            room.domain = lambda asked, data=data, word=word: Response(asked.link, asked.request, word, data)
            fields = FIELDS.get(action) or example_fields("1.5", "station", action, False, True)
            assert await csms.ask(action, **fields) == FOUND.get(action, "Accepted"), action
        assert len(room.of(RequestReceived)) == 15
        assert room.link.is_up


async def test_requests_come_in_beside_each_other_and_each_gets_its_own_answer() -> None:
    async with soap_link() as (csms, room):
        asked = [csms.ask("ChangeAvailability", connectorId=n % 2 + 1, type="Operative") for n in range(8)]
        assert await asyncio.gather(*asked) == ["Accepted"] * 8
        with pytest.raises(Fault) as refused:
            await csms.ask("UnlockConnector", connectorId=1, identity="CP-2")
        assert refused.value.code == "s:Sender"
        assert [q.localname for q in refused.value.subcodes] == ["IdentityMismatch"]
        assert len(room.of(RequestReceived)) == 8


async def post(port: int, body: bytes, head: str = "", tls: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Send octets to the station's port by hand. Return status and body; 0: the connection was cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    length = "" if "Content-Length" in head else f"Content-Length: {len(body)}\r\n"
    writer.write(f"POST / HTTP/1.1\r\nHost: x\r\n{length}{head}Connection: close\r\n\r\n".encode() + body)
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
        writer.close()
        status, _, rest = answer.partition(b"\r\n\r\n")
        return (int(status.split()[1]), rest) if status else (0, b"")
    return 0, b""


@pytest.mark.parametrize(
    ("body", "status", "subcode"),
    [
        (b"hello", 400, b"ProtocolError"),
        (
            request_text("<cp:resetRequest><cp:type>&a;</cp:type></cp:resetRequest>", before=ENTITY),
            400,
            b"ProtocolError",
        ),
        (request_text(RESET).replace(b"CP-1", b"CP-9"), 400, b"IdentityMismatch"),
        (request_text("<cp:resetRequest/>"), 400, b"ProtocolError"),
        (request_text("<cp:resetRequest><cp:type>Warm</cp:type></cp:resetRequest>"), 400, b"ProtocolError"),
        (request_text("<cp:triggerMessageRequest/>"), 500, b"NotSupported"),
    ],
    ids=["no XML", "DOCTYPE", "identity", "missing field", "wrong word", "unknown operation"],
)
async def test_bad_input_gets_a_fault_and_nothing_else(body: bytes, status: int, subcode: bytes) -> None:
    async with soap_link() as (csms, room):
        found, text = await post(own_port(csms), body)
        assert found == status
        assert b"Fault" in text
        assert subcode in text
        assert room.of(RequestReceived) == []
        assert await csms.ask("ClearCache") == "Accepted"
        assert room.link.is_up


async def test_a_body_that_is_too_large_or_too_slow_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_server, "WHOLE_WITHIN_S", stretched(1.0))
    async with soap_link() as (csms, room):
        port = own_port(csms)
        assert (await post(port, b"<" + b"a" * (LENGTH_MAX + 10)))[0] in (413, 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HT")
        slow = post(port, b"<a", "Content-Length: 100\r\n"), reader.read()
        assert await asyncio.gather(*slow) == [(0, b""), b""]
        writer.close()
        assert (await post(port, b""))[0] == 400
        assert await csms.ask("ClearCache") == "Accepted"
        assert room.of(SecurityNoticed)


async def test_only_posts_of_callers_are_served() -> None:
    async with soap_link() as (csms, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", own_port(csms))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 405 " in (await reader.read()).split(b"\r\n", 1)[0]
        writer.close()
    async with soap_link(soap_callers=("10.1.0.0/16", "::1")) as (csms, room):
        assert await post(own_port(csms), request_text(RESET)) == (0, b"")
        assert room.of(RequestReceived) == []
    async with soap_link(soap_callers=("127.0.0.0/8",)) as (csms, _):
        assert await csms.ask("ClearCache") == "Accepted"


async def test_a_client_that_waits_for_permission_to_send_its_body_gets_it() -> None:
    async with soap_link() as (csms, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", own_port(csms))
        body = request_text("<cp:clearCacheRequest/>")
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_flood_of_connections_is_limited() -> None:
    async with soap_link() as (csms, _):
        pipes = [await asyncio.open_connection("127.0.0.1", own_port(csms)) for _ in range(20)]
        await asyncio.gather(*(reader.read() for reader, _ in pipes[request_server.CONNECTIONS_MOST :]))
        for _, writer in pipes:
            writer.close()


# --- addresses --------------------------------------------------------------------------------------------------------


async def test_the_own_address_is_that_of_the_connection_or_a_fixed_one() -> None:
    async with soap_link() as (csms, _):
        assert csms.station_url == f"http://127.0.0.1:{own_port(csms)}/"
    async with soap_link(soap_address="http://gateway.example:9000/cp-1") as (csms, _):
        assert csms.headers[0]["From"] == "http://gateway.example:9000/cp-1"


async def test_a_port_that_is_taken_is_a_failed_attempt() -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    async with taken, ZeepCentral().listening() as csms, running(soap_room(csms, soap_port=port), up=False) as room:
        failed = await until(lambda: room.of(ConnectFailed))
        assert "check [backend] soap_port" in failed[0].info
        assert csms.calls == []


async def test_another_version_alone_is_no_version_for_soap() -> None:
    async with ZeepCentral().listening() as csms, running(soap_room(csms, dialects=(V201,)), up=False) as room:
        failed = await until(lambda: room.of(ConnectFailed))
        assert "is spoken over SOAP" in failed[0].info


async def test_soap_alone_needs_no_second_address() -> None:
    async with served(Central()) as central, running(build(central, dialects=(V15,)), up=False) as room:
        failed = await until(lambda: room.of(ConnectFailed))
        assert "is spoken over a WebSocket" in failed[0].info
        assert central.connections == []


async def test_tls_and_the_password_of_the_profile(tmp_path: Path) -> None:
    ours, foreign = Authority(tmp_path), Authority(tmp_path, "Foreign Root")
    async with ZeepCentral().listening() as csms:
        front = TlsFront(csms.port, tls(ours.server()))
        secured = {"url": f"https://127.0.0.1:{front.port}/ocpp", "security_profile": 2, "password": "p" * 16}
        try:
            async with running(soap_room(csms, ca=ours.root, **secured)):
                assert csms.http[0]["Authorization"] == "Basic Q1AtMTpwcHBwcHBwcHBwcHBwcHBw"
                assert csms.http[0]["Host"] == f"127.0.0.1:{front.port}"
            async with running(soap_room(csms, ca=foreign.root, **secured), up=False) as room:
                failed = await until(lambda: room.of(ConnectFailed))
                assert failed[0].trouble is ConnectFailure.SERVER_CERTIFICATE
            async with running(soap_room(csms, security_profile=2, password="p" * 16), up=False) as room:
                assert "needs TLS" in (await until(lambda: room.of(ConnectFailed)))[0].info
        finally:
            front.close()
        assert csms.actions() == ["BootNotification"]


# --- the own port, secured --------------------------------------------------------------------------------------------

CLEAR = request_text("<cp:clearCacheRequest/>")


def trusting(root: Path, own: Path | None = None) -> ssl.SSLContext:
    """A backend that trusts this root, and shows its own certificate if it has one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(root)
    if own is not None:
        context.load_cert_chain(own)
    return context


async def test_the_own_port_speaks_tls_with_the_certificate_of_the_station(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    async with soap_link(soap_tls=True, client_cert=ours.server()) as (csms, room):
        port = own_port(csms)
        assert csms.station_url == f"https://127.0.0.1:{port}/"
        status, body = await post(port, CLEAR, tls=trusting(ours.root))
        assert (status, b"Accepted" in body) == (200, True)
        assert await post(port, CLEAR) == (0, b"")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(ours.root)
            context.maximum_version = version
            assert (await post(port, CLEAR, tls=context))[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            await post(port, CLEAR, tls=ssl.create_default_context())
        assert len(room.of(RequestReceived)) == 3
        assert room.link.is_up


async def test_a_caller_shows_its_certificate_where_the_file_demands_one(tmp_path: Path) -> None:
    ours, callers = Authority(tmp_path), Authority(tmp_path, "Caller Root")
    settings: dict[str, Any] = {"soap_tls": True, "client_cert": ours.server(), "soap_client_ca": callers.root}
    async with soap_link(**settings) as (csms, room):
        port = own_port(csms)
        assert (await post(port, CLEAR, tls=trusting(ours.root, callers.client("csms"))))[0] == 200
        for own in (None, ours.client("csms")):
            refused = False
            try:
                refused = await post(port, CLEAR, tls=trusting(ours.root, own)) == (0, b"")
            except ssl.SSLError:
                refused = True
            assert refused
        assert len(room.of(RequestReceived)) == 1


async def test_the_certificate_of_the_key_store_takes_the_place_of_that_of_the_file(tmp_path: Path) -> None:
    """One that was signed over the air is shown in security profile 1 too, where the own port speaks TLS."""
    ours = Authority(tmp_path)
    signed = ours.server()

    class Keys:
        def trusted_roots(self) -> TrustedRoots:
            return NO_ROOTS

        def client_certificate(self, certificate: str) -> tuple[Path, Path] | None:
            return (signed, signed) if certificate == "signed" else None

        def root_used(self, link: str, root: bytes | None) -> None: ...

    access = ConnectionProfile(profile=0, certificate="signed")
    cert = ours.server(("elsewhere.example",))
    settings: dict[str, Any] = {"soap_tls": True, "client_cert": cert, "pki": Keys()}
    async with soap_link(access=lambda: access, **settings) as (csms, _):
        assert (await post(own_port(csms), CLEAR, tls=trusting(ours.root)))[0] == 200


@pytest.mark.parametrize("from_file", [False, True], ids=["password", "file"])
async def test_a_caller_needs_the_password_of_the_file(tmp_path: Path, from_file: bool) -> None:
    kept = tmp_path / "password"
    kept.write_text("s3cret:of 16 letters\n")
    secret: dict[str, Any] = {"soap_password_file": kept} if from_file else {"soap_password": "s3cret:of 16 letters"}
    async with soap_link(**secret) as (csms, room):
        port = own_port(csms)
        for user, password in (("CP-1", "wrong"), ("CP-2", "s3cret:of 16 letters"), ("CP-1", "")):
            assert (await post(port, CLEAR, basic_head(user, password)))[0] == 401
        assert (await post(port, CLEAR))[0] == 401
        assert (await post(port, CLEAR, "Authorization: Basic ####\r\n"))[0] == 401
        assert room.of(RequestReceived) == []
        assert (await post(port, CLEAR, basic_head("CP-1", "s3cret:of 16 letters")))[0] == 200
        assert "s3cret" not in json.dumps(room.traced)
    async with soap_link(soap_user="csms", **secret) as (csms, _):
        assert (await post(own_port(csms), CLEAR, basic_head("CP-1", "s3cret:of 16 letters")))[0] == 401
        assert (await post(own_port(csms), CLEAR, basic_head("csms", "s3cret:of 16 letters")))[0] == 200


def basic_head(user: str, password: str) -> str:
    return f"Authorization: basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            {"soap_tls": True, "client_cert": Path("/nowhere.pem")},
            "client_cert, client_key, soap_client_ca: not usable",
        ),
        ({"soap_tls": True}, "soap_tls: the station has no certificate"),
        ({"soap_password_file": Path("/nowhere")}, "soap_password_file: cannot be read"),
    ],
    ids=["certificate", "no certificate", "password"],
)
async def test_a_port_that_cannot_be_secured_is_not_opened(settings: dict[str, Any], named: str) -> None:
    async with ZeepCentral().listening() as csms, running(soap_room(csms, **settings), up=False) as room:
        failed = await until(lambda: room.of(ConnectFailed))
        assert named in failed[0].info
        assert csms.calls == []


async def test_a_handshake_that_does_not_go_on_is_cut_off_and_holds_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections whose TLS is not there yet count, and have their time."""
    monkeypatch.setattr(request_server, "WHOLE_WITHIN_S", stretched(1.0))
    ours = Authority(tmp_path)
    async with soap_link(soap_tls=True, client_cert=ours.server()) as (csms, _):
        port, most = own_port(csms), request_server.CONNECTIONS_MOST
        pipes = [await asyncio.open_connection("127.0.0.1", port) for _ in range(most + 4)]
        await asyncio.gather(*(reader.read() for reader, _ in pipes))
        for _, writer in pipes:
            writer.close()
        assert (await post(port, CLEAR, tls=trusting(ours.root)))[0] == 200


# --- two wires --------------------------------------------------------------------------------------------------------


async def test_soap_is_tried_where_the_websocket_has_none_of_the_versions() -> None:
    """A queue that was filled on one wire leaves on the other."""
    both = {"dialects": (V201, V15), "soap_port": 0}
    async with (
        ZeepCentral().listening() as csms,
        served(Central(), ("ocpp1.6",)) as central,
        running(build(central, soap_url=csms.url, **both)) as room,
    ):
        assert (room.link.ocpp_version, room.link.url) == ("1.5", csms.url)
        room.outbox.put(START)
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert csms.actions() == ["BootNotification", "StartTransaction", "StopTransaction"]
        assert central.calls == []


async def test_the_websocket_is_tried_first_again() -> None:
    central = Central()
    central.script["StopTransaction"] = [{}]
    async with ZeepCentral(version="1.5").listening() as csms, contextlib.AsyncExitStack() as stack:
        async with served(central, ("ocpp2.0.1",)):
            room = build(central, dialects=(V16, V15), soap_url=csms.url, soap_port=0)
            await stack.enter_async_context(running(room))
            room.outbox.put(START)
            room.link.queue_changed()
            await until(lambda: not room.outbox.rows)
        async with served(central, ("ocpp1.6",)):
            room.link.reconnect()
            await until(lambda: room.link.is_up and room.link.ocpp_version == "1.6")
            room.outbox.put(END)
            room.link.queue_changed()
            await until(lambda: not room.outbox.rows)
        assert csms.actions() == ["BootNotification", "StartTransaction"]
        assert central.actions() == ["BootNotification", "StartTransaction", "StopTransaction"]
        ids = room.outbox.transaction_record("chargy", "s1")["ids"]
        assert ids == {"1.5": "7", "1.6": "42"}


@pytest.mark.parametrize(("version", "dialect"), [("1.2", V12), ("1.6", V16)])
async def test_a_session_in_the_other_versions_of_soap(version: str, dialect: Dialect) -> None:
    async with soap_link(ZeepCentral(version=version), dialects=(dialect,)) as (csms, room):
        room.link.send(StatusChanged(1, T0, ConnectorStatus.OCCUPIED))
        room.link.send(SecurityHappened("StartupOfTheDevice", T0))
        room.outbox.put(START)
        room.outbox.put(MeterSampled("s1", 1, (Sample(ReadingContext.PERIODIC, READING, (REGISTER, "SoC")),)))
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows and csms.of("StatusNotification"))
        assert room.link.ocpp_version == version
        assert csms.of("StopTransaction")[0]["transactionId"] == 7
        assert csms.of("StatusNotification")[0]["status"] == {"1.2": "Occupied", "1.6": "Preparing"}[version]
        assert await csms.ask("ChangeAvailability", connectorId=1, type="Operative") == "Accepted"
        assert "SecurityEventNotification" not in csms.actions()
        assert room.outbox.transaction_id("chargy", "s1", version) == "7"


async def test_the_versions_of_soap_are_tried_until_one_is_known() -> None:
    async with ZeepCentral().listening() as csms:
        room = soap_room(csms, dialects=(V16, V12, V15))
        async with running(room):
            assert room.link.ocpp_version == "1.5"
            assert csms.actions() == ["BootNotification"]
        assert csms.complaints == []


@pytest.mark.parametrize(
    "trouble",
    [
        (500, b"<html>Internal Server Error</html>"),
        (404, b"not here"),
        fault_in("Receiver", "", "deadlock, try again"),
        fault_in("Receiver", "InternalError"),
        fault_in("Sender", "SecurityError"),
        fault_in("Sender", "IdentityMismatch"),
    ],
    ids=["500", "404", "Receiver", "InternalError", "SecurityError", "IdentityMismatch"],
)
async def test_trouble_of_the_backend_does_not_change_the_version(trouble: tuple[int, bytes]) -> None:
    async with ZeepCentral(version="1.6").listening() as csms:
        accepted, csms.answers["BootNotification"] = csms.answers["BootNotification"], trouble
        async with running(soap_room(csms, dialects=(V16, V15)), up=False) as room:
            await until(lambda: csms.other_versions or len(csms.of("BootNotification")) > 1)
            csms.answers["BootNotification"] = accepted
            await until(lambda: room.link.is_up)
            assert room.link.ocpp_version == "1.6"
            assert csms.other_versions == 0


@pytest.mark.parametrize(
    "refusal",
    [
        fault_in("Sender", "ProtocolError"),
        fault_in("Receiver", "NotSupported"),
        fault_in("Sender", "ActionNotSupported"),
        fault_in("VersionMismatch"),
        fault_in("MustUnderstand"),
        fault_in("Sender"),
        (200, ZeepCentral(version="1.5").envelope("BootNotification", ANSWERS["BootNotification"], "")),
    ],
    ids=["ProtocolError", "NotSupported", "Action", "VersionMismatch", "MustUnderstand", "Sender", "namespace"],
)
async def test_a_fault_that_means_the_version_changes_it(refusal: tuple[int, bytes]) -> None:
    async with ZeepCentral().listening() as csms:
        csms.to_other_version = refusal
        async with running(soap_room(csms, dialects=(V16, V15))) as room:
            assert room.link.ocpp_version == "1.5"
            assert csms.other_versions == 1


async def test_a_version_that_was_accepted_stays() -> None:
    """The backend of a running session refuses its version for a while, and would take the other one."""
    async with ZeepCentral(version="1.6").listening() as csms, running(soap_room(csms, dialects=(V16, V15))) as room:
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        room.link.reconnect()
        await until(lambda: len(room.of(Connected)) > 1)
        accepted = csms.answers["BootNotification"]
        csms.answers["BootNotification"] = fault_in("Receiver", "NotSupported")
        room.link.send(BootWanted())
        await until(lambda: csms.other_versions or len(csms.of("BootNotification")) > 1)
        csms.answers["BootNotification"] = accepted
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert room.link.ocpp_version == "1.6"
        assert csms.actions().count("StartTransaction") == 1
        assert csms.other_versions == 0


@pytest.mark.parametrize(("first", "then"), [("1.6", "1.5"), ("1.5", "1.6")])
async def test_a_backend_that_speaks_another_version_from_now_on_gets_what_waits(first: str, then: str) -> None:
    """One attempt is permitted, and the end of the session is refused more often: it is the version that is refused."""
    before, after = ZeepCentral(version=first), ZeepCentral(version=then)
    async with contextlib.AsyncExitStack() as stack:
        async with before.listening():
            room = await stack.enter_async_context(running_with_start(before))
        after.port = before.port
        async with after.listening():
            room.outbox.put(END)
            room.link.queue_changed()
            await until(lambda: room.outbox.dead or not room.outbox.rows)
        assert room.outbox.dead == []
        assert room.link.ocpp_version == then
        assert [a for a in after.actions() if a != "BootNotification"] == ["StartTransaction", "StopTransaction"]
        assert after.other_versions == 2 * REFUSALS_MOST, "a message and a registration each time"
        assert before.complaints == after.complaints == []


async def test_a_version_that_was_accepted_gives_way_at_the_pace_of_connections() -> None:
    """The registration is refused. The pause between registrations, half a minute and more, is for a backend that does
    not know the station."""
    before, after = ZeepCentral(version="1.6"), ZeepCentral(version="1.5")
    async with contextlib.AsyncExitStack() as stack:
        async with before.listening():
            room = await stack.enter_async_context(running_with_start(before))
        after.port = before.port
        async with after.listening():
            connections = len(room.of(Connected))
            for _ in range(REFUSALS_MOST):
                refused = after.other_versions
                await until(lambda: room.link.is_up)
                room.link.send(BootWanted())
                await until(lambda refused=refused: after.other_versions > refused)
            await until(lambda: room.link.is_up and room.link.ocpp_version == "1.5")
        assert after.other_versions == REFUSALS_MOST
        assert len(room.of(Connected)) >= connections + REFUSALS_MOST


async def test_an_end_that_found_no_connection_is_sent_in_another_version() -> None:
    """The backend cannot have it: no person has to look into its books."""
    before, after = ZeepCentral(version="1.6"), ZeepCentral(version="1.5")
    async with contextlib.AsyncExitStack() as stack:
        async with before.listening():
            room = await stack.enter_async_context(running_with_start(before))
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: room.of(ConnectFailed))
        after.port = before.port
        async with after.listening():
            await until(lambda: room.outbox.dead or not room.outbox.rows)
        assert room.outbox.dead == []
        assert [a for a in after.actions() if a != "BootNotification"] == ["StartTransaction", "StopTransaction"]
        assert "StopTransaction" not in before.actions()


@contextlib.asynccontextmanager
async def running_with_start(central: ZeepCentral) -> AsyncIterator[Room]:
    """A station that speaks 1.6 and 1.5, with a session that the backend knows. One attempt is permitted."""
    async with running(soap_room(central, dialects=(V16, V15))) as room:
        room.settings.put_value("message_attempts", 1)
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        yield room


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (fault_in("Sender", "ProtocolError"), ["StartTransaction", "BootNotification"]),
        (
            (200, ZeepCentral(version="1.6").envelope("StartTransaction", ANSWERS["StartTransaction"], "")),
            ["StartTransaction"],
        ),
    ],
    ids=["fault", "namespace"],
)
async def test_a_message_that_is_refused_alone_has_its_attempts(answer: tuple[int, bytes], asked: list[str]) -> None:
    """The fault would also be the answer to another version; a registration shows that it is not that. What a backend
    answers in another namespace it may have."""
    async with soap_link(dialects=(V15, V16)) as (csms, room):
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("message_retry_interval_s", 0)
        room.settings.put_value("retry_start_while_charging", False)
        csms.answers["StartTransaction"] = answer
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: room.outbox.dead)
        assert csms.actions() == ["BootNotification", *asked, "StartTransaction"], "it is proved for a while"
        assert room.link.is_up
        assert [e.up for e in room.of(LinkChanged)] == [True]


async def test_messages_refused_in_succession_ask_for_one_registration() -> None:
    """Each sample of a session is refused. What the first registration has shown holds for the others."""
    async with soap_link(ZeepCentral({**ANSWERS, "MeterValues": fault_in("Sender")})) as (csms, room):
        room.settings.put_value("message_attempts", 3)
        room.settings.put_value("message_retry_interval_s", 0)
        room.outbox.put(START)
        room.outbox.put(MeterSampled("s1", 1, (Sample(ReadingContext.PERIODIC, READING, (REGISTER,)),)))
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert csms.actions().count("MeterValues") == 3
        assert csms.actions().count("BootNotification") == 2
        assert csms.actions()[-1] == "StopTransaction"


async def test_the_only_version_keeps_its_bills_from_a_backend_of_another_one() -> None:
    """There is no version to try. The end waits, and is no dead letter."""
    before, after = ZeepCentral(version="1.6"), ZeepCentral(version="1.5")
    async with contextlib.AsyncExitStack() as stack:
        async with before.listening():
            room = await stack.enter_async_context(running(soap_room(before, dialects=(V16,))))
            room.settings.put_value("message_attempts", 1)
            room.outbox.put(START)
            room.link.queue_changed()
            await until(lambda: not room.outbox.rows)
        after.port = before.port
        async with after.listening():
            room.outbox.put(END)
            room.link.queue_changed()
            await until(lambda: room.outbox.dead or after.other_versions > 4)
        assert [(r.message, r.attempts) for r in room.outbox.rows] == [(END, 0)]
        assert room.outbox.dead == []


async def test_a_refusal_of_the_only_version_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """Once, although the station asks again and again; and again after it was accepted."""
    csms = ZeepCentral(version="1.6")
    async with csms.listening(), running(soap_room(csms), up=False):
        await until(lambda: csms.other_versions > 2)
        lines = [r.getMessage() for r in caplog.records if "version is refused" in r.getMessage()]
    (line,) = lines
    assert line.startswith(
        f"chargy: OCPP 1.5: the version is refused at {csms.url}, and [backend] versions has no other"
    )


async def test_a_heartbeat_that_is_refused_does_not_change_the_version() -> None:
    """Once the station has registered, the registration alone decides. A session is open in this version."""
    async with soap_link(ZeepCentral(version="1.6"), dialects=(V16, V15)) as (csms, room):
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        csms.answers["Heartbeat"] = fault_in("Sender", "ProtocolError", "register first")
        for count in range(1, REFUSALS_MOST + 2):
            room.link.send(HeartbeatWanted())
            await until(lambda count=count: len(csms.of("Heartbeat")) >= count)
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert csms.other_versions == 0
        assert csms.actions().count("StartTransaction") == 1
        assert [e.up for e in room.of(LinkChanged)] == [True]


async def test_two_refusals_on_one_connection_pass_over_no_version() -> None:
    async with ZeepCentral().listening() as csms:
        connector = soap_room(csms, dialects=(V16, V15, V12)).link._connector
        transport = await connector.connect()
        for number in ("1", "2"):
            payload = {"chargePointVendor": "Example", "chargePointModel": "One"}
            await transport.send_call(number, "BootNotification", payload, 5.0)
        await until(lambda: csms.other_versions == 2)
        await until(lambda: not transport._inside._tasks)  # type: ignore[attr-defined]
        await transport.close()
        following = await connector.connect()
        assert following.dialect.name == "1.5"
        await following.close()


async def test_a_backend_that_cannot_be_reached_is_not_asked_for_soap() -> None:
    async with ZeepCentral().listening() as csms:
        room = build(Central(port=1), dialects=(V16, V15), soap_url=csms.url, soap_port=0)
        async with running(room, up=False):
            await until(lambda: len(room.of(ConnectFailed)) > 2)
        assert csms.calls == []


# --- for people -------------------------------------------------------------------------------------------------------


async def test_the_trace_shows_envelopes_without_their_secrets() -> None:
    async with soap_link() as (csms, room):
        await csms.ask("ChangeConfiguration", key="AuthorizationKey", value="0123456789abcdef0123")
        await csms.ask("GetDiagnostics", location="ftp://user:secret@host/path?token=abc")
        await csms.ask("GetConfiguration", key=["AuthorizationKey"])
        await post(own_port(csms), b"<a>0123456789abcdef0123</a>")
        await until(lambda: room.of(SecurityNoticed))
        shown = json.dumps(room.traced)
        assert "0123456789abcdef0123" not in shown
        assert "secret" not in shown
        assert "ftp://host/path?***" in shown
        assert "<o:value>***</o:value>" in shown
        directions = {(direction, version) for direction, _, version, _ in room.traced}
        assert directions == {("in", "1.5"), ("out", "1.5")}
        assert "bootNotificationRequest" in room.traced[0][3]
        assert "bootNotificationResponse" in room.traced[1][3]


async def test_what_is_sent_and_received_is_counted_by_action() -> None:
    counter = TrafficCounter()
    async with soap_link(traffic=counter) as (csms, room):
        for _ in range(3):
            room.link.send(HeartbeatWanted())
        await until(lambda: len(csms.of("Heartbeat")) == 1)
        await csms.ask("ClearCache")
    counts = {c.action: c for c in counter.collect_counts()}
    assert {CONNECTION, "BootNotification", "Heartbeat", "ClearCache"} <= counts.keys()
    assert counts["Heartbeat"].messages == 2  # the request and its answer
    assert 800 < counts["Heartbeat"].sent_bytes < 1500
    assert counts["Heartbeat"].header_bytes > 0
    assert counts["ClearCache"].received_bytes > 500


async def test_the_aiohttp_of_debian_13_has_no_say_over_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has not is left out: the exchanges work, and are counted without their headers."""

    class Older(aiohttp.TCPConnector):
        def __init__(self, *, limit: int, keepalive_timeout: float, local_addr: Any = None) -> None:
            super().__init__(limit=limit, keepalive_timeout=keepalive_timeout, local_addr=local_addr)
            addresses.append(local_addr)

    addresses: list[Any] = []
    monkeypatch.setattr(aiohttp, "TCPConnector", Older)
    for interface, address in (("", None), ("lo", ("127.0.0.1", 0))):
        counter = TrafficCounter()
        async with soap_link(traffic=counter, interface=lambda interface=interface: interface) as (csms, _):
            assert await csms.ask("ClearCache") == "Accepted"
        assert addresses[-1] == address
        counts = {c.action: c for c in counter.collect_counts()}
        assert counts["BootNotification"].sent_bytes > 800


async def test_connections_are_kept_for_a_burst_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_exchange, "KEPT_S", 0.05)
    async with soap_link() as (csms, room):
        room.link.send(HeartbeatWanted())
        await until(lambda: csms.of("Heartbeat"))
        await until(lambda: all(c.is_closing() for c in csms.connections))
        assert room.link.is_up
        assert boot_answer()["currentTime"] == NOW


async def test_another_own_address_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with soap_link() as (_, room):
        room.settings.put_value("ping_interval_s", 1)
        first = len(room.of(Connected))
        transport = room.link._channel.transport._inside  # type: ignore[union-attr]
        transport._own_host = "10.9.9.9"
        assert not await transport.is_alive()
        await until(lambda: len(room.of(Connected)) > first)


# --- the end of a connection ------------------------------------------------------------------------------------------


async def test_a_link_that_ends_while_it_connects_leaves_no_session_open(caplog: pytest.LogCaptureFixture) -> None:
    """The transport is open, and the link is cancelled before it has it."""
    async with ZeepCentral().listening() as csms:
        room = soap_room(csms)
        connector = room.link._connector
        running_link = asyncio.ensure_future(connector.connect_until(asyncio.Event()))
        opened: list[Any] = []
        connect = connector.connect

        async def connect_and_be_cancelled() -> Any:
            opened.append(await connect())
            running_link.cancel()
            return opened[0]

        connector.connect = connect_and_be_cancelled  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await running_link
        session = opened[0]._inside._exchange._session
        assert session.closed
    assert "Unclosed" not in caplog.text


@pytest.mark.parametrize("steps", range(8))
async def test_a_cancelled_attempt_closes_what_it_has_opened(steps: int) -> None:
    """Wherever the cancellation falls: what ``connect_until`` does not hand over it closes."""
    async with ZeepCentral().listening() as csms:
        connector = soap_room(csms).link._connector
        opened: list[Any] = []
        connect, is_open = connector.connect, asyncio.Event()

        async def connect_and_tell() -> Any:
            opened.append(await connect())
            is_open.set()
            return opened[0]

        connector.connect = connect_and_tell  # type: ignore[method-assign]
        attempt = asyncio.ensure_future(connector.connect_until(asyncio.Event()))
        await is_open.wait()
        for _ in range(steps):
            await asyncio.sleep(0)
        attempt.cancel()
        [result] = await asyncio.gather(attempt, return_exceptions=True)
        if not isinstance(result, BaseException):
            await result.close()
        assert opened[0]._inside._exchange._session.closed
