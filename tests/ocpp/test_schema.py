"""Our compiled checks against jsonschema on the same documents, and what jsonschema leaves open (formats, decimals)."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft6Validator

from agent.ocpp.wire.schema import Violation, compile_document, is_date_time, load_package_schemas

FOLDER = Path(next(iter(importlib.util.find_spec("ocpp").submodule_search_locations))) / "v16" / "schemas"
DOCUMENTS = {p.stem: json.loads(p.read_text("utf-8-sig")) for p in sorted(FOLDER.glob("*.json"))}


def _without_multiples(node: Any) -> Any:
    """jsonschema computes multipleOf in binary fractions (0.3 is no multiple of 0.1 there): judged apart below."""
    if isinstance(node, dict):
        return {k: _without_multiples(v) for k, v in node.items() if k not in ("multipleOf", "format")}
    return [_without_multiples(v) for v in node] if isinstance(node, list) else node


def _oracle(document: dict[str, Any]) -> Any:
    draft = Draft4Validator if "draft-04" in document["$schema"] else Draft6Validator
    return draft(_without_multiples(document))


def _valid(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Payloads that mostly keep the schema."""
    if "$ref" in schema:
        return _valid(root["definitions"][schema["$ref"].rsplit("/", 1)[1]], root)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        required = {k: _valid(v, root) for k, v in properties.items() if k in schema.get("required", ())}
        optional = {k: _valid(v, root) for k, v in properties.items() if k not in required}
        return st.fixed_dictionaries(required, optional=optional)
    if kind == "array":
        return st.lists(_valid(schema["items"], root), min_size=schema.get("minItems", 0), max_size=3)
    if kind == "string":
        return st.text(max_size=min(schema.get("maxLength", 8), 8))
    return {"integer": st.integers(), "number": st.floats(-1e9, 1e9), "boolean": st.booleans()}[kind]


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=600),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from(["Accepted", "x" * 26, "x" * 51, "x" * 501, 1.0, {}, []]),
)  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for k, v in items for p in _places(v, (*path, k)))]


def _mutate(data: st.DataObject, payload: Any) -> Any:
    """Replace, remove or add something at a random place."""
    payload = copy.deepcopy(payload)
    path = data.draw(st.sampled_from(_places(payload)))
    if not path:
        return data.draw(st.one_of(JUNK, st.just({**payload, "unknown": 1})))
    holder = payload
    for step in path[:-1]:
        holder = holder[step]
    action = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if action == "replace":
        holder[path[-1]] = data.draw(JUNK)
    elif action == "remove":
        del holder[path[-1]]
    elif isinstance(holder, dict):
        holder[data.draw(st.text(max_size=5))] = data.draw(JUNK)
    return payload


@pytest.mark.parametrize("name", DOCUMENTS)
def test_agrees_with_jsonschema(name: str) -> None:
    document = DOCUMENTS[name]
    check, oracle = compile_document(_without_multiples(document)), _oracle(document)
    strategy = _valid(document, document)

    @settings(max_examples=30, deadline=None, database=None)
    @given(st.data())
    def agrees(data: st.DataObject) -> None:
        payload = data.draw(strategy)
        for _ in range(data.draw(st.integers(0, 2))):
            payload = _mutate(data, payload) if isinstance(payload, dict) else payload
        assert (check(payload) is None) == oracle.is_valid(payload), (check(payload), payload)

    agrees()


def test_every_schema_of_every_version_compiles() -> None:
    for folder in FOLDER.parent.parent.glob("v*/schemas"):
        for path in folder.glob("*.json"):
            compile_document(json.loads(path.read_text("utf-8-sig")))({})


def test_says_where_and_which_rule() -> None:
    check = load_package_schemas("v16").request_check("MeterValues")
    assert check is not None
    sampled = {"value": "1", "unit": "Hertz!"}
    payload = {"connectorId": 1, "meterValue": [{"timestamp": "2026-11-25T10:00:00Z", "sampledValue": [sampled]}]}
    assert check(payload) == Violation("/meterValue/0/sampledValue/0/unit", "enum")
    assert check({"connectorId": True, "meterValue": []}) == Violation("/connectorId", "type")
    assert check({"connectorId": 1}) == Violation("/meterValue", "required")
    assert check({"connectorId": 1, "meterValue": []}) == Violation("/meterValue", "minItems")


def test_tolerates_in_answers_what_costs_no_one_anything() -> None:
    schemas = load_package_schemas("v16")
    answer = {"status": "Accepted", "currentTime": "2026-11-25T10:00:00", "interval": 300, "vendor": {}}
    strict, tolerant = (
        schemas.response_check("BootNotification"),
        schemas.response_check("BootNotification", tolerant=True),
    )
    assert strict is not None
    assert tolerant is not None
    assert strict(answer) is not None
    assert tolerant(answer) is None
    assert tolerant({**answer, "interval": "300"}) == Violation("/interval", "type")


def test_unknown_actions_and_paths_have_no_schema() -> None:
    schemas = load_package_schemas("v16")
    for action in (
        "Nonsense",
        "../v201/schemas/Authorize",
        "Authorize/../Authorize",
        "",
        "a" * 5000,
        "\ud800",
        "Authorize\0",
    ):
        assert schemas.request_check(action) is None


@pytest.mark.parametrize("limit", [0.1, 0.3, 0.7, 1.1, 16, 32.0, 4.35, 1e-7, 123456789.1])
def test_multiples_of_a_tenth_are_decimal(limit: float) -> None:
    check = compile_document({"type": "number", "multipleOf": 0.1})
    assert (check(limit) is None) == (round(limit * 10) == pytest.approx(limit * 10, abs=1e-9))


def test_infinite_numbers_break_the_rule_and_nothing_else() -> None:
    check = compile_document({"type": "number", "multipleOf": 0.1})
    assert check(float("inf")) is not None
    assert check(10**400) is not None


@given(st.datetimes(), st.integers(0, 23), st.booleans())
def test_date_times_of_python_are_date_times(when: datetime, hours: int, ahead: bool) -> None:
    assert is_date_time(f"{when.isoformat()}{'+' if ahead else '-'}{hours:02d}:30")
    assert is_date_time(when.isoformat() + "Z")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("2026-02-28T23:59:60Z", True),
        ("2024-02-29T00:00:00.123456789Z", True),
        ("2026-02-29T00:00:00Z", False),
        ("2026-13-01T00:00:00Z", False),
        ("2026-11-31T00:00:00Z", False),
        ("2026-11-25T24:00:00Z", False),
        ("2026-11-25T10:00:00", False),
        ("2026-11-25", False),
        ("2026-11-25T10:00:00+0100", False),
        ("٢٠٢٦-11-25T10:00:00Z", False),
        ("2026-11-25T10:00:00Z\n", False),
    ],
)
def test_date_time(text: str, good: bool) -> None:
    assert is_date_time(text) is good


def test_what_the_compiler_does_not_know_is_an_error() -> None:
    for schema in ({"oneOf": []}, {"format": "ipv4"}, {"enum": [1]}, {"$ref": "#/definitions/x"}, {"pattern": "."}):
        with pytest.raises(ValueError):
            compile_document(schema)


def test_the_agent_side_does_not_import_the_package() -> None:
    import subprocess

    code = (
        "import agent.ocpp.link, sys; from agent.ocpp.v16 import V16; "
        "V16.schemas.request_check('Reset')\nprint(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [m for m in loaded if m.split(".")[0] in ("ocpp", "jsonschema", "websockets")]
    assert "importlib.metadata" not in loaded
