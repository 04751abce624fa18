"""The link against real WebSocket servers: boots, silence, refusals, order, floods and garbage."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agent.domain.events import ConnectFailed, LinkChanged, RequestReceived, TokenAuthorized, TransactionAcknowledged
from agent.domain.messages import (
    BootWanted,
    ChargingState,
    ConnectorStatus,
    HeartbeatWanted,
    MeterSampled,
    Sample,
    StatusChanged,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import ResetRequest, SetVariablesRequest
from agent.model.types import AuthorizationStatus, Reading, ReadingContext, Stamp, Token, Verdict
from agent.ocpp.dialects.dialect import Dialect, MessageRow, ResponseEffects
from agent.ocpp.inbound.queue import InboundQueue
from agent.ocpp.transport.call_channel import CallChannel
from agent.ocpp.transport.transport import WireOptions
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ocpp.wire.calls import Answered, SendNow
from agent.ocpp.wire.timestamps import parse_timestamp
from agent.ports.store import OutboxRow, StoreError
from agent.services.clock import Clock as StationClock
from tests.ocpp.ocpp_stand_ins import (
    QUICK,
    UTC_S,
    Central,
    Room,
    boot_answer,
    build,
    desk,
    linked,
    running,
    served,
    until,
)
from tests.support.busy_machine import Deadline, stretched

T0 = Stamp(1, 0.0)
CARD = Token("04A1B2C3")


def started(session: str = "s1", token: Token = CARD) -> TransactionStarted:
    return TransactionStarted(session, 1, token, T0, 1000)


def ended(session: str = "s1") -> TransactionEnded:
    return TransactionEnded(session, 1, CARD, Stamp(1, 60.0), 1500, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)


def sampled(session: str = "s1", wh: int = 1200) -> MeterSampled:
    reading = Reading(Stamp(1, 30.0), wh)
    return MeterSampled(session, 1, (Sample(ReadingContext.PERIODIC, reading, ("Energy.Active.Import.Register",)),))


def status(charging: ChargingState = ChargingState.IDLE, evse: int = 1, **more: Any) -> StatusChanged:
    occupied = charging is not ChargingState.IDLE
    connector = ConnectorStatus.OCCUPIED if occupied else ConnectorStatus.AVAILABLE
    return StatusChanged(evse, T0, connector, charging, **more)


# --- boot ------------------------------------------------------------------------------------------------------------


async def test_boots_first_and_tells_the_time() -> None:
    async with linked() as room:
        assert room.central.actions() == ["BootNotification"]
        assert room.central.of("BootNotification")[0]["chargePointModel"] == "SimStation"
        assert room.link.boot_status == "Accepted"
        assert room.of(LinkChanged) == [LinkChanged("chargy", True)]
        assert len(room.clock.heard) == 1
        assert room.link.ocpp_version == "1.6"
        assert room.link.url.endswith("/CP-1")


async def test_pending_answers_but_says_nothing_but_boots() -> None:
    central = Central(script={"BootNotification": [boot_answer("Pending", 1)]})
    async with linked(central, up=False, rate=2.0) as room:
        await until(lambda: room.link.boot_status == "Pending")
        room.link.send(status())
        room.outbox.put(started())
        room.link.queue_changed()
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        assert room.of(TokenAuthorized) == [TokenAuthorized("t1", CARD, None)]
        assert (await central.ask("ChangeAvailability", {"connectorId": 1, "type": "Operative"}))[2] == {
            "status": "Accepted"
        }
        assert set(central.actions()) == {"BootNotification"}
        assert not room.link.is_up
        central.script["BootNotification"] = [boot_answer()]
        await until(lambda: room.link.is_up)
        room.link.send(status())  # as the domain does once the boot is accepted
        await until(lambda: len([a for a in central.actions() if a != "BootNotification"]) == 2)
        assert central.actions()[:2] == ["BootNotification", "BootNotification"]


async def test_a_status_of_before_the_boot_is_not_reported_twice() -> None:
    """The domain reports the whole situation when the boot is accepted; what was queued before used to go out too."""
    central = Central()
    async with served(central) as serving:
        room = build(serving)
        room.link.send(status())
        async with running(room):
            await until(lambda: room.link.is_up)
            room.link.send(replace(status(), forced=True))
            await until(lambda: central.of("StatusNotification"))
            await room.link.drain_queues(1.0)
    assert central.actions() == ["BootNotification", "StatusNotification"]


async def test_a_boot_can_be_triggered_while_pending() -> None:
    central = Central(script={"BootNotification": [boot_answer("Pending", 3600), boot_answer()]})
    async with linked(central, up=False) as room:
        await until(lambda: room.link.boot_status == "Pending")
        room.domain = lambda asked: Response(asked.link, asked.request, "Accepted")
        answer = await central.ask("TriggerMessage", {"requestedMessage": "BootNotification"})
        assert answer[2] == {"status": "Accepted"}
        room.link.send(BootWanted())
        await until(lambda: room.link.is_up)


async def test_what_is_triggered_while_pending_is_said() -> None:
    central = Central(script={"BootNotification": [boot_answer("Pending", 3600)]})
    async with linked(central, up=False) as room:
        await until(lambda: room.link.boot_status == "Pending")
        room.link.send(status())
        room.link.send(status(evse=2, forced=True))
        room.link.send(HeartbeatWanted())
        await until(lambda: len(central.calls) == 3)
        assert central.actions()[1:] == ["Heartbeat", "StatusNotification"]
        assert central.of("StatusNotification")[0]["connectorId"] == 2


async def test_rejected_is_silent_until_the_interval_also_over_a_reconnect() -> None:
    central = Central(script={"BootNotification": [boot_answer("Rejected", 1), boot_answer()]})
    began_s = time.monotonic()
    async with linked(central, up=False) as room:
        await until(lambda: room.link.boot_status == "Rejected")
        room.link.send(status(forced=True))
        room.link.send(HeartbeatWanted())
        await central.ws.send('[2,"q","ClearCache",{}]')
        await central.ws.close()
        await until(lambda: len(central.connections) == 2)
        await until(lambda: room.link.is_up)
        assert time.monotonic() - began_s > 0.8
        assert central.answers == []
        assert central.actions()[:2] == ["BootNotification", "BootNotification"]


@pytest.mark.parametrize(
    "nonsense",
    [
        '[4,"$ID","InternalError","",{}]',
        '[3,"$ID",{"status":"Maybe","currentTime":"2026-11-25T10:00:00Z","interval":1}]',
        '[3,"$ID",[]]',
        '[3,"$ID",{}]',
    ],
)
async def test_a_boot_that_is_answered_with_nonsense_is_tried_again(nonsense: str) -> None:
    async with linked(Central(script={"BootNotification": [nonsense, boot_answer()]})) as room:
        assert room.central.actions()[:2] == ["BootNotification", "BootNotification"]


@pytest.mark.parametrize("interval", [0, -5, 10**400])
async def test_odd_intervals_of_the_boot(interval: int) -> None:
    central = Central(script={"BootNotification": [boot_answer("Pending", 0), boot_answer("Accepted", interval)]})
    async with linked(central) as room:
        assert room.link.is_up


async def test_a_sloppy_time_does_not_lock_the_station_out() -> None:
    answer = {**boot_answer(), "currentTime": "soon", "extra": 1}
    async with linked(Central(script={"BootNotification": [answer]})) as room:
        assert room.link.is_up
        assert room.clock.heard == []


async def test_no_second_boot_after_a_lost_connection() -> None:
    async with linked() as room:
        await room.central.ws.close()
        await until(lambda: len(room.central.connections) == 2 and room.link.is_up)
        room.link.send(HeartbeatWanted())
        await until(lambda: len(room.central.calls) == 2)
        assert room.central.actions() == ["BootNotification", "Heartbeat"]
        assert [e.up for e in room.of(LinkChanged)] == [True, False, True]


async def test_a_triggered_boot_may_end_the_acceptance() -> None:
    central = Central(script={"BootNotification": [boot_answer(), boot_answer("Pending", 3600)]})
    async with linked(central) as room:
        room.link.send(BootWanted())
        await until(lambda: room.link.boot_status == "Pending")
        assert [e.up for e in room.of(LinkChanged)] == [True, False]


async def test_a_late_boot_answer_is_taken() -> None:
    central = Central(script={"BootNotification": [None]})
    async with linked(central, up=False, call_timeout_s=0.05) as room:
        id_ = (await until(lambda: central.calls))[0][0]
        await until(lambda: len(central.calls) > 1)
        await central.ws.send(json.dumps([3, id_, boot_answer()]))
        await until(lambda: room.link.is_up)


# --- heartbeat -------------------------------------------------------------------------------------------------------


async def test_heartbeats_at_the_boots_interval_in_domain_time() -> None:
    central = Central(script={"BootNotification": [boot_answer(interval=10)]})
    async with linked(central, rate=100.0) as room:
        await until(lambda: len(central.of("Heartbeat")) >= 3)
        await until(lambda: len(room.clock.heard) >= 3)
        ask = ("GetConfiguration", {"key": ["HeartbeatInterval"]})
        assert (await central.ask(*ask))[2]["configurationKey"][0]["value"] == "10"
        room.settings.put_value("heartbeat_interval_s", 86400)  # set after the boot: newer than the boot's word
        room.domain = lambda a: Response(a.link, a.request, "Accepted", {"heartbeat_interval_s": 86400})
        assert (await central.ask(*ask))[2]["configurationKey"][0]["value"] == "86400"


async def test_an_exchange_postpones_the_heartbeat() -> None:
    central = Central(script={"BootNotification": [boot_answer(interval=2)]})
    async with linked(central) as room:
        patience = Deadline(3)
        while not patience.over:
            room.link.send(status(forced=True))
            await asyncio.sleep(0.1)
        assert central.of("Heartbeat") == []


# --- questions -------------------------------------------------------------------------------------------------------


async def test_a_token_is_judged() -> None:
    info = {"status": "Blocked", "parentIdTag": "P", "expiryDate": "2026-11-25T11:00:00+01:00"}
    async with linked(Central(script={"Authorize": [{"idTagInfo": info}]})) as room:
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: room.of(TokenAuthorized))
        verdict = Verdict(AuthorizationStatus.BLOCKED, "P", 1_795_600_800.0)
        assert room.of(TokenAuthorized) == [TokenAuthorized("t1", CARD, verdict)]


@pytest.mark.parametrize("said", [None, '[4,"$ID","GenericError","",{}]'])
async def test_no_one_can_be_asked(said: str | None) -> None:
    async with linked(Central(script={"Authorize": [said]}), call_timeout_s=0.2) as room:
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: room.of(TokenAuthorized))
        assert room.of(TokenAuthorized) == [TokenAuthorized("t1", CARD, None)]
        room.link.authorize(AuthorizeToken("chargy", "t2", Token("x" * 21)))
        await until(lambda: len(room.of(TokenAuthorized)) == 2)


async def test_a_question_dies_with_the_connection() -> None:
    async with linked(Central(script={"Authorize": [None]}), call_timeout_s=30.0) as room:
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        room.link.authorize(AuthorizeToken("chargy", "t2", CARD))
        await until(lambda: room.central.of("Authorize"))
        await room.central.ws.close()
        await until(lambda: len(room.of(TokenAuthorized)) == 2)
        assert {(e.request, e.verdict) for e in room.of(TokenAuthorized)} == {("t1", None), ("t2", None)}


async def test_authorize_overtakes() -> None:
    central = Central(script={"StatusNotification": [None, {}]})
    async with linked(central, call_timeout_s=30) as room:
        room.link.send(status(ChargingState.EV_CONNECTED))
        await until(lambda: central.of("StatusNotification"))
        room.outbox.put(started())
        room.outbox.put(sampled())
        room.link.send(HeartbeatWanted())
        room.link.send(status(evse=2))
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        room.link.queue_changed()
        await central.ws.send(json.dumps([3, central.calls[-1][0], {}]))
        await until(lambda: not room.outbox.rows)
        assert central.actions()[1:4] == ["StatusNotification", "Authorize", "Heartbeat"]


# --- billed ----------------------------------------------------------------------------------------------------------


async def test_a_session_is_reported_in_order_with_the_id_that_came_back() -> None:
    async with linked() as room:
        room.outbox.put(started())
        room.outbox.put(TransactionUpdated("s1", 1, T0, TriggerReason.CHARGING_STATE_CHANGED, ChargingState.CHARGING))
        room.outbox.put(sampled())
        room.outbox.put(ended())
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert room.central.actions()[1:] == ["StartTransaction", "MeterValues", "StopTransaction"]
        assert room.central.of("MeterValues")[0]["transactionId"] == 42
        assert room.central.of("StopTransaction")[0]["transactionId"] == 42
        assert room.of(TransactionAcknowledged)[0] == TransactionAcknowledged(
            "chargy", "s1", "42", Verdict(AuthorizationStatus.ACCEPTED), CARD
        )
        assert room.outbox.session_of("chargy", "42") == "s1"


async def test_another_id_and_the_same_payload_after_a_lost_connection() -> None:
    central = Central(script={"StartTransaction": [None, {"transactionId": 7, "idTagInfo": {"status": "Accepted"}}]})
    async with linked(central, call_timeout_s=30.0) as room:
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: central.of("StartTransaction"))
        room.link._ctx.clock.utc_s = lambda stamp: 0.0  # type: ignore[method-assign]  # what the clock learns meanwhile
        central.ws.transport.abort()
        await until(lambda: not room.outbox.rows)
        first, second = [c for c in central.calls if c[1] == "StartTransaction"]
        assert first[1:] == second[1:]
        assert first[0] != second[0]
        assert room.outbox.transaction_id("chargy", "s1", "1.6") == "7"


async def test_a_refused_start_is_retried_and_the_rest_of_its_session_goes_without_a_number() -> None:
    """1.6 3.7.1 and errata 3.18: values and end have the transaction id -1. The end stays for a person."""
    central = Central(script={"StartTransaction": ['[4,"$ID","InternalError","",{}]']})
    async with linked(central) as room:
        room.settings.put_value("message_attempts", 3)
        room.settings.put_value("message_retry_interval_s", 0)
        for message in (started(), sampled(), ended()):
            room.outbox.put(message)
        room.outbox.put(sampled(""), session="")
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert len(central.of("StartTransaction")) == 3
        assert len({c[0] for c in central.calls if c[1] == "StartTransaction"}) == 3
        assert [row.seq for row, _ in room.outbox.dead] == [1, 3]
        assert [p.get("transactionId") for p in central.of("MeterValues")] == [-1, None]
        assert [p["transactionId"] for p in central.of("StopTransaction")] == [-1]


async def test_the_pause_grows_and_lets_others_pass() -> None:
    central = Central(script={"StartTransaction": [REFUSED, TAKEN]})
    async with linked(central, rate=10.0) as room:
        room.settings.put_value("message_retry_interval_s", 5)
        room.outbox.put(started())
        began_s = time.monotonic()
        room.link.queue_changed()
        await until(lambda: central.of("StartTransaction"))
        await until(lambda: room.outbox.rows and room.outbox.rows[0].attempts == 1)
        room.link.send(status(ChargingState.CHARGING))
        await until(lambda: central.of("StatusNotification"))
        assert room.outbox.rows
        await until(lambda: not room.outbox.rows)
        assert time.monotonic() - began_s > 0.45


async def test_silence_on_a_live_line_is_no_attempt_and_a_late_answer_completes() -> None:
    central = Central(script={"StartTransaction": [None]})
    async with linked(central, call_timeout_s=0.15) as room:
        room.settings.put_value("message_retry_interval_s", 3600)
        room.outbox.put(started())
        room.outbox.put(sampled())
        room.link.queue_changed()
        await until(lambda: room.link._sender.queues.transactions.is_pausing)
        assert room.outbox.rows[0].attempts == 0
        await central.ws.send(json.dumps([3, central.calls[-1][0], TAKEN]))
        await until(lambda: not room.outbox.rows)
        assert len(central.of("StartTransaction")) == 1
        assert central.of("MeterValues")[0]["transactionId"] == 9
        assert len(central.connections) == 1


REFUSED = '[4,"$ID","InternalError","",{}]'
TAKEN = {"transactionId": 9, "idTagInfo": {"status": "Accepted"}}


async def test_a_backend_that_hangs_behind_a_living_proxy_buries_nothing() -> None:
    """Silence was an attempt: after three of them the start was buried, and with it the session that still ran."""
    central = Central(script={"StartTransaction": [None] * 6 + [TAKEN]})
    async with linked(central, call_timeout_s=0.03, rate=1000.0) as room:
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("message_retry_interval_s", 10)
        for message in (started(), sampled(), ended()):
            room.outbox.put(message)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert room.outbox.dead == []
        starts = [c for c in central.calls if c[1] == "StartTransaction"]
        assert len(starts) >= 7
        assert [payload for _, _, payload in starts] == [starts[0][2]] * len(starts)
        assert len({id_ for id_, _, _ in starts}) == len(starts)
        assert central.of("StopTransaction")[0]["transactionId"] == 9
        assert len(central.connections) == 1


async def test_the_start_of_a_running_session_is_never_buried(caplog: pytest.LogCaptureFixture) -> None:
    central = Central(script={"StartTransaction": [REFUSED] * 5 + [TAKEN]})
    async with linked(central, rate=1000.0) as room:
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("message_retry_interval_s", 0)
        room.outbox.put(started())
        room.outbox.put(sampled())
        room.link.queue_changed()
        began_s = time.monotonic()
        await until(lambda: not room.outbox.rows)
        assert time.monotonic() - began_s > 3 * 0.06  # four least pauses, the first seen late; the interval is 0
        assert room.outbox.dead == []
        assert central.of("MeterValues")[0]["transactionId"] == 9
    assert len([r for r in caplog.records if "sent again without limit" in r.getMessage()]) == 1


async def test_the_start_is_buried_once_its_session_has_ended() -> None:
    central = Central(script={"StartTransaction": [REFUSED]})
    async with linked(central, rate=1000.0) as room:
        room.settings.put_value("message_attempts", 1)
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: len(central.of("StartTransaction")) == 2)
        assert room.outbox.dead == []
        room.outbox.put(ended())
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert [row.seq for row, _ in room.outbox.dead] == [1, 2]


async def test_a_late_answer_to_a_buried_start_is_taken() -> None:
    central = Central(script={"StartTransaction": [None, REFUSED]})
    async with linked(central, call_timeout_s=0.1) as room:
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("message_retry_interval_s", 0)
        room.outbox.put(started())
        room.outbox.put(ended())
        room.link.queue_changed()
        await until(lambda: len(room.outbox.dead) == 2)
        first = next(id_ for id_, action, _ in central.calls if action == "StartTransaction")
        await central.ws.send(json.dumps([3, first, TAKEN]))
        await until(lambda: room.of(TransactionAcknowledged))
        room.outbox.put(sampled(""), "")
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert room.outbox.transaction_id("chargy", "s1", "1.6") == "9"


async def test_a_late_refusal_is_an_attempt() -> None:
    central = Central(script={"StartTransaction": [None]})
    async with linked(central, call_timeout_s=0.1, rate=100.0) as room:
        room.settings.put_value("message_retry_interval_s", 30)
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: room.link._sender.queues.transactions.is_pausing)
        await central.ws.send(REFUSED.replace("$ID", central.calls[-1][0]))
        await until(lambda: room.outbox.rows[0].attempts == 1)
        assert len(central.of("StartTransaction")) == 1


@pytest.mark.parametrize("primary", [True, False])
async def test_who_only_looks_on_corrects_no_clock(primary: bool) -> None:
    """Bills, tariffs and signed readings go by it."""
    async with linked(primary=primary) as room:
        assert bool(room.clock.heard) is primary


SOON = {**boot_answer(), "currentTime": "soon"}


def timeless_clock(rate: float = 1.0) -> StationClock:
    """The clock of a station that has run for 100 s and has heard no time yet."""
    since_s = time.monotonic() - 100.0
    return StationClock({}, rate, boot_id="a", boottime=lambda: time.monotonic() - since_s)


def assert_true_time(timestamp: str) -> None:
    """``T0`` was 100 s before the boot was answered."""
    assert parse_timestamp(timestamp) == pytest.approx(UTC_S - 100.0, abs=60.0)


@pytest.mark.parametrize("version", [V16, V201], ids=["1.6", "2.0.1"])
async def test_a_bill_for_the_second_backend_has_the_true_time_though_the_first_is_away(version: Dialect) -> None:
    """It had a guess: the last time that was known before the power was cut, or the day on which the program was
    built."""
    central = Central(script={"TransactionEvent": [{}]})
    clock = timeless_clock()
    options: dict[str, Any] = {"dialects": (version,), "primary": False, "clock": clock}
    async with served(central, (f"ocpp{version.name}",)) as serving, running(build(serving, **options)) as room:
        room.outbox.put(started())
        room.link.queue_changed()
        bills = await until(lambda: central.of("StartTransaction") + central.of("TransactionEvent"))
    assert_true_time(bills[0]["timestamp"])
    clock.heard_utc(UTC_S + 7200.0, 0.1)
    assert clock.now().utc_s == pytest.approx(UTC_S + 7200.0, abs=1.0), "the first backend is right at once"


async def test_a_late_boot_answer_says_the_time_and_a_heartbeat_says_it_exactly() -> None:
    central = Central(script={"BootNotification": [None]})
    async with linked(central, up=False, call_timeout_s=0.05, clock=timeless_clock()) as room:
        room.outbox.put(started())
        id_ = (await until(lambda: central.calls))[0][0]
        await until(lambda: len(central.calls) > 1)
        await central.ws.send(json.dumps([3, id_, boot_answer()]))
        bills = await until(lambda: central.of("StartTransaction"))
        assert_true_time(bills[0]["timestamp"])
        after_boot = [a for a in central.actions() if a != "BootNotification"]
        assert after_boot[:2] == ["Heartbeat", "StartTransaction"]


async def test_what_is_billed_waits_for_a_heartbeat_where_the_boot_says_no_time() -> None:
    central = Central(script={"BootNotification": [SOON]})
    async with linked(central, clock=timeless_clock()) as room:
        room.outbox.put(started())
        room.link.queue_changed()
        bills = await until(lambda: central.of("StartTransaction"))
        assert_true_time(bills[0]["timestamp"])
        assert central.actions() == ["BootNotification", "Heartbeat", "StartTransaction"]


NEVER = {"BootNotification": [SOON], "Heartbeat": [{"currentTime": "later"}]}


async def test_while_bills_wait_for_the_time_statuses_go_and_the_backend_is_asked_again() -> None:
    central = Central(script=dict(NEVER))
    async with linked(central, rate=60.0, clock=timeless_clock(60.0)) as room:
        room.outbox.put(started())
        room.link.send(status(forced=True))
        room.link.queue_changed()
        await until(lambda: central.of("StatusNotification") and len(central.of("Heartbeat")) > 1)
        assert not await asyncio.wait_for(room.link.drain_queues(60.0), stretched(15.0)), "to stop takes no longer"
        assert not central.of("StartTransaction")


async def test_a_backend_that_never_says_the_time_gets_its_bills_with_a_guess(caplog: pytest.LogCaptureFixture) -> None:
    central = Central(script=dict(NEVER))
    async with linked(central, rate=1000.0, clock=timeless_clock(1000.0)) as room:
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
    assert central.actions()[:2] == ["BootNotification", "Heartbeat"]
    assert central.actions().count("StartTransaction") == 1
    assert "no backend has said the time" in caplog.text


async def test_a_clock_beyond_all_years_ends_nothing() -> None:
    """The year 10000 came out of the encoder as ValueError and ended the link, and with it the agent."""
    central = Central(script={"BootNotification": [{**boot_answer(), "currentTime": "9999-12-31T23:59:59Z"}]})
    async with linked(central) as room:
        room.clock.utc_s = lambda stamp: 253402300799.0 + 3600  # type: ignore[method-assign]
        room.link.send(status(forced=True))
        await until(lambda: central.of("StatusNotification"))
        assert central.of("StatusNotification")[0]["timestamp"] == "9999-12-31T23:59:59.000Z"


async def test_what_cannot_be_encoded_is_dropped_and_what_is_billed_waits(caplog: pytest.LogCaptureFixture) -> None:
    async with linked(rate=1000.0) as room:
        known = room.clock.utc_s
        room.clock.utc_s = lambda stamp: float("nan")  # type: ignore[method-assign]
        room.link.send(status(forced=True))
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: "waits" in caplog.text and "not sent" in caplog.text)
        assert room.outbox.rows
        room.clock.utc_s = known  # type: ignore[method-assign]
        await until(lambda: not room.outbox.rows)
        assert room.outbox.dead == []
        assert room.central.actions()[1:] == ["StartTransaction"]


async def test_a_number_that_json_does_not_know_is_set_aside() -> None:
    said = MessageRow(MeterSampled, "MeterValues", lambda m, d: {"x": float("inf")}, lambda m, p, d: ResponseEffects())
    row = MessageRow(HeartbeatWanted, "Heartbeat", lambda m, d: {"x": float("nan")}, lambda m, p, d: ResponseEffects())
    async with linked(dialects=(V16.with_rows(said, row, schemas=None),)) as room:
        room.link.send(HeartbeatWanted())
        room.outbox.put(sampled(""), "")
        room.link.queue_changed()
        await until(lambda: room.outbox.dead)
        assert room.central.actions() == ["BootNotification"]


async def test_a_store_that_fails_in_every_way_does_not_end_the_link() -> None:
    central = Central(script={"StartTransaction": [REFUSED]})
    async with linked(central) as room:
        room.settings.put_value("message_attempts", 1)
        room.settings.put_value("message_retry_interval_s", 0)
        fails = {"oldest_rows": 2, "rows_of_session": 3}

        def failing(name: str, method: Any) -> Any:
            async def call(*arguments: Any) -> Any:
                if fails[name]:
                    fails[name] -= 1
                    raise StoreError("read-only")
                return await method(*arguments)

            return call

        for name in fails:
            setattr(room.outbox, name, failing(name, getattr(room.outbox, name)))
        room.outbox.broken = 2
        room.outbox.put(started())
        room.outbox.put(ended())
        room.link.queue_changed()
        await until(lambda: len(room.outbox.dead) == 2)
        assert fails == {"oldest_rows": 0, "rows_of_session": 0}


async def test_a_row_that_cannot_be_said_is_set_aside() -> None:
    async with linked() as room:
        room.outbox.put({"$": "Nonsense"})
        room.outbox.put(started("s2", Token("x" * 36)), "s2")
        room.outbox.put(ended("s3"), "s3")
        room.outbox.put(TransactionStarted("s4", 1, CARD, T0, "many"), "s4")  # type: ignore[arg-type]
        room.outbox.put(TransactionStarted("s5", 1, CARD, None, 1), "s5")  # type: ignore[arg-type]
        room.outbox.put(MeterSampled("", 1, (Sample(ReadingContext.PERIODIC, Reading(T0, 1), ("SoC",)),)), "")
        room.outbox.put(started("s6"), "s6")
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert [row.seq for row, _ in room.outbox.dead] == [1, 2, 3, 4, 5]
        assert room.central.actions()[1:] == ["StartTransaction"]


async def test_a_store_that_fails_does_not_make_us_say_it_twice() -> None:
    async with linked() as room:
        room.outbox.broken = 3
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert len(room.central.of("StartTransaction")) == 1
        assert room.outbox.broken == 0


async def test_a_refused_token_is_reported_at_once_though_the_store_takes_nothing() -> None:
    """It went on charging until the disk was mended."""
    blocked = {"transactionId": 9, "idTagInfo": {"status": "Blocked"}}
    async with linked(Central(script={"StartTransaction": [blocked]})) as room:
        room.outbox.broken = 10**9
        room.outbox.put(started())
        room.link.queue_changed()
        (event,) = await until(lambda: room.of(TransactionAcknowledged))
        assert event.verdict.status is AuthorizationStatus.BLOCKED
        assert room.outbox.rows
        broken = room.outbox.broken
        await until(lambda: room.outbox.broken < broken)
        room.outbox.broken = 0
        await until(lambda: not room.outbox.rows)
        assert room.of(TransactionAcknowledged) == [event], "once"
        assert len(room.central.of("StartTransaction")) == 1


async def test_an_answer_just_before_the_end_of_the_line_counts() -> None:
    async def answers_and_drops(ws: Any) -> None:
        async for text in ws:
            _, id_, action, payload = json.loads(text)
            central.calls.append((id_, action, payload))
            if action == "BootNotification":
                await ws.send(json.dumps([3, id_, boot_answer()]))
            else:
                answer = f'[3,"{id_}",{{"transactionId":5,"idTagInfo":{{"status":"Invalid"}}}}]'
                ws.protocol.send_text(answer.encode())
                ws.protocol.send_close(1000)
                ws.transport.write(b"".join(ws.protocol.data_to_send()))  # both in one segment

    central = Central(attend=answers_and_drops)
    async with linked(central) as room:
        for n in range(20):
            room.outbox.put(started(f"s{n}"), f"s{n}")
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert len(central.of("StartTransaction")) == 20
        assert len(room.of(TransactionAcknowledged)) == 20


class AnswersOnce:
    """A transport without a wire: the latest call gets ``answer``."""

    end_reason, tls_root = "", None

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.answer: dict[str, Any] = {}
        self._sent = ("", "")

    async def send_call(self, id_: str, action: str, payload: Any, timeout_s: float) -> None:
        self._sent = id_, action

    async def receive_message(self) -> tuple[Answered, int]:
        return Answered(*self._sent, self.answer), 1

    async def send_unanswered(self, id_: str, action: str, payload: Any) -> None: ...
    async def send_response(self, response: Any) -> None: ...
    async def close(self) -> None: ...
    async def is_alive(self) -> bool:
        return True


async def test_an_answer_that_is_overtaken_by_the_cancellation_counts() -> None:
    late: list[tuple[Any, ResponseEffects]] = []
    channel = CallChannel(desk(), V16, "ws://x", lambda subject, heard: late.append((subject, heard)), 5.0)
    wire = AnswersOnce(V16)
    channel.attach_connection(wire)
    row, out = OutboxRow(1, "chargy", "s1", started(), 0), V16.message_row(TransactionStarted)
    assert isinstance(out, MessageRow)
    calling = asyncio.create_task(channel.send_call(out, row, {}))
    await asyncio.sleep(0)
    wire.answer = TAKEN
    await channel.receive_message()
    calling.cancel()
    await asyncio.wait([calling])
    assert calling.cancelled()
    assert late[0][0] is row
    assert late[0][1].facts[0].value == {"id": "9"}


@pytest.mark.parametrize("after_s", [0.0, 0.002], ids=["before", "after"])
async def test_an_answer_in_the_instant_of_its_time_out_counts(after_s: float) -> None:
    """In one turn of the event loop the answer is read, and the time-out is over: in either order."""
    late: list[tuple[Any, ResponseEffects | None]] = []
    channel = CallChannel(desk(), V16, "ws://x", lambda subject, heard: late.append((subject, heard)), 0.01)
    wire = AnswersOnce(V16)
    channel.attach_connection(wire)
    row, out = OutboxRow(1, "chargy", "s1", started(), 0), V16.message_row(TransactionStarted)
    assert isinstance(out, MessageRow)

    def read_answer() -> None:
        wire.answer = TAKEN
        with contextlib.suppress(StopIteration):
            channel.receive_message().send(None)  # at once, in this turn

    calling = asyncio.create_task(channel.send_call(out, row, {}))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(calling_deadline(after_s), read_answer)
    time.sleep(0.05)  # noqa: ASYNC251  both are due in the next turn
    heard = (await asyncio.gather(calling, return_exceptions=True))[0]
    effects = late[0][1] if late else heard
    assert isinstance(effects, ResponseEffects)
    assert effects.facts[0].value == {"id": "9"}


def calling_deadline(after_s: float) -> float:
    """An instant just before (0) or after the time-out of a call of 0.01 s that has just begun."""
    return asyncio.get_running_loop().time() + (0.01 + after_s if after_s else 0.001)


async def test_a_durable_write_is_finished_although_the_line_ends_in_its_middle() -> None:
    async with linked() as room:
        done, writing = room.outbox.remove_delivered, asyncio.Event()

        async def slow(row: Any, facts: Any = ()) -> None:
            await done(row, facts)
            writing.set()
            await asyncio.sleep(0.2)

        room.outbox.remove_delivered = slow  # type: ignore[method-assign]
        room.outbox.put(started())
        room.link.queue_changed()
        await asyncio.wait_for(writing.wait(), stretched(5.0))
        room.central.ws.transport.abort()
        await until(lambda: room.of(TransactionAcknowledged))
        await until(lambda: len(room.central.connections) == 2 and room.link.is_up)
        assert room.outbox.rows == []
        assert room.outbox.transaction_id("chargy", "s1", "1.6") == "42"
        assert len(room.central.of("StartTransaction")) == 1
        assert room.link._sender.queues.transactions.rows.settled == 1


async def test_statuses_keep_their_place_beside_what_is_billed() -> None:
    async with linked() as room:
        room.link.send(status(ChargingState.EV_CONNECTED))
        room.outbox.put(started())
        room.link.queue_changed()
        room.link.send(status(ChargingState.CHARGING))
        room.outbox.put(ended())
        room.link.queue_changed()
        room.link.send(status(ChargingState.EV_CONNECTED, ended=True))
        await until(lambda: len(room.central.calls) == 6)
        assert room.central.actions()[1:] == [
            "StatusNotification", "StartTransaction", "StatusNotification", "StopTransaction", "StatusNotification",
        ]  # fmt: skip
        reported = [p["status"] for p in room.central.of("StatusNotification")]
        assert reported == ["Preparing", "Charging", "Finishing"]
        assert room.link.reported_statuses == {1: {"status": "Finishing", "error": "NoError"}}


async def test_after_being_offline_the_present_status_goes_first_and_once() -> None:
    central = Central()
    async with served(central) as serving:
        room = build(serving)
        for n in range(20):
            room.outbox.put(sampled("", 1000 + n))
        for charging in (ChargingState.EV_CONNECTED, ChargingState.CHARGING, ChargingState.SUSPENDED_EV):
            room.link.send(replace(status(charging), forced=True))
        async with running(room):
            await until(lambda: not room.outbox.rows)
    assert central.actions()[1] == "StatusNotification"
    assert set(central.actions()[2:]) == {"MeterValues"}
    assert sum(len(p["meterValue"]) for p in central.of("MeterValues")) == 20
    assert central.of("StatusNotification")[0]["status"] == "SuspendedEV"
    values = [v["sampledValue"][0]["value"] for p in central.of("MeterValues") for v in p["meterValue"]]
    assert values == [str(1000 + n) for n in range(20)]


async def test_a_status_that_did_not_get_through_is_reported_again() -> None:
    central = Central(script={"StatusNotification": [None, {}]})
    async with linked(central, call_timeout_s=30.0) as room:
        room.link.send(status(ChargingState.CHARGING))
        await until(lambda: central.of("StatusNotification"))
        central.ws.transport.abort()
        await until(lambda: len(central.of("StatusNotification")) == 2)


async def test_a_status_that_met_silence_is_reported_again() -> None:
    """It counted as sent: the backend showed the old status for the rest of the session."""
    central = Central(script={"StatusNotification": [None, {}]})
    async with linked(central, call_timeout_s=0.05, rate=1000.0) as room:
        room.link.send(status(ChargingState.CHARGING))
        await until(lambda: len(central.of("StatusNotification")) == 2)
        first, second = central.of("StatusNotification")
        assert first == second
        await until(lambda: room.link.reported_statuses == {1: {"status": "Charging", "error": "NoError"}})


async def test_a_newer_status_takes_the_place_of_the_one_that_met_silence() -> None:
    central = Central(script={"StatusNotification": [None, {}]})
    async with linked(central, call_timeout_s=0.05) as room:
        room.link.send(status(ChargingState.CHARGING))
        await until(lambda: room.link._sender.statuses.next_due_s(room.clock.now().t_s))
        assert room.link.reported_statuses == {}
        room.outbox.put(sampled(""), "")  # what is billed does not wait for it
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        room.link.send(status(ChargingState.SUSPENDED_EV))
        await until(lambda: len(central.of("StatusNotification")) == 2)
        assert [p["status"] for p in central.of("StatusNotification")] == ["Charging", "SuspendedEV"]


# --- requests --------------------------------------------------------------------------------------------------------


async def test_a_request_that_no_one_decides_gets_internal_error_and_the_line_stays() -> None:
    patience = type(QUICK)(answer_s=0.1)
    async with linked(patience=patience) as room:
        room.domain = lambda asked: None
        answer = await room.central.ask("Reset", {"type": "Soft"})
        assert answer[:3] == [4, answer[1], "InternalError"]
        room.domain = lambda asked: Response(asked.link, asked.request, "Accepted")
        assert (await room.central.ask("Reset", {"type": "Soft"}))[2] == {"status": "Accepted"}
        assert len(room.central.connections) == 1


async def test_a_domain_that_fails_or_answers_nonsense_does_not_end_the_line() -> None:
    async with linked() as room:
        room.domain = lambda asked: Response(asked.link, asked.request, "Accepted", {"connector_count": object()})
        answer = await room.central.ask("GetConfiguration", {"key": ["NumberOfConnectors"]})
        assert answer[0] in (3, 4)

        def fails(asked: RequestReceived) -> Response:
            raise RuntimeError("a bug")

        room.domain = fails
        assert (await room.central.ask("Reset", {"type": "Soft"}))[2] == "InternalError"


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Nonsense", {}, "NotImplemented"),
        ("ReserveNow", {}, "OccurenceConstraintViolation"),
        ("Reset", {}, "OccurenceConstraintViolation"),
        ("Reset", {"type": 1}, "TypeConstraintViolation"),
        ("Reset", {"type": "Gentle"}, "PropertyConstraintViolation"),
        ("Reset", {"type": "Soft", "x": 1}, "FormationViolation"),
        ("RemoteStartTransaction", {"idTag": "x" * 21}, "PropertyConstraintViolation"),
        ("GetConfiguration", {"key": ["k"] * 101}, "OccurenceConstraintViolation"),
    ],
)
async def test_what_is_refused_says_why(action: str, payload: dict[str, Any], code: str) -> None:
    async with linked() as room:
        assert (await room.central.ask(action, payload))[2] == code
        assert room.of(RequestReceived) == []


async def test_a_repeated_request_is_executed_once() -> None:
    async with linked() as room:
        frame = '[2,"same","Reset",{"type":"Soft"}]'
        for _ in range(2):
            before = len(room.central.answers)
            await room.central.ws.send(frame)
            await until(lambda before=before: len(room.central.answers) > before)
        assert room.central.answers[0] == room.central.answers[1]
        assert len(room.of(RequestReceived)) == 1


async def test_flush_waits_for_the_reply_on_the_wire() -> None:
    async with linked() as room:

        def ask(asked: RequestReceived) -> None:
            room.link.respond(Response(asked.link, asked.request, "Accepted"))
            flushed.append(asyncio.create_task(room.link.drain_queues(2.0)))

        flushed: list[asyncio.Task[bool]] = []
        room.domain = ask  # type: ignore[assignment]
        sent = asyncio.create_task(room.central.ask("Reset", {"type": "Hard"}))
        await until(lambda: flushed)
        assert await flushed[0]
        assert [f for f in room.traced if f[0] == "out"][-1][3].endswith('{"status":"Accepted"}]')
        assert (await sent)[2] == {"status": "Accepted"}
        assert room.of(RequestReceived)[0].ask == ResetRequest(hard=True)
        assert await room.link.drain_queues(0.1)


@dataclass
class Slow(Central):
    """Answers what follows the boot only when ordered."""

    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, ws: Any) -> None:
        self.connections.append(ws)
        async for text in ws:
            _, id_, action, payload = json.loads(text)
            self.calls.append((id_, action, payload))
            if action != "BootNotification":
                await self.go.wait()
            await ws.send(json.dumps([3, id_, self._said(action)]))


async def test_flush_waits_for_what_is_billed() -> None:
    """The end of the process cut the StopTransaction that the reset had caused."""
    central = Slow()
    async with linked(central) as room:
        for message in (started(), ended()):
            room.outbox.put(message)
        room.link.queue_changed()
        await until(lambda: central.of("StartTransaction"))
        flushing = asyncio.create_task(room.link.drain_queues(5.0))
        assert not await room.link.drain_queues(0.05)
        assert not flushing.done()
        central.go.set()
        assert await flushing
        assert room.outbox.rows == []
        assert len(central.of("StopTransaction")) == 1


@pytest.mark.parametrize("how", ["silence", "refusal", "gone", "store"])
async def test_flush_does_not_wait_where_nothing_moves(how: str) -> None:
    central = Central(script={"StartTransaction": [REFUSED if how == "refusal" else TAKEN if how == "store" else None]})
    async with linked(central, call_timeout_s=0.1 if how == "silence" else 30.0, reconnect_s=30.0) as room:
        room.outbox.broken = 1 if how == "store" else 0
        room.link._sender.queues.transactions.rows._store_retry_s = 30.0
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: central.of("StartTransaction"))
        flushing = asyncio.create_task(room.link.drain_queues(20.0))
        if how == "gone":
            central.ws.transport.abort()
        assert not await asyncio.wait_for(flushing, stretched(15.0))


async def test_the_inbox_is_bounded_in_bytes() -> None:
    inbox = InboundQueue(count=3, size_bytes=10)
    for n in range(2):
        await inbox.put(SendNow(str(n)), 5)
    third = asyncio.create_task(inbox.put(SendNow("2"), 1))
    await asyncio.sleep(0.01)
    assert not third.done()
    assert await inbox.get() == SendNow("0")
    await third
    assert [await inbox.get(), await inbox.get()] == [SendNow("1"), SendNow("2")]
    assert inbox.bytes == 0
    await inbox.put(SendNow("big"), 1000)  # a single one always fits
    assert await inbox.get() == SendNow("big")
    for _ in range(3):
        await inbox.put(SendNow(""), 0)
    fourth = asyncio.create_task(inbox.put(SendNow(""), 0))
    await asyncio.sleep(0.01)
    assert not fourth.done()
    await inbox.get()
    await fourth


async def test_a_full_inbox_does_not_hold_the_reader_of_a_connection_that_ends() -> None:
    """Behind the requests the answer to a StartTransaction may wait to be read."""
    inbox = InboundQueue(count=1)
    await inbox.put(SendNow("a"), 1)
    reading = asyncio.create_task(inbox.put(SendNow("b"), 1))
    await asyncio.sleep(0)
    assert not reading.done()
    inbox.close()
    await asyncio.wait_for(reading, 5.0)
    assert await inbox.get() == SendNow("a")
    assert inbox.is_empty


async def test_what_stands_behind_requests_is_read_before_a_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The requests can be answered no more; the answer behind them is perhaps that of a StartTransaction."""
    monkeypatch.setattr("agent.ocpp.link.InboundQueue", lambda: InboundQueue(count=1))
    central = Central(script={"Authorize": [None]})
    async with linked(central, call_timeout_s=60.0) as room:
        room.domain = lambda asked: None  # it takes its time
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: central.of("Authorize"))
        for n in range(3):
            await central.ws.send(json.dumps([2, f"r{n}", "ClearCache", {}]))
        await until(lambda: room.of(RequestReceived))
        await central.ws.send(json.dumps([3, central.calls[-1][0], {"idTagInfo": {"status": "Blocked"}}]))
        room.link.reconnect()
        verdict = await until(lambda: room.of(TokenAuthorized))
        assert verdict[0].verdict is not None
        assert verdict[0].verdict.status is AuthorizationStatus.BLOCKED


