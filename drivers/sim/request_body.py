"""Bodies of the control API: JSON objects, checked key by key. Every error names the key and what it must be."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from agent.model import json_limits

Json: TypeAlias = dict[str, Any]
REQUIRED: Any = object()
MOST = 1e300
"""Greater numbers, infinity and NaN are refused."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key. ``check`` returns the value or raises ``ValueError`` that names what it must be. A missing key is
    ``default``."""

    name: str
    check: Callable[[Any], Any]
    default: Any = REQUIRED


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
    return body


def _checked_value(key: Key, body: Json) -> Any:
    if key.name not in body:
        if key.default is REQUIRED:
            raise ValueError(f"{key.name}: is missing")
        return key.default
    try:
        return key.check(body[key.name])
    except ValueError as e:
        raise ValueError(f"{key.name}: must be {e}, is {body[key.name]!r}") from None


def boolean_key(name: str, default: Any = REQUIRED) -> Key:
    def check_boolean(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value

    return Key(name, check_boolean, default)


def number_key(name: str, default: Any = REQUIRED, low: float = -math.inf, high: float = math.inf) -> Key:
    def check_number(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST < value < MOST:
            raise ValueError("a number")
        if not low <= value <= high:
            raise ValueError(f"a number of at least {low:g}" + (f" and at most {high:g}" if high < math.inf else ""))
        return value

    return Key(name, check_number, default)


def integer_key(name: str, default: Any = REQUIRED, low: int = 0, most: float = math.inf) -> Key:
    def check_integer(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= most:
            raise ValueError(f"a whole number of at least {low}" + (f" and at most {most}" if most < math.inf else ""))
        return value

    return Key(name, check_integer, default)


def printable_text_key(name: str, default: Any = REQUIRED, longest: int = 100) -> Key:
    def check_text(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
            raise ValueError(f"a text of 1 to {longest} printable characters")
        return value

    return Key(name, check_text, default)


def hexadecimal_key(name: str, default: Any = REQUIRED) -> Key:
    def check_hexadecimal(value: Any) -> str:
        if not isinstance(value, str) or not value or len(value) % 2 or value.strip("0123456789abcdefABCDEF"):
            raise ValueError("bytes in hexadecimal, two digits each")
        return value

    return Key(name, check_hexadecimal, default)


def digits_key(name: str, count: int, default: Any = REQUIRED) -> Key:
    def check_digits(value: Any) -> str:
        if not isinstance(value, str) or len(value) != count or value.strip("0123456789"):
            raise ValueError(f"a text of {count} digits")
        return value

    return Key(name, check_digits, default)


def choice_key(name: str, *choices: str, default: Any = REQUIRED) -> Key:
    def check_choice(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return Key(name, check_choice, default)


def object_key(name: str, default: Any = REQUIRED) -> Key:
    def check_object(value: Any) -> Json:
        if not isinstance(value, dict):
            raise ValueError("a JSON object")
        return value

    return Key(name, check_object, default)


def nullable_key(key: Key) -> Key:
    return Key(key.name, lambda value: None if value is None else key.check(value), key.default)
