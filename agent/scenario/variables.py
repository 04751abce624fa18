"""Variables in the values of a step: ``${name}``, ``${now}`` and ``${now+3600}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?:([+-])(\d+))?\}")
WHOLE = re.compile(rf"{REFERENCE.pattern}\Z")


class UnknownVariable(Exception):
    """A step uses a variable that no step has set."""


def references_in(value: Any) -> Iterator[str]:
    """Yield the name of each variable that a value uses."""
    if isinstance(value, str):
        yield from (found[1] for found in REFERENCE.finditer(value))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from references_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from references_in(inner)


def fill_variables(value: Any, variables: Mapping[str, Any], station_time_s: Callable[[], float]) -> Any:
    """Return the value with its variables filled in. A text that is one reference becomes the variable's own value.

    Raises ``UnknownVariable``.
    """
    if isinstance(value, Mapping):
        return {key: fill_variables(inner, variables, station_time_s) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fill_variables(inner, variables, station_time_s) for inner in value]
    if not isinstance(value, str):
        return value
    if whole := WHOLE.match(value):
        return _referred_value(whole, variables, station_time_s)
    return REFERENCE.sub(lambda found: str(_referred_value(found, variables, station_time_s)), value)


def _referred_value(found: re.Match[str], variables: Mapping[str, Any], station_time_s: Callable[[], float]) -> Any:
    name, sign, amount = found.groups()
    offset = int(amount or 0) * (-1 if sign == "-" else 1)
    if name == "now":
        return instant_text(station_time_s() + offset)
    if name not in variables:
        known = ", ".join(sorted(variables)) or "none"
        raise UnknownVariable(f"${{{name}}} has no value yet; known here: {known}")
    value = variables[name]
    return value + offset if offset and isinstance(value, int | float) else value


def instant_text(utc_s: float) -> str:
    """Return an instant as OCPP writes it."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=round(utc_s))
    return instant.isoformat().replace("+00:00", "Z")
