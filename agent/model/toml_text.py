"""A writer of TOML, as far as station files and scenarios need it. Values nested deeper than a table become inline
tables."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def format_document(tables: Mapping[str, Any]) -> str:
    """Format a document. Mappings become ``[tables]``, lists of mappings ``[[tables]]``; None is left out."""
    lines: list[str] = []
    for name, value in tables.items():
        if isinstance(value, Mapping):
            lines += [f"[{_format_key(name)}]", *_format_pairs(value), ""]
        elif value is not None:
            for item in value:
                lines += [f"[[{_format_key(name)}]]", *_format_pairs(item), ""]
    return "\n".join(lines)


def _format_pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_format_key(k)} = {format_value(v)}" for k, v in table.items() if v is not None]


def _format_key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _format_text(key)


def _format_text(value: str) -> str:
    # JSON's escapes are TOML's; only DEL may stand bare in JSON and must not in TOML
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def format_value(value: Any) -> str:
    """Format a value in one line. Raises ``TypeError`` for what TOML cannot express."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _format_text(value)
    if isinstance(value, Path):
        return _format_text(str(value))
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_format_pairs(value)) + " }" if value else "{}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(format_value, value)) + "]"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError(f"TOML cannot express {value!r}")
