"""Walks on a street: deeds drawn from a seed until one breaks a promise, then reduced to those it takes and printed as
lines that can become a plain test (``Street(...)``, then the deeds)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import pytest

from agent.domain.session.table import IllegalEvent
from tests.domain.rig import Rig

Deed: TypeAlias = tuple[str, dict[str, Any]]
Deeds: TypeAlias = dict[str, tuple[int, dict[str, tuple[Any, ...]]]]
"""Name of a method, its weight, and what each argument may be."""
Shape: TypeAlias = dict[str, Any]


class Streetlike(Protocol):
    @property
    def rig(self) -> Rig: ...
    def calm_down(self) -> None: ...
    def somebody_can_charge(self) -> None: ...


S = TypeVar("S", bound=Streetlike)


def next_deed(street: Streetlike, draw: random.Random, deeds: Deeds, when_gone: Deeds) -> Deed:
    table = deeds if street.rig.alive else when_gone
    [name] = draw.choices(list(table), [weight for weight, _ in table.values()])
    return name, {arg: draw.choice(choices) for arg, choices in table[name][1].items()}


@dataclass(frozen=True)
class Walks(Generic[S]):
    """``street`` is made of a shape; ``look``: what must hold after each deed."""

    street: Callable[..., S]
    deeds: Deeds
    when_gone: Deeds
    look: Callable[[S], None] = lambda street: None

    def all(self, seed: int, walks: int, steps: int, shape_of: Callable[[random.Random], Shape]) -> Iterator[S]:
        """The streets as they were left; the first promise that is broken fails the test."""
        for n in range(walks):
            draw = random.Random(f"{seed}:{n}")
            shape = shape_of(draw)

            def deed(street: S, done: int, draw: random.Random = draw) -> Deed | None:
                return next_deed(street, draw, self.deeds, self.when_gone) if done < steps else None

            deeds, broken, street = self.walk(shape, deed)
            if broken:
                fewest = self.reduced(shape, deeds)
                why = self.again(shape, fewest)
                pytest.fail(f"walk {seed}:{n}: {why}\n{script(shape, fewest)}", pytrace=False)
            yield street

    def walk(self, shape: Shape, deed_of: Callable[[S, int], Deed | None]) -> tuple[list[Deed], str, S]:
        """Do deeds until one breaks a promise; the deeds, what broke ("" if nothing did), and the street."""
        street, deeds = self.street(**shape), list[Deed]()
        try:
            while (deed := deed_of(street, len(deeds))) is not None:
                deeds.append(deed)
                name, args = deed
                getattr(street, name)(**args)
                self.look(street)
            street.calm_down()
            street.somebody_can_charge()
        except (AssertionError, IllegalEvent, KeyError, ValueError, TypeError, AttributeError, IndexError) as e:
            return deeds, f"{type(e).__name__}: {e}", street
        return deeds, "", street

    def again(self, shape: Shape, deeds: list[Deed]) -> str:
        return self.walk(shape, lambda street, n: deeds[n] if n < len(deeds) else None)[1]

    def reduced(self, shape: Shape, deeds: list[Deed]) -> list[Deed]:
        """Leave out deeds, many at a time, then one by one, as long as something still breaks."""
        size = len(deeds) // 2
        while size:
            for start in range(len(deeds) - size, -1, -size):
                fewer = deeds[:start] + deeds[start + size :]
                if self.again(shape, fewer):
                    deeds = fewer
            size //= 2
        return deeds


def script(shape: Shape, deeds: list[Deed]) -> str:
    lines = [f"street.{name}({', '.join(f'{k}={v!r}' for k, v in args.items())})" for name, args in deeds]
    return "\n".join((f"street = Street(**{shape!r})", *lines, "street.calm_down()", "street.somebody_can_charge()"))
