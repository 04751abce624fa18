"""Completeness of the dialects, deriving neighbours, and the seam proved by a second dialect end to end."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.events import RequestReceived, SecurityNoticed
from agent.domain.messages import BootWanted, ConnectorStatus, HeartbeatWanted, StatusChanged
from agent.domain.orders import Response
from agent.domain.requests import ResetRequest
from agent.domain.variables import VARIABLES
from agent.model.types import Stamp
from agent.ocpp.dialects.dialect import (
    BootAnswer,
    Dialect,
    FixedAnswer,
    MessageRow,
    NotExpressible,
    NotOffered,
    RequestRow,
    ResponseEffects,
    StatusProjection,
    decode_empty_response,
    find_gaps,
)
from agent.ocpp.inbound.requests import InboundRequests
from agent.ocpp.v16 import CODES, PROFILES, V16
from agent.ocpp.wire.calls import Called
from agent.ocpp.wire.rpc import Rpc
from tests.ocpp.ocpp_stand_ins import Central, Outbox, build, desk, linked, running, served, until
from tests.ocpp.test_schema import DOCUMENTS, _mutate, _valid

# A whole second language in a few lines: other words, no schemas, no session.
TOY = Dialect(
    name="toy",
    subprotocol="toy1",
    rows=(
        MessageRow(
            BootWanted,
            "hello",
            lambda m, d: {"i": d.identity().serial},
            lambda m, p, d: ResponseEffects(boot=BootAnswer(p["ok"], 0)),
        ),
        MessageRow(StatusChanged, "now", lambda m, d: {"at": m.evse, "is": m.connector.lower()}, decode_empty_response),
        RequestRow(
            "quit",
            lambda p, d: ResetRequest(p["how"] == "now"),
            lambda reply, p, d: {"done": reply.status == "Accepted"},
        ),
        NotExpressible(HeartbeatWanted, "the toy has no heartbeat"),
        NotOffered("dance", "no one here can"),
    ),
    project_status=lambda m: StatusProjection(m.connector.lower(), ""),
    max_token_length=36,
)


async def test_the_toy_dialect_end_to_end() -> None:
    central = Central(script={"hello": [{"ok": "Accepted"}]})
    async with served(central, ("toy1",)), running(build(central, dialects=(V16, TOY))) as room:
        assert room.link.ocpp_version == "toy"
        assert room.link.max_token_length == 36
        room.link.send(HeartbeatWanted())
        room.link.send(StatusChanged(1, Stamp(1, 0.0), ConnectorStatus.AVAILABLE))
        await until(lambda: len(central.calls) == 2)
        assert central.calls[0][1:] == ("hello", {"i": "SN-1"})
        assert central.calls[1][1:] == ("now", {"at": 1, "is": "available"})
        assert room.link.reported_statuses == {1: {"status": "available", "error": ""}}
        assert (await central.ask("quit", {"how": "now"}))[2] == {"done": True}
        assert room.of(RequestReceived)[0].ask == ResetRequest(True)
        assert (await central.ask("dance", {}))[2] == "NotSupported"
        assert (await central.ask("sing", {}))[2] == "NotImplemented"
        assert (await central.ask("quit", {}))[2] == "InternalError"  # no schema guards the row: still no harm


async def test_versions_are_offered_in_order_and_a_change_of_version_boots_again() -> None:
    central = Central(script={"hello": [{"ok": "Accepted"}]})
    async with served(central, ("toy1", "ocpp1.6")), running(build(central, dialects=(TOY, V16))) as room:
        assert room.link.ocpp_version == "toy"
    async with served(central, ("ocpp1.6",)):
        room = build(central, dialects=(TOY, V16))
        async with running(room):
            assert room.link.ocpp_version == "1.6"
    assert central.actions() == ["hello", "BootNotification"]


def test_16_is_complete() -> None:
    assert find_gaps(V16) == []
    assert find_gaps(V16.without_features(["RemoteTrigger"])) == []
    assert isinstance(V16.without_features(["RemoteTrigger"]).request_row("TriggerMessage"), NotOffered)


def test_what_is_missing_is_named() -> None:
    poorer = V16.without_rows("Reset", StatusChanged)
    assert find_gaps(poorer) == ["StatusChanged: neither a row nor a reason", "Reset: neither a row nor a refusal"]
    assert find_gaps(V16.with_rows(NotExpressible(StatusChanged, ""))) != []
    assert find_gaps(V16.with_rows(NotOffered("Reset", ""))) != []
    assert find_gaps(V16.with_rows(NotOffered("Dance", "no"))) == ["Dance: the standard knows no such action"]


def test_neighbours() -> None:
    richer = V16.with_rows(NotOffered("Reset", "never"), name="1.6x", max_token_length=7)
    assert isinstance(richer.request_row("Reset"), NotOffered)
    assert (richer.name, richer.max_token_length) == ("1.6x", 7)
    assert isinstance(V16.request_row("Reset"), RequestRow)
    assert len(richer.rows) == len(V16.rows)


TO_STATION = sorted(r.action for r in V16.rows if isinstance(r, RequestRow | FixedAnswer | NotOffered))
WORDS = st.sampled_from(["Accepted", "Rejected", "NotImplemented", "Scheduled", "Unlocked", "", "Nonsense"])
DATA = st.dictionaries(
    st.sampled_from(["sample_interval_s", "connector_count", "data", "feature_profiles", "authorization_key"]),
    st.one_of(st.integers(), st.text(max_size=600), st.tuples(st.text(max_size=5)), st.booleans()),
)


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_asked_is_answered_validly(data: st.DataObject) -> None:
    """Any payload, any word of the domain: an answer that keeps the schema, or a CALLERROR of 1.6."""
    action = data.draw(st.sampled_from(TO_STATION))
    payload: Any = data.draw(_valid(DOCUMENTS[action], DOCUMENTS[action]))
    for _ in range(data.draw(st.integers(0, 2))):
        payload = _mutate(data, payload) if isinstance(payload, dict) else {}
    payload = payload if isinstance(payload, dict) else {}
    word, more = data.draw(WORDS), data.draw(DATA)
    frame = asyncio.run(_serve(action, payload, word, more))
    if frame[0] == 4:
        assert frame[2] in {
            "NotImplemented", "NotSupported", "InternalError", "FormationViolation", "PropertyConstraintViolation",
            "OccurenceConstraintViolation", "TypeConstraintViolation",
        }  # fmt: skip
        return
    check = V16.schemas.response_check(action) if V16.schemas else None
    assert check is not None
    assert check(frame[2]) is None


async def _serve(action: str, payload: dict[str, Any], word: str, more: dict[str, Any]) -> list[Any]:
    import json

    def hear(event: Any) -> None:
        if isinstance(event, SecurityNoticed):
            return  # it broke the schema
        asking.resolve_request(Response("chargy", event.request, word, more))

    rpc = Rpc(CODES)
    asking = InboundRequests(desk(Outbox()), hear, 5.0)
    response = (await asking.serve_request(Called("x", action, payload), V16)).response
    frame: list[Any] = json.loads(rpc.encode_response(response))
    return frame


async def test_noise_on_a_live_link() -> None:
    """Frames of every shape in quick succession; the link neither falls nor stops answering."""
    import json
    import random

    dice = random.Random(7)
    shapes: list[Any] = [
        2, 3, 4, 5, "x", "Reset", {}, {"type": "Soft"}, [], None, 1.5, "\ud800", {"type": 5}, "ClearCache", True, -1,
    ]  # fmt: skip
    async with linked() as room:
        for _ in range(1500):
            frame = [dice.choice(shapes) for _ in range(dice.randrange(6))]
            await room.central.ws.send(json.dumps(frame))
        assert (await room.central.ask("ClearCache", {}))[2] == {"status": "Accepted"}
        assert len(room.central.connections) == 1


def test_the_profiles_that_are_advertised_are_those_that_are_translated() -> None:
    assert VARIABLES["feature_profiles"].default == PROFILES
