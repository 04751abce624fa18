"""The JSON Schema of ``kit.toml``, made of the tables themselves: editors complete and judge by it."""

from __future__ import annotations

import json
import typing
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from agent.commands.kit.kit_file import FREE_TABLES, KIT_TABLES, REQUIRED_TABLES
from agent.model.fastclass import field_specs
from agent.model.key_rules import Between, Entries, OneOf, Rule, Text, key_type, split_type_and_rules

PLAIN_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "string"}


def schema_text() -> str:
    """Return the whole schema as it is kept in docs/kit.schema.json."""
    tables = {name: _table_schema(cls) for name, cls in KIT_TABLES.items()}
    tables["evse"] = {"type": "array", "items": tables["evse"]}
    tables |= {name: {"type": "object"} for name in FREE_TABLES}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Integration kit of a charging station (kit.toml, version 1)",
        **_object_schema(tables, list(REQUIRED_TABLES)),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _object_schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _table_schema(cls: type[Any]) -> dict[str, Any]:
    specs = field_specs(cls)
    needed = [n for n, f in specs.items() if f.default is MISSING and f.default_factory is MISSING]
    keys = {}
    for name, spec in specs.items():
        keys[name] = _value_schema(key_type(cls, spec))
        if isinstance(spec.default, str | int | float | bool) and spec.default != "":
            keys[name]["default"] = spec.default
    return _object_schema(keys, needed)


def _value_schema(hint: Any) -> dict[str, Any]:
    base, rules = split_type_and_rules(hint)
    if typing.get_origin(base) is tuple:
        schema: dict[str, Any] = {"type": "array", "items": _value_schema(typing.get_args(base)[0])}
    else:
        schema = {"type": PLAIN_TYPES[base]}
    for rule in rules:
        schema |= _rule_schema(rule)
    return schema


def _rule_schema(rule: Rule) -> dict[str, Any]:
    if isinstance(rule, Between):
        return {"minimum": rule.low, "maximum": rule.high}
    if isinstance(rule, OneOf):
        return {"enum": list(rule.choices)}
    if isinstance(rule, Entries):
        return {"minItems": rule.least, "maxItems": rule.most, "uniqueItems": not rule.repeats}
    assert isinstance(rule, Text)
    form = {"pattern": f"^({rule.form})$"} if rule.form else {}
    return {"minLength": rule.shortest, "maxLength": rule.longest, **form}
