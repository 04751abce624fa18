"""The seam below the link: another transport comes from a package outside, by its entry point, and a whole link works
over it. Nothing in ``agent`` knows it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.dialects import installed_transports
from agent.domain.events import ConnectFailed, LinkChanged, RequestReceived, TokenAuthorized, TransactionAcknowledged
from agent.domain.messages import HeartbeatWanted, StopReason, TransactionEnded, TransactionStarted, TriggerReason
from agent.domain.orders import AuthorizeToken
from agent.model.types import AuthorizationStatus, Stamp, Token, Verdict
from agent.ocpp.dialects.dialect import MessageRow, answer_always
from agent.ocpp.transport.families import FAMILIES, GROUP, find_family, load_family
from agent.ocpp.transport.transport import NoConnection, is_tls, secured_url
from agent.ocpp.v16 import V16
from agent.ocpp.wire.rpc import Kind
from tests.ocpp.ocpp_stand_ins import Central, Room, boot_answer, build, running, served, until
from tests.support.exchange_transport import ExchangeCsms
from tests.support.simulated_station import Simulated
from tests.support.station_rig import station_text

CARD, T0 = Token("04A1B2C3"), Stamp(1, 0.0)
START = TransactionStarted("s1", 1, CARD, T0, 1000)
END = TransactionEnded("s1", 1, CARD, Stamp(1, 60.0), 1500, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)
ACCEPTED = {"idTagInfo": {"status": "Accepted"}}
ANSWERS = {
    "BootNotification": boot_answer(),
    "Authorize": ACCEPTED,
    "StartTransaction": {"transactionId": 7, **ACCEPTED},
    "Heartbeat": {"currentTime": "2026-11-25T10:00:00Z"},
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that brings the transport of ``tests/support``, and a broken one: for this process and those
    that it starts."""
    info = tmp_path / "outside-1.dist-info"
    info.mkdir()
    lines = (f"[{GROUP}]", "x-exchange = tests.support.exchange_transport:FAMILY", "x-broken = not_there:FAMILY")
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))))


def exchanging(csms: ExchangeCsms, **changes: Any) -> Room:
    return build(Central(), url=f"x-exchange://127.0.0.1:{csms.port}", transports=installed_transports, **changes)


@contextlib.asynccontextmanager
async def linked(**changes: Any) -> AsyncIterator[tuple[ExchangeCsms, Room]]:
    async with ExchangeCsms(ANSWERS).listening() as csms, running(exchanging(csms, **changes)) as room:
        yield csms, room


@pytest.mark.usefixtures("installed")
async def test_a_link_boots_authorizes_and_bills_over_a_transport_from_outside() -> None:
    async with linked() as (csms, room):
        assert csms.calls[0][1]["chargePointModel"] == "SimStation"
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: room.of(TokenAuthorized))
        assert room.of(TokenAuthorized) == [TokenAuthorized("t1", CARD, Verdict(AuthorizationStatus.ACCEPTED))]
        room.outbox.put(START)
        room.outbox.put(END)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert csms.actions() == ["BootNotification", "Authorize", "StartTransaction", "StopTransaction"]
        assert csms.calls[-1][1]["transactionId"] == 7
        assert (room.traced[0][0], room.traced[0][2]) == ("out", "1.6")


@pytest.mark.usefixtures("installed")
async def test_requests_come_in_beside_the_calls_and_each_gets_its_own_answer() -> None:
    async with linked() as (csms, room):
        ask = [
            csms.ask("ChangeAvailability", {"connectorId": 1, "type": "Operative"}),
            csms.ask("ChangeAvailability", {"connectorId": 1, "type": "Sometimes"}),
            csms.ask("NoSuchAction", {}),
        ]
        answers = await asyncio.gather(*ask)
        assert answers[0] == 'OK {"status": "Accepted"}\n'
        assert answers[1].startswith("ERR PropertyConstraintViolation ")
        assert answers[2] == "ERR NotImplemented unknown action\n"
        assert len(room.of(RequestReceived)) == 1


@pytest.mark.usefixtures("installed")
async def test_a_failed_exchange_is_a_lost_connection_and_costs_no_bill() -> None:
    csms = ExchangeCsms(ANSWERS)
    async with contextlib.AsyncExitStack() as stack:
        async with csms.listening():
            room = await stack.enter_async_context(running(exchanging(csms)))
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: room.of(ConnectFailed))
        assert not room.link.is_up
        async with csms.listening():
            await until(lambda: not room.outbox.rows)
        assert csms.actions() == ["BootNotification", "StartTransaction"]  # no second boot: the backend is the same
        assert [e.up for e in room.of(LinkChanged)] == [True, False, True]


@pytest.mark.usefixtures("installed")
async def test_a_backend_that_is_gone_is_found_by_silence_alone() -> None:
    csms = ExchangeCsms(ANSWERS)
    async with contextlib.AsyncExitStack() as stack:
        async with csms.listening():
            room = exchanging(csms)
            room.settings.put_value("ping_interval_s", 1)
            await stack.enter_async_context(running(room))
        await until(lambda: room.of(ConnectFailed))
        assert not room.link.is_up
        assert csms.actions() == ["BootNotification"]


@pytest.mark.usefixtures("installed")
async def test_an_answer_after_its_time_out_still_counts() -> None:
    async with linked(call_timeout_s=0.3) as (csms, room):
        room.settings.put_value("message_attempts", 1000)
        csms.delay_s = 0.5
        room.outbox.put(START)
        room.link.queue_changed()
        await until(lambda: csms.actions()[1:])
        csms.delay_s = 0.0
        await until(lambda: room.of(TransactionAcknowledged))
        assert room.outbox.transaction_id("chargy", "s1", "1.6") == "7"
        assert csms.actions().count("StartTransaction") == 1


