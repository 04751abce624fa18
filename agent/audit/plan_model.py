"""An audit plan as it is read from its file: what a station owes, in sections of obligations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum

DEFAULT_SPEED, FASTEST = 40.0, 1000.0
"""How many times as fast the time of a simulated station runs: unless it is said, and at most."""


class ObligationKind(StrEnum):
    """How an obligation is exercised. The value is the key that names it in a plan."""

    SCENARIO = "scenario"
    JUDGE = "judge"
    ASK = "ask"


@frozen
class Obligation:
    """``id``: whole, with the section's: ``identity.seal``. ``subject``: name of the scenario or of the judge, or the
    question. ``given``: variables of the scenario, or parameters of the judge. ``of``: a judge looks only at the
    messages of these obligations. ``expect``, ``matches``, ``simulated``, ``fact``, ``picture``: of a question."""

    id: str
    title: str
    kind: ObligationKind
    subject: str
    line: int
    given: Mapping[str, Any] = field(default_factory=dict)
    of: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    advice: str = ""
    advice_to: str = "client"
    expect: str = "yes"
    matches: str = ""
    simulated: str | None = None
    fact: str = ""
    picture: bool = False


@frozen
class Section:
    id: str
    title: str
    obligations: tuple[Obligation, ...]


@frozen
class Plan:
    """``station``: name of the built-in station on which the plan is simulated. ``signing``: roles that sign the
    report. ``speed``: how many times as fast the time of a simulated station runs. ``variables``: for every scenario
    that has a variable of the name."""

    path: Path
    id: str
    title: str
    edition: str
    sections: tuple[Section, ...]
    purpose: str = ""
    versions: tuple[str, ...] = ()
    station: str = ""
    signing: tuple[str, ...] = ()
    speed: float = DEFAULT_SPEED
    variables: Mapping[str, Any] = field(default_factory=dict)

    def all_obligations(self) -> Iterator[Obligation]:
        """Yield the obligations in the order of the plan."""
        for section in self.sections:
            yield from section.obligations
