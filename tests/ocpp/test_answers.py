"""What a backend answers in a form that the schema does not allow, and what of it counts all the same. A driver stands
before the station and energy flows: "malformed" must be neither "off line" nor a second transaction."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from agent.domain.events import TokenAuthorized, TransactionAcknowledged
from agent.domain.messages import (
    MeterSampled,
    Sample,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken
from agent.model.types import AuthorizationStatus, Reading, ReadingContext, Stamp, Token, Verdict
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.v16 import V16
from agent.ocpp.v21 import V21
from agent.ocpp.v201 import V201
from tests.ocpp.ocpp_stand_ins import Central, Room, build, linked, running, served, until

T0 = Stamp(1, 0.0)
CARD = Token("04A1B2C3")
INFO = {"1.6": "idTagInfo", "2.0.1": "idTokenInfo", "2.1": "idTokenInfo"}
VERSIONS = pytest.mark.parametrize("dialect", [V16, V201, V21], ids=["1.6", "2.0.1", "2.1"])
REFUSED = '[4,"$ID","InternalError","",{}]'


def started(session: str = "s1") -> TransactionStarted:
    return TransactionStarted(session, 1, CARD, T0, 1000)


def sampled(session: str = "s1") -> MeterSampled:
    reading = Reading(Stamp(1, 30.0), 1200)
    return MeterSampled(session, 1, (Sample(ReadingContext.PERIODIC, reading, ("Energy.Active.Import.Register",)),))


def ended(session: str = "s1") -> TransactionEnded:
    return TransactionEnded(session, 1, CARD, Stamp(1, 60.0), 1500, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)


def answer(payload: Any) -> str:
    return f'[3,"$ID",{json.dumps(payload)}]'


# --- Authorize -------------------------------------------------------------------------------------------------------


async def judged(dialect: Dialect, said: Any) -> TokenAuthorized:
    central = Central(script={"Authorize": [said]})
    async with served(central, (dialect.subprotocol,)), running(build(central, dialects=(dialect,))) as room:
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: room.of(TokenAuthorized))
        (found,) = room.of(TokenAuthorized)
        assert isinstance(found, TokenAuthorized)
        return found


@VERSIONS
@pytest.mark.parametrize("info", [{}, None, [], "Accepted", {"status": "accepted"}, {"status": []}, {"status": None}])
async def test_an_authorization_that_cannot_be_read_is_a_refusal(
    dialect: Dialect, info: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It was taken for "off line": with AllowOfflineTxForUnknownId a car charged."""
    found = await judged(dialect, answer({INFO[dialect.name]: info}))
    assert found == TokenAuthorized("t1", CARD, Verdict(AuthorizationStatus.INVALID), remembered=False)
    assert [r.levelno for r in caplog.records if "malformed answer to Authorize" in r.getMessage()] == [logging.WARNING]


@VERSIONS
@pytest.mark.parametrize("payload", [{}, [], 7])
async def test_an_answer_without_anything_is_one_too(dialect: Dialect, payload: Any) -> None:
    found = await judged(dialect, answer(payload))
    assert found == TokenAuthorized("t1", CARD, Verdict(AuthorizationStatus.INVALID), remembered=False)


@VERSIONS
@pytest.mark.parametrize("status", ["Accepted", "Blocked", "Expired"])
async def test_a_plain_status_counts_whatever_is_beside_it(dialect: Dialect, status: str) -> None:
    beside = {"parentIdTag": 5} if dialect is V16 else {"groupIdToken": 5}
    found = await judged(dialect, answer({INFO[dialect.name]: {"status": status, **beside}}))
    assert found == TokenAuthorized("t1", CARD, Verdict(AuthorizationStatus(status)), remembered=False)


@VERSIONS
@pytest.mark.parametrize("said", [None, REFUSED])
async def test_no_answer_and_an_error_are_none(dialect: Dialect, said: str | None) -> None:
    central, sub = Central(script={"Authorize": [said]}), (dialect.subprotocol,)
    async with served(central, sub), running(build(central, dialects=(dialect,), call_timeout_s=0.2)) as room:
        room.link.authorize(AuthorizeToken("chargy", "t1", CARD))
        await until(lambda: room.of(TokenAuthorized))
        assert room.of(TokenAuthorized) == [TokenAuthorized("t1", CARD, None)]


# --- transactions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "verdict"),
    [
        ({}, None),
        (None, None),
        ({"status": "Blocked", "parentIdTag": 5}, Verdict(AuthorizationStatus.BLOCKED)),
    ],
)
async def test_a_start_that_has_a_number_is_not_sent_again(info: Any, verdict: Verdict | None) -> None:
    """Each repetition was another transaction of the backend, of which one was ended."""
    numbered = {"transactionId": 7} if info is None else {"transactionId": 7, "idTagInfo": info}
    central = Central(script={"StartTransaction": [answer(numbered)], "StopTransaction": [answer({"idTagInfo": {}})]})
    async with linked(central) as room:
        for message in (started(), ended()):
            room.outbox.put(message)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert len(central.of("StartTransaction")) == len(central.of("StopTransaction")) == 1
        assert central.of("StopTransaction")[0]["transactionId"] == 7
        assert room.of(TransactionAcknowledged)[0] == TransactionAcknowledged("chargy", "s1", "7", verdict, CARD)
        assert room.outbox.dead == []


