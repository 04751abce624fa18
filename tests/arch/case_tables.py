"""The certification cases in ``docs/conformance.md``: case, test, how its last recorded run went."""

from __future__ import annotations

from tests.conformance.cases import CASES, OPEN, Case
from tests.conformance.record import RECORD, recorded, status
from tests.conformance.shown import Proof, by_case, proofs


def text(version: str, title: str) -> list[str]:
    cases = [c for c in CASES.values() if c.version == version]
    tests = by_case(proofs())
    run = recorded()
    claimed = [c for c in cases if c.claimed]
    lines = ["", f"### {title}", "", _count(cases, tests, run)]
    for block in dict.fromkeys(c.block for c in claimed):
        lines += ["", f"**{block}**", "", "| case | what | test | status |", "|---|---|---|---|"]
        lines += [_row(c, tests.get(c.id, []), run) for c in claimed if c.block == block]
    return lines + _others([c for c in cases if not c.claimed])


def _count(cases: list[Case], tests: dict[str, list[Proof]], run: dict[str, object]) -> str:
    claimed = [c for c in cases if c.claimed]
    passed = sum(status(c.id, tests[c.id], run) == "passed" for c in claimed if c.id in tests)
    tested = sum(c.id in tests for c in claimed)
    numbers = f"{len(cases)} cases: {len(claimed)} claimed, {tested} with a test, {passed} passed"
    by = (
        f" (commit {run['commit']}, {run['day']}, Python {run['python']})" if run["commit"] else f" (no `{RECORD}` yet)"
    )
    return f"{numbers}{by}; {len(cases) - len(claimed)} not claimed."


def _row(case: Case, tests: list[Proof], run: dict[str, object]) -> str:
    names = dict.fromkeys(f"`{t.path.removeprefix('tests/conformance/').removesuffix('.py')}::{t.name}`" for t in tests)
    how = status(case.id, tests, run) if tests else f"open: {OPEN.get(case.id, 'NO TEST')}"
    return f"| {case.id} | {case.title} | {' '.join(names)} | {how} |"


def _others(cases: list[Case]) -> list[str]:
    if not cases:
        return []
    lines = ["", "**Not claimed**", "", "| reason | cases |", "|---|---|"]
    reasons = dict.fromkeys(c.why_not for c in cases)
    return lines + [f"| {r} | {', '.join(c.id for c in cases if c.why_not == r)} |" for r in reasons]
