"""The JSON Schema of an audit plan, made of its grammar: editors complete and judge by it."""

from __future__ import annotations

import json
from typing import Any

from agent.audit.plan_grammar import HEAD, KIND_KEYS, NEEDS, OBLIGATION, SECTION
from agent.scenario.schema import object_schema


def schema_text() -> str:
    """Return the whole schema as it is kept in docs/plan.schema.json."""
    obligation = object_schema(OBLIGATION)
    needs = {"type": "array", "items": {"type": "string", "enum": list(NEEDS)}}
    obligation["properties"]["needs"] = {**obligation["properties"]["needs"], **needs}
    section = object_schema(SECTION)
    section["properties"]["obligations"] = _list_schema("obligation")
    plan = object_schema(HEAD)
    plan["properties"]["sections"] = _list_schema("section")
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Audit plan of chargy-agent (docs/audit.md)",
        **plan,
        "$defs": {
            "section": section,
            "obligation": {**obligation, "oneOf": [{"required": [key.name]} for key in KIND_KEYS.values()]},
        },
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _list_schema(name: str) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": {"$ref": f"#/$defs/{name}"}}