@pytest.mark.parametrize("payload", [{}, {"transactionId": "7"}, {"transactionId": True}, []])
async def test_a_start_without_a_number_was_not_taken(payload: Any) -> None:
    taken = {"transactionId": 8, "idTagInfo": {"status": "Accepted"}}
    central = Central(script={"StartTransaction": [answer(payload), answer(taken)]})
    async with linked(central) as room:
        room.settings.put_value("message_retry_interval_s", 0)
        room.outbox.put(started())
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert len(central.of("StartTransaction")) == 2
        assert room.outbox.transaction_id("chargy", "s1", "1.6") == "8"


@pytest.mark.parametrize(
    ("payload", "status"), [({"idTokenInfo": {}}, None), ([], None), ({"idTokenInfo": {"status": "Blocked", "x": 1,
    "groupIdToken": 5}}, AuthorizationStatus.BLOCKED)],
)  # fmt: skip
async def test_an_event_that_was_answered_is_not_sent_again(payload: Any, status: AuthorizationStatus | None) -> None:
    central = Central(script={"TransactionEvent": [answer(payload)]})
    async with served(central, ("ocpp2.0.1",)), running(build(central, dialects=(V201,))) as room:
        for message in (started(), sampled(), ended()):
            room.outbox.put(message)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert [e["seqNo"] for e in central.of("TransactionEvent")] == [0, 1, 2]
        assert room.outbox.dead == []
        heard = room.of(TransactionAcknowledged)[0]
        assert (heard.verdict and heard.verdict.status, heard.token) == (status, CARD)


# --- a start that is refused (1.6 3.7.1) -----------------------------------------------------------------------------


async def refused_start(room: Room, attempts: int) -> None:
    room.settings.put_value("message_attempts", attempts)
    room.settings.put_value("message_retry_interval_s", 0)
    room.outbox.put(started())
    room.link.queue_changed()


async def test_while_it_charges_its_start_is_sent_until_it_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    """As the setting comes: a bill is worth more than the number of attempts."""
    taken = {"transactionId": 8, "idTagInfo": {"status": "Accepted"}}
    central = Central(script={"StartTransaction": [REFUSED] * 5 + [taken]})
    async with linked(central, rate=1000.0) as room:
        await refused_start(room, 2)
        await until(lambda: not room.outbox.rows)
        assert len(central.of("StartTransaction")) == 6
        assert room.outbox.dead == []


async def test_without_that_setting_the_queue_goes_on_after_the_attempts() -> None:
    """The other outlet's bill does not wait for the end of this session."""
    taken = {"transactionId": 8, "idTagInfo": {"status": "Accepted"}}
    central = Central(script={"StartTransaction": [REFUSED, REFUSED, taken]})
    async with linked(central, rate=1000.0) as room:
        assert room.settings.bool_value("retry_start_while_charging")
        room.settings.put_value("retry_start_while_charging", False)
        await refused_start(room, 2)
        room.outbox.put(started("s2"), "s2")
        room.outbox.put(sampled())
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert [row.message for row, _ in room.outbox.dead] == [started()]
        assert [p["transactionId"] for p in central.of("MeterValues")] == [-1]
        for session in ("s1", "s2"):
            room.outbox.put(ended(session), session)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert [p["transactionId"] for p in central.of("StopTransaction")] == [-1, 8]
        assert [row.message for row, _ in room.outbox.dead] == [started(), ended()]


async def test_a_bill_that_was_taken_without_a_number_can_be_resent_as_a_whole() -> None:
    taken = {"transactionId": 8, "idTagInfo": {"status": "Accepted"}}
    central = Central(script={"StartTransaction": [REFUSED, REFUSED, taken]})
    async with linked(central, rate=1000.0) as room:
        room.outbox.put(ended())
        room.outbox.rows, end = [], room.outbox.rows
        await refused_start(room, 2)
        room.outbox.rows += end
        await until(lambda: len(room.outbox.dead) == 2)
        room.outbox.rows = sorted((row for row, _ in room.outbox.dead), key=lambda row: -row.seq)
        room.outbox.dead = []
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert [p["transactionId"] for p in central.of("StopTransaction")] == [-1, 8]
        assert room.outbox.dead == []


async def test_a_start_that_gets_its_number_after_all_is_no_dead_letter() -> None:
    """Nor does it have to be resent: that would begin another transaction. The rest goes with the number."""
    central = Central(script={"StartTransaction": [None, REFUSED]})
    async with linked(central, call_timeout_s=0.1, rate=1000.0) as room:
        room.settings.put_value("retry_start_while_charging", False)
        await refused_start(room, 1)
        await until(lambda: room.outbox.dead)
        first = next(id_ for id_, action, _ in central.calls if action == "StartTransaction")
        await central.ws.send(json.dumps([3, first, {"transactionId": 9, "idTagInfo": {"status": "Accepted"}}]))
        await until(lambda: not room.outbox.dead)
        for message in (sampled(), ended()):
            room.outbox.put(message)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert [p["transactionId"] for p in central.of("MeterValues") + central.of("StopTransaction")] == [9, 9]
        assert len(central.of("StartTransaction")) == 2
        assert room.outbox.dead == []
