"""Bodies of the control API: JSON objects, checked key by key. Every error names the key and what it must be.

A key also says in JSON Schema what it may be, for the API's description (``openapi.py``).
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agent.model import json_limits

Json: TypeAlias = dict[str, Any]
REQUIRED: Any = object()
MOST = 1e300
"""Greater numbers, infinity and NaN are refused."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key. ``check`` returns the value or raises ``ValueError`` that names what it must be. A missing key is
    ``default``. ``schema``: the same in JSON Schema."""

    name: str
    check: Callable[[Any], Any]
    default: Any = REQUIRED
    schema: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BodyForm:
    """What a body may be. ``one_of``: keys of which at least one must be given."""

    keys: tuple[Key, ...] = ()
    one_of: tuple[str, ...] = ()

    def read_values(self, raw: bytes) -> Json:
        """Read a body: all keys, with the default of those that are missing. Raises ``ValueError``."""
        values = read_body(raw, *self.keys)
        if self.one_of and not key_names(raw) & set(self.one_of):
            raise ValueError(f"{' or '.join(self.one_of)}: one of them must be given")
        return values

    def read_given_values(self, raw: bytes) -> Json:
        """Read a body: the keys that are in it. Raises ``ValueError``."""
        values, given = self.read_values(raw), key_names(raw)
        return {name: value for name, value in values.items() if name in given}

    def json_schema(self) -> Json:
        """Return the JSON Schema of such a body."""
        required = [k.name for k in self.keys if k.default is REQUIRED]
        return {
            "type": "object",
            "properties": {k.name: _schema_with_default(k) for k in self.keys},
            **({"required": required} if required else {}),
            **({"anyOf": [{"required": [name]} for name in self.one_of]} if self.one_of else {}),
            "additionalProperties": False,
        }


def key_names(raw: bytes) -> set[str]:
    """Return the keys that are present. Raises ``ValueError`` with one line for a person."""
    return set(_parse_object(raw))


def read_body(raw: bytes, *keys: Key) -> Json:
    """Read a body and check all ``keys``. An empty body is ``{}``. Raises ``ValueError`` with one line for a person."""
    body = _parse_object(raw)
    known = [k.name for k in keys]
    for name in body:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
            raise ValueError(f"{name}: unknown key; {hint}")
    return {k.name: _checked_value(k, body) for k in keys}


def _parse_object(raw: bytes) -> Json:
    try:
        body = json_limits.read_json(raw) if raw.strip() else {}
    except ValueError as e:
        raise ValueError(f"the body is not JSON: {e}") from None
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    if b"\\u" in raw:
        _refuse_half_characters(body)
    return body


def _refuse_half_characters(body: Json) -> None:
    """Refuse an escape of half a surrogate pair (RFC 8259, 8.2). It has no octets: no connection and no file takes
    it."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as e:
        raise ValueError(f"the body has half a character: {e.object[e.start]!a}") from None


def _checked_value(key: Key, body: Json) -> Any:
    if key.name not in body:
        if key.default is REQUIRED:
            raise ValueError(f"{key.name}: is missing")
        return key.default
    try:
        return key.check(body[key.name])
    except ValueError as e:
        raise ValueError(f"{key.name}: must be {e}, is {body[key.name]!r}") from None


def _schema_with_default(key: Key) -> Json:
    """Return the schema of a key. A default that is nothing means that the key has no effect when it is missing."""
    return key.schema if key.default is REQUIRED or key.default is None else {**key.schema, "default": key.default}


def boolean_key(name: str, default: Any = REQUIRED) -> Key:
    def check_boolean(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value

    return Key(name, check_boolean, default, {"type": "boolean"})


def number_key(name: str, default: Any = REQUIRED, low: float = -math.inf, high: float = math.inf) -> Key:
    def check_number(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST < value < MOST:
            raise ValueError("a number")
        if not low <= value <= high:
            raise ValueError(f"a number of at least {low:g}" + (f" and at most {high:g}" if high < math.inf else ""))
        return value

    return Key(name, check_number, default, {"type": "number", **_range_schema(low, high)})


def integer_key(name: str, default: Any = REQUIRED, low: int = 0, most: float = math.inf) -> Key:
    def check_integer(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= most:
            raise ValueError(f"a whole number of at least {low}" + (f" and at most {most}" if most < math.inf else ""))
        return value

    return Key(name, check_integer, default, {"type": "integer", **_range_schema(low, most)})


def printable_text_key(name: str, default: Any = REQUIRED, longest: int = 100) -> Key:
    def check_text(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
            raise ValueError(f"a text of 1 to {longest} printable characters")
        return value

    return Key(name, check_text, default, {"type": "string", "minLength": 1, "maxLength": longest})


def any_text_key(name: str, longest: int) -> Key:
    def check_any_text(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise ValueError(f"a text of 1 to {longest} characters")
        return value

    return Key(name, check_any_text, REQUIRED, {"type": "string", "minLength": 1, "maxLength": longest})


def hexadecimal_key(name: str, default: Any = REQUIRED) -> Key:
    def check_hexadecimal(value: Any) -> str:
        if not isinstance(value, str) or not value or len(value) % 2 or value.strip("0123456789abcdefABCDEF"):
            raise ValueError("bytes in hexadecimal, two digits each")
        return value

    return Key(name, check_hexadecimal, default, {"type": "string", "pattern": "^([0-9A-Fa-f]{2})+$"})


def digits_key(name: str, count: int, default: Any = REQUIRED) -> Key:
    def check_digits(value: Any) -> str:
        if not isinstance(value, str) or len(value) != count or value.strip("0123456789"):
            raise ValueError(f"a text of {count} digits")
        return value

    return Key(name, check_digits, default, {"type": "string", "pattern": f"^[0-9]{{{count}}}$"})


def choice_key(name: str, *choices: str, default: Any = REQUIRED) -> Key:
    def check_choice(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return Key(name, check_choice, default, {"type": "string", "enum": list(choices)})


def object_key(name: str, default: Any = REQUIRED, schema: Json | None = None) -> Key:
    """Make a key whose value is a JSON object. ``schema``: what its receiver takes."""

    def check_object(value: Any) -> Json:
        if not isinstance(value, dict):
            raise ValueError("a JSON object")
        return value

    return Key(name, check_object, default, {"type": "object", **(schema or {})})


def nullable_key(key: Key) -> Key:
    schema = {**key.schema, "type": [key.schema["type"], "null"]}
    return Key(key.name, lambda value: None if value is None else key.check(value), key.default, schema)


def _range_schema(low: float, high: float) -> Json:
    bounds = {"minimum": low, "maximum": high}
    return {name: bound for name, bound in bounds.items() if math.isfinite(bound)}
