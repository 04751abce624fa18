"""A request that names a transaction finds its session from the answer on that brings the number, also while the store
has not accepted that answer (OCPP 1.6 4.8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.domain.events import RequestReceived, TransactionAcknowledged
from agent.domain.messages import TransactionStarted
from agent.domain.requests import BackendRequest, RemoteStopRequest, SetChargingProfileRequest
from agent.model.types import Stamp, Token
from agent.ocpp.dialects.dialect import MessageRow, ResponseEffects
from agent.ocpp.inbound.queue import InboundQueue
from agent.ocpp.outbound import delivery
from agent.ocpp.outbound.delivery import deliver_row
from agent.ocpp.outbound.durable_queues import DurableQueues
from agent.ocpp.v16 import V16
from agent.ocpp.v16.identifiers import VERSION
from agent.ocpp.wire.calls import SendNow
from agent.ports.store import OutboxRow, Put
from tests.ocpp.ocpp_stand_ins import Central, Outbox, Room, desk, linked, until
from tests.ocpp.test_durable_queues import Backend, next_due_row, stored_start

START = TransactionStarted("s1", 1, Token("04A1B2C3"), Stamp(1, 0.0), 1000)
PROFILE = {
    "chargingProfileId": 7, "transactionId": 42, "stackLevel": 0, "chargingProfilePurpose": "TxProfile",
    "chargingProfileKind": "Relative",
    "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 8.0}]},
}  # fmt: skip
STOP = ["RemoteStopTransaction", {"transactionId": 42}]
REQUESTS = [STOP, ["SetChargingProfile", {"connectorId": 1, "csChargingProfiles": PROFILE}]]


class WaitingOutbox(Outbox):
    """A removal waits for ``may_commit``."""

    def __init__(self) -> None:
        super().__init__()
        self.may_commit = asyncio.Event()

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        await self.may_commit.wait()
        await super().remove_delivered(row, facts)


def session_named_by(asked: BackendRequest) -> str:
    if isinstance(asked, SetChargingProfileRequest):
        return asked.profile.session
    assert isinstance(asked, RemoteStopRequest)
    return asked.session


async def requested_session(room: Room) -> str:
    requests = await until(lambda: room.of(RequestReceived))
    return session_named_by(requests[0].ask)


@pytest.mark.parametrize("request_body", REQUESTS, ids=lambda body: body[0])
async def test_a_request_behind_the_answer_to_a_start_finds_its_session_during_the_commit(
    request_body: list[Any],
) -> None:
    """It was rejected: the session went on at full current, or although the backend had stopped it."""
    outbox = WaitingOutbox()
    central = Central(behind={"StartTransaction": [2, "r1", *request_body]})
    async with linked(central, outbox=outbox) as room:
        try:
            outbox.put(START)
            room.link.queue_changed()
            assert await requested_session(room) == "s1"
            assert outbox.rows, "the store has not accepted the answer yet"
        finally:
            outbox.may_commit.set()
        await until(lambda: not outbox.rows)
        assert room.link._ctx.session_of("42") == "s1"


@pytest.mark.parametrize("request_body", REQUESTS, ids=lambda body: body[0])
async def test_a_request_finds_its_session_while_the_store_accepts_nothing(request_body: list[Any]) -> None:
    outbox = Outbox()
    outbox.broken = 10**9
    central = Central(behind={"StartTransaction": [2, "r1", *request_body]})
    async with linked(central, outbox=outbox) as room:
        outbox.put(START)
        room.link.queue_changed()
        assert await requested_session(room) == "s1"
        outbox.broken = 0
        await until(lambda: not outbox.rows)
        assert len(central.of("StartTransaction")) == 1


async def test_a_request_behind_a_late_answer_finds_its_session() -> None:
    outbox = WaitingOutbox()
    async with linked(Central(script={"StartTransaction": [None]}), outbox=outbox, call_timeout_s=0.15) as room:
        try:
            room.settings.put_value("message_retry_interval_s", 3600)
            outbox.put(START)
            room.link.queue_changed()
            await until(lambda: room.link._sender.queues.transactions.is_pausing)
            answer = {"transactionId": 42, "idTagInfo": {"status": "Accepted"}}
            await room.central.ws.send(json.dumps([3, room.central.calls[-1][0], answer]))
            await room.central.ws.send(json.dumps([2, "r1", *STOP]))
            assert await requested_session(room) == "s1"
        finally:
            outbox.may_commit.set()
        await until(lambda: not outbox.rows)


async def test_what_an_answer_says_reaches_the_domain_before_the_request_behind_it() -> None:
    """A refused token charged on while the commit lasted, and an older cost came behind a newer one."""
    outbox = WaitingOutbox()
    async with linked(Central(behind={"StartTransaction": [2, "r1", *STOP]}), outbox=outbox) as room:
        try:
            outbox.put(START)
            room.link.queue_changed()
            await requested_session(room)
            kinds = [type(e) for e in room.events if isinstance(e, TransactionAcknowledged | RequestReceived)]
            assert kinds == [TransactionAcknowledged, RequestReceived]
        finally:
            outbox.may_commit.set()
        await until(lambda: not outbox.rows)
        assert len(room.of(TransactionAcknowledged)) == 1


async def test_who_waits_for_an_earlier_answer_has_it_before_a_request_is_answered() -> None:
    """The request could be decoded first where the request before it had just been answered."""
    inbox, order = InboundQueue(), list[str]()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def take_answer() -> None:
        await answer
        order.append("answer")

    async def take_request() -> None:
        await inbox.get()
        order.append("request")

    taking_answer = asyncio.create_task(take_answer())
    await asyncio.sleep(0)
    taking_request = asyncio.create_task(take_request())
    await asyncio.sleep(0)
    answer.set_result(None)
    await inbox.put(SendNow("[]"), 2)
    await asyncio.gather(taking_answer, taking_request)
    assert order == ["answer", "request"]


async def test_the_session_is_known_before_the_task_that_stores_the_answer_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11 begins no task at once."""
    monkeypatch.setattr(delivery, "start_eagerly", asyncio.create_task)
    async with stored_start(tmp_path) as (queues, backend):
        found: list[str | None] = []
        send_call = backend.send_call

        async def send_and_look(out: MessageRow, row: OutboxRow, payload: dict[str, Any]) -> ResponseEffects | None:
            asyncio.get_running_loop().call_soon(lambda: found.append(backend._ctx.session_of("1")))
            return await send_call(out, row, payload)

        monkeypatch.setattr(backend, "send_call", send_and_look)
        row, queue = await next_due_row(queues)
        await deliver_row(row, queue, V16, backend, lambda event: None)  # type: ignore[arg-type]
        assert found == ["s1"]