async def test_big_requests_are_held_back_and_all_answered() -> None:
    async with linked() as room:
        held: list[RequestReceived] = []
        room.domain = lambda asked: held.append(asked)  # type: ignore[func-returns-value]

        async def flood() -> None:
            for n in range(12):
                await room.central.ws.send(
                    json.dumps([2, f"b{n}", "DataTransfer", {"vendorId": "v", "data": "x" * 10**6}])
                )

        flooding = asyncio.create_task(flood())
        inbox = await until(lambda: room.link._inbox if room.link._inbox.bytes > 3_000_000 else None)
        assert inbox.bytes <= 4 * 1024 * 1024
        for n in range(12):
            await until(lambda n=n: len(held) > n)
            room.link.respond(Response("chargy", held[n].request, "Accepted"))
        await flooding
        await until(lambda: len(room.central.answers) == 12)
        assert [a[1] for a in room.central.answers] == [f"b{n}" for n in range(12)]


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("RemoteStartTransaction", {"idTag": "04\ud800"}, "FormationViolation"),
        ("DataTransfer", {"vendorId": "v", "data": "\udfff\ud800"}, "FormationViolation"),
        ("ClearCache", {"\ud800": 1}, "FormationViolation"),
        ("RemoteStartTransaction", {"idTag": "04\x00AA"}, "PropertyConstraintViolation"),
        ("RemoteStartTransaction", {"idTag": "04\nAA"}, "PropertyConstraintViolation"),
        ("ChangeConfiguration", {"key": "Heartbeat\tInterval", "value": "5"}, "PropertyConstraintViolation"),
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "5\x7f"}, "PropertyConstraintViolation"),
        ("GetConfiguration", {"key": ["\x1b[2J"]}, "PropertyConstraintViolation"),
    ],
)
async def test_what_no_text_may_hold_stays_outside(action: str, payload: dict[str, Any], code: str) -> None:
    async with linked() as room:
        assert (await room.central.ask(action, payload))[2] == code
        assert room.of(RequestReceived) == []
        pair = await room.central.ask("RemoteStartTransaction", {"idTag": "\U0001f50c"})  # a pair is a character
        assert pair[2] == {"status": "Accepted"}


