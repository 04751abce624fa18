"""What a scenario expects of a message, and the words when it is otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from agent.scenario.matching import MISSING, describe_mismatch, value_at
from agent.scenario.operations import OPERATIONS, build_payload
from agent.scenario.variables import UnknownVariable, fill_variables
from agent.scenario.versions import VERSIONS, find_operation_form

MESSAGE = {"status": "Accepted", "limit": 13.0, "key": [{"name": "A", "value": "7"}, {"name": "B"}], "on": True}


@pytest.mark.parametrize(("expected", "problem"), [
    ({"status": "Accepted"}, ""),
    ({"status": "Rejected"}, "status is 'Accepted', expected 'Rejected'"),
    ({"status": ["Rejected", "Accepted"]}, ""),
    ({"status": ["Rejected", "Failed"]}, "status is 'Accepted', expected 'Rejected' or 'Failed'"),
    ({"status": "*"}, ""),
    ({"other": "*"}, "other is missing, expected '*'"),
    ({"limit": 13}, ""),
    ({"limit": "13"}, ""),
    ({"limit": {"at_least": 14}}, "limit: 13 is less than 14"),
    ({"limit": {"at_least": 5, "at_most": 12}}, "limit: 13 is more than 12"),
    ({"status": {"at_least": 5}}, "status is 'Accepted', expected a number"),
    ({"status": {"matches": "Acc.*"}}, ""),
    ({"status": {"matches": "Acc"}}, "status is 'Accepted', which does not match 'Acc'"),
    ({"status": {"not": "Accepted"}}, "status is 'Accepted', expected another value"),
    ({"other": {"absent": True}}, ""),
    ({"status": {"absent": True}}, "status is 'Accepted', expected that it is absent"),
    ({"key": [{"name": "A", "value": 7}]}, ""),
    ({"key": [{"name": "C"}]}, "key.name is 'A', expected 'C'"),
    ({"key": [{"name": "A"}, {"name": "B"}]}, ""),
    ({"on": True}, ""),
    ({"on": False}, "on is True, expected False"),
    ({"status": {"inner": 1}}, "status is 'Accepted', expected a table"),
])  # fmt: skip
def test_what_is_expected(expected: Any, problem: str) -> None:
    assert describe_mismatch(expected, MESSAGE) == problem


@pytest.mark.parametrize(("path", "value"), [
    ("status", "Accepted"), ("key[0].value", "7"), ("key.1.name", "B"), ("key[-1].name", "B"), ("key[2]", MISSING),
    ("status.x", MISSING), ("nothing", MISSING),
])  # fmt: skip
def test_paths(path: str, value: Any) -> None:
    assert value_at(MESSAGE, path) == value


def test_variables_keep_their_type_and_fill_texts() -> None:
    known = {"n": 5, "card": "04A1"}
    filled = fill_variables({"a": "${n}", "b": ["x ${card} ${n}"], "c": "${n+2}", "t": "${now+60}"}, known, lambda: 0.0)
    assert filled == {"a": 5, "b": ["x 04A1 5"], "c": 7, "t": "1970-01-01T00:01:00Z"}
    with pytest.raises(UnknownVariable, match=r"\$\{other\} has no value yet; known here: card, n"):
        fill_variables("${other}", known, lambda: 0.0)


def written(name: str, parameters: dict[str, Any], version: str) -> tuple[str, dict[str, Any], str]:
    form = find_operation_form(version, name)
    assert form is not None
    return form.action, build_payload(name, parameters, form), form.status


def test_an_operation_is_written_in_the_words_of_each_version() -> None:
    assert written("set_setting", {"name": "heartbeat_interval_s", "value": 77}, "1.6")[:2] == (
        "ChangeConfiguration", {"key": "HeartbeatInterval", "value": "77"})  # fmt: skip
    for name in ("heartbeat_interval_s", "OCPPCommCtrlr.HeartbeatInterval"):
        action, payload, status = written("set_setting", {"name": name, "value": True}, "2.0.1")
        assert (action, status) == ("SetVariables", "setVariableResult[0].attributeStatus")
        component, variable = {"name": "OCPPCommCtrlr"}, {"name": "HeartbeatInterval"}
        assert payload == {
            "setVariableData": [{"component": component, "variable": variable, "attributeValue": "true"}]
        }
    assert written("availability", {"availability": "inoperative", "evse": 0}, "2.0.1")[1] == {
        "operationalStatus": "Inoperative"}  # fmt: skip
    assert written("clear_profiles", {}, "1.6")[1] == {}
    assert find_operation_form("1.5", "unlock") is None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_operation_has_a_form_in_every_version(version: str) -> None:
    assert [name for name in OPERATIONS if find_operation_form(version, name) is None] == []
