"""What the blocks share is written in one place a field; all may read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELEASE = {"release", "release_requested", "withdrawn"}


def assigned_fields(source: str) -> Iterator[str]:
    """The fields of an EVSE that this module assigns."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            receiver = ast.unparse(node.value)
            if receiver in ("e", "evse", "other") or receiver.endswith("evses[event.evse]"):
                yield node.attr


def test_one_module_writes_release() -> None:
    """It is the permission that energy may flow: a second writer would go past the conditions of the first."""
    rooms = (ROOT / "agent/domain").rglob("*.py")
    writers = {p.name for p in rooms if RELEASE & set(assigned_fields(p.read_text("utf-8")))}
    assert writers == {"release.py"}


def test_assignments_are_found() -> None:
    source = (
        "evse.session, evse.release = None, False\nself._site.evses[event.evse].withdrawn = True\nboard.release = 1"
    )
    assert set(assigned_fields(source)) == {"session", "release", "withdrawn"}
