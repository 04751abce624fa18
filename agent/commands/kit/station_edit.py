"""Changes in the text of a station file. Comments, order and blank lines stay (docs/decisions/0038)."""

from __future__ import annotations

import copy
import itertools
import tomllib
from collections.abc import Callable, Iterator, Sequence
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
        document, headings, tail = _parse_with_headings(text if text.endswith("\n") else f"{text}\n")
        for change in changes:
            _put_value(document, change, _new_table)
        _write_headings(headings)
        edited = tomlkit.dumps(document) + tail
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
        if not _edit_entries(tables.get(key), change.new):
            tables[key] = copy.deepcopy(change.new)


def _edit_entries(old: Any, new: Any) -> bool:
    """Write a list of plain values entry by entry: the comments between the entries stay. Returns whether it could."""
    if not (isinstance(old, list) and isinstance(new, list) and old):
        return False
    if any(isinstance(entry, list | dict) for entry in (*old, *new)):
        return False
    for place, entry in enumerate(new):
        if place >= len(old):
            old.append(entry)
        elif old[place] != entry:
            old[place] = entry
    while len(old) > len(new):
        del old[-1]
    return True


def _clear_borrowed_comment(table: Any) -> None:
    """Clear the comment of a table that has no header yet. tomlkit has copied it from the first table below it."""
    from tomlkit.items import Table

    if isinstance(table, Table) and table.is_super_table():
        table.trivia.comment = table.trivia.comment_ws = ""


def _new_table(above: Any) -> Any:
    import tomlkit
    from tomlkit.items import InlineTable

    return tomlkit.inline_table() if isinstance(above, InlineTable) else tomlkit.table()


def _parse_with_headings(text: str) -> tuple[Any, list[tuple[Any, str]], str]:
    """Parse the text; return the document, the comments above the header of each table, and those at its end.

    tomlkit counts comments above a header to the table before it. They are cut from there while the document is
    edited, so that a new key of the table before comes above them.
    """
    import tomlkit

    document = tomlkit.parse(text)
    tables = list(_tables_in_order(document))
    headings = [(below, _cut_end(table.value.body, True)) for table, below in itertools.pairwise(tables)]
    tail = _cut_end(tables[-1].value.body, False) if tables else ""
    indents = [below.trivia.indent for below, _ in headings]
    _write_headings(headings)
    as_before = tomlkit.dumps(document) + tail == text
    for (below, _), indent in zip(headings, indents, strict=True):
        below.trivia.indent = indent
    if as_before:
        return document, headings, tail
    return tomlkit.parse(text), [], ""  # a form in which tables are not one below the other


def _write_headings(headings: Sequence[tuple[Any, str]]) -> None:
    for below, comments in (found for found in headings if found[1]):
        below.trivia.indent = comments + below.trivia.indent.lstrip("\r\n")  # tomlkit may have put a blank line there


def _tables_in_order(container: Any) -> Iterator[Any]:
    """Yield each table that has a header."""
    from tomlkit.items import AoT, Table

    for _, item in container.body:
        for table in item.body if isinstance(item, AoT) else [item] if isinstance(item, Table) else []:
            if not table.is_super_table():
                yield table
            yield from _tables_in_order(table.value)


def _cut_end(body: list[Any], heads_next: bool) -> str:
    """Cut the comments and blank lines from the end of a table, and return them. Comments directly below its last key
    stay; without a blank line they do so only if no header follows (``heads_next``)."""
    from tomlkit.items import Comment, Whitespace

    start = len(body)
    while start and isinstance(body[start - 1][1], Comment | Whitespace):
        start -= 1
    blank = next((n for n in range(start, len(body)) if isinstance(body[n][1], Whitespace)), None)
    if blank is not None:
        start = blank
    elif not heads_next:
        return ""
    cut = "".join(item.as_string() for _, item in body[start:])
    del body[start:]
    return cut
