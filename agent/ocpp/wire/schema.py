"""JSON schemas of the ``ocpp`` package, read as data and compiled lazily to closures.

The package itself is not imported: only its folder is looked up, because its modules cost more
start-up time than the rest of the agent. A check returns None or the first ``Violation``; for a
valid value it builds nothing. A schema keyword that this module does not know is an error at
compile time: nothing is silently left unchecked."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from agent.model.fastclass import frozen


@frozen
class Violation:
    """``path``: ``/meterValue/0/timestamp``, "" is the payload itself. ``rule``: the schema keyword that is broken."""

    path: str
    rule: str

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.rule}"


Check: TypeAlias = Callable[[Any], Violation | None]

TOLERATED_IN_ANSWERS = frozenset({"additionalProperties", "format", "maxLength"})
"""Violations that are no reason to throw away the answer that carries a transaction id."""

TOLERATED_IN_REQUESTS = frozenset({"additionalProperties"})
"""Where a quirk says so: unknown fields are ignored."""

_ANNOTATIONS = frozenset({
    "$schema", "$id", "id", "title", "description", "comment", "javaType", "default", "definitions", "examples",
    "additionalItems",  # occurs only beside an ``items`` object, where it has no effect
})  # fmt: skip
_RULES: dict[str, Callable[[dict[str, Any], _Compiler], Check]] = {}


def _register_rule(*keywords: str) -> Callable[[Any], Any]:
    def register_maker(make: Any) -> Any:
        for keyword in keywords:
            _RULES[keyword] = make
        return make

    return register_maker


class _Compiler:
    """Compiles one schema document. ``tolerated`` keywords are left out."""

    def __init__(self, document: Mapping[str, Any], tolerated: frozenset[str]) -> None:
        self.tolerated = tolerated
        self.draft4 = "draft-04" in str(document.get("$schema", ""))
        self._definitions: Mapping[str, Any] = document.get("definitions", {})
        self._checks: dict[str, Check] = {}

    def compile_schema(self, schema: dict[str, Any]) -> Check:
        if "$ref" in schema:  # keywords beside it have no effect (drafts 4 and 6)
            return self._compile_reference(schema["$ref"])
        makers = []
        for keyword in schema:
            if keyword in _ANNOTATIONS or keyword in self.tolerated:
                continue
            if keyword not in _RULES:
                raise ValueError(f"schema keyword {keyword!r} is not known to the compiler")
            if _RULES[keyword] not in makers:
                makers.append(_RULES[keyword])
        makers.sort(key=lambda m: m is not _compile_type)
        return _with_fast_path(schema, self.tolerated, _combine_checks(tuple(make(schema, self) for make in makers)))

    def enum_words(self, schema: dict[str, Any]) -> frozenset[str] | None:
        """Return the words if ``schema`` is an enumeration of words and nothing else."""
        while "$ref" in schema:
            schema = self._definitions.get(schema["$ref"].removeprefix("#/definitions/"), {})
        if _rules_of_text(schema, self.tolerated) == _OF_WORD:
            return frozenset(schema["enum"])
        return None

    def _compile_reference(self, ref: str) -> Check:
        """Compile a reference. It is resolved at the first use: definitions may name each other
        in any order."""
        name = ref.removeprefix("#/definitions/")
        found: Check | None = None

        def check_reference(value: Any) -> Violation | None:
            nonlocal found
            if found is None:
                if name not in self._checks:
                    self._checks[name] = self.compile_schema(self._definitions[name])
                found = self._checks[name]
            return found(value)

        if name not in self._definitions:
            raise ValueError(f"schema reference {ref!r} does not exist")
        return check_reference


def _combine_checks(checks: tuple[Check, ...]) -> Check:
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks

        def check_both(value: Any) -> Violation | None:
            broken = first(value)
            return second(value) if broken is None else broken

        return check_both

    def check_all(value: Any) -> Violation | None:
        for one in checks:
            broken = one(value)
            if broken is not None:
                return broken
        return None

    return check_all


_OF_WORD = frozenset({"type", "enum"})
_OF_TEXT = frozenset({"type", "maxLength"})
_OF_OBJECT = frozenset({"properties", "required", "additionalProperties"})


def _rules_of_text(schema: dict[str, Any], tolerated: frozenset[str]) -> frozenset[str]:
    """Return the rules of a text schema; none if it is not one. (The 1.6 schemas also forbid it
    further properties.)"""
    if schema.get("type") != "string":
        return frozenset()
    return frozenset(schema) - _ANNOTATIONS - _OF_OBJECT - tolerated


def _with_fast_path(schema: dict[str, Any], tolerated: frozenset[str], whole: Check) -> Check:
    """Put a fast check before the ``whole`` check. Nine of ten values are a word of a list or a
    short text, which one look confirms. All others go to the ``whole`` check."""
    rules = _rules_of_text(schema, tolerated)
    if rules == _OF_WORD:
        words = frozenset(schema["enum"])
        return lambda value: None if type(value) is str and value in words else whole(value)
    if rules == _OF_TEXT:
        limit = schema["maxLength"]
        return lambda value: None if type(value) is str and len(value) <= limit else whole(value)
    return whole


_TYPES: dict[str, tuple[type[Any], ...]] = {
    "string": (str,),
    "object": (dict,),
    "array": (list,),
    "boolean": (bool,),
    "number": (int, float),
    "integer": (int,),
    "null": (type(None),),
}


@_register_rule("type")
def _compile_type(schema: dict[str, Any], compiler: _Compiler) -> Check:
    name = schema["type"]
    allowed = _TYPES[name]
    broken = Violation("", "type")
    whole_floats = name == "integer" and not compiler.draft4  # 1.0 is an integer since draft 6

    def check_type(value: Any) -> Violation | None:
        kind = type(value)
        if kind in allowed or (whole_floats and kind is float and value.is_integer()):
            return None
        return broken

    return check_type


@_register_rule("properties", "required", "additionalProperties")
def _compile_object(schema: dict[str, Any], compiler: _Compiler) -> Check:
    properties = {k: compiler.compile_schema(v) for k, v in schema.get("properties", {}).items()}
    words = {k: found for k, v in schema.get("properties", {}).items() if (found := compiler.enum_words(v))}
    required = tuple(schema.get("required", ()))
    closed = schema.get("additionalProperties", True) is False and "additionalProperties" not in compiler.tolerated
    if not isinstance(schema.get("additionalProperties", True), bool):
        raise ValueError("additionalProperties as a schema is not known to the compiler")

    def check_object(value: Any) -> Violation | None:
        if type(value) is not dict:
            return None
        for key in required:
            if key not in value:
                return Violation(f"/{key}", "required")
        for key, item in value.items():
            if key in words and type(item) is str and item in words[key]:
                continue
            inner = properties.get(key)
            if inner is None:
                if closed:
                    return Violation(f"/{key}", "additionalProperties")
                continue
            broken = inner(item)
            if broken is not None:
                return Violation(f"/{key}{broken.path}", broken.rule)
        return None

    return check_object


@_register_rule("items")
def _compile_items(schema: dict[str, Any], compiler: _Compiler) -> Check:
    item = compiler.compile_schema(schema["items"])

    def check_items(value: Any) -> Violation | None:
        if type(value) is list:
            for index, one in enumerate(value):
                broken = item(one)
                if broken is not None:
                    return Violation(f"/{index}{broken.path}", broken.rule)
        return None

    return check_items


@_register_rule("enum")
def _compile_enum(schema: dict[str, Any], compiler: _Compiler) -> Check:
    if not all(isinstance(word, str) for word in schema["enum"]):
        raise ValueError("enum of anything but texts is not known to the compiler")
    words = frozenset(schema["enum"])
    broken = Violation("", "enum")
    return lambda value: None if isinstance(value, str) and value in words else broken


def _register_bound(keyword: str, kinds: tuple[type[Any], ...], holds: Callable[[Any, Any], bool]) -> None:
    broken = Violation("", keyword)

    def compile_bound(schema: dict[str, Any], compiler: _Compiler) -> Check:
        limit = schema[keyword]
        return lambda value: broken if type(value) in kinds and not holds(value, limit) else None

    _RULES[keyword] = compile_bound


_register_bound("maxLength", (str,), lambda value, limit: len(value) <= limit)
_register_bound("minLength", (str,), lambda value, limit: len(value) >= limit)
_register_bound("minItems", (list,), lambda value, limit: len(value) >= limit)
_register_bound("maxItems", (list,), lambda value, limit: len(value) <= limit)
_register_bound("minimum", (int, float), lambda value, limit: value >= limit)
_register_bound("maximum", (int, float), lambda value, limit: value <= limit)


@_register_rule("multipleOf")
def _compile_multiple_of(schema: dict[str, Any], compiler: _Compiler) -> Check:
    """In decimal: 0.3 is a multiple of 0.1, which binary fractions deny."""
    from decimal import Decimal, InvalidOperation

    step = Decimal(str(schema["multipleOf"]))
    broken = Violation("", "multipleOf")

    def check_multiple(value: Any) -> Violation | None:
        if type(value) not in (int, float):
            return None
        try:
            return None if Decimal(repr(value)) % step == 0 else broken
        except (InvalidOperation, ValueError):  # infinite, or more digits than a limit in amperes has
            return broken

    return check_multiple


_DATE_TIME = r"\d{4}-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@functools.cache
def _date_time_pattern() -> re.Pattern[str]:
    return re.compile(_DATE_TIME, re.ASCII)


def is_date_time(text: str) -> bool:
    """Return whether the text is a date and time by RFC 3339 5.6: any offset, any number of
    fractional digits; the leap day depends on the year."""
    match = _date_time_pattern().fullmatch(text)
    if match is None:
        return False
    year, month, day = int(text[:4]), int(match[1]), int(match[2])
    if not (1 <= month <= 12 and 1 <= day <= _DAYS[month]):
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return leap or (month, day) != (2, 29)


@_register_rule("format")
def _compile_format(schema: dict[str, Any], compiler: _Compiler) -> Check:
    broken = Violation("", "format")
    if schema["format"] == "date-time":
        return lambda value: broken if isinstance(value, str) and not is_date_time(value) else None
    if schema["format"] == "uri":  # the transfer checks it where it matters
        return lambda value: None
    raise ValueError(f"format {schema['format']!r} is not known to the compiler")


def compile_document(document: dict[str, Any], tolerated: frozenset[str] = frozenset()) -> Check:
    """Compile one schema document to a check. Raises ``ValueError`` for what it cannot compile."""
    return _Compiler(document, tolerated).compile_schema(document)


class Schemas:
    """The schemas of one version. ``read(name)`` returns a document, or None where there is
    none."""

    def __init__(
        self, read: Callable[[str], dict[str, Any] | None], names: Callable[[], frozenset[str]], request: str = ""
    ) -> None:
        self.read_document = read
        """For a version whose schemas are those of its neighbour, but for some differences."""
        self._names, self._suffix = names, request
        self._checks: dict[tuple[str, bool], Check | None] = {}

    def request_check(self, action: str, tolerant: bool = False) -> Check | None:
        """Return the strict check of a request's payload; None if the version does not know the
        action. ``tolerant``: unknown fields are accepted."""
        return self._find_check(action + self._suffix, TOLERATED_IN_REQUESTS if tolerant else frozenset())

    def response_check(self, action: str, tolerant: bool = False) -> Check | None:
        """Return the check of a response's payload. ``tolerant``: for responses of the other
        side."""
        return self._find_check(action + "Response", TOLERATED_IN_ANSWERS if tolerant else frozenset())

    def _find_check(self, name: str, tolerated: frozenset[str]) -> Check | None:
        key = (name, bool(tolerated))
        if key not in self._checks:
            document = self.read_document(name)
            self._checks[key] = None if document is None else compile_document(document, tolerated)
        return self._checks[key]

    def known_actions(self) -> frozenset[str]:
        """Return every action that the version knows, in both directions."""
        return frozenset(n.removesuffix("Response") for n in self._names() if n.endswith("Response"))


def load_package_schemas(version: str, request: str = "") -> Schemas:
    """Return the schemas that the installed ``ocpp`` package has for ``v16``, ``v201`` ...;
    found without importing it."""

    def schema_folder() -> Path:
        spec = importlib.util.find_spec("ocpp")
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError("the Python package 'ocpp' is not installed: install it for its schemas")
        return Path(next(iter(spec.submodule_search_locations))) / version / "schemas"

    def read_document(name: str) -> dict[str, Any] | None:
        if (
            not name.isascii() or not name.isalnum() or len(name) > 64
        ):  # the name comes from the other side: it must not be a path
            return None
        try:
            document: dict[str, Any] = json.loads((schema_folder() / f"{name}.json").read_text("utf-8-sig"))
        except FileNotFoundError:
            return None
        return document

    return Schemas(read_document, lambda: frozenset(p.stem for p in schema_folder().glob("*.json")), request)
