"""``docs/campaign.md``: which long test was last run at full count, on which commit, with which seed and figures.

``make campaign ARGS=--keep`` puts what has passed into ``docs/campaign.json``, from a tree without changes only.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "docs" / "campaign.json"

HEAD = """\
# Campaigns

Generated from `docs/campaign.json` (`make docs`). `make test` walks a seeded sample of each of these tests; this is
what was last run at full count by `make campaign`: what passed, on a commit without changes (`ARGS=--keep`).
`git checkout COMMIT && make campaign SEED=SEED ARGS=TEST` does it again.
"""


def text() -> str:
    runs = kept()
    parts = [HEAD]
    for name, about in sorted(campaigns()):
        parts.append(f"\n## {name}\n\n{about}\n")
        mine = {test: run for test, run in runs.items() if test.partition("[")[0] == name}
        parts += [_run(test.removeprefix(name), run) for test, run in sorted(mine.items())]
        if not mine:
            parts.append("\nNot run at full count yet.\n")
    return "".join(parts)


def _run(case: str, run: dict[str, Any]) -> str:
    figures = ", ".join(f"{k} {v}" for k, v in run.get("recorded", {}).items() if k != "seed")
    took = f"{run['s'] / 60:.0f} min" if run["s"] > 100 else f"{run['s']:.0f} s"
    said = f"{run['began'][:10]}, commit {run['commit'][:8]}, seed {run['seed']}, Python {run['python']}, {took}"
    return f"\n* {case.strip('[]') + ': ' if case else ''}{said}{'. ' + figures if figures else ''}\n"


def kept() -> dict[str, dict[str, Any]]:
    return dict(json.loads(KEPT.read_text("utf-8"))) if KEPT.exists() else {}


def keep(record: dict[str, Any], file: Path = KEPT) -> int:
    """What has passed in a result of ``make campaign``; how many tests that are. Raises ``ValueError``."""
    if record["changed_files"] or not record["commit"]:
        raise ValueError("a result of a tree with changes names no commit that could be checked out: not kept")
    shared = {name: record[name] for name in ("commit", "seed", "began", "python", "machine")}
    passed = {t["test"]: {**shared, **t} for t in record["tests"] if t["outcome"] == "passed"}
    runs = dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}
    file.write_text(json.dumps(dict(sorted({**runs, **passed}.items())), indent=1) + "\n", "utf-8")
    return len(passed)


def campaigns() -> Iterator[tuple[str, str]]:
    """Every test that is marked so: its name, and the first paragraph that says what it does."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        source = path.read_text("utf-8")
        if "pytest.mark.campaign" not in source or path.parent.name == "arch":
            continue
        module = ast.parse(source)
        for node in module.body:
            marked = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
                "mark.campaign" in ast.unparse(d) for d in node.decorator_list
            )
            if marked and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                about = ast.get_docstring(node) or ast.get_docstring(module) or ""
                yield f"{path.relative_to(ROOT)}::{node.name}", about.partition("\n\n")[0]
