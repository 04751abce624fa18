"""A message at which the backend ends the connection holds up no others for good, and no bill is lost (decision 44)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from agent.domain.messages import (
    ConnectorStatus,
    FirmwareStatus,
    MeterSampled,
    Sample,
    SecurityHappened,
    StatusChanged,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.model.types import Reading, ReadingContext, SignedReading, Stamp, Token
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.outbound.interrupted_calls import InterruptedCalls
from agent.ocpp.outbound.queue_rows import QueueRows
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ports.store import OutboxRow, notes_of
from tests.ocpp.ocpp_stand_ins import Central, Room, build, desk, linked, running, served, until
from tests.support.busy_machine import stretched

CARD = Token("04A1B2C3")
ENERGY = "Energy.Active.Import.Register"
FOUR = (ENERGY, "Power.Active.Import", "Current.Import", "Voltage")
RECORD = "OCMF|{}|{}"
NOTES = notes_of("chargy")


def started(session: str) -> TransactionStarted:
    return TransactionStarted(session, 1, CARD, Stamp(1, 0.0), 1000)


def sampled(wh: int, session: str = "s1") -> MeterSampled:
    at = Stamp(1, float(wh - 1000))
    return MeterSampled(session, 1, (Sample(ReadingContext.PERIODIC, Reading(at, wh), (ENERGY,)),), at=at)


def ended(session: str, samples: int = 0) -> TransactionEnded:
    readings = [Reading(Stamp(1, float(n)), 1000 + n, 11040.0, (230.4, 229.8, 231.1)) for n in range(1, samples + 1)]
    kept = tuple(Sample(ReadingContext.PERIODIC, reading, FOUR) for reading in readings)
    why = StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED
    record = SignedReading(RECORD, "OCMF")
    return TransactionEnded(session, 1, CARD, Stamp(1, 900.0), 2000, *why, samples=kept, signed=record)


@dataclass
class Dropping(Central):
    """Ends the connection at these messages, as a server whose handler fails, or is silent about them."""

    drops: Callable[[str, dict[str, Any]], bool] = lambda action, payload: False
    is_silent: bool = False

    async def serve(self, ws: Any) -> None:
        self.connections.append(ws)
        async for text in ws:
            _, id_, action, payload = json.loads(text)
            self.calls.append((id_, action, payload))
            if not self.drops(action, payload):
                await ws.send(json.dumps([3, id_, self._said(action)]))
            elif not self.is_silent:
                ws.transport.abort()
                return


def put_all(room: Room, *messages: Any) -> None:
    for message in messages:
        room.outbox.put(message, message.session)
    room.link.queue_changed()


def ends_of(central: Central) -> list[dict[str, Any]]:
    return [p for _, action, p in central.calls if action == "StopTransaction" or p.get("eventType") == "Ended"]


@pytest.mark.parametrize("dialect", [V16, V201], ids=["1.6", "2.0.1"])
async def test_an_end_that_is_too_long_goes_without_its_readings(
    dialect: Dialect, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that takes 8 KiB closes with 1009. The register and the signed record arrive, and the session behind."""
    async with served(Central(), (dialect.subprotocol,), max_size=8192) as central:
        room = build(central, dialects=(dialect,))
        put_all(room, started("s1"), ended("s1", 100), started("s2"), ended("s2", 3))
        async with running(room, up=False):
            await until(lambda: not room.outbox.rows)
    assert room.outbox.dead == []
    first, second = ends_of(central)
    assert "2000" in json.dumps(first)
    assert RECORD in json.dumps(first) or "T0NNRnx7fXx7fQ==" in json.dumps(first)  # in 2.x in base64
    assert len(json.dumps(first)) < 1500
    values = second.get("meterValue") or second["transactionData"]
    assert len(values) == 4  # its own readings are short enough
    assert len(central.connections) <= 5
    said = [r.message for r in caplog.records if "without the readings between start and end" in r.message]
    assert len(said) == 1
    assert "session s1" in said[0]


async def test_an_end_that_is_ignored_goes_without_its_readings() -> None:
    """A server that drops a long frame and says nothing."""
    central = Dropping(drops=lambda action, payload: len(payload.get("transactionData", ())) > 1, is_silent=True)
    async with linked(central, call_timeout_s=stretched(0.1), rate=1000.0) as room:
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("heartbeat_interval_s", 1)
        put_all(room, started("s1"), ended("s1", 3))
        await until(lambda: not room.outbox.rows)
    assert room.outbox.dead == []
    *long, short = [len(p["transactionData"]) for p in central.of("StopTransaction")]
    assert len(long) >= 2
    assert set(long) == {4}
    assert short == 1  # the signed record


async def test_a_value_at_which_the_backend_drops_becomes_a_dead_letter() -> None:
    def has_poison(action: str, payload: dict[str, Any]) -> bool:
        return '"1003"' in json.dumps(payload)

    async with linked(Dropping(drops=has_poison), rate=1000.0) as room:
        put_all(room, started("s1"), *(sampled(1000 + n) for n in range(1, 7)), ended("s1"))
        await until(lambda: not room.outbox.rows)
        ((row, reason),) = room.outbox.dead
        assert row.message == sampled(1003)
        assert reason == "it has ended 3 connections, and other CALLs were answered between them"
        taken = [p for p in room.central.of("MeterValues") if not has_poison("", p)]
        values = [v["sampledValue"][0]["value"] for p in taken for v in p["meterValue"]]
        assert values == ["1001", "1002", "1004", "1005", "1006"]
        assert len(room.central.of("StopTransaction")) == 1


@pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction"])
async def test_a_start_and_an_end_are_kept_however_often_the_backend_drops(
    action: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server whose database is locked answers heartbeats too. It gets the bill with growing pauses, in which the
    connection stays."""
    is_broken = True
    central = Dropping(drops=lambda sent, payload: is_broken and sent == action)
    async with linked(central, rate=1000.0) as room:
        put_all(room, started("s1"), ended("s1", 2), started("s2"), ended("s2"))
        await until(lambda: len(central.of(action)) >= 8)
        assert len(room.outbox.rows) == (4 if action == "StartTransaction" else 3)
        assert central.actions().count("Heartbeat") >= 4
        is_broken = False
        await until(lambda: not room.outbox.rows)
    assert room.outbox.dead == []
    assert len([r for r in caplog.records if "sent again without limit" in r.message]) == 1


async def test_the_connection_stays_while_an_end_waits() -> None:
    """The pause is of domain time: here it lasts longer than the test."""
    central = Dropping(drops=lambda action, payload: action == "StopTransaction")
    async with linked(central) as room:
        room.settings.put_value("message_retry_interval_s", 3600)
        put_all(room, started("s1"), ended("s1"))
        await until(lambda: len(central.of("StopTransaction")) == 3)  # the heartbeat goes before the third one
        await until(lambda: len(central.connections) == 4 and room.link.is_up)
        assert room.link._sender.queues.transactions.is_pausing
        room.outbox.put(SecurityHappened("StartupOfTheDevice", Stamp(1, 0.0)), "", NOTES)
        room.link.queue_changed()
        await until(lambda: central.of("SecurityEventNotification"))
        assert len(central.of("StopTransaction")) == 3


async def test_a_status_at_which_the_backend_drops_holds_up_no_bill() -> None:
    central = Dropping(drops=lambda action, payload: action == "StatusNotification")
    async with linked(central) as room:
        room.link.send(StatusChanged(1, Stamp(1, 0.0), ConnectorStatus.AVAILABLE))
        await until(lambda: central.of("StatusNotification"))
        put_all(room, started("s1"), ended("s1"))
        await until(lambda: not room.outbox.rows)
        assert len(central.of("StatusNotification")) == 2


async def test_a_notice_at_which_the_backend_drops_is_given_up() -> None:
    central = Dropping(drops=lambda action, payload: action == "SecurityEventNotification")
    async with linked(central, rate=1000.0) as room:
        room.outbox.put(SecurityHappened("StartupOfTheDevice", Stamp(1, 0.0)), "", NOTES)
        room.outbox.put(FirmwareStatus("Installed", 1, True), "", NOTES)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert len(central.of("SecurityEventNotification")) == 4
        assert len(central.of("SignedFirmwareStatusNotification")) == 1


# --- which losses count -----------------------------------------------------------------------------------------------


def row_of(message: Any, seq: int = 1) -> OutboxRow:
    return OutboxRow(seq, "chargy", message.session, message, 0, seq)


def counted() -> tuple[InterruptedCalls, QueueRows]:
    rows = QueueRows(desk(), "chargy", 5.0)
    return InterruptedCalls("chargy", rows, lambda: 60.0), rows


def test_a_network_that_is_away_is_no_fault_of_the_row() -> None:
    """However often the connection is lost: nothing was answered meanwhile."""
    losses, rows = counted()
    row = row_of(ended("s1", 3))
    for _ in range(20):
        losses.call_interrupted(row, 1.0, is_skippable=False)
    assert losses.message_to_send(row) is row.message
    assert losses.reason_to_give_up(row, 1) == ""
    assert not rows.is_pausing


def test_a_single_loss_is_no_reason_whatever_the_attempts() -> None:
    losses, _ = counted()
    losses.call_interrupted(row_of(sampled(1001)), 1.0, is_skippable=True)
    assert losses.reason_to_give_up(row_of(sampled(1001)), 1) == ""


def test_a_heartbeat_is_asked_for_once_and_from_the_second_loss_on() -> None:
    losses, _ = counted()
    row = row_of(sampled(1001))
    losses.call_interrupted(row, 1.0, is_skippable=True)
    assert not losses.take_repeated_loss(1.0)
    losses.call_interrupted(row, 1.0, is_skippable=True)
    assert losses.take_repeated_loss(1.0)
    assert not losses.take_repeated_loss(1.0)
    losses.call_interrupted(row, 1.0, is_skippable=True)
    assert not losses.take_repeated_loss(1e12)  # something was answered since


def test_losses_of_a_row_that_has_left_do_not_count() -> None:
    losses, _ = counted()
    row = row_of(ended("s1", 3))
    for answered_s in (1.0, 1e12):
        losses.call_interrupted(row, answered_s, is_skippable=False)
    assert losses.message_to_send(row) == replace(row.message, samples=())
    losses.forget_losses(row)
    assert losses.message_to_send(row) is row.message
