"""``make campaign``: the tests marked ``campaign`` at full count, and a record of what was run.

Writes ``campaign/result-DATE-COMMIT.json``: commit, seed, versions, and each test with its outcome, seconds and what
it recorded by ``record_property``. A test finds the seed in ``CHARGY_CAMPAIGN_SEED``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "campaign"


class Recorder:
    """A pytest plugin that keeps one line per test."""

    def __init__(self) -> None:
        self.tests: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            line: dict[str, Any] = {"test": report.nodeid, "outcome": report.outcome, "s": round(report.duration, 2)}
            if report.user_properties:
                line["recorded"] = dict(report.user_properties)
            if report.outcome == "failed":
                line["why"] = report.longreprtext.splitlines()[-1:]
            self.tests.append(line)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make campaign", allow_abbrev=False)
    parser.add_argument("--seed", type=int, help="repeat a campaign (default: a new one from the clock)")
    args, rest = parser.parse_known_args(argv)  # the rest is for pytest
    seed = int(time.time()) % 1_000_000 if args.seed is None else args.seed
    os.environ |= {"CHARGY_CAMPAIGN": "full", "CHARGY_CAMPAIGN_SEED": str(seed)}
    print(f"campaign with seed {seed}", flush=True)
    recorder = Recorder()
    began = datetime.now(UTC)
    options = ["-m", "campaign", "--timeout", "0", f"--hypothesis-seed={seed}", *rest]
    code = pytest.main(options, plugins=[recorder])
    file = _write(result(seed, began, int(code), recorder.tests))
    print(f"wrote {file.relative_to(ROOT)}")
    return int(code)


def result(seed: int, began: datetime, code: int, tests: list[dict[str, Any]]) -> dict[str, Any]:
    outcomes = [t["outcome"] for t in tests]
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": len(_git("status", "--porcelain").splitlines()),
        "seed": seed,
        "began": began.isoformat(timespec="seconds"),
        "took_s": round((datetime.now(UTC) - began).total_seconds(), 1),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "exit": code,
        "counts": {o: outcomes.count(o) for o in sorted(set(outcomes))},
        "tests": tests,
    }


def _write(record: dict[str, Any]) -> Path:
    FOLDER.mkdir(exist_ok=True)
    stamp = record["began"][:19].replace("-", "").replace(":", "")
    file = FOLDER / f"result-{stamp}-{record['commit'][:8] or 'nocommit'}.json"
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return partial.replace(file)


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
