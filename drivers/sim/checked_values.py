"""Checks of values of the control API. Each raises ``ValueError`` that names what the value must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Impossible(Exception):
    """Physically impossible in the present state."""


class Unknown(Exception):
    """This station has no such part."""


def checked_evse(evses: Mapping[int, T], number: Any) -> T:
    """Return the EVSE of this number. Raises ``Unknown``."""
    if number not in evses or isinstance(number, bool):
        raise Unknown(f"there is no EVSE {number!r}; this station has 1 to {len(evses)}")
    return evses[number]


def checked_number(value: Any, name: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name}: must be a number from {low:g} to {high:g}, is {value!r}")
    return float(value)


def checked_integer(value: Any, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name}: must be a whole number from {low} to {high}, is {value!r}")
    return value


def checked_flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name}: must be true or false, is {value!r}")
    return value


def checked_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: must be one of {', '.join(choices)}, is {value!r}")
    return value