async def test_half_a_character_in_an_answer_does_not_cost_the_transaction_id() -> None:
    info = {"status": "Accepted", "parentIdTag": "P\ud800"}
    async with linked(Central(script={"StartTransaction": [{"transactionId": 9, "idTagInfo": info}]})) as room:
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        heard = room.of(TransactionAcknowledged)[0]
        assert (heard.transaction_id, heard.verdict.group) == ("9", "P?")


async def test_a_flood_is_answered_in_order_while_the_loop_stays_free() -> None:
    async with linked() as room:
        longest_s = 0.0

        async def heart() -> None:
            nonlocal longest_s
            while True:
                before_s = time.monotonic()
                await asyncio.sleep(0.005)
                longest_s = max(longest_s, time.monotonic() - before_s)

        beating = asyncio.create_task(heart())
        for n in range(2000):
            await room.central.ws.send(f'[2,"{n}","ChangeAvailability",{{"connectorId":1,"type":"Operative"}}]')
        await until(lambda: len(room.central.answers) == 2000, timeout_s=30.0)
        beating.cancel()
        assert [a[1] for a in room.central.answers] == [str(n) for n in range(2000)]
        assert room.link._inbox.maxsize == 100
        assert longest_s < stretched(1.0)
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: room.of(TokenAuthorized))


