"""The JSON Schema of tables of a file, made of their keys and rules (``key_rules.py``), for editors.

A rule that JSON Schema cannot express is a ``description`` alone.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any, TypeAlias

from agent.model.fastclass import field_specs, is_record_class
from agent.model.key_rules import Between, Entries, OneOf, Rule, Text, key_type, split_type_and_rules

Json: TypeAlias = dict[str, Any]

PLAIN_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
_MAPPINGS = (Mapping, dict, types.MappingProxyType)


def object_schema(properties: Mapping[str, Json], required: Collection[str] = ()) -> Json:
    """Return the schema of a table with these keys and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


def table_schema(cls: type[Any], left_out: Collection[str] = ()) -> Json:
    """Return the schema of a table that is read into a record class. ``left_out``: fields that are no keys."""
    specs = {name: spec for name, spec in field_specs(cls).items() if name not in left_out}
    required = [n for n, f in specs.items() if f.default is MISSING and f.default_factory is MISSING]
    return object_schema(key_schemas(cls, specs), required)


def key_schemas(cls: type[Any], names: Collection[str]) -> dict[str, Json]:
    """Return the schemas of some keys of a record class."""
    specs = field_specs(cls)
    return {name: value_schema(key_type(cls, specs[name])) | _default_value(specs[name]) for name in names}


def value_schema(hint: Any) -> Json:
    """Return the schema of a value of this type, which may have rules."""
    base, rules = split_type_and_rules(hint)
    schema = _base_schema(base)
    for rule in rules:
        schema |= rule_schema(rule)
    texts = [text for rule in rules if (text := _rule_text(rule))]
    return {"description": "; ".join(texts), **schema} if texts else schema


def _base_schema(base: Any) -> Json:
    origin = typing.get_origin(base)
    if origin in (tuple, list):
        item = value_schema(typing.get_args(base)[0])
        return {"type": "array", "items": item}
    if origin in _MAPPINGS or base in _MAPPINGS:
        return {"type": "object"}
    if is_record_class(base):
        return table_schema(base)
    if base is Path:
        return {"type": "string", "minLength": 1}
    return {"type": PLAIN_TYPES[base]} if base in PLAIN_TYPES else {}


def _default_value(spec: Field[Any]) -> Json:
    if isinstance(spec.default, tuple) and spec.default:
        return {"default": list(spec.default)}
    plain = isinstance(spec.default, str | int | float | bool) and spec.default != ""
    return {"default": spec.default} if plain else {}


def _rule_text(rule: Rule) -> str:
    """Return what a rule demands, for a person; "": its schema says it, or it has no text."""
    return "" if isinstance(rule, OneOf) or type(rule).__str__ is object.__str__ else str(rule)


@functools.singledispatch
def rule_schema(rule: Any) -> Json:
    """Return what a rule adds to the schema of a value. Rooms above register their own rules."""
    return {}


@rule_schema.register
def _between_schema(rule: Between) -> Json:
    return {"minimum": rule.low, "maximum": rule.high}


@rule_schema.register
def _choice_schema(rule: OneOf) -> Json:
    return {"enum": list(rule.choices)}


@rule_schema.register
def _entries_schema(rule: Entries) -> Json:
    return {"minItems": rule.least, "maxItems": rule.most, "uniqueItems": not rule.repeats}


@rule_schema.register
def _text_schema(rule: Text) -> Json:
    form = (
        {"pattern": f"^({rule.form})$".replace(r"\0", r"\x00")} if rule.form else {}
    )  # the form that all engines know
    return {"minLength": rule.shortest, "maxLength": rule.longest, **form}
