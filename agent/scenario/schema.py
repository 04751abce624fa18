"""The JSON Schema of a scenario file, made of the grammar: editors complete and judge by it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from agent.scenario.grammar import HEAD, KINDS, NEEDS, Form, Key, StepKind

VARIABLE = {"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*([+-][0-9]+)?\}$"}
STEPS = {"type": "array", "items": {"$ref": "#/$defs/step"}}
FORMS: dict[Form, Any] = {
    Form.TEXT: {"type": "string"},
    Form.INTEGER: {"anyOf": [{"type": "integer", "minimum": 0}, VARIABLE]},
    Form.NUMBER: {"anyOf": [{"type": "number", "minimum": 0}, VARIABLE]},
    Form.FLAG: {"anyOf": [{"type": "boolean"}, VARIABLE]},
    Form.TABLE: {"type": "object"},
    Form.VALUE: {},
    Form.TEXTS: {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    Form.LIST: {"type": "array", "items": {"type": "string"}},
    Form.STEPS: STEPS,
    Form.BRANCHES: {"type": "array", "items": STEPS},
    Form.TABLES: {"type": "array", "items": {"type": "object"}},
}


def schema_text() -> str:
    """Return the whole schema as it is kept in docs/scenario.schema.json."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenario of chargy-agent (docs/scenarios.md)",
        **object_schema(HEAD),
        "$defs": {"step": {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in KINDS]}, **_kind_schemas()},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _kind_schemas() -> dict[str, Any]:
    return {name: _kind_schema(kind) for name, kind in KINDS.items()}


def _kind_schema(kind: StepKind) -> dict[str, Any]:
    schema = object_schema(kind.keys_by_name().values(), [kind.kind_name])
    return {"description": kind.meaning, **schema}


def object_schema(keys: Iterable[Key], required: Iterable[str] = ()) -> dict[str, Any]:
    """Return the schema of a table with these keys and no others."""
    keys = list(keys)
    needed = list(dict.fromkeys([*required, *(k.name for k in keys if k.required)]))
    properties = {k.name: _key_schema(k) for k in keys}
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def _key_schema(key: Key) -> dict[str, Any]:
    choices = key.choices or (tuple(NEEDS) if key.name == "needs" else ())
    if not choices:
        return {"description": key.meaning, **FORMS[key.form]}
    one = {"type": "string", "enum": list(choices)}
    many = {"type": "array", "items": one}
    if key.form is Form.LIST:
        return {"description": key.meaning, **many}
    other = [many] if key.form is Form.TEXTS else []
    return {"description": key.meaning, "anyOf": [one, VARIABLE, *other] if key.form is Form.TEXT else [one, *other]}
