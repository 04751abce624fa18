"""A campaign that was ended in the middle goes on where it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arch import campaigns
from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import os, pathlib, pytest
HERE = pathlib.Path(__file__).parent
pytestmark = pytest.mark.campaign

def test_first(record_property):
    (HERE / "first").open("a").write("x")
    record_property("seed", os.environ["CHARGY_CAMPAIGN_SEED"])

def test_second():
    if not (HERE / "second").exists():
        (HERE / "second").touch()
        os._exit(9)
"""

FAILS = """
import pytest
from hypothesis import given, strategies as st
pytestmark = pytest.mark.campaign

@given(st.integers())
def test_small(n):
    billed = {"wh": n}
    assert billed["wh"] < 100, f"billed {billed}"
"""


def campaign(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.campaign", "--folder", str(folder / "results"), *arguments]
    return subprocess.run(
        [*argv, str(folder / "test_two.py")], cwd=ROOT, capture_output=True, text=True, timeout=stretched(60)
    )


def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text(TESTS)
    assert "nothing was ended" in campaign(tmp_path, "--resume").stderr
    assert campaign(tmp_path, "--seed", "5").returncode == 9
    done = campaign(tmp_path, "--resume")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "first").read_text() == "x"
    (file,) = (tmp_path / "results").iterdir()
    record = json.loads(file.read_text())
    assert (record["seed"], record["counts"]) == (5, {"passed": 2})
    assert record["tests"][0]["recorded"] == {"seed": "5"}


def test_a_failure_says_where_why_and_how_to_see_it_again(tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text(FAILS)
    assert campaign(tmp_path, "--seed", "5").returncode == 1
    (file,) = (tmp_path / "results").iterdir()
    (line,) = json.loads(file.read_text())["tests"]
    assert line["test"].endswith("test_two.py::test_small")
    assert (line["when"], line["where"].rpartition("/")[2]) == ("call", "test_two.py:9")
    why = "\n".join(line["why"])
    assert "AssertionError: billed {'wh': 100}" in why
    assert "assert 100 < 100" in why
    assert "n=100" in why, "the example"
    assert line["again"] == f"make campaign SEED=5 ARGS='{line['test']}'"


def test_what_has_passed_is_kept_with_commit_and_seed(tmp_path: Path) -> None:
    file = tmp_path / "campaign.json"
    file.write_text('{"old": {"commit": "a", "seed": 1}, "x": {"commit": "a", "seed": 1}}')
    tests = [{"test": "x", "outcome": "passed", "s": 5.0}, {"test": "y", "outcome": "failed", "s": 1.0}]
    result = {"began": "2026-11-26T08:00:00+00:00", "python": "3.13", "machine": "m", "tests": tests}
    record = {"commit": "b" * 40, "changed_files": 0, "seed": 7, **result}
    assert campaigns.keep(record, file) == 1
    kept = json.loads(file.read_text())
    assert set(kept) == {"old", "x"}
    assert (kept["x"]["commit"], kept["x"]["seed"]) == ("b" * 40, 7)
    with pytest.raises(ValueError, match="not kept"):
        campaigns.keep({**record, "changed_files": 1}, file)


def test_every_campaign_is_in_the_document() -> None:
    names = [name for name, about in campaigns.campaigns() if about]
    assert len(names) >= 5
    assert all(f"## {name}" in campaigns.text() for name in names)
    assert {test.partition("[")[0] for test in campaigns.kept()} <= set(names), "a test that is no more was kept"
