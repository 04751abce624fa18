"""Sizes: a function fits on a screen, a class is one idea. A module may be as long as its table or its topic."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUNCTION_LINES = 60
CLASS_LINES = 300


def modules() -> list[Path]:
    return sorted(p for room in ("agent", "drivers") for p in (ROOT / room).rglob("*.py"))


def longer_than(source: str, kinds: tuple[type[ast.stmt], ...], limit: int) -> Iterator[tuple[str, int]]:
    """Name and lines of each definition of these kinds that has more than ``limit`` lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > limit:
                yield str(getattr(node, "name", "")), lines


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def test_no_function_is_longer_than_a_screen() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for path in modules()
        for name, lines in longer_than(path.read_text("utf-8"), FUNCTIONS, FUNCTION_LINES)
    ]
    assert found == []


def test_no_class_is_more_than_one_idea() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for path in modules()
        for name, lines in longer_than(path.read_text("utf-8"), (ast.ClassDef,), CLASS_LINES)
    ]
    assert found == []


def test_a_long_function_and_a_long_class_are_found() -> None:
    source = "async def endless():\n" + "    pass\n" * FUNCTION_LINES
    assert list(longer_than(source, FUNCTIONS, FUNCTION_LINES)) == [("endless", FUNCTION_LINES + 1)]
    source = "class Endless:\n" + "    a = 1\n" * CLASS_LINES
    assert list(longer_than(source, (ast.ClassDef,), CLASS_LINES)) == [("Endless", CLASS_LINES + 1)]
