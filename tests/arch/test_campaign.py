"""A campaign that was ended in the middle goes on where it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def campaign(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.campaign", "--folder", str(folder / "results"), *arguments]
    return subprocess.run([*argv, str(folder / "test_two.py")], cwd=ROOT, capture_output=True, text=True, timeout=60)


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
