"""A driver of ours that is registered has its row in the table of far ends, its mutants, and its checklist."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from agent.commands.verify.runner import installed_checks
from agent.ports.verify import VerifyKit
from tests.verify.far_ends import MUTANTS, ROWS, Mutant

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
OURS: dict[str, str] = PYPROJECT["project"]["entry-points"]["chargy_agent.drivers"]


def test_every_driver_has_a_row() -> None:
    assert set(OURS) == {name.partition(",")[0] for name in ROWS}


@pytest.mark.parametrize("driver", ROWS)
def test_a_row_has_every_mutant_or_a_reason(driver: str) -> None:
    mutants = ROWS[driver].mutants
    assert [kind for kind in MUTANTS if kind not in mutants] == []
    assert all(isinstance(m, Mutant) or m for m in mutants.values())
    assert any(isinstance(m, Mutant) for m in mutants.values())


@pytest.mark.parametrize("driver", sorted(OURS))
def test_a_driver_says_what_simulation_cannot_prove(driver: str) -> None:
    module, _, name = OURS[driver].partition(":")
    found = getattr(importlib.import_module(module), name)
    module, _, name = found.verify_kit.partition(":")
    fitting = getattr(importlib.import_module(module), name)
    assert isinstance(fitting, VerifyKit)
    assert fitting.on_hardware


def test_every_role_has_checks() -> None:
    roles = {importlib.import_module(v.partition(":")[0]).DRIVER.role for v in OURS.values()}
    assert roles - {c.role for c in installed_checks()} == set()
