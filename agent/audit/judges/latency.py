"""Judges of how fast a station answers."""

from __future__ import annotations

from agent.audit.context import (
    AuditContext,
    Fact,
    Judge,
    JudgeParameter,
    JudgeResult,
    failed_result,
    partial_result,
    passed_result,
)
from agent.audit.conversation_figures import answer_latencies, percentile
from agent.scenario.grammar import Form

ADVICE = "Measure the bearer (signal, loss, latency), then how long the station takes to answer."


def judge_answer_latency(context: AuditContext) -> JudgeResult:
    """The station answers the requests of the backend in time."""
    answers = [
        row for (sender, _), rows in answer_latencies(context.frames).items() if sender == "backend" for row in rows
    ]
    if not answers:
        return partial_result("the station has answered no request")
    took = sorted(ms for ms, _ in answers)
    p95_ms, limit_ms = percentile(took, 0.95), context.parameters["p95_s"] * 1000.0
    facts = [
        Fact("Answers", str(len(took))), Fact("Median", f"{percentile(took, 0.5):.0f} ms"),
        Fact("95 of 100 are faster than", f"{p95_ms:.0f} ms"), Fact("Slowest", f"{took[-1]:.0f} ms"),
    ]  # fmt: skip
    if p95_ms > limit_ms:
        slow = [frame for ms, frame in answers if ms > limit_ms]
        says = f"5 of 100 answers take longer than {p95_ms / 1000:.1f} s, {limit_ms / 1000:g} s are permitted"
        return failed_result(says, facts, slow[:5], ADVICE)
    return passed_result(f"95 of 100 answers come within {p95_ms:.0f} ms", facts)


JUDGES = (
    Judge(
        "answer_latency", "the station answers the requests of the backend in time", judge_answer_latency,
        {"p95_s": JudgeParameter(Form.NUMBER, 5.0, "real seconds within which 95 of 100 answers come")},
    ),
)  # fmt: skip
