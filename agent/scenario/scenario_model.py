"""A scenario as it is read from its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from agent.model.fastclass import frozen
from agent.scenario.grammar import Group, StepKind


@frozen
class Step:
    """One step. ``number``: its place, ``3.2`` for a step within step 3. ``values``: its keys as they are written.

    ``branches``: the lists of steps within it; one for ``repeat``.
    """

    kind: StepKind
    number: str
    line: int
    values: Mapping[str, Any]
    branches: tuple[tuple[Step, ...], ...] = ()

    @property
    def step_id(self) -> str:
        return str(self.values.get("id", self.number))

    @property
    def main_value(self) -> Any:
        """Return the value of the key that names the kind."""
        return self.values[self.kind.kind_name]

    @property
    def is_deed(self) -> bool:
        """Return whether it changes something. What is observed later is looked for from here on."""
        return self.kind.group in (Group.PHYSICAL, Group.BACKEND)

    def texts_of(self, name: str) -> tuple[str, ...]:
        """Return the texts of a key that holds one text or a list."""
        value = self.values.get(name, ())
        return (value,) if isinstance(value, str) else tuple(map(str, value))


@frozen
class Scenario:
    path: Path
    id: str
    title: str
    steps: tuple[Step, ...]
    finally_steps: tuple[Step, ...] = ()
    purpose: str = ""
    versions: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)

    def count_steps(self) -> int:
        """Count the steps, repetitions included: what a progress bar has to show."""
        return count_all(self.steps) + count_all(self.finally_steps)


def count_all(steps: tuple[Step, ...]) -> int:
    """Count steps, those within them included."""
    return sum(_count_with_branches(step) for step in steps)


def _count_with_branches(step: Step) -> int:
    within = sum(count_all(branch) for branch in step.branches)
    times = step.values["repeat"] if step.kind.kind_name == "repeat" else 1
    return 1 + within * (times if isinstance(times, int) else 1)
