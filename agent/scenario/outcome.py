"""Verdicts of steps and scenarios, and their evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.scenario.scenario_model import Scenario, Step


class Verdict(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    ERROR = "ERROR"
    NOT_APPLICABLE = "NOT APPLICABLE"


WEIGHT = (Verdict.FAIL, Verdict.ERROR, Verdict.PASS, Verdict.NOT_APPLICABLE)
"""The verdict of a scenario is the first of these that a step has."""


@frozen
class StepOutcome:
    """``says``: what was seen, or what failed. ``title``: the step in words. ``began_s`` and ``took_s``: real
    seconds since the scenario began. ``evidence``: frames of the conversation during the step, secrets masked."""

    step: Step
    verdict: Verdict
    says: str
    title: str
    began_s: float
    took_s: float
    evidence: Sequence[Mapping[str, Any]] = ()
    round: str = ""
    """Which repetition, "" outside of one."""

    @property
    def step_id(self) -> str:
        return f"{self.step.step_id}{self.round}"

    def as_json(self) -> dict[str, Any]:
        found = {
            "id": self.step_id, "number": self.step.number, "line": self.step.line, "kind": self.step.kind.kind_name,
            "title": self.title, "verdict": str(self.verdict), "says": self.says,
            "began_s": round(self.began_s, 3), "took_s": round(self.took_s, 3),
            "references": list(self.step.texts_of("references")), "evidence": list(self.evidence),
        }  # fmt: skip
        if self.verdict in (Verdict.FAIL, Verdict.ERROR) and "advice" in self.step.values:
            advice = {"action": self.step.values["advice"], "to": self.step.values.get("advice_to", "client")}
            found["finding"] = advice
        return found


@frozen
class ScenarioOutcome:
    """``says``: why it does not apply, or could not be begun. ``not_reached``: steps that a failure before them
    prevented; they have no verdict."""

    scenario: Scenario
    version: str
    target: str
    outcomes: tuple[StepOutcome, ...]
    took_s: float
    says: str = ""
    begin_verdict: Verdict = Verdict.NOT_APPLICABLE
    not_reached: tuple[str, ...] = ()

    @property
    def final_verdict(self) -> Verdict:
        found = {o.verdict for o in self.outcomes}
        return next((v for v in WEIGHT if v in found), self.begin_verdict)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.scenario.id, "title": self.scenario.title, "file": str(self.scenario.path),
            "version": self.version, "target": self.target, "verdict": str(self.final_verdict), "says": self.says,
            "took_s": round(self.took_s, 3), "references": list(self.scenario.references),
            "steps": [o.as_json() for o in self.outcomes], "not_reached": list(self.not_reached),
        }  # fmt: skip


def overall_verdict(outcomes: Sequence[ScenarioOutcome]) -> Verdict:
    """Return the verdict of a whole run."""
    found = {o.final_verdict for o in outcomes}
    return next((v for v in WEIGHT if v in found), Verdict.NOT_APPLICABLE)
