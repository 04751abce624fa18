"""Imports are the start-up time: what the command line and the driver packages may not pull in by themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("pymodbus", "nfc", "PIL", "qrcode", "aiohttp", "serial", "jsonschema", "cryptography", "ocpp.v16", "ocpp.v201")
PACKAGES = sorted(p.parent.name for p in (ROOT / "drivers").glob("*/__init__.py") if p.parent.name != "testkit")
CLI_ONLY = ("websockets", "sqlite3", "asyncio", "ssl")
"""Dear too, but the agent itself needs them: only the command line, which must answer --help at once, does without."""


def loaded_by(statement: str) -> set[str]:
    """Modules in a fresh interpreter after ``statement``."""
    code = (
        f"import sys, json; before = set(sys.modules); {statement}; print(json.dumps(list(set(sys.modules) - before)))"
    )
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
    return set(json.loads(child.stdout.splitlines()[-1]))


def test_the_command_line_costs_nothing() -> None:
    loaded = loaded_by("import agent.cli")
    assert sorted(loaded & {*HEAVY, *CLI_ONLY}) == []
    assert sorted(m for m in loaded if m.startswith("drivers")) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_driver_package_costs_nothing_until_it_is_opened(package: str) -> None:
    assert sorted(loaded_by(f"import drivers.{package}") & set(HEAVY)) == []


@pytest.mark.parametrize("module", ["agent.settings", "agent.commissioning.central", "agent.commissioning.console"])
def test_what_runs_before_a_station_is_known_stays_light(module: str) -> None:
    assert sorted(loaded_by(f"import {module}") & {*HEAVY, "websockets"}) == []


def test_a_heavy_import_is_found() -> None:
    assert "jsonschema" in loaded_by("import ocpp.messages")
