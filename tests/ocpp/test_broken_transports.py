"""Transports from outside that break their contract: an error or an endless wait costs a connection at most, never the
link, and never a bill."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.domain.events import Connected, ConnectFailed, LinkChanged
from agent.domain.messages import HeartbeatWanted, TransactionStarted
from agent.model.types import Stamp, Token
from agent.ocpp.dialects.dialect import Dialect, MessageRow, ResponseEffects
from agent.ocpp.transport.call_channel import CallChannel, ConnectionLost
from agent.ocpp.transport.guarded_transport import GuardedTransport
from agent.ocpp.transport.ocpp_j.json_transport import JsonTransport
from agent.ocpp.transport.timeouts import Timeouts
from agent.ocpp.transport.traffic import WireBytes
from agent.ocpp.transport.transport import Closed, ConnectorContext, TransportFamily
from agent.ocpp.v16 import V16
from agent.ocpp.wire.calls import Answered, Finding
from agent.ocpp.wire.rpc import Kind, Rpc
from agent.ports.pki import TrustedRoots
from agent.ports.store import OutboxRow
from agent.station_file.settings import Backend
from tests.ocpp.ocpp_stand_ins import QUICK, Central, Room, boot_answer, build, desk, running, until
from tests.support.exchange_transport import ExchangeConnector, ExchangeCsms, ExchangeTransport

START = TransactionStarted("s1", 1, Token("04A1B2C3"), Stamp(1, 0.0), 1000)
TAKEN = {"transactionId": 9, "idTagInfo": {"status": "Accepted"}}
ANSWERS = {
    "BootNotification": boot_answer(),
    "StartTransaction": TAKEN,
    "Heartbeat": {"currentTime": "2026-11-25T10:00:00Z"},
}
SHORT = replace(QUICK, open_s=0.3, answer_s=0.3)
ENTRY = "outside_transport:FAMILY"


class Faults:
    """What the transports of one test do wrong: the step, and how."""

    def __init__(self) -> None:
        self.present: dict[str, str] = {}
        self.closed = 0

    def break_property(self, step: str) -> None:
        if self.present.get(step) == "raises":
            raise ValueError("out of order at ftp://user:secret@host")

    async def break_step(self, step: str) -> None:
        self.break_property(step)
        if self.present.get(step) == "is_cancelled":
            raise asyncio.CancelledError
        if self.present.get(step) == "hangs":
            await asyncio.Event().wait()


class FaultyTransport(ExchangeTransport):
    def __init__(self, ctx: ConnectorContext, host: str, port: int, faults: Faults) -> None:
        super().__init__(ctx, host, port)
        self._faults = faults

    @property
    def dialect(self) -> Dialect:
        self._faults.break_property("dialect")
        return super().dialect

    @property
    def tls_root(self) -> bytes | None:  # type: ignore[override]
        self._faults.break_property("tls_root")
        return None

    async def send_call(self, id_: str, action: str, payload: Mapping[str, Any], timeout_s: float) -> None:
        await self._faults.break_step("send_call")
        await super().send_call(id_, action, payload, timeout_s)

    async def send_response(self, response: Any) -> None:
        await self._faults.break_step("send_response")
        await super().send_response(response)

    async def receive_message(self) -> tuple[Finding, int]:
        found = await super().receive_message()
        self._faults.break_property("receive_message")
        return found

    async def is_alive(self) -> bool:
        await self._faults.break_step("is_alive")
        return self._faults.present.get("is_alive") is None

    async def close(self) -> None:
        self._faults.closed += 1
        await self._faults.break_step("close")
        await super().close()


class FaultyConnector(ExchangeConnector):
    def __init__(self, ctx: ConnectorContext, faults: Faults) -> None:
        super().__init__(ctx)
        self._faults = faults
        faults.break_property("make_connector")

    async def connect(self, backend: Backend, password: bytes | None, roots: TrustedRoots) -> FaultyTransport:
        await self._faults.break_step("connect")
        transport = FaultyTransport(self._ctx, "127.0.0.1", int(backend.url.rpartition(":")[2]), self._faults)
        await transport.open()
        return transport


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    made = Faults()
    family = TransportFamily(lambda ctx: FaultyConnector(ctx, made))
    monkeypatch.setitem(sys.modules, "outside_transport", SimpleNamespace(FAMILY=family))  # type: ignore[arg-type]
    return made


@contextlib.asynccontextmanager
async def linked(up: bool = True, **changes: Any) -> AsyncIterator[tuple[ExchangeCsms, Room]]:
    async with ExchangeCsms(ANSWERS).listening() as csms:
        url, patience = f"x-exchange://127.0.0.1:{csms.port}", changes.pop("patience", SHORT)
        room = build(Central(), url=url, transports=lambda: {"x-exchange": ENTRY}, patience=patience, **changes)
        room.settings.put_value("message_attempts", 1000)
        room.settings.put_value("ping_interval_s", 1)
        async with running(room, up=up):
            yield csms, room


# --- before there is a connection ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    ["raises_error:F", "wrong_syntax:F", ":F", ".rel:F", "sys:version", "tests.support.exchange_transport:NO_SUCH"],
)
async def test_a_transport_that_cannot_be_loaded_is_a_failed_attempt(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raises_error.py").write_text("raise RuntimeError('out of order')")
    (tmp_path / "wrong_syntax.py").write_text("def")
    monkeypatch.syspath_prepend(str(tmp_path))
    room = build(Central(), url="x-exchange://127.0.0.1:1", transports=lambda: {"x-exchange": entry})
    async with running(room, up=False):
        failed = await until(lambda: room.of(ConnectFailed)[1:])
        assert f"the transport {entry} " in failed[0].info
        assert "check the package that brings it" in room.link.connect_error


@pytest.mark.parametrize("step", ["make_connector", "connect", "dialect", "tls_root"])
async def test_a_transport_that_fails_while_it_opens_is_a_failed_attempt(step: str, faults: Faults) -> None:
    faults.present[step] = "raises"
    async with linked(up=False) as (_, room):
        failed = (await until(lambda: room.of(ConnectFailed)[1:]))[0]
        assert f"{ENTRY} has failed (ValueError: out of order" in failed.info
        assert "secret" not in failed.info
        assert not room.of(Connected)
        assert bool(faults.closed) == (step in ("dialect", "tls_root")), "what was opened is closed"
        faults.present.clear()
        await until(lambda: room.link.is_up)


async def test_an_attempt_without_an_end_is_a_failed_one(faults: Faults) -> None:
    faults.present["connect"] = "hangs"
    async with linked(up=False) as (_, room):
        assert "TimeoutError" in (await until(lambda: room.of(ConnectFailed)))[0].info
        faults.present.clear()
        await until(lambda: room.link.is_up)


async def test_a_transport_that_cancels_itself_does_not_end_the_link(faults: Faults) -> None:
    """A task of its own was cancelled, for example: to the link that looks like its own end."""
    faults.present["connect"] = "is_cancelled"
    async with linked(up=False) as (_, room):
        assert "cancelled from inside" in (await until(lambda: room.of(ConnectFailed)))[0].info
        faults.present.clear()
        await until(lambda: room.link.is_up)
        faults.present["close"] = "is_cancelled"
        room.link.reconnect()
        await until(lambda: len(room.of(Connected)) == 2 and room.link.is_up)
        faults.present.clear()


# --- on a connection -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["send_call", "send_response", "receive_message", "is_alive"])
@pytest.mark.parametrize("closes", [True, False], ids=["closes", "hangs_in_close"])
async def test_an_error_costs_the_connection_and_no_bill(step: str, closes: bool, faults: Faults) -> None:
    async with linked() as (csms, room):
        faults.present |= {step: "raises"} if closes else {step: "raises", "close": "hangs"}
        asked = (
            asyncio.create_task(csms.ask("ClearCache", {})) if step in ("send_response", "receive_message") else None
        )
        if step == "send_call":
            room.outbox.put(START)
            room.link.queue_changed()
        await until(lambda: [e.up for e in room.of(LinkChanged)][:2] == [True, False])
        faults.present.clear()
        if asked is not None:
            asked.cancel()
        if step != "send_call":
            room.outbox.put(START)
            room.link.queue_changed()
        await until(lambda: not room.outbox.rows and room.link.is_up)
        assert csms.actions().count("StartTransaction") == 1
        assert room.outbox.transaction_id("chargy", "s1", "1.6") == "9"


@pytest.mark.parametrize("closes", [True, False], ids=["closes", "hangs_in_close"])
async def test_a_look_for_life_without_an_end_costs_the_connection(closes: bool, faults: Faults) -> None:
    async with linked() as (_, room):
        faults.present |= {"is_alive": "hangs"} if closes else {"is_alive": "hangs", "close": "hangs"}
        await until(lambda: [e.up for e in room.of(LinkChanged)][:2] == [True, False])
        faults.present.clear()
        await until(lambda: room.link.is_up)


async def test_a_lost_connection_that_the_transport_does_not_report_is_abandoned(faults: Faults) -> None:
    async with linked() as (_, room):
        faults.present |= {"is_alive": "is_wrong", "close": "hangs"}
        await until(lambda: [e.up for e in room.of(LinkChanged)][:2] == [True, False])
        faults.present.clear()
        await until(lambda: room.link.is_up)


async def test_a_transport_that_does_not_close_is_abandoned(faults: Faults) -> None:
    async with linked() as (_, room):
        faults.present["close"] = "hangs"
        room.link.reconnect()
        await until(lambda: len(room.of(Connected)) == 2 and room.link.is_up)
        faults.present.clear()


async def test_a_request_that_is_never_written_is_one_without_an_answer(faults: Faults) -> None:
    async with linked(call_timeout_s=0.2) as (csms, room):
        room.settings.put_value("message_retry_interval_s", 1)
        faults.present["send_call"] = "hangs"
        room.outbox.put(START)
        room.link.queue_changed()
        assert await csms.ask("ChangeAvailability", {"connectorId": 1, "type": "Operative"})
        await asyncio.sleep(0.5)
        faults.present.clear()
        await until(lambda: not room.outbox.rows)
        assert csms.actions().count("StartTransaction") == 1
        assert [e.up for e in room.of(LinkChanged)] == [True]


async def test_a_response_that_is_never_written_holds_up_the_next_one_for_a_while(faults: Faults) -> None:
    async with linked() as (csms, _):
        faults.present["send_response"] = "hangs"
        lost = asyncio.create_task(csms.ask("ChangeAvailability", {"connectorId": 1, "type": "Operative"}))
        await asyncio.sleep(0.1)
        faults.present.clear()
        assert (await csms.ask("ChangeAvailability", {"connectorId": 1, "type": "Operative"})).startswith("OK")
        lost.cancel()


# --- one call ------------------------------------------------------------------------------------------------------


class HeldBack:
    """A transport that has written a call, and holds its sender back. ``answer`` is what comes next."""

    end_reason, tls_root, dialect = "", None, V16

    def __init__(self, answer_id: str = "") -> None:
        self.answer_id = answer_id

    async def send_call(self, id_: str, action: str, payload: Any, timeout_s: float) -> None:
        self.answer_id = id_
        await asyncio.Event().wait()

    async def receive_message(self) -> tuple[Finding, int]:
        return Answered(self.answer_id, "StartTransaction", TAKEN), 1

    async def send_unanswered(self, id_: str, action: str, payload: Any) -> None:
        raise Closed

    async def send_response(self, response: Any) -> None: ...
    async def close(self) -> None: ...
    async def is_alive(self) -> bool:
        return True


async def test_the_answer_to_a_call_whose_sender_was_ended_counts_on_the_next_connection() -> None:
    late: list[tuple[Any, ResponseEffects | None]] = []
    channel = CallChannel(desk(), V16, "ws://x", lambda subject, heard: late.append((subject, heard)), 5.0)
    first = HeldBack()
    channel.attach_connection(first)
    row, out = OutboxRow(1, "chargy", "s1", START, 0), V16.message_row(TransactionStarted)
    assert isinstance(out, MessageRow)
    calling = asyncio.create_task(channel.send_call(out, row, {}))
    await asyncio.sleep(0)
    calling.cancel()
    await asyncio.wait([calling])
    channel.attach_connection(HeldBack(first.answer_id))
    await channel.receive_message()
    assert [subject for subject, _ in late] == [row]


class ClosedSocket:
    close_code, tcp_socket, wire = 1006, None, WireBytes()

    async def send_text(self, text: str) -> None:
        raise Closed


async def test_a_message_without_an_answer_that_cannot_be_written_is_not_taken_for_sent() -> None:
    dialect = V16.with_rows(kinds=frozenset(Kind))
    ctx = ConnectorContext("chargy", (dialect,), Timeouts(), lambda *frame: None)
    transport = JsonTransport(ctx, Rpc(), ClosedSocket(), dialect, "ws://x")  # type: ignore[arg-type]
    with pytest.raises(Closed):
        await transport.send_unanswered("1", "Heartbeat", {})
    await transport.send_call("2", "Heartbeat", {}, 1.0)
    row = dialect.message_row(HeartbeatWanted)
    assert isinstance(row, MessageRow)
    for closed in (HeldBack(), GuardedTransport(HeldBack(), Timeouts())):
        channel = CallChannel(desk(), V16, "ws://x", lambda subject, heard: None, 5.0)
        channel.attach_connection(closed)
        with pytest.raises(ConnectionLost, match="Heartbeat cannot be sent"):
            await channel.send_call(replace(row, is_unanswered=True), HeartbeatWanted(), {})


async def test_a_transport_that_refuses_a_call_at_once_has_lost_its_connection() -> None:
    class Refusing(HeldBack):
        async def send_call(self, id_: str, action: str, payload: Any, timeout_s: float) -> None:
            raise Closed

    row = V16.message_row(HeartbeatWanted)
    assert isinstance(row, MessageRow)
    channel = CallChannel(desk(), V16, "ws://x", lambda subject, heard: None, 5.0)
    channel.attach_connection(GuardedTransport(Refusing(), Timeouts()))
    with pytest.raises(ConnectionLost, match="Heartbeat cannot be sent"):
        await channel.send_call(row, HeartbeatWanted(), {})
    assert not channel.is_waiting
