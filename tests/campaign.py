"""``make campaign``: the tests marked ``campaign`` at full count, and a record of what was run.

Writes ``campaign/result-DATE-COMMIT.json``: commit, seed, versions, and each test with its outcome, seconds and what
it recorded by ``record_property``; of one that failed where, why and how to see it again. A test finds the seed in
``CHARGY_CAMPAIGN_SEED``. What has ended so far is in ``campaign/unfinished.partial``; ``make campaign ARGS=--resume``
goes on from there, with the same seed, where the commit is the same. ``ARGS=--keep`` puts what has passed into
``docs/campaign.json``, which documents cite.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.arch import campaigns

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "campaign"
WHY_LINES = 40
"""Of a failure's words, from the beginning and from the end."""


class Recorder:
    """A pytest plugin that keeps one line per test, and runs nothing again that has ``done`` well."""

    def __init__(self, seed: int, done: list[dict[str, Any]], save: Callable[[list[dict[str, Any]]], None]) -> None:
        self._seed = seed
        self.tests = [t for t in done if t["outcome"] == "passed"]
        self._known = {t["test"] for t in self.tests}
        self._save = save

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        config.hook.pytest_deselected(items=[i for i in items if i.nodeid in self._known])
        items[:] = [i for i in items if i.nodeid not in self._known]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            line: dict[str, Any] = {"test": report.nodeid, "outcome": report.outcome, "s": round(report.duration, 2)}
            if report.user_properties:
                line["recorded"] = dict(report.user_properties)
            if report.outcome == "failed":
                line |= failure(report, self._seed)
            self.tests.append(line)
            self._save(self.tests)


def failure(report: pytest.TestReport, seed: int) -> dict[str, Any]:
    """What it takes to act on it without the run's output: where, what was asserted with its values (hypothesis adds
    the example), and how to see it again."""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = report.longreprtext.splitlines()
    why = [text for text in said if text.startswith("E ")] or said
    dropped = [f"... {len(why) - 2 * WHY_LINES} lines ..."] if len(why) > 2 * WHY_LINES else []
    return {
        "when": report.when,
        "where": f"{crash.path}:{crash.lineno}" if crash else "",
        "why": [*why[:WHY_LINES], *dropped, *why[WHY_LINES:][-WHY_LINES:]],
        "again": f"make campaign SEED={seed} ARGS='{report.nodeid}'",
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make campaign", allow_abbrev=False)
    parser.add_argument("--seed", type=int, help="repeat a campaign (default: a new one from the clock)")
    parser.add_argument("--resume", action="store_true", help="go on where the last one was ended")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the results")
    parser.add_argument("--keep", action="store_true", help="what passes is put into docs/campaign.json")
    args, rest = parser.parse_known_args(argv)  # the rest is for pytest
    unfinished = args.folder / "unfinished.partial"
    before = _unfinished(unfinished) if args.resume else {"tests": []}
    seed = before.get("seed", int(time.time()) % 1_000_000 if args.seed is None else args.seed)
    os.environ |= {"CHARGY_CAMPAIGN": "full", "CHARGY_CAMPAIGN_SEED": str(seed)}
    print(f"campaign with seed {seed}" + (f", {len(before['tests'])} done before" if args.resume else ""), flush=True)
    began = datetime.now(UTC)
    recorder = Recorder(seed, before["tests"], lambda tests: _write(unfinished, result(seed, began, -1, tests)))
    options = ["-m", "campaign", "--timeout", "0", f"--hypothesis-seed={seed}", *rest]
    code = pytest.main(options, plugins=[recorder])
    record = result(seed, began, int(code), recorder.tests)
    stamp = record["began"][:19].replace("-", "").replace(":", "")
    file = _write(args.folder / f"result-{stamp}-{record['commit'][:8] or 'nocommit'}.json", record)
    unfinished.unlink(missing_ok=True)
    print(f"wrote {file}")
    if args.keep:
        print(f"kept {campaigns.keep(record)} in {campaigns.KEPT}")
    return int(code)


def _unfinished(file: Path) -> dict[str, Any]:
    """Ends the program where it cannot be gone on with."""
    if not file.exists():
        sys.exit(f"--resume: {file} is not there: nothing was ended before its end")
    record: dict[str, Any] = json.loads(file.read_text("utf-8"))
    if record["commit"] != _git("rev-parse", "HEAD"):
        sys.exit(f"--resume: {file} is of commit {record['commit'][:8]}: check that out, or begin again")
    return record


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


def _write(file: Path, record: dict[str, Any]) -> Path:
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(".writing.partial")
    partial.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return partial.replace(file)


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
