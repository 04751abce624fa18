"""Versions of OCPP are a matter of ``agent/ocpp`` alone: elsewhere no code names one, let alone decides by it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = {"1.5", "1.6", "2.0", "2.0.1", "2.1", "ocpp1.6", "ocpp2.0.1"}
ALLOWED = {("agent/station_file/tables.py", "1.6")}
"""The default of a station file."""
OF_VERSIONS = ("agent/ocpp/", "agent/csms/")
"""The test central system is the other side: it speaks what it speaks."""


def named(source: str) -> Iterator[str]:
    """Texts that are a version, and modules of one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value in VERSIONS:
            yield str(node.value)
        elif isinstance(node, ast.ImportFrom) and re.match(r"agent\.ocpp\.v\d", node.module or ""):
            yield str(node.module)


def test_no_code_outside_names_a_version() -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "agent").rglob("*.py")
        if not str(path.relative_to(ROOT)).startswith(OF_VERSIONS)
        for name in named(path.read_text("utf-8"))
    }
    assert found == ALLOWED


def test_a_named_version_is_found() -> None:
    assert list(named('if version == "2.0.1": pass')) == ["2.0.1"]
    assert list(named("from agent.ocpp.v16 import V16")) == ["agent.ocpp.v16"]
    assert list(named("from agent.ocpp.versions import dialects")) == []
