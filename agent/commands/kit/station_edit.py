"""Changes in the text of a station file. Comments, order and blank lines stay (docs/decisions/0038)."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Sequence
from typing import Any

from agent.commands.kit.station_changes import ABSENT, KeyChange
from agent.station_file.settings import SettingsError


def edit_text(text: str, changes: Sequence[KeyChange]) -> str:
    """Return the text with the changes made. Raises ``SettingsError`` if its tables would not be exactly the wanted
    ones."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    wanted = tomllib.loads(text)
    for change in changes:
        _put_value(wanted, change, lambda above: {})
    found: Any = None
    edited = ""
    try:
        document = tomlkit.parse(text if text.endswith("\n") else f"{text}\n")
        for change in changes:
            _put_value(document, change, _new_table)
        edited = tomlkit.dumps(document)
        found = tomllib.loads(edited)
    except (TOMLKitError, tomllib.TOMLDecodeError, LookupError):
        pass  # a form of TOML that the library does not edit
    if found != wanted:
        raise SettingsError(
            ["the file is written in a form that cannot be edited in place: write each table under a header of its own"]
        )
    return edited


def _put_value(tables: Any, change: KeyChange, make_table: Callable[[Any], Any]) -> None:
    *above, key = change.path
    for step in above:
        if isinstance(step, str) and step not in tables:
            tables[step] = make_table(tables)
        tables = tables[step]
    if change.new is ABSENT:
        del tables[key]
    else:
        _clear_borrowed_comment(tables)
        tables[key] = copy.deepcopy(change.new)


def _clear_borrowed_comment(table: Any) -> None:
    """Clear the comment of a table that has no header yet. tomlkit has copied it from the first table below it."""
    from tomlkit.items import Table

    if isinstance(table, Table) and table.is_super_table():
        table.trivia.comment = table.trivia.comment_ws = ""


def _new_table(above: Any) -> Any:
    import tomlkit
    from tomlkit.items import InlineTable

    return tomlkit.inline_table() if isinstance(above, InlineTable) else tomlkit.table()
