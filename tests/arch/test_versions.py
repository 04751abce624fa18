"""A version of OCPP is a matter of its own folder: elsewhere no code names one, let alone decides by it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = {"1.2", "1.5", "1.6", "2.0", "2.0.1", "2.1", "ocpp1.6", "ocpp2.0.1", "ocpp2.1"}
ALLOWED = {
    "agent/station_file/tables.py": {"1.6"},  # what a station file without `versions` means
    "agent/ocpp/versions.py": {"1.2", "1.5", "1.6", "2.0.1", "2.1"},  # the rows that register the folders
    "agent/ocpp/outbound/transaction_openings.py": {"1.6", "2.0.1"},  # records of the program that had these two only
    "agent/csms/central_system.py": {"ocpp1.6", "ocpp2.0.1", "ocpp2.1"},  # the rows that register the classes
    "agent/csms/soap_words.py": {"1.2", "1.5", "1.6"},  # the rows that register the words of each version
    "agent/csms/soap_stations.py": {"1.2", "1.5", "1.6"},  # the classes of these versions
    "agent/scenario/versions.py": {"1.6", "2.0.1", "2.1"},  # the rows that register the modules
}
OF_VERSIONS = re.compile(r"agent/(ocpp/v\d+/|csms/station\d+\.py$|scenario/v\d+\.py$)")


def named(source: str) -> Iterator[str]:
    """Texts that are a version, and modules of one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value in VERSIONS:
            yield str(node.value)
        elif isinstance(node, ast.ImportFrom) and re.match(r"agent\.ocpp\.v\d", node.module or ""):
            yield str(node.module)


def test_no_code_outside_names_a_version() -> None:
    found: dict[str, set[str]] = {}
    for path in (ROOT / "agent").rglob("*.py"):
        name = str(path.relative_to(ROOT))
        if not OF_VERSIONS.match(name) and (versions := set(named(path.read_text("utf-8")))):
            found[name] = versions
    assert found == ALLOWED


def test_a_named_version_is_found() -> None:
    assert list(named('if version == "2.0.1": pass')) == ["2.0.1"]
    assert list(named("from agent.ocpp.v16 import V16")) == ["agent.ocpp.v16"]
    assert list(named("from agent.ocpp.versions import dialects")) == []
