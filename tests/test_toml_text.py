"""What the TOML writer writes, tomllib reads back."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from agent.model.toml_text import format_document

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_SCALAR = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | _TEXT
_VALUE = st.recursive(_SCALAR, lambda v: st.lists(v, max_size=3) | st.dictionaries(_TEXT, v, max_size=3), max_leaves=8)
_TABLE = st.dictionaries(_TEXT, _VALUE, max_size=4)


@given(st.dictionaries(_TEXT, _TABLE | st.lists(_TABLE, min_size=1, max_size=3), max_size=4))
def test_round_trip(tables: dict[str, object]) -> None:
    assert tomllib.loads(format_document(tables)) == tables


def test_none_is_left_out() -> None:
    assert format_document({"a": {"b": None, "c": 1}, "d": None}) == "[a]\nc = 1\n"