@pytest.mark.parametrize(
    "frame",
    [
        "", "{", "[]", "[2]", '[3,"x",{}]', '[4,"x"]', "[" * 5000, '[2,"x","Reset",{"type":NaN}]', b"\x00\xff" * 100,
        "x" * 1_000_000, '[5,"x","GenericError","",{}]', '["\\ud800"]',
    ],
    ids=range(12),
)  # fmt: skip
async def test_garbage_is_counted_and_life_goes_on(frame: str | bytes) -> None:
    async with linked() as room:
        await room.central.ws.send(frame)
        await until(lambda: room.link.dropped_frames == 1)
        assert (await room.central.ask("ClearCache", {}))[2] == {"status": "Accepted"}
        assert len(room.central.connections) == 1


async def test_a_message_of_a_megabyte_is_answered() -> None:
    async with linked() as room:
        answer = await room.central.ask("DataTransfer", {"vendorId": "v", "data": "x" * 1_000_000})
        assert answer[2] == {"status": "Accepted"}


async def test_a_message_beyond_the_limit_costs_the_connection_only() -> None:
    async with linked() as room:
        await room.central.ws.send("x" * (3 * 1024 * 1024))
        await until(lambda: len(room.central.connections) == 2 and room.link.is_up)


async def test_the_key_is_nowhere_in_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "agent")
    key = "0123456789abcdef0123456789abcdef"
    async with linked() as room:
        room.domain = lambda asked: Response(asked.link, asked.request, "Accepted", {"authorization_key": "Accepted"})
        answer = await room.central.ask("ChangeConfiguration", {"key": "AuthorizationKey", "value": key})
        assert answer[2] == {"status": "Accepted"}
        assert room.of(RequestReceived)[0].ask == SetVariablesRequest({"authorization_key": key})
        escaped = "".join(f"\\u{ord(c):04x}" for c in "authorizationkey")
        await room.central.ws.send(f'[2,"e","ChangeConfiguration",{{"key":"{escaped}","value":"{key}"}}]')
        await until(lambda: len(room.central.answers) == 2)
        await room.central.ws.send(f'[2,"e2","ChangeConfiguration",{{"key":"AuthorizationKey","value":"{key}"')
        await until(lambda: room.link.dropped_frames)
        await room.central.ws.send(f'[2,"e3","ChangeConfiguration",{{"key":"{escaped}","value":"{key}\\ud800"}}]')
        await room.central.ws.send(f'[2,"e4","ChangeConfiguration",{{"key":"{escaped}","value":"{key}\\n"}}]')
        await room.central.ws.send(f'[2,"e5","ChangeConfiguration",{{"key":"authorizationkey","value":"{key}"')
        await until(lambda: len(room.central.answers) == 4 and room.link.dropped_frames == 2)
    assert key not in "".join(f[3] for f in room.traced)
    assert key not in caplog.text
    assert room.traced[2][3].endswith('{"key":"AuthorizationKey","value":"***"}]')


