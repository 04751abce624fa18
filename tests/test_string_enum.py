"""Enumerations of ``agent/model/string_enum.py`` do what ``enum.StrEnum`` does."""

from __future__ import annotations

import copy
import enum
import json
import pickle
from typing import Any

import pytest

from agent.domain.faults import Severity
from agent.domain.timers import TimerKind
from agent.model.string_enum import StrEnum, auto
from agent.model.types import Fault


class Light(StrEnum):
    """What a lamp shows."""

    GREEN = "green"
    DEEP_RED = auto()
    BLUE = "Light blue"

    @property
    def is_red(self) -> bool:
        return self is Light.DEEP_RED


class Standard(enum.StrEnum):
    """The same, made by the standard library."""

    GREEN = "green"
    DEEP_RED = enum.auto()
    BLUE = "Light blue"


def shown_by(kind: Any) -> list[Any]:
    """What a program can see of an enumeration and its members."""
    return [
        len(kind),
        bool(kind),
        [(m.name, m.value, type(m.value), str(m), type(str(m)), f"{m:>12}", json.dumps({m: m})) for m in kind],
        [repr(m).partition(".")[2] for m in kind],
        [m == m.value and hash(m) == hash(m.value) and isinstance(m, (kind, str)) for m in kind],
        [kind(m.value) is m and kind(m) is m and kind[m.name] is m and getattr(kind, m.name) is m for m in kind],
        ["green" in kind, "pink" in kind, kind.GREEN in kind],
        [copy.deepcopy(m) is m and copy.copy(m) is m and pickle.loads(pickle.dumps(m)) is m for m in kind],
    ]


def test_an_enumeration_is_like_one_of_the_standard_library() -> None:
    assert shown_by(Light) == shown_by(Standard)
    assert [m.is_red for m in Light] == [False, True, False]


@pytest.mark.parametrize("kind", [Light, Standard])
@pytest.mark.parametrize("value", ["pink", None, 1, []])
def test_an_unknown_text_is_an_error(kind: Any, value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a valid (Light|Standard)"):
        kind(value)


@pytest.mark.parametrize("kind", [Light, Standard])
@pytest.mark.parametrize("name", ["PINK", "green", "is_red", "_members"])
def test_an_unknown_name_is_an_error(kind: Any, name: str) -> None:
    with pytest.raises(KeyError):
        kind[name]


def test_two_members_with_one_text_are_refused() -> None:
    with pytest.raises(TypeError, match="AMBER: YELLOW has the same text"):
        type(Light)("Lamp", (StrEnum,), {"YELLOW": "y", "AMBER": "y"})


def test_the_agent_uses_them() -> None:
    assert not any(issubclass(kind, enum.Enum) for kind in (Fault, Severity, TimerKind))
