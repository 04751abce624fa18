"""Where each key of a TOML text stands: all that ``tomllib`` reads has a place in the text, and its name is there."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.toml_text import format_document
from agent.station_file.toml_positions import key_positions

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "config").rglob("*.toml"))


def paths(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from paths(inner, (*above, key))


def judge(text: str) -> None:
    found = key_positions(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    lines = text.split("\n")
    for path, (line, column) in found.items():
        rest = lines[line - 1][column - 1 :]
        name = path[-1]
        assert rest, path
        if isinstance(name, str) and name.isidentifier() and not rest.startswith(("[", '"', "'")):
            assert rest.startswith(name), path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_key_of_the_shipped_files_has_its_place(path: Path) -> None:
    judge(path.read_text("utf-8"))


def test_every_way_to_write_a_key_and_a_value() -> None:
    text = '''# a comment with [brackets] and "quotes"
title = """
[no.table]
no_key = 1
"""
empty = ""
literal = 'C:\\path'
many = """a "quoted" word"""""
lines = \'\'\'
it's "here" = 1\'\'\'
numbers = [1, 2.5, # a comment, with ] in it
  "three", [4, { five = 5 }],
]
when = 1979-05-27 07:32:00Z
"quoted key" . sub = true
[a . "b\\u0021".c]
x = { y = { z = [] }, "w" = {} }
[[list]]
[list.table]
n = 1
[[list]]
[[list.inner]]
m = 2
'''
    judge(text)
    found = key_positions(text)
    assert found["title",] == (2, 1)
    assert found["numbers", 3, 1, "five"] == (12, 18)
    assert found["quoted key", "sub"] == (15, 16)
    assert found["a", "b!", "c", "x", "y", "z"] == (17, 13)
    assert found["list", 1] == (21, 1)
    assert found["list", 1, "inner", 0, "m"] == (23, 1)


KEYS = st.text(min_size=1, max_size=8) | st.from_regex(r"[a-z_-]{1,8}", fullmatch=True)
VALUES = st.recursive(
    st.text(max_size=12) | st.integers(-(10**9), 10**9) | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TABLE = st.dictionaries(KEYS, VALUES, max_size=5)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, TABLE | st.lists(TABLE, min_size=1, max_size=3), max_size=5))
def test_every_key_of_any_document_has_its_place(tables: dict[str, Any]) -> None:
    judge(format_document(tables))
