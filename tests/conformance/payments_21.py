"""The 61 requirements of OCPP 2.1 on payments (C18 to C25), and the tests that name them in their docstrings."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.conformance.shown import ROOT

HERE = Path(__file__).parent
REQUIREMENT = re.compile(r"\bC(?:18|19|2[0-5])\.FR\.\d\d\b")
FOLDERS = ("tests/domain", "tests/ocpp", "tests/scenarios")


@cache
def requirements() -> Mapping[str, Mapping[str, str]]:
    """By id: ``whose``, ``text``, and ``absent`` where the station does not do it."""
    return tomllib.loads((HERE / "payments-2.1.toml").read_text("utf-8"))


@cache
def tests_by_requirement() -> dict[str, list[str]]:
    """By id: ``path::name`` of every test whose docstring names it."""
    found: dict[str, list[str]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).glob("test_*.py")):
            source = path.read_text("utf-8")
            if REQUIREMENT.search(source):
                for name, ids in _named_in(source):
                    for id_ in ids:
                        found.setdefault(id_, []).append(f"{path.relative_to(ROOT / 'tests')}::{name}")
    return found


def _named_in(source: str) -> Iterator[tuple[str, list[str]]]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, list(dict.fromkeys(REQUIREMENT.findall(ast.get_docstring(node) or "")))


def table() -> list[str]:
    """The rows of the ledger."""
    shown = tests_by_requirement()
    count = sum(id_ in shown and "absent" not in row for id_, row in requirements().items())
    absent = sum("absent" in row for row in requirements().values())
    rest = len(requirements()) - count - absent
    lines = [
        f"{len(requirements())} requirements: {count} shown by a test, {absent} not done here, {rest} of the backend "
        "alone.",
        "",
        "| requirement | of the | what | shown by |",
        "|---|---|---|---|",
    ]
    for id_, row in requirements().items():
        tests = " ".join(f"`{t.replace('.py::', '::')}`" for t in shown.get(id_, []))
        why = f"not here: {row['absent']} " if "absent" in row else ""
        lines.append(
            f"| {id_} | {row['whose']} | {row['text']} | {why}{tests or ('' if why else 'the backend alone')} |"
        )
    return lines
