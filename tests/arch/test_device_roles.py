"""The device roles are listed in one place, and each row is complete."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.commands.verify.runner import installed_checks
from agent.domain.faults import CATALOGUE, Severity
from agent.model.device_role import DeviceRole
from agent.model.entry_points import load_entry_point
from agent.services.devices.dispatch import ANSWERS_WITHOUT_DEVICE
from agent.services.devices.supervisor import DeviceSupervisor
from agent.station_file.device_roles import ROLES

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "agent" / "station_file" / "device_roles.py"
SOME = 3
"""So many role names side by side are a list of the roles."""


def role_lists(source: str) -> Iterator[int]:
    """Yield the line of each literal or ``match`` that names several roles."""
    for node in ast.walk(ast.parse(source)):
        words: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            words = list(node.keys)
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            words = list(node.elts)
        elif isinstance(node, ast.Match):
            words = [c.pattern.value for c in node.cases if isinstance(c.pattern, ast.MatchValue)]
        named = {w.value for w in words if isinstance(w, ast.Constant)} & ROLES.keys()
        if len(named) >= SOME:
            yield node.lineno


def test_no_other_place_lists_the_roles() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / "agent").rglob("*.py")
        if path != TABLE
        for line in role_lists(path.read_text("utf-8"))
    ]
    assert found == [], "agent/station_file/device_roles.py has the roles; read them there"


def test_a_list_of_roles_is_found() -> None:
    assert list(role_lists('A = {"lamp": 1, "meter": 2,\n"board": 3}\nB = ("lamp", "display")')) == [1]
    assert list(role_lists('match r:\n case "lamp": pass\n case "meter": pass\n case "board": pass')) == [1]


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_each_row_is_complete(role: DeviceRole) -> None:
    module, _, name = role.port.partition(":")
    port = getattr(importlib.import_module(module), name)
    assert getattr(port, "_is_protocol", False), f"{role.port} is no Protocol"
    supervisor = load_entry_point(role.supervisor)
    assert issubclass(supervisor, DeviceSupervisor)
    assert set(supervisor.orders) <= ANSWERS_WITHOUT_DEVICE.keys()
    assert role.tables
    assert (role.driver_role or role.name) in {check.role for check in installed_checks()}, "it has no checks"


def test_a_role_that_names_no_fault_has_one_that_blocks_nothing() -> None:
    assert CATALOGUE[DeviceSupervisor.fault].severity is Severity.WARN
