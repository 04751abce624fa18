"""Every CALL has a message id of its own, a repeated one too (OCPP 2.0.1 part 4, 4.1.4), and what an earlier CALL is
answered with still counts."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from agent.domain.events import TransactionAcknowledged
from agent.domain.messages import MeterSampled, Sample, StopReason, TransactionEnded, TransactionStarted, TriggerReason
from agent.model.types import Reading, ReadingContext, Stamp, Token
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from tests.ocpp.ocpp_stand_ins import Central, boot_answer, build, linked, running, served, until

T0 = Stamp(1, 0.0)
CARD = Token("04A1B2C3")
REFUSED = '[4,"$ID","InternalError","",{}]'


def started(session: str = "s1", wh: int = 1000) -> TransactionStarted:
    return TransactionStarted(session, 1, CARD, T0, wh)


def sampled(session: str = "s1", wh: int = 1200) -> MeterSampled:
    reading = Reading(Stamp(1, 30.0), wh)
    return MeterSampled(session, 1, (Sample(ReadingContext.PERIODIC, reading, ("Energy.Active.Import.Register",)),))


def ended(session: str = "s1", wh: int = 1500) -> TransactionEnded:
    return TransactionEnded(session, 1, CARD, Stamp(1, 60.0), wh, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)


def taken(number: int) -> dict[str, Any]:
    return {"transactionId": number, "idTagInfo": {"status": "Accepted"}}


def ids(central: Central, action: str) -> list[str]:
    return [id_ for id_, called, _ in central.calls if called == action]


async def test_no_start_of_the_agent_uses_the_ids_of_another() -> None:
    """Also of what waits in the queue and was sent before."""
    central = Central(script={"StartTransaction": [None]})
    async with served(central):
        room = build(central)
        room.outbox.put(started())
        async with running(room):
            await until(lambda: central.of("StartTransaction"))
        again = build(central)
        again.outbox.rows = room.outbox.rows
        async with running(again):
            await until(lambda: len(central.of("StartTransaction")) == 2)
    used = [id_ for id_, _, _ in central.calls]
    assert len(set(used)) == len(used)
    assert max(map(len, used)) <= 8  # each byte is paid on 2G


@pytest.mark.parametrize("then", [None, REFUSED], ids=["silence", "refusal"])
async def test_the_first_call_is_answered_while_the_second_is_not(then: str | None) -> None:
    """The answer is the row's, at once: no pause, no attempt, no third CALL."""
    central = Central(script={"StartTransaction": [None, None]})
    async with linked(central, call_timeout_s=0.4) as room:
        room.settings.put_value("message_retry_interval_s", 0)
        room.outbox.put(started())
        room.outbox.put(sampled())
        room.link.queue_changed()
        await until(lambda: len(ids(central, "StartTransaction")) == 2)
        room.settings.put_value("message_retry_interval_s", 3600)
        first, second = ids(central, "StartTransaction")
        await central.ws.send(json.dumps([3, first, taken(9)]))
        if then:
            await central.ws.send(then.replace("$ID", second))
        await until(lambda: not room.outbox.rows)
        assert len(ids(central, "StartTransaction")) == 2
        assert central.of("MeterValues")[0]["transactionId"] == 9
        assert [e.transaction_id for e in room.of(TransactionAcknowledged)] == ["9"]


async def test_both_calls_are_answered_with_transactions_of_their_own() -> None:
    """The backend has made two of one: the session goes on in the latest, and is heard of once."""
    central = Central(script={"StartTransaction": [None, None]})
    async with linked(central, call_timeout_s=0.4) as room:
        room.settings.put_value("message_retry_interval_s", 0)
        for message in (started(), sampled(), ended()):
            room.outbox.put(message)
        room.link.queue_changed()
        await until(lambda: len(ids(central, "StartTransaction")) == 2)
        first, second = ids(central, "StartTransaction")
        await central.ws.send(json.dumps([3, first, taken(9)]))
        await central.ws.send(json.dumps([3, second, taken(10)]))
        await until(lambda: not room.outbox.rows)
        assert [p["transactionId"] for p in central.of("MeterValues") + central.of("StopTransaction")] == [10, 10]
        assert next(e.transaction_id for e in room.of(TransactionAcknowledged)) == "10"


async def test_an_answer_that_comes_after_the_row_has_left_changes_nothing() -> None:
    central = Central(script={"StartTransaction": [None, taken(10)]})
    async with linked(central, call_timeout_s=0.2) as room:
        room.settings.put_value("message_retry_interval_s", 0)
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        await central.ws.send(json.dumps([3, ids(central, "StartTransaction")[0], taken(9)]))
        room.outbox.put(ended())
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert central.of("StopTransaction")[0]["transactionId"] == 10
        assert room.link.is_up