async def test_the_trace_is_what_went_over_the_wire() -> None:
    async with linked() as room:
        await room.central.ask("ClearCache", {})
        out = [f[3] for f in room.traced if f[0] == "out"]
        assert out == room.central.frames
        assert {f[1:3] for f in room.traced} == {("chargy", "1.6")}


# --- silence and failures --------------------------------------------------------------------------------------------


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


class Road:
    """A TCP road to the server that can be blocked while both ends keep their connection."""

    def __init__(self, port: int) -> None:
        self._port, self.open, self.port = port, asyncio.Event(), 0
        self.open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Road:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        for source, sink in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.create_task(self._carry(source, sink)))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self.open.wait()
            sink.write(data)
        sink.close()


async def test_a_half_open_connection_is_found_by_a_call_and_costs_no_attempt() -> None:
    async with served(Central()) as central, Road(central.port) as road:
        room = build(central, via=f"127.0.0.1:{road.port}", call_timeout_s=0.2)
        async with running(room):
            road.open.clear()
            room.outbox.put(started())
            room.link.queue_changed()
            await until(lambda: not room.link.is_up)
            road.open.set()
            await until(lambda: not room.outbox.rows)
            assert room.outbox.dead == []
            assert len({json.dumps(p) for p in central.of("StartTransaction")}) == 1
            assert room.outbox.transaction_id("chargy", "s1", "1.6") == "42"