@pytest.mark.usefixtures("installed")
async def test_a_whole_station_charges_over_a_transport_from_outside(tmp_path: Path) -> None:
    text = station_text(1, backend='versions = ["1.6"]')
    async with (
        ExchangeCsms(ANSWERS).listening() as csms,
        Simulated(tmp_path, text, f"x-exchange://127.0.0.1:{csms.port}", 20.0) as station,
    ):
        await station.until(lambda p: p["backend"]["boot"] == "Accepted" and p["backend"]["link"] == "up")
        await station.post("/evses/1/plug", {"ready": True, "car": None})
        await station.until_evse(lambda e: e["car"])
        await station.post("/cards/tap", {"token": "04A1B2C3D4E5F6", "evse": 1})
        await station.until_evse(lambda e: e["session"] and e["session"]["energy_wh"] >= 10)
        await station.post("/cards/tap", {"token": "04A1B2C3D4E5F6", "evse": 1})
        await station.until_evse(lambda e: not e["session"])
        await station.until(lambda p: p["agent"]["queue"] == 0)
    sent = {action: payload for action, payload in csms.calls if action.endswith("Transaction")}
    assert sent["StopTransaction"]["transactionId"] == 7
    assert sent["StopTransaction"]["meterStop"] >= sent["StartTransaction"]["meterStart"] + 10


# --- messages without an answer -----------------------------------------------------------------------------------

HEARTBEAT = V16.message_row(HeartbeatWanted)
assert isinstance(HEARTBEAT, MessageRow)
SEND = replace(HEARTBEAT, is_unanswered=True)


async def test_a_message_without_an_answer_is_sent_and_holds_up_nothing() -> None:
    dialect = V16.with_rows(SEND, kinds=frozenset(Kind))
    async with served(Central()) as central, running(build(central, dialects=(dialect,))) as room:
        room.link.send(HeartbeatWanted())
        frame = (await until(lambda: central.answers))[0]
        assert (frame[0], *frame[2:]) == (Kind.SEND, "Heartbeat", {})
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: room.of(TokenAuthorized))
        assert central.actions() == ["BootNotification", "Authorize"]


async def test_a_version_without_such_messages_sends_none(caplog: pytest.LogCaptureFixture) -> None:
    async with served(Central()) as central, running(build(central, dialects=(V16.with_rows(SEND),))) as room:
        room.link.send(HeartbeatWanted())
        await until(lambda: "no message without an answer: not sent" in caplog.text)
        assert central.answers == []
        assert room.link.is_up


@pytest.mark.usefixtures("installed")
async def test_a_wire_that_answers_every_message_says_so_and_goes_on() -> None:
    async with linked(dialects=(V16.with_rows(SEND),)) as (csms, room):
        room.link.send(HeartbeatWanted())
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: room.of(TokenAuthorized))
        assert csms.actions() == ["BootNotification", "Authorize"]


async def test_a_response_that_is_not_json_becomes_an_internal_error_and_the_next_one_is_sent() -> None:
    dialect = V16.with_rows(answer_always("ClearCache", status=b"Accepted"), schemas=None)
    async with served(Central()) as central, running(build(central, dialects=(dialect,))) as room:
        assert (await central.ask("ClearCache", {}))[::2] == [4, "InternalError", {}]
        assert (await central.ask("ChangeAvailability", {"connectorId": 1, "type": "Operative"}))[0] == 3
        assert room.link.is_up


# --- finding a transport -------------------------------------------------------------------------------------------


def test_every_family_of_the_table_is_there() -> None:
    assert all(callable(load_family(entry).make_connector) for entry in FAMILIES.values())
    assert find_family("WSS://host/x") == FAMILIES["wss"]


def test_a_package_does_not_replace_a_transport_of_this_program() -> None:
    assert find_family("ws://host", lambda: {"ws": "elsewhere:FAMILY"}) == FAMILIES["ws"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("x-exchange://127.0.0.1:1", "no transport for x-exchange://"),
        ("gopher://127.0.0.1:1", "no transport for gopher://"),
    ],
)
async def test_an_address_without_a_transport_is_a_failed_attempt(url: str, why: str) -> None:
    async with running(build(Central(), url=url), up=False) as room:
        failed = (await until(lambda: room.of(ConnectFailed)))[0]
        assert why in failed.info
        await until(lambda: room.link.connect_error == failed.info)


@pytest.mark.usefixtures("installed")
async def test_a_transport_that_cannot_be_imported_is_a_failed_attempt() -> None:
    room = build(Central(), url="x-broken://127.0.0.1:1", transports=installed_transports)
    async with running(room, up=False):
        assert "not_there:FAMILY cannot be loaded" in (await until(lambda: room.of(ConnectFailed)))[0].info


@pytest.mark.usefixtures("installed")
async def test_no_transport_sends_anything_below_its_security_profile() -> None:
    async with (
        ExchangeCsms(ANSWERS).listening() as csms,
        running(exchanging(csms, security_profile=2), up=False) as room,
    ):
        assert "needs TLS" in (await until(lambda: room.of(ConnectFailed)))[0].info
        assert csms.calls == []


def test_addresses_with_tls() -> None:
    assert [secured_url(u) for u in ("ws://h/x", "WS://h", "wss://h", "http://h:1")] == [
        "wss://h/x",
        "wss://h",
        "wss://h",
        "https://h:1",
    ]
    assert [is_tls(u) for u in ("ws://h", "wss://h", "HTTPS://h", "http://h")] == [False, True, True, False]
    with pytest.raises(NoConnection, match=r"no transport for x:// .known: ws, wss"):
        find_family("x://user:secret@host")
