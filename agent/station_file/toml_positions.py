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


def positions(text: str) -> dict[Path, tuple[int, int]]:
    """Line and column, both from 1, by path. The same path twice (a table that is written in parts) keeps the first."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._lines = [0, *(m.end() for m in re.finditer("\n", text))]
        self._found: dict[Path, tuple[int, int]] = {}
        self._lengths: dict[Path, int] = {}
        """Of each list of tables (``[[...]]``): how many there are so far."""

    def read(self) -> dict[Path, tuple[int, int]]:
        table: Path = ()
        while self._skip() < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._found

    def _header(self) -> Path:
        begin = self._at
        many = self._text.startswith("[[", begin)
        self._at += 2 if many else 1
        *above, last = [key for key, _ in self._key()]
        path: Path = ()
        for name in above:
            path = self._entered((*path, name), begin)
        if many:
            path = (*path, last)
            self._note(path, begin)
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = (*path, self._lengths[path] - 1)
        else:
            path = (*path, last)
        self._note(path, begin)
        self._skip()
        self._at += 2 if many else 1  # the closing brackets
        return path

    def _entered(self, path: Path, at: int) -> Path:
        """The table that a header means by a name above the last one: of a list of tables the newest."""
        self._note(path, at)
        return (*path, self._lengths[path] - 1) if path in self._lengths else path

    def _pair(self, table: Path) -> None:
        path = table
        for name, at in self._key():
            path = (*path, name)
            self._note(path, at)
        self._at += 1  # =
        self._value(path)

    def _key(self) -> list[tuple[str, int]]:
        """The names of a dotted key and where each begins; stands at the character after it."""
        names: list[tuple[str, int]] = []
        while True:
            begin = self._skip()
            names.append((self._name(), begin))
            if self._skip() >= len(self._text) or self._text[self._at] != ".":
                return names
            self._at += 1

    def _name(self) -> str:
        if found := _BARE.match(self._text, self._at):
            self._at = found.end()
            return found.group()
        quoted = self._string()
        if quoted.startswith("'"):
            return quoted[1:-1]
        import tomllib  # knows every escape

        (name,) = tomllib.loads(f"{quoted} = 0")
        return name

    def _value(self, path: Path) -> None:
        self._skip()
        mark = self._text[self._at]
        if mark == "[":
            self._list(path)
        elif mark == "{":
            self._inline(path)
        elif mark in "\"'":
            self._string()
        elif found := _OTHER.match(self._text, self._at):
            self._at = found.end()

    def _list(self, path: Path) -> None:
        index = 0
        self._at += 1
        while self._text[self._skip()] != "]":
            self._note((*path, index), self._at)
            self._value((*path, index))
            index += 1
            if self._text[self._skip()] == ",":
                self._at += 1
        self._at += 1

    def _inline(self, path: Path) -> None:
        self._at += 1
        while self._text[self._skip()] != "}":
            self._pair(path)
            if self._text[self._skip()] == ",":
                self._at += 1
        self._at += 1

    def _string(self) -> str:
        found = next(m for form in _STRINGS if (m := form.match(self._text, self._at)))
        self._at = found.end()
        return found.group()

    def _skip(self) -> int:
        """Over blanks, line ends and comments."""
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at

    def _note(self, path: Path, at: int) -> None:
        line = bisect_right(self._lines, at)
        self._found.setdefault(path, (line, at - self._lines[line - 1] + 1))