async def test_a_half_open_connection_is_found_by_silence() -> None:
    async with served(Central()) as central, Road(central.port) as road:
        room = build(central, via=f"127.0.0.1:{road.port}")
        room.settings.put_value("ping_interval_s", 1)
        async with running(room):
            road.open.clear()
            began_s = time.monotonic()
            await until(lambda: not room.link.is_up)
            assert time.monotonic() - began_s < stretched(5.0)
            road.open.set()
            await until(lambda: room.link.is_up)


async def test_silence_over_a_bearer_that_costs_nothing_is_found_sooner() -> None:
    """The interval of the settings is that of a modem."""
    async with served(Central()) as central, Road(central.port) as road:
        room = build(central, via=f"127.0.0.1:{road.port}", silence_limit_s=lambda: 0.5)
        room.settings.put_value("ping_interval_s", 240)
        async with running(room):
            road.open.clear()
            await until(lambda: not room.link.is_up)
            road.open.set()
            await until(lambda: room.link.is_up)


async def test_no_heartbeat_takes_the_place_of_a_ping_that_costs_nothing() -> None:
    """It would find the silence later. Over a modem it does: see test_traffic.py."""
    pings = 0
    async with served(Central()) as central:
        central.script["BootNotification"] = [boot_answer(interval=1)]
        room = build(central, wire=WireOptions(saves_pings=True), silence_limit_s=lambda: 0.6)
        async with running(room):
            count_pings = central.ws.protocol.recv_frame

            def receive(frame: Any) -> None:
                nonlocal pings
                pings += frame.opcode == 9
                count_pings(frame)

            central.ws.protocol.recv_frame = receive
            await until(lambda: pings)


