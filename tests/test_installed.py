"""``chargy-agent drivers``: what is installed, and what is wrong with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands import drivers

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_all_of_ours_are_listed_with_their_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drivers", "--json"]) == 0
    rows = {r["name"]: r for r in json.loads(capsys.readouterr().out)["drivers"]}
    ours = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]["chargy_agent.drivers"]
    assert set(rows) >= set(ours)
    meter = rows["meter_modbus"]
    assert (meter["role"], meter["package"], meter["missing"], meter["trouble"]) == ("meter", "chargy-agent", [], "")
    keys = {s["name"]: s for s in meter["settings"]}
    assert keys["map"] == {"name": "map", "type": "str", "required": True, "rules": ["1 to 100 characters"]}
    assert (keys["port"]["type"], keys["port"]["rules"]) == ("int", ["1 to 65535"])
    assert keys["parity"]["type"] == "str | None"
    assert keys["timeout_s"]["default"] == 0.5


def test_the_same_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drivers"]) == 0
    said = capsys.readouterr().out
    assert "meter_modbus         meter     chargy-agent 0.1.0" in said
    assert "map, line =" in said


def test_who_reads_may_have_seen_enough() -> None:
    """``chargy-agent drivers | head``"""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as out:
        done = subprocess.run([sys.executable, "-m", "agent", "drivers"], stdout=out, stderr=-1, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of another maker, as pip leaves it: one driver is good, one needs an extra, two are broken."""
    (tmp_path / "acme.py").write_text(
        "from drivers.blueprint import DRIVER\nNO_DRIVER = 1\nclass Wallbox: pass\n", "utf-8"
    )
    info = tmp_path / "acme-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme\nVersion: 2.1\nProvides-Extra: bus\n"
        'Requires-Dist: an-unknown-bus>=1; extra == "bus"\nRequires-Dist: pyserial; extra == "bus"\n'
    )
    (info / "entry_points.txt").write_text(
        "[chargy_agent.drivers]\nacme_good = acme:DRIVER\nacme_extra = acme:DRIVER [bus]\n"
        "acme_gone = acme_of_old:DRIVER\nacme_other = acme:NO_DRIVER\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_what_is_broken_is_a_row_too(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {r.name: r for r in drivers.installed_drivers()}
    assert (rows["acme_good"].package, rows["acme_good"].version, rows["acme_good"].trouble) == ("acme", "2.1", "")
    assert rows["acme_extra"].missing == ("an-unknown-bus",)
    assert "cannot be imported" in rows["acme_gone"].trouble
    assert "is no agent.ports.driver.Driver" in rows["acme_other"].trouble
    assert rows["meter_modbus"].trouble == "", "the others are not spoilt"
    assert main(["drivers"]) == 1
    assert "not installed: an-unknown-bus" in capsys.readouterr().out
