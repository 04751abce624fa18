"""Scenario files: each mistake has its line and says what would be right; the schema agrees with the parser."""

from __future__ import annotations

import contextlib
import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.scenario.stations import library_folder
from agent.scenario.grammar import KINDS
from agent.scenario.operations import OPERATIONS
from agent.scenario.scenario_file import ScenarioError, load_scenario, parse_scenario
from agent.scenario.schema import schema_text
from agent.scenario.step_actions import ACTIONS

LIBRARY = sorted(library_folder().glob("*.toml"))
SCHEMA = jsonschema.Draft202012Validator(json.loads(schema_text()))
HEAD = 'title = "T"\nsteps = [\n'
MISTAKES = [
    ("{ plugg = 1 },", 3, 3, "names no kind of step; did you mean plug?"),
    ("{ plug = 1, redy = true },", 3, 15, "a step plug has no such key; did you mean ready?"),
    ('{ plug = "one" },', 3, 5, "must be a whole number, is 'one'"),
    ("{ plug = -1 },", 3, 5, "must not be negative"),
    ('{ plug = 1, tap = "A" },', 3, 15, "is a second kind of step beside plug: write two steps"),
    ('{ plug = 1 },\n{ wait_status = "chargin" },', 4, 3, "'chargin' is not known; did you mean charging?"),
    ('{ tap = "${crad}" },', 3, 5, "${crad} is set by no step before this one and is not in [variables]"),
    ('{ backend = "unlok" },', 3, 3, "is no operation; did you mean unlock?"),
    ('{ backend = "remote_start" },', 3, 3, "remote_start needs with = { token = ... }"),
    ('{ backend = "unlock", with = { conector = 1 } },', 3, 32, "unlock has no such parameter"),
    ('{ backend = "Reset", with = { type = "Soft" } },', 3, 22, "an action of OCPP takes payload and answer"),
    ("{ check = 1 },", 3, 3, "compares nothing: add equals, at_least or at_most"),
    ('{ measure = "power_w" },', 3, 3, "measures for nothing"),
    ('{ wait_message = "heartbeat" },', 3, 5, "must be an action of OCPP"),
    ('{ plug = 1, needs = ["lift"] },', 3, 13, "'lift' is not known"),
    ('{ plug = 1, id = "a" },\n{ plug = 2, id = "a" },', 4, 13, "'a' is the id of the step in line 3 already"),
    ("{ repeat = 2 },", 3, 3, "a step repeat needs the key steps"),
    ("{ repeat = 2, steps = [\n{ plgu = 1 },\n] },", 4, 1, "names no kind of step; did you mean plug?"),
    ("{ parallel = [ { plug = 1 } ] },", 3, 3, "must be a list of lists of steps"),
    ('{ wait_message = "Heartbeat", where = { a = { matches = "(" } } },', 3, 48, "'(' is no regular expression"),
    ("4,", 3, 1, "must be a step in braces"),
]  # fmt: skip


def parse(text: str) -> object:
    return parse_scenario(text.encode(), Path("s.toml"))


@pytest.mark.parametrize(("steps", "line", "column", "words"), MISTAKES, ids=[m[0][:30] for m in MISTAKES])
def test_a_mistake_has_its_line_and_says_what_is_right(steps: str, line: int, column: int, words: str) -> None:
    with pytest.raises(ScenarioError) as found:
        parse(f"{HEAD}{steps}\n]\n")
    problem = found.value.problems[0]
    assert words in problem.message
    assert problem.line == line
    assert abs(problem.column - column) <= 2
    assert f"s.toml:{line}:" in str(found.value)


@pytest.mark.parametrize(("text", "words"), [
    ('title = "T"\nsteps = [\n{ plug = }\n]', "s.toml:3:"),
    ('title = "T"\nsteps = []', "s.toml:2:1: steps: has no step"),
    ("steps = [{ plug = 1 }]", "a scenario needs the key title"),
    ('title = "T"\nstepz = [{ plug = 1 }]', "a scenario has no such key; did you mean steps?"),
    ('title = "T"\nsteps = [{ plug = 1 }]\nversions = ["1.5"]', "s.toml:3:1: versions: '1.5' is not known"),
    ("x = " + "[" * 3000, "s.toml:1:1"),
])  # fmt: skip
def test_a_file_that_is_wrong_as_a_whole(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as found:
        parse(text)
    assert words in str(found.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read: No such file"):
        load_scenario(tmp_path / "no.toml")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(ScenarioError):
        parse_scenario(raw, Path("s.toml"))


KEYS = st.sampled_from([*KINDS, "within_s", "evse", "with", "where", "set", "steps", "title", "nonsense"])
VALUES = st.recursive(
    st.sampled_from(["${card}", "charging", "unlock", "Reset", "x"])
    | st.integers(-2, 3)
    | st.booleans()
    | st.floats(0, 2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_what_the_parser_takes_the_schema_takes(steps: list[dict[str, object]]) -> None:
    from agent.model.toml_text import format_document

    document: dict[str, Any] = {"title": "T", "variables": {"card": "A", "x": 1}, "steps": steps}
    try:
        text = format_document({k: v for k, v in document.items() if k != "title"})
        parse_scenario(f'title = "T"\n{text}'.encode(), Path("s.toml"))
    except ScenarioError:
        return
    assert list(SCHEMA.iter_errors(document)) == []


@pytest.mark.parametrize("path", LIBRARY, ids=[p.stem for p in LIBRARY])
def test_every_scenario_of_the_library_is_right(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.id == path.stem
    assert scenario.references, "it says which sentence of a standard it shows"
    assert list(SCHEMA.iter_errors(tomllib.loads(path.read_text("utf-8")))) == []


def test_every_kind_of_step_can_be_carried_out_and_said() -> None:
    assert set(ACTIONS) | {"repeat", "parallel"} == set(KINDS)
    assert [name for name, kind in KINDS.items() if not kind.sentence] == []


def test_the_library_has_thirty_for_both_versions() -> None:
    both = [p.stem for p in LIBRARY if set(load_scenario(p).versions) >= {"1.6", "2.0.1"}]
    assert len(LIBRARY) >= 40
    assert len(both) >= 30


def test_the_library_uses_every_operation_that_needs_no_file() -> None:
    text = "".join(p.read_text("utf-8") for p in LIBRARY)
    unused = [name for name in OPERATIONS if f'backend = "{name}"' not in text]
    assert unused == ["clear_cache"]
