"""Does a message contain what a scenario expects? Also finds values in messages by their path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

COMPARISONS: Mapping[str, str] = {
    "at_least": "a number, not smaller",
    "at_most": "a number, not larger",
    "matches": "a text that fits this regular expression as a whole",
    "absent": "true: the key is not there",
    "not": "any other value",
}
"""A table of these in place of a value compares otherwise than by equality."""
MISSING = object()


def describe_mismatch(expected: Any, actual: Any, where: str = "") -> str:
    """Return how a value differs from what is expected, or "".

    A table must contain the expected keys. A list that is expected of a plain value lists the values that are right;
    of a list, entries that must be in it. ``"*"`` is any value.
    """
    if isinstance(expected, Mapping) and expected and set(expected) <= set(COMPARISONS):
        return _comparison_problem(expected, actual, where)
    if actual is MISSING:
        return f"{where or 'it'} is missing, expected {value_in_words(expected)}"
    if isinstance(expected, Mapping):
        return _table_problem(expected, actual, where)
    if isinstance(expected, list):
        return _list_problem(expected, actual, where)
    if expected == "*" or equal_values(expected, actual):
        return ""
    return f"{where or 'it'} is {value_in_words(actual)}, expected {value_in_words(expected)}"


def equal_values(expected: Any, actual: Any) -> bool:
    """Compare values. A number equals its text: OCPP 1.6 writes measured values as texts."""
    if isinstance(expected, bool) or isinstance(actual, bool):
        return str(expected).lower() == str(actual).lower()
    if isinstance(expected, int | float) != isinstance(actual, int | float):
        left, right = as_number(expected), as_number(actual)
        return left is not None and left == right
    return bool(expected == actual)


def as_number(value: Any) -> float | None:
    """Return a value as a number, or None."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def value_at(message: Any, path: str) -> Any:
    """Return the value at ``path``: names and list positions with dots between them. ``MISSING`` if there is none."""
    found = message
    for name in re.findall(r"[^.\[\]]+", path):
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and re.fullmatch(r"-?\d+", name) and -len(found) <= int(name) < len(found):
            found = found[int(name)]
        else:
            return MISSING
    return found


def value_in_words(value: Any) -> str:
    """Return a value as it is shown to a person."""
    if value is MISSING:
        return "nothing"
    if isinstance(value, list):
        return " or ".join(value_in_words(entry) for entry in value) if len(value) < 6 else f"a list of {len(value)}"
    return repr(value)


def bounds_problem(value: float, at_least: float | None, at_most: float | None) -> str:
    """Return how a number is out of its bounds, or ""."""
    if at_least is not None and value < at_least:
        return f"{value:g} is less than {at_least:g}"
    if at_most is not None and value > at_most:
        return f"{value:g} is more than {at_most:g}"
    return ""


def _table_problem(expected: Mapping[str, Any], actual: Any, where: str) -> str:
    if not isinstance(actual, Mapping):
        return f"{where or 'it'} is {value_in_words(actual)}, expected a table"
    for key, value in expected.items():
        place = f"{where}.{key}" if where else key
        if problem := describe_mismatch(value, actual.get(key, MISSING), place):
            return problem
    return ""


def _list_problem(expected: list[Any], actual: Any, where: str) -> str:
    if not isinstance(actual, list):
        if any(not describe_mismatch(entry, actual) for entry in expected):
            return ""
        return f"{where or 'it'} is {value_in_words(actual)}, expected {value_in_words(expected)}"
    for entry in expected:
        problems = [describe_mismatch(entry, found, where) for found in actual]
        if all(problems):
            return (
                min(problems, key=len)
                if problems
                else f"{where or 'it'} is an empty list, expected {value_in_words(entry)}"
            )
    return ""


def _comparison_problem(expected: Mapping[str, Any], actual: Any, where: str) -> str:
    place = where or "it"
    if expected.get("absent"):
        return "" if actual is MISSING else f"{place} is {value_in_words(actual)}, expected that it is absent"
    if actual is MISSING:
        return f"{place} is missing"
    if "not" in expected and not describe_mismatch(expected["not"], actual):
        return f"{place} is {value_in_words(actual)}, expected another value"
    if "matches" in expected and not re.fullmatch(str(expected["matches"]), str(actual)):
        return f"{place} is {value_in_words(actual)}, which does not match {expected['matches']!r}"
    if "at_least" in expected or "at_most" in expected:
        number = as_number(actual)
        if number is None:
            return f"{place} is {value_in_words(actual)}, expected a number"
        problem = bounds_problem(number, as_number(expected.get("at_least")), as_number(expected.get("at_most")))
        return f"{place}: {problem}" if problem else ""
    return ""
