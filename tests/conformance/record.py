"""``make conformance``: what a green full run has shown goes to ``docs/conformance-run.json``, with its commit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.conformance.ledger import FOLDERS, REPORT
from tests.conformance.shown import ROOT, Proof, digest

RECORD = "docs/conformance-run.json"


def objections(report: dict[str, Any]) -> list[str]:
    """Why this run cannot be recorded."""
    lines = [] if report["full"] == sorted(FOLDERS) else ["the run was not over all cases: run make conformance"]
    lines += [] if report["clean"] else ["the tree differs from its commit: commit first"]
    return lines + [f"not right: {line}" for line in report["wrong"]]


def record(root: Path = ROOT) -> list[str]:
    """Write the record of the last run; the objections if it cannot be."""
    path = root / REPORT
    if not path.exists():
        return [f"{REPORT} is not there: run make conformance"]
    report = json.loads(path.read_text("utf-8"))
    wrong = objections(report)
    if not wrong:
        head = {k: report[k] for k in ("commit", "day", "python")}
        lines = [f' "{id_}": "{row["digest"]}"' for id_, row in report["cases"].items() if row["outcome"] == "passed"]
        text = json.dumps(head)[:-1] + ', "passed": {\n' + ",\n".join(lines) + "\n}}\n"
        (root / RECORD).write_text(text, "utf-8")
    return wrong


def recorded(root: Path = ROOT) -> dict[str, Any]:
    path = root / RECORD
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {"commit": "", "passed": {}}


def status(case: str, tests: list[Proof], run: dict[str, Any]) -> str:
    """Of a case that has tests: "passed" only if it passed with the tests as they are now."""
    before = run["passed"].get(case)
    if before is None:
        return "not recorded yet"
    return "passed" if before == digest(tests) else "test changed since"


def main() -> int:
    wrong = record()
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
