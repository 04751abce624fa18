"""What became of an obligation: its verdict, what was seen, and the evidence, as in the record of an audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from agent.audit.context import Fact, JudgeResult
from agent.audit.plan_model import Obligation
from agent.audit.verdicts import FINDINGS, AuditVerdict
from agent.model.fastclass import frozen
from agent.scenario.frames import Frame
from agent.scenario.outcome import ScenarioOutcome, StepOutcome, Verdict

MOST_EVIDENCE = 60
"""Frames of evidence of one obligation in the record; the trace has all."""


@frozen
class ObligationOutcome:
    """``span``: numbers of the frames during it. ``evidence``: frames for the report, secrets masked. ``scenario``: the
    outcome of its scenario as JSON. ``advice``: what the scenario or the judge says is to be done."""

    obligation: Obligation
    verdict: AuditVerdict
    says: str
    took_s: float = 0.0
    span: range = range(0)
    facts: tuple[Fact, ...] = ()
    evidence: Sequence[Mapping[str, Any]] = ()
    scenario: Mapping[str, Any] | None = None
    pictures: tuple[str, ...] = ()
    advice: str = ""
    advice_to: str = ""
    answer: str = ""
    """Of a person, for the facts of the station."""

    def as_json(self) -> dict[str, Any]:
        one = self.obligation
        return {
            "id": one.id, "title": one.title, "kind": str(one.kind), "subject": one.subject,
            "verdict": str(self.verdict), "says": self.says, "references": list(one.references),
            "took_s": round(self.took_s, 3), "facts": [{"title": f.title, "value": f.value} for f in self.facts],
            "frames": [self.span.start, max(self.span.stop - 1, self.span.start)] if self.span else [],
            "evidence": list(self.evidence), "scenario": self.scenario, "pictures": list(self.pictures),
            "answer": self.answer, "finding": self._finding_json(),
        }  # fmt: skip

    def _finding_json(self) -> dict[str, str] | None:
        if self.verdict not in FINDINGS:
            return None
        return {
            "action": self.advice or self.obligation.advice or default_advice(self.verdict),
            "to": self.advice_to or self.obligation.advice_to,
        }


def default_advice(verdict: AuditVerdict) -> str:
    """Return what to do where neither plan nor scenario nor judge says it."""
    return {
        AuditVerdict.FAIL: "Compare what was seen with the section that is referred to, correct the station, and have "
        "this obligation audited again.",
        AuditVerdict.ERROR: "Remove what kept the test from being carried out, and continue the audit (--resume).",
    }.get(verdict, "Exercise what was left out, and continue the audit (--resume).")


def outcome_of_scenario(
    obligation: Obligation, found: ScenarioOutcome, lacks: Mapping[str, str], span: range
) -> ObligationOutcome:
    """Return the outcome of an obligation by that of its scenario."""
    verdict, says = _verdict_of_scenario(found, lacks)
    failed = next((o for o in found.outcomes if o.verdict in (Verdict.FAIL, Verdict.ERROR)), None)
    advice = failed.step.values if failed is not None else {}
    return ObligationOutcome(
        obligation, verdict, says, found.took_s, span, evidence=_evidence_of_steps(found.outcomes, failed),
        scenario=found.as_json(), advice=str(advice.get("advice", "")), advice_to=str(advice.get("advice_to", "")),
    )  # fmt: skip


def _verdict_of_scenario(found: ScenarioOutcome, lacks: Mapping[str, str]) -> tuple[AuditVerdict, str]:
    final = found.final_verdict
    if final in (Verdict.FAIL, Verdict.ERROR):
        failed = [o for o in found.outcomes if o.verdict is final]
        says = "; ".join(f"step {o.step_id} ({o.title}): {o.says}" for o in failed) or found.says
        return AuditVerdict(str(final)), says
    if not found.outcomes:
        return AuditVerdict.NOT_APPLICABLE, found.says
    left_out = [o for o in found.outcomes if o.verdict is Verdict.NOT_APPLICABLE and not _lacked_need(o, lacks)]
    if left_out or found.not_reached:
        why = "; ".join(dict.fromkeys(o.says for o in left_out))
        many = f"{len(found.not_reached)} steps were not reached" if found.not_reached else ""
        return AuditVerdict.PARTIAL, "; ".join(filter(None, (why, many)))
    if final is Verdict.NOT_APPLICABLE:
        return AuditVerdict.NOT_APPLICABLE, found.outcomes[0].says
    passed = sum(o.verdict is Verdict.PASS for o in found.outcomes)
    return AuditVerdict.PASS, f"{passed} steps, each as expected"


def _lacked_need(outcome: StepOutcome, lacks: Mapping[str, str]) -> bool:
    """Return whether a step does not concern the station, because it has no such thing."""
    return any(need in lacks for need in outcome.step.texts_of("needs"))


def _evidence_of_steps(outcomes: Sequence[StepOutcome], failed: StepOutcome | None) -> list[Mapping[str, Any]]:
    """Return the frames of the step that failed; without one those of all steps, each once."""
    chosen = [failed] if failed is not None and failed.evidence else outcomes
    frames = {frame["seq"]: frame for one in chosen for frame in one.evidence}
    return [frames[seq] for seq in sorted(frames)][:MOST_EVIDENCE]


def outcome_of_judge(
    obligation: Obligation, result: JudgeResult, frames: Sequence[Frame], mask: Callable[[Frame], str]
) -> ObligationOutcome:
    """Return the outcome of an obligation by what its judge says. ``frames``: the whole conversation."""
    shown = [frames[seq].as_json(mask) for seq in sorted(result.evidence)[:MOST_EVIDENCE] if seq < len(frames)]
    return ObligationOutcome(
        obligation, result.verdict, result.says, facts=result.facts, evidence=shown, advice=result.advice,
        advice_to=result.advice_to,
    )  # fmt: skip


@frozen
class KeptOutcome:
    """An obligation that an earlier run of the same audit has finished, as it was recorded."""

    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> AuditVerdict:
        return AuditVerdict(self.record["verdict"])

    @property
    def span(self) -> range:
        first_last = self.record.get("frames") or []
        return range(first_last[0], first_last[1] + 1) if first_last else range(0)

    @property
    def answer(self) -> str:
        return str(self.record.get("answer", ""))

    def as_json(self) -> dict[str, Any]:
        return dict(self.record)


FinishedObligation = ObligationOutcome | KeptOutcome