async def test_pings_that_are_off_stay_off_over_every_bearer() -> None:
    async with served(Central()) as central, Road(central.port) as road:
        room = build(central, via=f"127.0.0.1:{road.port}", silence_limit_s=lambda: 0.1)
        room.settings.put_value("ping_interval_s", 0)
        async with running(room):
            road.open.clear()
            await asyncio.sleep(1.0)
            assert room.link.is_up
            road.open.set()


async def test_pings_only_after_silence_and_not_at_all_when_off() -> None:
    pings = 0
    async with linked() as room:
        protocol = room.central.ws.protocol
        received = protocol.recv_frame

        def counted(frame: Any) -> None:
            nonlocal pings
            pings += frame.opcode == 9
            received(frame)

        protocol.recv_frame = counted
        room.settings.put_value("ping_interval_s", 0)
        await room.central.ask("ClearCache", {})
        await asyncio.sleep(1.2)
        assert pings == 0
        room.settings.put_value("ping_interval_s", 1)
        await room.central.ask("ClearCache", {})
        await until(lambda: pings == 1, 3.0)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "password"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "charge_point_id"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "HTTP 500"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n", "check"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "check"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "check"),
        (b"", "check"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "check"),
    ],
    ids=["401", "404", "500", "302", "ssh", "tls", "nothing", "200"],
)
async def test_a_server_that_will_not(answer: bytes, hint: str, caplog: pytest.LogCaptureFixture) -> None:
    tries = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        await reader.read(100)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    central = Central(port=server.sockets[0].getsockname()[1])
    async with running(build(central), up=False):
        await until(lambda: tries >= 3)
    server.close()
    lines = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(lines) == 1, lines  # the same line once, not at every attempt
    assert hint in lines[0]
    assert f"127.0.0.1:{central.port}" in lines[0]


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:1", "ws://no-such-host.invalid", "wss://127.0.0.1:1", "ws://[::1", "x"]
)
async def test_addresses_that_lead_nowhere(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running(build(Central(), url=url), up=False):
        await until(lambda: [r for r in caplog.records if "check" in r.getMessage()])


async def test_a_server_that_closes_at_once_is_dialled_again(caplog: pytest.LogCaptureFixture) -> None:
    async def closes(ws: Any) -> None:
        await ws.close()

    central = Central(attend=closes)
    async with linked(central, up=False):
        await until(lambda: len(central.connections) > 3)
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


@pytest.mark.parametrize("booted", [False, True])
async def test_a_connection_that_flaps_keeps_no_core_busy(booted: bool) -> None:
    async def flaps(ws: Any) -> None:
        if booted and len(central.connections) == 1:
            _, id_, _, _ = json.loads(await ws.recv())
            await ws.send(json.dumps([3, id_, boot_answer()]))
        await ws.close()

    central = Central(attend=flaps)
    async with linked(central, up=False, reconnect_s=0.0):
        await until(lambda: len(central.connections) > 2)
        before = len(central.connections)
        await asyncio.sleep(0.5)
        assert len(central.connections) - before <= 0.5 / 0.02 + 1


@pytest.mark.parametrize("spoken", [(), ("ocpp2.0.1",)])
async def test_no_common_version(spoken: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    central = Central()
    road = served(central, spoken, select_subprotocol=lambda c, s: None)
    async with road as serving, running(build(serving), up=False) as room:
        await until(lambda: "versions" in caplog.text)
        assert not room.link.is_up
    assert central.calls == []


async def test_a_server_without_compression_and_one_that_breaks_it() -> None:
    async with served(Central(), compression=None) as central, running(build(central)) as room:
        assert room.link.is_up

    def bend(connection: Any, request: Any, response: Any) -> Any:
        response.headers.pop("Sec-WebSocket-Extensions", None)
        if "permessage-deflate" in request.headers.get("Sec-WebSocket-Extensions", ""):
            response.headers["Sec-WebSocket-Extensions"] = "permessage-deflate; nonsense=1"
        return response

    async with served(Central(), process_response=bend) as central, running(build(central)) as room:
        assert room.link.is_up
        assert room.of(ConnectFailed) == []  # both halves are one attempt

    def never(connection: Any, request: Any, response: Any) -> Any:
        response.headers["Sec-WebSocket-Extensions"] = "nonsense"
        return response

    async with served(Central(), process_response=never) as central, running(build(central), up=False) as room:
        await until(lambda: len(room.of(ConnectFailed)) == 2)


# --- passwords and TLS -----------------------------------------------------------------------------------------------


async def test_http_basic_and_a_new_key() -> None:
    seen: list[str | None] = []

    def note(connection: Any, request: Any) -> None:
        seen.append(request.headers.get("Authorization"))

    async with served(Central(), process_request=note) as central:
        room = build(central, security_profile=1, password="secret")
        async with running(room):
            room.domain = sets_key(room, NEW_KEY)
            answer = await central.ask("ChangeConfiguration", {"key": "AuthorizationKey", "value": NEW_KEY})
            assert answer[2] == {"status": "Accepted"}
            await until(lambda: len(seen) == 2 and room.link.is_up)
        async with running(build(central, security_profile=0, password="secret")):
            pass
    assert [base64.b64decode(s.split()[1]) if s else None for s in seen] == [
        b"CP-1:secret", b"CP-1:nineteen characters", None,
    ]  # fmt: skip


def sets_key(room: Room, key: str) -> Callable[[RequestReceived], Response]:
    """The domain stores the key and accepts the request."""

    def answer_request(asked: RequestReceived) -> Response:
        room.settings.put_value("authorization_key", key)
        return Response(asked.link, asked.request, "Accepted", {"authorization_key": "Accepted"})

    return answer_request


NEW_KEY = b"nineteen characters".hex()


async def test_a_new_key_is_used_when_the_open_call_has_its_answer() -> None:
    """A StartTransaction that is sent again is a second transaction where repetitions are not recognised."""
    central = Central(script={"StartTransaction": [None]})
    async with linked(central, security_profile=1, password="secret", call_timeout_s=60.0) as room:
        room.domain = sets_key(room, NEW_KEY)
        room.outbox.put(started())
        room.outbox.put(ended())
        room.link.queue_changed()
        await until(lambda: central.of("StartTransaction"))
        for _ in range(2):  # what is asked meanwhile is answered as well
            answer = await central.ask("ChangeConfiguration", {"key": "AuthorizationKey", "value": NEW_KEY})
            assert answer[2] == {"status": "Accepted"}
        await asyncio.sleep(0.2)
        assert len(central.connections) == 1
        taken = {"transactionId": 7, "idTagInfo": {"status": "Accepted"}}
        await central.ws.send(json.dumps([3, central.calls[-1][0], taken]))
        await until(lambda: len(central.connections) == 2 and not room.outbox.rows)
        assert central.actions() == ["BootNotification", "StartTransaction", "StopTransaction"]
        assert central.of("StopTransaction")[0]["transactionId"] == 7


async def test_a_new_key_leaves_no_request_without_its_answer() -> None:
    """It comes right behind the answer for which the new connection waits. One that comes too late is not obeyed."""
    central = Central(script={"Authorize": [None]})
    async with linked(central, security_profile=1, password="secret", call_timeout_s=60.0) as room:
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: central.of("Authorize"))
        room.settings.put_value("authorization_key", NEW_KEY)
        room.link.reconnect_if_changed()
        first = central.ws
        await first.send(json.dumps([3, central.calls[-1][0], {"idTagInfo": {"status": "Accepted"}}]))
        await first.send(json.dumps([2, "r1", "ClearCache", {}]))
        await until(lambda: len(central.connections) == 2 and room.link.is_up)
        assert len(room.of(RequestReceived)) == len([a for a in central.answers if a[1] == "r1"])


async def test_a_new_key_turns_no_driver_away() -> None:
    """The backend judges the cards that were presented before, the one that waits for its turn as well."""
    central = Central(script={"Authorize": [None, {"idTagInfo": {"status": "Accepted"}}]})
    async with linked(central, security_profile=1, password="secret", call_timeout_s=60.0) as room:
        for request in ("t1", "t2"):
            room.link.authorize(AuthorizeToken("chargy", request, CARD))
        await until(lambda: central.of("Authorize"))
        room.settings.put_value("authorization_key", NEW_KEY)
        room.link.reconnect_if_changed()
        await asyncio.sleep(0.2)
        assert room.of(TokenAuthorized) == []
        await central.ws.send(json.dumps([3, central.calls[-1][0], {"idTagInfo": {"status": "Blocked"}}]))
        await until(lambda: len(central.connections) == 2 and room.link.is_up)
        assert [(e.request, e.verdict.status) for e in room.of(TokenAuthorized)] == [
            ("t1", AuthorizationStatus.BLOCKED), ("t2", AuthorizationStatus.ACCEPTED),
        ]  # fmt: skip


async def test_a_new_key_waits_for_an_answer_at_most_as_long_as_the_call_does() -> None:
    central = Central(script={"StartTransaction": [None]})
    async with linked(central, security_profile=1, password="secret", call_timeout_s=0.3) as room:
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: central.of("StartTransaction"))
        room.settings.put_value("authorization_key", NEW_KEY)
        room.link.reconnect_if_changed()
        await until(lambda: len(central.connections) == 2 and room.link.is_up)


