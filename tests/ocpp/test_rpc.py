"""The RPC framework without any socket."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.ocpp.v16 import CODES
from agent.ocpp.wire.calls import Answered, Called, Code, Dropped, Errored, SendNow
from agent.ocpp.wire.rpc import Kind, Rpc

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=600, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.binary(),
        JSON.map(json.dumps),
        st.tuples(st.sampled_from([2, 3, 4, 5, 6, "2", 2.0, True]), st.text(max_size=40) | JSON, JSON, JSON, JSON).map(
            lambda t: json.dumps(list(t))
        ),
        st.lists(JSON, max_size=6).map(lambda items: json.dumps([2, "id", *items])),
    )
)
def test_never_raises_and_what_it_says_is_json(data: str | bytes) -> None:
    rpc = Rpc(CODES)
    rpc.encode_call("id", "Heartbeat", {})
    finding = rpc.receive_frame(data)
    assert isinstance(finding, Called | Answered | Errored | SendNow | Dropped)
    if isinstance(finding, SendNow):
        assert json.loads(finding.text)[0] == 4
        finding.text.encode("ascii")


@pytest.mark.parametrize(
    "data",
    [
        "[" * 100_000,
        '{"a":' * 50_000,
        "[2," + "9" * 10_000 + "]",
        '[2,"x","A",{"n":NaN}]',
        '[2,"x","A",{"n":-Infinity}]',
        "x" * 1_000_000,
        "",
        "null",
        b'[2,"x","Reset",{}]',
        '[2,17,"Reset",{"type":"Soft"}]',
        '[2,"","Reset",{}]',
        "[2]",
        "[]",
        '[9,"x"]',
        '[3,"never-sent",{}]',
    ],
    ids=range(15),
)
def test_what_cannot_be_read_is_dropped_and_counted(data: str | bytes) -> None:
    rpc = Rpc()
    assert isinstance(rpc.receive_frame(data), Dropped)
    assert rpc.dropped == 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('[2,"x"]', "FormationViolation"),
        ('[2,"x",3,{}]', "FormationViolation"),
        ('[2,"x","Reset",[]]', "FormationViolation"),
        ('[2,"x","Reset",{},1]', "FormationViolation"),
        (f'[2,"{"x" * 37}","Reset",{{}}]', "FormationViolation"),
    ],
)
def test_a_readable_id_gets_a_callerror(frame: str, code: str) -> None:
    said = Rpc(CODES).receive_frame(frame)
    assert isinstance(said, SendNow)
    assert json.loads(said.text)[:3] == [4, json.loads(frame)[1], code]


def test_no_payload_may_be_written_as_null_or_left_out() -> None:
    assert Rpc().receive_frame('[2,"x","ClearCache",null]') == Called("x", "ClearCache", {})
    assert Rpc().receive_frame('[2,"y","ClearCache"]') == Called("y", "ClearCache", {})


def test_official_names_of_the_codes() -> None:
    rpc = Rpc(CODES)
    assert json.loads(rpc.encode_error("x", Code.OCCURRENCE))[2] == "OccurenceConstraintViolation"
    assert json.loads(rpc.encode_error("x", Code.FORMAT))[2] == "FormationViolation"
    assert json.loads(rpc.encode_error("x", Code.NOT_IMPLEMENTED))[2] == "NotImplemented"


def test_an_answer_belongs_to_the_call_with_its_id_however_late() -> None:
    rpc = Rpc()
    assert rpc.encode_call("a", "StartTransaction", {}) == '[2,"a","StartTransaction",{}]'
    rpc.encode_call("b", "Heartbeat", {})
    rpc.connection_opened()
    assert rpc.receive_frame('[3,"a",{"transactionId":7}]') == Answered("a", "StartTransaction", {"transactionId": 7})
    assert rpc.receive_frame('[4,"b","GenericError","no",{}]') == Errored("b", "Heartbeat", "GenericError", "no")
    assert isinstance(rpc.receive_frame('[3,"c",{}]'), Dropped)


def test_something_that_is_no_answer_counts_as_one() -> None:
    rpc = Rpc()
    rpc.encode_call("a", "Heartbeat", {})
    assert isinstance(rpc.receive_frame('[3,"a",[]]'), Errored)


def test_messages_of_2_1_exist_where_the_version_has_them() -> None:
    rpc = Rpc()
    assert rpc.receive_frame('[5,"x","FormatViolation","no",{}]') == Dropped("unknown message type")
    rpc = Rpc(kinds=frozenset(Kind))
    assert rpc.encode_unanswered("a", "NotifyPeriodicEventStream", {}) == '[6,"a","NotifyPeriodicEventStream",{}]'
    said = rpc.receive_frame('[5,"x","FormatViolation","no\\n",{}]')
    assert said == Dropped(r"our response 'x' cannot be used there: ['FormatViolation', 'no\n']")
    assert rpc.receive_frame('[6,"x","Heartbeat",{}]') == Dropped(
        "a SEND, of which no station takes any: ['Heartbeat']"
    )


def test_a_repeated_call_is_answered_with_the_same_text() -> None:
    rpc = Rpc()
    frame = '[2,"x","Reset",{"type":"Soft"}]'
    assert isinstance(rpc.receive_frame(frame), Called)
    assert isinstance(rpc.receive_frame(frame), Dropped)  # it is being worked on
    text = rpc.encode_result("x", {"status": "Accepted"})
    assert rpc.receive_frame(frame) == SendNow(text)
    assert isinstance(rpc.receive_frame('[2,"x","Reset",{"type":"Hard"}]'), Called)  # same id, another request
    rpc.connection_opened()
    assert isinstance(rpc.receive_frame(frame), Called)  # ids are unique per connection only


def test_the_memory_of_answers_is_small() -> None:
    rpc = Rpc()
    for n in range(1000):
        rpc.receive_frame(f'[2,"{n}","ClearCache",{{}}]')
        rpc.encode_result(str(n), {})
        rpc.encode_call(f"o{n}", "Heartbeat", {})
    assert len(rpc._responses) <= 32
    assert len(rpc._sent_actions) <= 64


def test_odd_characters_leave_as_ascii() -> None:
    rpc = Rpc()
    assert isinstance(rpc.receive_frame('[2,"\\u00e4","ClearCache",{}]'), Called)
    assert json.loads(rpc.encode_result("\ud800", {"data": "é\ud800"}).encode("ascii")) == [
        3,
        "\ud800",
        {"data": "é\ud800"},
    ]
