"""Sizes: a function fits on a screen, a module is one idea. Tables may be as long as the standard."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUNCTION_LINES = 60
MODULE_LINES = 450
TABLES: set[str] = {
    "agent/ocpp/dialects/keys_v1x.py",
    "agent/domain/variables.py",
    "agent/domain/faults.py",
    "agent/domain/events.py",
}
"""Modules that are tables: no bound on their length, but on their functions' too."""


def modules() -> list[Path]:
    return sorted(p for room in ("agent", "drivers") for p in (ROOT / room).rglob("*.py"))


def long_functions(source: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield node.name, lines


def test_no_function_is_longer_than_a_screen() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for path in modules()
        for name, lines in long_functions(path.read_text("utf-8"))
    ]
    assert found == []


def test_no_module_is_more_than_one_idea() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in modules()}
    assert {name: n for name, n in lengths.items() if n > MODULE_LINES and name not in TABLES} == {}


def test_a_long_function_is_found() -> None:
    source = "async def endless():\n" + "    pass\n" * FUNCTION_LINES
    assert list(long_functions(source)) == [("endless", FUNCTION_LINES + 1)]