async def test_the_key_of_the_station_is_for_the_first_backend_only() -> None:
    """The key that one backend had set was sent to all of them."""
    seen: list[str | None] = []

    def note(connection: Any, request: Any) -> None:
        seen.append(request.headers.get("Authorization"))

    key = "1234567890123456"
    async with served(Central(), process_request=note) as central:
        room = build(central, security_profile=1, password="own of b", primary=False)
        room.settings.put_value("authorization_key", "SECRET-OF-BACKEND-A")
        async with running(room):
            answer = await central.ask("ChangeConfiguration", {"key": "AuthorizationKey", "value": key})
            assert answer[2] == {"status": "Rejected"}
            assert room.of(RequestReceived) == []
    assert seen == ["Basic " + base64.b64encode(b"CP-1:own of b").decode()]


@pytest.mark.parametrize("profile", [2, 3])
async def test_no_password_over_a_line_without_tls(profile: int, caplog: pytest.LogCaptureFixture) -> None:
    async with served(Central()) as central:
        url = f"ws://user:geheim@127.0.0.1:{central.port}"
        async with running(build(central, url=url, security_profile=profile, password="secret"), up=False):
            await until(lambda: "needs TLS" in caplog.text)
            await asyncio.sleep(0.1)  # several attempts
        assert central.connections == []
    assert "geheim" not in caplog.text


@pytest.mark.parametrize(
    "frame",
    [
        '[2,"w1","ChangeConfiguration",{"key":"WebPaymentsCtrlr.1.SharedSecret","value":"geheimgeheimgeheim"}]',
        '[2,"w1","SetNetworkProfile",{"connectionData":{"vpn":{"password":"geheim"}}}]',
        '[2,"w1","SetNetworkProfile",{"connectionData":{"apn":{"simPin":4711}}}]',
    ],
)
async def test_a_secret_in_a_frame_that_is_repeated_or_broken_is_in_no_trace(frame: str) -> None:
    async with linked() as room:
        room.domain = lambda a: Response(a.link, a.request, "Accepted", {})
        for text in (frame, frame, frame[:-2], frame.replace('"w1"', '"w2"').replace("[2,", "[9,")):
            await room.central.ws.send(text)
        before = len(room.traced)
        await room.central.ask("GetConfiguration", {"key": ["HeartbeatInterval"]})
        assert len(room.traced) > before
        heard = [f[3] for f in room.traced if f[0] == "in"]
        assert heard[-4:-1] == ["***"] * 3
        assert not [text for text in heard if "geheim" in text or "4711" in text]


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "127.0.0.1:1", "[::1", "no-such-host.invalid"])
async def test_user_and_password_of_a_url_are_written_nowhere(host: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "agent")
    async with served(Central()) as central:
        room = build(central, url="ws://user:geheim@" + host.format(port=central.port))
        async with running(room, up=False):
            await until(lambda: room.link.is_up or [r for r in caplog.records if r.levelno >= logging.WARNING])
            assert "geheim" not in room.link.url
    assert "geheim" not in caplog.text


async def test_reconnect_opens_a_new_connection_at_once() -> None:
    central = Central(script={"Heartbeat": [None]})
    async with linked(central, reconnect_s=3600.0, call_timeout_s=3600.0) as room:
        room.link.send(HeartbeatWanted())
        await until(lambda: central.of("Heartbeat"))
        room.link.reconnect()
        await until(lambda: len(room.central.connections) == 2 and room.link.is_up)


async def test_tls_needs_the_right_authority(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    ca, context = _authority(tmp_path)
    async with served(Central(), ssl=context) as central:
        url = f"wss://localhost:{central.port}"
        async with running(build(central, url=url, ca=ca, security_profile=2, password="p")) as room:
            assert room.link.is_up
        async with running(build(central, url=url), up=False):
            await until(lambda: "certificate not accepted" in caplog.text)
        async with running(build(central, url=url, ca=tmp_path / "missing.pem"), up=False):
            await until(lambda: "missing.pem" in caplog.text)


def _authority(folder: Any) -> tuple[Any, Any]:
    import datetime as dt
    import ssl

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    ca, secret = folder / "ca.pem", folder / "key.pem"
    ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, secret)
    return ca, context


# --- status with a minimum duration ----------------------------------------------------------------------------------


async def test_a_status_must_last_before_it_is_reported() -> None:
    async with linked(rate=100.0) as room:
        room.settings.put_value("minimum_status_duration_s", 20)
        room.link.send(status(forced=True))
        await until(lambda: room.central.of("StatusNotification"))
        room.link.send(status(ChargingState.EV_CONNECTED))
        room.link.send(status())
        room.link.send(status(ChargingState.CHARGING))
        began_s = time.monotonic()
        await until(lambda: len(room.central.of("StatusNotification")) == 2)
        assert time.monotonic() - began_s > 0.15
        assert [p["status"] for p in room.central.of("StatusNotification")] == ["Available", "Charging"]


def test_the_room_is_not_needed_to_build_a_link() -> None:
    room: Room = build(Central(port=9))
    assert not room.link.is_up
    assert room.link.boot_status is None
    assert room.link.max_token_length == 20
    assert room.link.reported_statuses == {}
