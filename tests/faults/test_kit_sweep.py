"""``kit apply`` and ``kit undo`` are killed at any instant: the station file is the old or the new one, every file that
it names is there, and the same command works again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import cli
from tests.support.busy_machine import stretched
from tests.support.kit_files import KIT, write_kit, write_station

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "20261128"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.campaign
def test_a_kill_leaves_the_old_or_the_new_file(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    kills = 600 if FULL else 15
    kit = write_kit(tmp_path / "stick")
    station = write_station(tmp_path / "before-apply")
    assert cli.main(["kit", "apply", str(kit), str(station)]) == 0
    write_kit(tmp_path / "stick", KIT.replace("80 00 11 22", "80 00 11 23"))
    (tmp_path / "stick" / "secrets" / "password").write_text("another one")
    shutil.copytree(tmp_path / "before-apply", tmp_path / "before-undo")
    assert cli.main(["kit", "apply", str(kit), str(tmp_path / "before-undo" / "station.toml")]) == 0
    argv = [sys.executable, "-m", "tests.faults.kit_kills", str(tmp_path), str(kills), str(SEED)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60 + kills * 4))
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    record_property("kills", result)
    for do, found in result.items():
        assert set(found) == {"old", "new", "steps"}, (do, found)
        assert found["old"] + found["new"] >= kills
