"""What is too deep, too much or too large is refused before anything reads it, and nothing else is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.messages import HeartbeatWanted
from agent.domain.orders import Response
from agent.model import json_limits
from agent.model.json_limits import DEPTH_MAX, VALUES_MAX, frame_head, why_excessive
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.v16 import V16
from agent.ocpp.v21 import V21
from agent.ocpp.v201 import V201
from agent.ocpp.wire.calls import Called, Dropped, Errored, SendNow
from agent.ocpp.wire.rpc import Rpc
from tests.ocpp.ocpp_stand_ins import Central, Room, build, linked, running, served, until
from tests.ocpp.test_any_request import QUIRKY, SUFFIX, document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{},"\\a:'),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[{,"\\', max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def values_in(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return len(inner) + sum(map(values_in, inner))


@settings(max_examples=500, deadline=None)
@given(JSON, st.integers(0, 5), st.integers(0, 40))
def test_depth_and_number_are_those_of_the_value(value: Any, depth: int, values: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_limits, "DEPTH_MAX", depth)
        patch.setattr(json_limits, "VALUES_MAX", values)
        why = why_excessive(json.dumps([value]))
    deep, many = depth_of([value]) > depth, values_in([value]) > values
    assert (why is not None) >= (deep or many)
    if why is not None and "brackets" in why:
        assert deep
    if why is not None and "values" in why:  # an empty list counts as one that has a value
        assert values_in([value]) + json.dumps(value).count("[") + json.dumps(value).count("{") + 1 > values


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='[]{},"\\ a1:') | st.text())
def test_any_text_is_judged(text: str) -> None:
    why_excessive(text * 40)
    frame_head(text)


def test_the_bound_itself() -> None:
    text = f'[2,"n","Reset",{{"x":{nested(DEPTH_MAX - 2)}}}]'
    assert isinstance(Rpc().receive_frame(text), Called)
    assert isinstance(Rpc().receive_frame(text.replace("[]", "[[]]")), SendNow)


def test_a_text_may_have_as_many_brackets_as_it_likes() -> None:
    payload = {"vendorId": "v", "data": json.dumps([{"a": ["\\", '"', [[]]]}] * 40_000)}
    assert isinstance(Rpc().receive_frame(json.dumps([2, "n", "DataTransfer", payload])), Called)


def test_the_longest_local_list_is_read() -> None:
    info = {
        "status": "Accepted", "cacheExpiryDateTime": "2026-11-25T10:00:00Z", "chargingPriority": 1, "language1": "lb",
        "language2": "de", "evseId": [1, 2], "groupIdToken": {"idToken": "g", "type": "Central"},
        "personalMessage": {"format": "UTF8", "language": "lb", "content": "Moien"},
    }  # fmt: skip
    token = {"idToken": "t", "type": "ISO14443", "additionalInfo": [{"additionalIdToken": "x", "type": "y"}]}
    entries = [{"idToken": token, "idTokenInfo": info}] * 1000
    assert why_excessive(json.dumps([2, "n", "SendLocalList", {"localAuthorizationList": entries}])) is None


def deepest(schema: dict[str, Any], whole: dict[str, Any]) -> int:
    """Brackets inside each other in the deepest value that a schema of the standard allows."""
    if "$ref" in schema:
        return deepest(whole["definitions"][schema["$ref"].rsplit("/", 1)[-1]], whole)
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return (schema.get("type", "object") in ("object", "array")) + max((deepest(s, whole) for s in inner), default=0)


def test_no_message_of_the_standard_is_too_deep() -> None:
    actions = [(d, a, SUFFIX[d.name]) for d in (V16, V201, V21) for a in d.schemas.known_actions()]  # type: ignore[union-attr]
    depths = {}
    for dialect, action, suffix in actions:
        schema = document(dialect.name, action + suffix)
        depths[action] = 1 + deepest(schema, schema)
    assert 2 * max(depths.values()) < DEPTH_MAX, max(depths, key=lambda a: depths[a])


# --- what is refused has its answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        f'[2,"n","A",{{"x":{nested(DEPTH_MAX)}}}]',
        f' [ 2 , "n" , {nested(100_000)} ]',
        f'[2,"n","A",{{"x":[{"1," * VALUES_MAX}1]}}]',
        '[2,"n","A",{"x":1e999}]',
        f'[2,"n","A",{{"x":{"9" * 400}.0}}]',
        f'[2,"n","A",{{"x":{"9" * 1001}}}]',
    ],
    ids=["deep", "very deep", "many", "infinite", "long", "longer"],
)
def test_a_call_that_is_too_much_is_answered_once(data: str) -> None:
    rpc = Rpc()
    finding = rpc.receive_frame(data)
    assert isinstance(finding, SendNow)
    assert json.loads(finding.text)[:3] == [4, "n", "FormatViolation"]
    assert rpc.receive_frame(data) == finding


@pytest.mark.parametrize("kind", [3, 4])
def test_an_answer_that_is_too_much_is_one_and_says_nothing(kind: int) -> None:
    rpc = Rpc()
    rpc.encode_call("n", "Heartbeat", {})
    data = f'[{kind},"n",{{"x":{nested(1000)}}}]'
    assert isinstance(rpc.receive_frame(data.replace('"n"', '"m"')), Dropped)
    found = rpc.receive_frame(data)
    assert isinstance(found, Errored)
    assert (found.id, found.action, found.code) == ("n", "Heartbeat", "Unreadable")


@pytest.mark.parametrize("text", ["[[[]]]", '["2","n"]', '[2,"', '[2,"\\u"]', "[2,7]", "", '{"2":"n"}', '[22,"n"]'])
def test_a_head_that_cannot_be_read(text: str) -> None:
    assert frame_head(text) is None


# --- over the wire ---------------------------------------------------------------------------------------------------

DEEP = 1500
SMALL_FRAMES = [
    (V201, f'[2,"n","SetNetworkProfile",{{"password":1,"x":{nested(DEEP)}}}]'),
    (V16, f'[2,"n","ChangeConfiguration",{{"key":"AuthorizationKey","value":{nested(9996)}}}]'),
    (V16, f'[2,"n","ChangeConfiguration",{{"key":"AuthorizationKey","value":{nested(989)}}}]'),
    (V201, f'[2,"n","SetVariables",{{"setVariableData":[{{"password":{nested(DEEP)}}}]}}]'),
    (V201, f'[2,"n","GetVariables",{{"x":{nested(DEEP)}}}]'),
    (V16, f'[2,"n","DataTransfer",{{"vendorId":"x","data":{json.dumps(nested(9000))}}}]'),
    (V16, f'[2,"n","DataTransfer",{{"vendorId":"cloud.charging.open","data":{json.dumps(nested(9000))}}}]'),
    (V201, f'[2,"n","DataTransfer",{{"vendorId":"x","data":{nested(9000)}}}]'),
    (QUIRKY[0], f'[2,"n","ChangeAvailability",{{"connectorId":1,"type":{nested(5000)}}}]'),
    (V201, '[2,"n","GetVariables",{"getVariableData":[{"component":{"name":"a","customData":{"vendorId":"v",'
           '"x":1e999}},"variable":{"name":"b"}}]}]'),
    (V201, '[2,"n","GetVariables",{"getVariableData":[{"component":{"name":"a","evse":{"id":' + "9" * 900 + "}},"
           '"variable":{"name":"b"}}]}]'),
]  # fmt: skip


@contextlib.asynccontextmanager
async def spoken_to(dialect: Dialect) -> AsyncIterator[Room]:
    """A link that speaks this version."""
    async with (
        served(Central(), (dialect.subprotocol,)) as central,
        running(build(central, dialects=(dialect,))) as room,
    ):
        yield room


@pytest.mark.parametrize(("dialect", "frame"), SMALL_FRAMES, ids=range(len(SMALL_FRAMES)))
async def test_one_small_frame_ends_nothing(dialect: Dialect, frame: str) -> None:
    async with spoken_to(dialect) as room:
        room.domain = lambda a: Response(a.link, a.request, "Accepted", {})
        await room.central.ws.send(frame)
        answer = await until(lambda: next((a for a in room.central.answers if a[1] == "n"), None))
        assert answer[0] in (3, 4)
        assert "InternalError" not in answer
        assert len(room.central.connections) == 1


async def test_a_defect_of_ours_ends_nothing_either(caplog: pytest.LogCaptureFixture) -> None:
    """The last resort, for what is not foreseen: a row of the dialect that fails on a frame."""

    def fail(action: str, payload: Any) -> Any:
        raise RecursionError

    async with spoken_to(replace(V16, mask_secrets=fail)) as room:
        assert (await room.central.ask("ClearCache", {}))[0] == 3
        assert [f[3] for f in room.traced if f[0] == "in"][-1] == "***"
    assert "please report" in caplog.text


@pytest.mark.parametrize("depth", [971, 9000, 100_000])
async def test_an_answer_nested_without_end_is_no_answer(depth: int) -> None:
    deep = f'[3,"$ID",{{"\\ud800":{nested(depth)}}}]'
    async with linked(Central(script={"Heartbeat": [deep]})) as room:
        room.link.send(HeartbeatWanted())
        await until(lambda: room.central.of("Heartbeat"))
        room.link.send(HeartbeatWanted())
        await until(lambda: len(room.central.of("Heartbeat")) == 2)  # it did not wait for the time-out
        assert room.link.is_up