class Forgetful(Central):
    """Answers a CALL now, later, with an error, or never; the connection may end before or after it. Numbers every
    StartTransaction again, as a central system does that looks at message ids alone."""

    def __init__(self, seed: int, calm_after: int) -> None:
        super().__init__()
        self.chance, self.calm_after = random.Random(seed), calm_after
        self.given: dict[int, set[int]] = {}
        self.owed: list[tuple[str, dict[str, Any]]] = []

    async def serve(self, ws: Any) -> None:
        self.connections.append(ws)
        async for text in ws:
            _, id_, action, payload = json.loads(text)
            self.calls.append((id_, action, payload))
            await self.answer(ws, id_, action, payload)

    async def answer(self, ws: Any, id_: str, action: str, payload: dict[str, Any]) -> None:
        how = (
            "now"
            if action == "BootNotification" or len(self.calls) > self.calm_after
            else self.chance.choice(("now", "now", "late", "late", "error", "never", "cut", "answered and cut"))
        )
        said = self.said_to(action, payload)
        if self.owed and self.chance.random() < 0.6:
            old, answer = self.owed.pop(0)
            await ws.send(json.dumps([3, old, answer]))
        if how == "late":
            self.owed.append((id_, said))
        elif how == "error":
            await ws.send(REFUSED.replace("$ID", id_))
        elif how in ("now", "answered and cut"):
            await ws.send(json.dumps([3, id_, said]))
        if how in ("cut", "answered and cut"):
            await ws.close()

    def said_to(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        if action == "BootNotification":
            return boot_answer()
        if action == "StartTransaction":
            number = sum(map(len, self.given.values())) + 1
            self.given.setdefault(payload["meterStart"], set()).add(number)
            return taken(number)
        return {}


@pytest.mark.parametrize("dialect", [V16, V201], ids=["1.6", "2.0.1"])
@pytest.mark.parametrize("seed", range(6))
async def test_no_answer_in_whatever_order_loses_or_doubles_a_bill(dialect: Dialect, seed: int) -> None:
    central = Forgetful(seed, calm_after=60)
    async with served(central, (dialect.subprotocol,)):
        room = build(central, dialects=(dialect,), call_timeout_s=0.05, rate=1000.0)
        room.settings.put_value("message_attempts", 1000)
        room.settings.put_value("message_retry_interval_s", 1)
        async with running(room, up=False):
            for n in range(8):
                session, wh = f"s{n}", 4 * n
                for message in (
                    started(session, wh), sampled(session, wh + 1), sampled(session, wh + 2), ended(session, wh + 3)
                ):  # fmt: skip
                    room.outbox.put(message, session)
            room.link.queue_changed()
            await until(lambda: not room.outbox.rows, 60.0)
    used = [id_ for id_, _, _ in central.calls]
    assert len(set(used)) == len(used)
    assert room.outbox.dead == []
    calls = [registers(payload) for _, action, payload in central.calls if action in BILLED]
    assert list(dict.fromkeys(wh for call in calls for wh in call)) == list(range(32))  # each one, in order
    places = {wh: [n for n, call in enumerate(calls) if wh in call] for wh in range(32)}
    for start in range(0, 32, 4):  # repetitions stand together: no message passes a start or an end
        first, one, other, last = (places[wh] for wh in range(start, start + 4))
        assert first == list(range(first[0], first[-1] + 1))
        assert first[-1] < min(one + other)
        assert max(one + other) < last[0]
        assert last == list(range(last[0], last[-1] + 1))
    if dialect is V16:
        assert all(len(named) == 1 and named <= central.given[wh] for wh, named in transactions(central).items())


BILLED = ("StartTransaction", "MeterValues", "StopTransaction", "TransactionEvent")
"""The rest (BootNotification, a Heartbeat in a quiet moment) is of no session."""


def registers(payload: dict[str, Any]) -> list[int]:
    """Which messages it is made of: each has a register of its own."""
    for name in ("meterStart", "meterStop"):
        if name in payload:
            return [int(payload[name])]
    return [int(float(value["sampledValue"][0]["value"])) for value in payload["meterValue"]]


def transactions(central: Central) -> dict[int, set[int]]:
    """The transaction ids that the values and the end of each session were sent with, by the register of its start."""
    found: dict[int, set[int]] = {}
    for _, action, payload in central.calls:
        if action in ("MeterValues", "StopTransaction"):
            found.setdefault(registers(payload)[0] // 4 * 4, set()).add(payload["transactionId"])
    return found
