"""What OCPP-J has in 2.1 and not before (part 4, 4.2.3 and 4.2.4): SEND and CALLRESULTERROR, before a central system
on a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.domain.events import TokenAuthorized
from agent.domain.messages import HeartbeatWanted
from agent.domain.orders import AuthorizeToken
from agent.model.fastclass import replace
from agent.model.types import Token
from agent.ocpp.dialects.dialect import Dialect, MessageRow
from agent.ocpp.v21 import V21
from agent.ocpp.v201 import V201
from agent.ocpp.wire.calls import AnswerError, Dropped
from agent.ocpp.wire.rpc import Kind, Rpc
from tests.ocpp.ocpp_stand_ins import Central, Room, build, running, served, until
from tests.ocpp.test_answers import answer, ended, sampled, started

CARD = Token("04A1B2C3")
GOOD = {"idTokenInfo": {"status": "Accepted"}}


@asynccontextmanager
async def spoken(dialect: Dialect = V21, **script: list[Any]) -> AsyncIterator[tuple[Central, Room]]:
    central = Central(script={"Authorize": [GOOD], **script})
    async with (
        served(central, (dialect.subprotocol,)),
        running(build(central, dialects=(dialect,), call_timeout_s=30.0)) as room,
    ):
        yield central, room


async def authorized(room: Room) -> TokenAuthorized:
    before = len(room.of(TokenAuthorized))
    room.link.authorize(AuthorizeToken("chargy", f"t{before}", CARD))
    await until(lambda: len(room.of(TokenAuthorized)) > before)
    found = room.of(TokenAuthorized)[-1]
    assert isinstance(found, TokenAuthorized)
    return found


def errors(central: Central) -> list[list[Any]]:
    return [frame for frame in central.answers if frame[0] == Kind.CALLRESULTERROR]


# --- CALLRESULTERROR, sent -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code", "where"),
    [
        (answer({}), "OccurrenceConstraintViolation", "/idTokenInfo: required"),
        (answer({"idTokenInfo": 5}), "TypeConstraintViolation", "/idTokenInfo: type"),
        (answer({"idTokenInfo": {"status": "Perhaps"}}), "PropertyConstraintViolation", "/idTokenInfo/status: enum"),
        (answer(7), "FormatViolation", "a CALLRESULT is [3, id, payload]"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_reported(said: str, code: str, where: str) -> None:
    """The driver gets the verdict of before: an answer that cannot be read is a refusal."""
    async with spoken(Authorize=[said]) as (central, room):
        found = await authorized(room)
        assert found.verdict is not None
        assert not found.verdict.is_accepted
        (frame,) = await until(lambda: errors(central))
        asked = next(id_ for id_, action, _ in central.calls if action == "Authorize")
        assert frame == [5, asked, code, where, {}]


async def test_an_event_whose_answer_cannot_be_used_is_delivered_all_the_same() -> None:
    """The backend has it: it learns that its answer cannot be used, and the event is not sent again."""
    bad = answer({"idTokenInfo": {}})
    async with spoken(TransactionEvent=[bad]) as (central, room):
        for message in (started(), sampled(), ended()):
            room.outbox.put(message)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert [e["seqNo"] for e in central.of("TransactionEvent")] == [0, 1, 2]
        assert room.outbox.dead == []
        sent = [id_ for id_, action, _ in central.calls if action == "TransactionEvent"]
        assert [frame[1] for frame in await until(lambda: len(errors(central)) == 3 and errors(central))] == sent


async def test_a_good_answer_and_an_error_are_not_reported() -> None:
    async with spoken(Authorize=[GOOD, '[4,"$ID","InternalError","",{}]', GOOD]) as (central, room):
        for accepted in (True, None, True):
            verdict = (await authorized(room)).verdict
            assert (verdict and verdict.is_accepted) is accepted
        assert errors(central) == []


async def test_a_version_before_2_1_reports_nothing() -> None:
    async with spoken(V201, Authorize=[answer({}), GOOD]) as (central, room):
        await authorized(room)
        await authorized(room)
        assert central.answers == []


# --- SEND and CALLRESULTERROR, received ------------------------------------------------------------------------------

HOSTILE = [
    '[6,"s1","NotifyPeriodicEventStream",{"id":1,"pending":0,"basetime":"2026-11-25T10:00:00Z","data":[]}]',
    '[6,"s1","Reset",{"type":"Immediate"}]',
    '[6,"s1"]', "[6]", '[6,7,"x",{}]', '[6,"","x",{}]', '[6,"s1",{"x":1},[]]',
    '[6,"s1","Reset",{"type":"Immediate"},{}]',
    '[5,"$ID","FormatViolation","",{}]', '[5,"never","FormatViolation","",{}]', '[5,"$ID"]', "[5]", "[5,null]",
    '[5,"$ID",7,[],null]', '[5,"$ID","' + "x" * 5000 + '","",{}]', '[7,"s1","Reset",{}]', "[5.0]", '["5","s1"]',
    "[6," * 5000, '[6,"s1","Reset",' + "[" * 5000 + "]" * 5000 + "]",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_message_without_an_answer_gets_none(text: str) -> None:
    """A SEND is never obeyed and never answered, and an error of our answer is no answer to a CALL of ours."""
    async with spoken() as (central, room):
        assert (await central.ask("ClearCache", {}))[0] == Kind.CALLRESULT
        given, dropped = len(central.answers), room.link.dropped_frames
        await central.ws.send(text.replace("$ID", central.answers[-1][1]))
        await until(lambda: room.link.dropped_frames == dropped + 1)
        await authorized(room)
        assert len(central.answers) == given
        assert room.link.is_up


async def test_an_error_of_our_answer_is_logged_with_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    async with spoken() as (central, _):
        id_ = (await central.ask("ClearCache", {}))[1]
        await central.ws.send(json.dumps([5, id_, "TypeConstraintViolation", "status", {}]))
        await until(lambda: f"our response '{id_}' cannot be used there: ['TypeConstraintViolation'" in caplog.text)


def test_no_answer_error_resolves_a_call() -> None:
    rpc = Rpc(kinds=V21.kinds)
    rpc.encode_call("a", "Authorize", {})
    assert isinstance(rpc.receive_frame('[5,"a","GenericError","",{}]'), Dropped)
    assert json.loads(rpc.encode_answer_error(AnswerError("a", "GenericError", "y" * 300))) == [
        5, "a", "GenericError", "y" * 255, {},
    ]  # fmt: skip


# --- SEND, sent ------------------------------------------------------------------------------------------------------


async def test_a_message_without_an_answer_is_sent_in_2_1() -> None:
    heartbeat = V21.message_row(HeartbeatWanted)
    assert isinstance(heartbeat, MessageRow)
    dialect = V21.with_rows(replace(heartbeat, is_unanswered=True))
    async with spoken(dialect) as (central, room):
        room.link.send(HeartbeatWanted())
        frame = (await until(lambda: central.answers))[0]
        assert (frame[0], *frame[2:]) == (Kind.SEND, "Heartbeat", {})
        await authorized(room)
        assert central.actions() == ["BootNotification", "Authorize"]
