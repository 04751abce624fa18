"""Mistakes of a station file as a person and an editor want them: line and column, path, what is wrong.

Each judge of a file writes one line per mistake, ``PATH: what is wrong``. The place of the path is looked up here, when
there is something to say: a file that is right costs nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.model.fastclass import frozen
from agent.station_file import toml_positions
from agent.station_file.toml_positions import key_positions

_NAME = r"[A-Za-z0-9_.-]+(?:\[\d+\])?"
_PATH = re.compile(rf"\[{{0,2}}({_NAME}(?:\.{_NAME})*)\]{{0,2}}")
_BACKEND = re.compile(r"^backend ([^\s:]+)")
_SYNTAX = re.compile(r" \(at line (\d+), column (\d+)\)$")
FROM_ONE = ("evse", "backends", "sinks")
"""Lists that a complaint counts from 1, as people do; an EVSE by its ``number``."""


@frozen
class Problem:
    """``line`` and ``column`` from 1; 0: no place in the file. ``path``: of the key or table; "": of the whole file."""

    line: int
    column: int
    path: str
    message: str

    def compiler_line(self, file: Path) -> str:
        """Return the problem as compilers write it, so that editors find the place."""
        place = f"{file}:{self.line}:{self.column}" if self.line else str(file)
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


def place_problems(file: Path, complaints: Sequence[str]) -> list[Problem]:
    """Return the complaints as problems, by their place in the file. A repeated complaint counts
    once."""
    try:
        text = file.read_text("utf-8")
        raw, places = tomllib.loads(text), key_positions(text)
    except (OSError, ValueError, RecursionError):
        raw, places = {}, {}
    unique = dict.fromkeys(c.removeprefix(f"{file}: ") for c in complaints)
    return sorted((_place_problem(raw, places, c) for c in unique), key=lambda p: (p.line or 10**9, p.column))


def _place_problem(raw: dict[str, Any], places: dict[toml_positions.Path, tuple[int, int]], complaint: str) -> Problem:
    if syntax := _SYNTAX.search(complaint):
        return Problem(int(syntax[1]), int(syntax[2]), "", complaint[: syntax.start()])
    complaint = _BACKEND.sub(lambda m: _backend_path(raw, m[1]), complaint)
    head, colon, message = complaint.partition(": ")
    named = _PATH.fullmatch(head)
    if not colon or named is None:
        return Problem(0, 0, "", complaint)
    path, message = _with_key(raw, named[1], message)
    found = (0, 0)
    for step, _ in _path_steps(raw, path):
        found = places.get(step, found)
    return Problem(*found, path, message)


def _backend_path(raw: dict[str, Any], name: str) -> str:
    """Return the path of a backend that a complaint calls by its name."""
    further = raw.get("backends", [])
    for number, table in enumerate(further if isinstance(further, list) else (), 1):
        if isinstance(table, dict) and table.get("name") == name:
            return f"backends[{number}]"
    return "backend"


def _with_key(raw: Any, path: str, message: str) -> tuple[str, str]:
    """Return path and message with the key in the path. A message about a table may begin with the
    key, or the keys, that it is about."""
    keys = re.match(rf"({_NAME}(?:, {_NAME})*): ", message)
    table = list(_path_steps(raw, path))[-1:]
    if keys is None or not table or not isinstance(table[0][1], dict):
        return path, message
    names = keys[1].split(", ")
    there = next((n for n in names if n in table[0][1]), names[0] if len(names) == 1 else "")
    if not there:
        return path, message
    return f"{path}.{there}", message[keys.end() :] if len(names) == 1 else message


def _path_steps(raw: Any, path: str) -> Iterator[tuple[toml_positions.Path, Any]]:
    """Yield the part of the path that the file has, step by step from the top, and what is there."""
    done: toml_positions.Path = ()
    for step in re.finditer(r"([A-Za-z0-9_-]+)(?:\[(\d+)\])?", path):
        name, index = step.groups()
        if not isinstance(raw, dict):
            return
        if name not in raw:  # a name of OCPP 2 has a dot in it
            if path[step.start() :] in raw:
                yield (*done, path[step.start() :]), raw[path[step.start() :]]
            return
        done, raw = (*done, name), raw[name]
        yield done, raw
        if index and isinstance(raw, list):
            at = _list_index(raw, name, int(index)) if len(done) == 1 else int(index)
            if not 0 <= at < len(raw):
                return
            done, raw = (*done, at), raw[at]
            yield done, raw


def _list_index(tables: list[Any], name: str, number: int) -> int:
    if name not in FROM_ONE:
        return number
    numbers = [t.get("number") if isinstance(t, dict) else None for t in tables]
    return numbers.index(number) if name == "evse" and number in numbers else number - 1