def effects_of_start(number: str, session: str = "s1") -> ResponseEffects:
    return ResponseEffects(facts=(Put("transaction", f"chargy/{session}", {"id": number}),), version=VERSION)


async def test_a_number_that_is_given_again_means_the_latest_session() -> None:
    """A backend may start counting again."""
    outbox = Outbox()
    outbox.facts["transaction", "chargy/s0"] = {"id": "42"}
    place = desk(outbox)
    queues = DurableQueues(place, 0.0)
    queues.connection_opened(V16)
    row = outbox.put(START)
    assert place.session_of("42") == "s0"
    outbox.broken = 1
    assert not await queues.transactions.row_delivered(row, effects_of_start("42"))
    assert place.session_of("42") == "s1"


async def test_a_late_answer_to_a_row_that_has_left_names_no_session() -> None:
    """Its number may belong to another session by now."""
    outbox = Outbox()
    place = desk(outbox)
    queues = DurableQueues(place, 0.0)
    queues.connection_opened(V16)
    outbox.put(START)
    row, queue = await next_due_row(queues)
    await deliver_row(row, queue, V16, Backend(place), lambda event: None)  # type: ignore[arg-type]
    assert place.session_of("1") == "s1"
    queues.transactions.take_late_answer(row.seq, effects_of_start("7"))
    assert place.session_of("7") is None


async def test_a_late_answer_to_a_dead_letter_names_its_session_before_it_is_stored() -> None:
    outbox = Outbox()
    place = desk(outbox)
    queues = DurableQueues(place, 0.0)
    queues.connection_opened(V16)
    row = outbox.put(START)
    await queues.transactions.move_to_dead_letters(row, "refused 3 times")
    assert place.session_of("7") is None
    queues.transactions.take_late_answer(row.seq, effects_of_start("7"))
    assert place.session_of("7") == "s1"
