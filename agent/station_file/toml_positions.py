"""Where each key of a TOML text stands. ``tomllib`` says what a file means, not where; this reads a text that
``tomllib`` has accepted, and keeps line and column of each key, table header and list entry."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Names of keys, and numbers of list entries from 0: ``("evse", 0, "board", "driver")``."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}(?!")', re.DOTALL),
    re.compile(r"'''.*?'{3,5}(?!')", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
"""Longest marks first: an empty text is the begin of a text on several lines."""
_OTHER = re.compile(r"[^,\]}#\n]+")


def key_positions(text: str) -> dict[Path, tuple[int, int]]:
    """Return line and column, both from 1, by path. The same path twice (a table that is written in
    parts) keeps the first."""
    return _Reader(text).read_positions()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._lines = [0, *(m.end() for m in re.finditer("\n", text))]
        self._found: dict[Path, tuple[int, int]] = {}
        self._lengths: dict[Path, int] = {}
        """Of each list of tables (``[[...]]``): how many there are so far."""

    def read_positions(self) -> dict[Path, tuple[int, int]]:
        table: Path = ()
        while self._skip_blanks() < len(self._text):
            if self._text[self._at] == "[":
                table = self._read_header()
            else:
                self._read_pair(table)
        return self._found

    def _read_header(self) -> Path:
        begin = self._at
        many = self._text.startswith("[[", begin)
        self._at += 2 if many else 1
        *above, last = [key for key, _ in self._read_key()]
        path: Path = ()
        for name in above:
            path = self._enter_table((*path, name), begin)
        if many:
            path = (*path, last)
            self._note_position(path, begin)
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = (*path, self._lengths[path] - 1)
        else:
            path = (*path, last)
        self._note_position(path, begin)
        self._skip_blanks()
        self._at += 2 if many else 1  # the closing brackets
        return path

    def _enter_table(self, path: Path, at: int) -> Path:
        """Return the table that a header refers to by a name before the last one: of a list of
        tables the newest."""
        self._note_position(path, at)
        return (*path, self._lengths[path] - 1) if path in self._lengths else path

    def _read_pair(self, table: Path) -> None:
        path = table
        for name, at in self._read_key():
            path = (*path, name)
            self._note_position(path, at)
        self._at += 1  # =
        self._read_value(path)

    def _read_key(self) -> list[tuple[str, int]]:
        """Read the names of a dotted key and where each begins; stop at the character after it."""
        names: list[tuple[str, int]] = []
        while True:
            begin = self._skip_blanks()
            names.append((self._read_name(), begin))
            if self._skip_blanks() >= len(self._text) or self._text[self._at] != ".":
                return names
            self._at += 1

    def _read_name(self) -> str:
        if found := _BARE.match(self._text, self._at):
            self._at = found.end()
            return found.group()
        quoted = self._read_string()
        if quoted.startswith("'"):
            return quoted[1:-1]
        import tomllib  # knows every escape

        (name,) = tomllib.loads(f"{quoted} = 0")
        return name

    def _read_value(self, path: Path) -> None:
        self._skip_blanks()
        mark = self._text[self._at]
        if mark == "[":
            self._read_list(path)
        elif mark == "{":
            self._read_inline_table(path)
        elif mark in "\"'":
            self._read_string()
        elif found := _OTHER.match(self._text, self._at):
            self._at = found.end()

    def _read_list(self, path: Path) -> None:
        index = 0
        self._at += 1
        while self._text[self._skip_blanks()] != "]":
            self._note_position((*path, index), self._at)
            self._read_value((*path, index))
            index += 1
            if self._text[self._skip_blanks()] == ",":
                self._at += 1
        self._at += 1

    def _read_inline_table(self, path: Path) -> None:
        self._at += 1
        while self._text[self._skip_blanks()] != "}":
            self._read_pair(path)
            if self._text[self._skip_blanks()] == ",":
                self._at += 1
        self._at += 1

    def _read_string(self) -> str:
        found = next(m for form in _STRINGS if (m := form.match(self._text, self._at)))
        self._at = found.end()
        return found.group()

    def _skip_blanks(self) -> int:
        """Skip blanks, line ends and comments."""
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at

    def _note_position(self, path: Path, at: int) -> None:
        line = bisect_right(self._lines, at)
        self._found.setdefault(path, (line, at - self._lines[line - 1] + 1))
