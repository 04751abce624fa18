"""What ran: a pytest plugin that keeps book on the certification cases, also with several workers.

After each run ``build/conformance.json`` says which case was shown by which test and how it went. A run over all cases
of a version fails when a claimed case did not run, did not pass or was skipped, or when a test names a case that does
not exist or is not claimed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conformance.cases import CASES, OPEN, Case
from tests.conformance.shown import ROOT, by_case, digest, of_run, proofs

REPORT = "build/conformance.json"
FOLDERS = {"1.6": "tests/conformance/ocpp16", "2.0.1": "tests/conformance/ocpp201"}
OURS = ("docs/conformance-run.json", "docs/conformance.md")
WORST = ("failed", "skipped", "passed")


def problems(cases: Mapping[str, Case], opened: Mapping[str, str], outcomes: Mapping[str, str]) -> list[str]:
    """What is wrong with a full run. ``outcomes``: case id -> passed, failed or skipped."""
    lines = [f"{id_}: no such case is listed" for id_ in sorted(outcomes.keys() - cases.keys())]
    for case in cases.values():
        outcome = outcomes.get(case.id, "did not run")
        if case.claimed and outcome != "passed" and case.id not in opened:
            lines.append(f"{case.id}: {outcome} ({case.title})")
        if not case.claimed and case.id in outcomes:
            lines.append(f"{case.id}: has a test and is not claimed ({case.why_not})")
    return lines


def covered(args: Iterable[str], here: Path, root: Path) -> set[str]:
    """Versions all of whose cases a run with these arguments is to show."""
    places = [(here / a).resolve() for a in args if "::" not in a]
    return {v for v, folder in FOLDERS.items() if any((root / folder).is_relative_to(p) for p in places)}


class Ledger:
    """``cases``: those that are judged."""

    def __init__(self, config: pytest.Config, root: Path = ROOT, cases: Mapping[str, Case] = CASES) -> None:
        self._config = config
        self._root = root
        self._cases = cases
        self._tests: dict[str, str] = {}
        self._wrong: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """All phases count: a test whose fixture does not come to rest has failed."""
        if report.nodeid.startswith("tests/conformance/"):
            before = self._tests.get(report.nodeid, "passed")
            self._tests[report.nodeid] = min(before, report.outcome, key=WORST.index)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        covered = self._covered()
        if not self._tests and not covered:
            return
        known = proofs(self._root)
        shown: dict[str, dict[str, str]] = {}
        for nodeid, outcome in self._tests.items():
            for case in of_run(nodeid, known):
                shown.setdefault(case, {})[nodeid] = outcome
        outcomes = {case: min(tests.values(), key=WORST.index) for case, tests in shown.items()}
        away = {i for i, c in self._cases.items() if c.version not in covered}
        cases = {i: c for i, c in self._cases.items() if i not in away}
        self._wrong = problems(cases, OPEN, {i: o for i, o in outcomes.items() if i not in away}) if covered else []
        if self._wrong and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        tests = by_case(known)
        rows = {c: {"outcome": outcomes[c], "digest": digest(tests[c]), "tests": shown[c]} for c in sorted(shown)}
        self._write({**_about(self._root), "full": sorted(covered), "wrong": self._wrong, "cases": rows})

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._wrong:
            terminalreporter.section("certification cases")
            for line in self._wrong:
                terminalreporter.write_line(line)

    def _covered(self) -> set[str]:
        """Nothing is narrowed down by name or mark either."""
        option = self._config.option
        if option.keyword or option.markexpr or option.collectonly or option.deselect:
            return set()
        return covered(self._config.args, self._config.invocation_params.dir, self._root)

    def _write(self, report: object) -> None:
        path = self._root / REPORT
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _about(root: Path) -> dict[str, object]:
    commit = _git(root, "rev-parse", "HEAD").strip()
    changed = [line[3:] for line in _git(root, "status", "--porcelain").splitlines()]
    return {
        "commit": commit[:12],
        "clean": bool(commit) and not set(changed) - set(OURS),
        "day": datetime.now(UTC).date().isoformat(),
        "python": ".".join(map(str, sys.version_info[:3])),
    }


def _git(root: Path, *args: str) -> str:
    """What git says; "" where there is no git."""
    try:
        return subprocess.run(["git", *args], cwd=root, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
