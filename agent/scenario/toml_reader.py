"""Read a TOML file of people: every mistake has its place in the file, and says what would be right."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from agent.model.fastclass import frozen
from agent.scenario.grammar import NEEDS, Form, Key
from agent.scenario.variables import WHOLE
from agent.station_file.toml_positions import Path as KeyPath
from agent.station_file.toml_positions import key_positions

_SYNTAX = re.compile(r" \(at line (\d+), column (\d+)\)$")
MOST_BYTES = 1_000_000


@frozen
class FileProblem:
    """One mistake. ``line`` and ``column`` count from 1."""

    line: int
    column: int
    place: str
    message: str

    def compiler_line(self, file: Path) -> str:
        """Return the mistake as compilers write it, so that editors find the place."""
        place = f"{self.place}: " if self.place else ""
        return f"{file}:{self.line}:{self.column}: {place}{self.message}"


class TomlFileError(Exception):
    """A file is wrong. ``problems``: every mistake, in the order of the file."""

    def __init__(self, path: Path, problems: list[FileProblem]) -> None:
        self.path, self.problems = path, sorted(problems, key=lambda p: (p.line, p.column))
        super().__init__("\n".join(p.compiler_line(path) for p in self.problems))


def read_raw_bytes(path: Path, error: type[TomlFileError]) -> bytes:
    """Return the content of a file. Raises ``error``."""
    try:
        return path.read_bytes()
    except OSError as e:
        raise error(path, [FileProblem(1, 1, "", f"cannot be read: {e.strerror}")]) from None


def parse_toml_text(
    raw_bytes: bytes, path: Path, error: type[TomlFileError]
) -> tuple[dict[str, Any], dict[KeyPath, tuple[int, int]]]:
    """Return the tables of a file, and line and column of each key. Raises ``error``."""
    try:
        if len(raw_bytes) > MOST_BYTES:
            raise ValueError(f"is larger than {MOST_BYTES} bytes")
        text = raw_bytes.decode("utf-8").replace("\r\n", "\n")
        raw = tomllib.loads(text)
    except RecursionError:
        raise error(path, [FileProblem(1, 1, "", "has too many brackets within brackets")]) from None
    except ValueError as e:
        found = _SYNTAX.search(str(e))
        line, column = (int(found[1]), int(found[2])) if found else (1, 1)
        message = str(e)[: found.start()] if found else str(e)
        raise error(path, [FileProblem(line, column, "", message)]) from None
    return raw, key_positions(text)


class TomlReader:
    """Reads the tables of one file and collects what is wrong."""

    def __init__(self, raw: Mapping[str, Any], places: Mapping[KeyPath, tuple[int, int]]) -> None:
        self.raw, self._places = raw, places
        self.problems: list[FileProblem] = []

    def judge_keys(self, raw: Mapping[str, Any], path: KeyPath, known: Mapping[str, Key], what: str) -> None:
        """Complain about keys that are unknown, of another form, or missing."""
        for name, value in raw.items():
            if name not in known:
                self.add_problem((*path, name), f"{what} has no such key{suggest_name(name, known)}")
            elif problem := value_problem(known[name], value):
                self.add_problem((*path, name), problem)
        for key in known.values():
            if key.required and key.name not in raw:
                self.add_problem(path, f"{what} needs the key {key.name}: {key.meaning}")

    def judge_needs(self, needs: Collection[str], path: KeyPath, known: Collection[str] = tuple(NEEDS)) -> None:
        for need in needs:
            if need not in known:
                self.add_problem(path, f"{need!r} is not known{suggest_name(need, known)}; known: {', '.join(known)}")

    def add_problem(self, path: KeyPath, message: str) -> None:
        line, column = self.place_of_path(path)
        self.problems.append(FileProblem(line, column, _path_in_words(path), message))

    def place_of_path(self, path: KeyPath) -> tuple[int, int]:
        """Return line and column of a path, or of the nearest one above it that the file has."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path, (1, 1))


def value_problem(key: Key, value: Any) -> str:
    """Return what is wrong with the value of a key, or ""."""
    plain = key.form in (Form.TEXT, Form.INTEGER, Form.NUMBER, Form.FLAG)
    if plain and isinstance(value, str) and WHOLE.match(value):
        return ""
    if not _has_expected_form(key.form, value):
        return f"must be {_FORM_WORDS[key.form]}, is {value!r}"[:200]
    if key.choices:
        wrong = [v for v in ([value] if isinstance(value, str) else value) if v not in key.choices]
        if wrong:
            return f"{wrong[0]!r} is not known{suggest_name(wrong[0], key.choices)}; known: {', '.join(key.choices)}"
    if key.form in (Form.INTEGER, Form.NUMBER) and value < 0:
        return f"must not be negative, is {value}"
    if key.form in (Form.TEXTS, Form.LIST) and isinstance(value, list) and not value and key.required:
        return "is an empty list"
    return ""


_FORM_WORDS = {
    Form.TEXT: "a text in quotation marks", Form.INTEGER: "a whole number", Form.NUMBER: "a number",
    Form.FLAG: "true or false", Form.TABLE: "a table, like { status = \"Accepted\" }", Form.VALUE: "a value",
    Form.TEXTS: "a text, or a list of texts", Form.LIST: "a list of texts", Form.STEPS: "a list of steps",
    Form.BRANCHES: "a list of lists of steps", Form.TABLES: "a list of tables",
}  # fmt: skip


def _has_expected_form(form: Form, value: Any) -> bool:
    match form:
        case Form.TEXT:
            return isinstance(value, str)
        case Form.INTEGER:
            return type(value) is int
        case Form.NUMBER:
            return type(value) in (int, float) and value == value and abs(value) != float("inf")
        case Form.FLAG:
            return isinstance(value, bool)
        case Form.TABLE:
            return isinstance(value, Mapping)
        case Form.TEXTS | Form.LIST:
            texts = isinstance(value, list) and all(isinstance(v, str) for v in value)
            return texts or (form is Form.TEXTS and isinstance(value, str))
        case Form.STEPS | Form.TABLES:
            return isinstance(value, list)
        case Form.BRANCHES:
            return isinstance(value, list) and all(isinstance(v, list) for v in value)
        case _:
            return True


def list_of_texts(value: Any) -> tuple[str, ...]:
    """Return the texts of a list, none for anything else: the form is judged elsewhere."""
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def suggest_name(name: str, known: Collection[str]) -> str:
    """Return a hint at a known name that is near, or ""."""
    near = difflib.get_close_matches(str(name), list(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _path_in_words(path: KeyPath) -> str:
    """Return a path as a person reads it. Steps count from 1."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text
