"""Read and judge a scenario file. Every mistake has its place in the file, and says what would be right."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from agent.model.fastclass import frozen
from agent.scenario.grammar import BUILT_IN, HEAD, KINDS, NEEDS, VERSIONS, Form, Key, StepKind
from agent.scenario.operations import OPERATIONS
from agent.scenario.scenario_model import Scenario, Step
from agent.scenario.variables import WHOLE, references_in
from agent.station_file.toml_positions import Path as KeyPath
from agent.station_file.toml_positions import key_positions

_SYNTAX = re.compile(r" \(at line (\d+), column (\d+)\)$")
_ACTION = re.compile(r"[A-Z][A-Za-z]+")
MOST_BYTES = 1_000_000


@frozen
class ScenarioProblem:
    """One mistake. ``line`` and ``column`` count from 1."""

    line: int
    column: int
    place: str
    message: str

    def compiler_line(self, file: Path) -> str:
        """Return the mistake as compilers write it, so that editors find the place."""
        place = f"{self.place}: " if self.place else ""
        return f"{file}:{self.line}:{self.column}: {place}{self.message}"


class ScenarioError(Exception):
    """A scenario file is wrong. ``problems``: every mistake, in the order of the file."""

    def __init__(self, path: Path, problems: list[ScenarioProblem]) -> None:
        self.path, self.problems = path, sorted(problems, key=lambda p: (p.line, p.column))
        super().__init__("\n".join(p.compiler_line(path) for p in self.problems))


def load_scenario(path: Path) -> Scenario:
    """Read a scenario. Raises ``ScenarioError``."""
    try:
        raw_bytes = path.read_bytes()
    except OSError as e:
        raise ScenarioError(path, [ScenarioProblem(1, 1, "", f"cannot be read: {e.strerror}")]) from None
    return parse_scenario(raw_bytes, path)


def parse_scenario(raw_bytes: bytes, path: Path) -> Scenario:
    """Parse the content of a scenario file. Raises ``ScenarioError``."""
    try:
        if len(raw_bytes) > MOST_BYTES:
            raise ValueError(f"is larger than {MOST_BYTES} bytes")
        text = raw_bytes.decode("utf-8").replace("\r\n", "\n")
        raw = tomllib.loads(text)
    except RecursionError:
        raise ScenarioError(path, [ScenarioProblem(1, 1, "", "has too many brackets within brackets")]) from None
    except ValueError as e:
        found = _SYNTAX.search(str(e))
        line, column = (int(found[1]), int(found[2])) if found else (1, 1)
        message = str(e)[: found.start()] if found else str(e)
        raise ScenarioError(path, [ScenarioProblem(line, column, "", message)]) from None
    reader = _Reader(raw, key_positions(text))
    scenario = reader.read_scenario(path)
    if reader.problems:
        raise ScenarioError(path, reader.problems)
    return scenario


class _Reader:
    """Reads the tables of one file and collects what is wrong."""

    def __init__(self, raw: Mapping[str, Any], places: Mapping[KeyPath, tuple[int, int]]) -> None:
        self._raw, self._places = raw, places
        self.problems: list[ScenarioProblem] = []
        self._ids: dict[str, int] = {}
        self._known: set[str] = set(BUILT_IN)

    def read_scenario(self, path: Path) -> Scenario:
        self._judge_keys(self._raw, (), {k.name: k for k in HEAD}, "a scenario")
        variables = self._raw.get("variables", {})
        if isinstance(variables, Mapping):
            self._known |= set(variables)
        steps = self._read_list_of_steps(self._raw.get("steps", []), ("steps",), "")
        finally_steps = self._read_list_of_steps(self._raw.get("finally", []), ("finally",), "F")
        if self._raw.get("steps") == []:
            self._add_problem(("steps",), "has no step; write at least one, like { plug = 1 }")
        texts = {name: _list_of_texts(self._raw.get(name)) for name in ("versions", "references", "needs")}
        self._judge_needs(texts["needs"], ("needs",))
        return Scenario(
            path, str(self._raw.get("id", path.stem)), str(self._raw.get("title", "")), steps, finally_steps,
            str(self._raw.get("purpose", "")), texts["versions"] or VERSIONS, texts["references"], texts["needs"],
            variables if isinstance(variables, Mapping) else {},
        )  # fmt: skip

    # --- steps -------------------------------------------------------------------------------------------------------

    def _read_list_of_steps(self, raw: Any, path: KeyPath, above: str) -> tuple[Step, ...]:
        if not isinstance(raw, list):
            return ()  # the form of the key is judged where the key is
        dot = "." if above and above[-1].isdigit() else ""
        found = [self._read_single_step(one, (*path, n), f"{above}{dot}{n + 1}") for n, one in enumerate(raw)]
        return tuple(step for step in found if step is not None)

    def _read_single_step(self, raw: Any, path: KeyPath, number: str) -> Step | None:
        if not isinstance(raw, Mapping):
            self._add_problem(path, "must be a step in braces, like { plug = 1 }")
            return None
        kind = self._kind_of_step(raw, path)
        if kind is None:
            return None
        self._judge_keys(raw, path, kind.keys_by_name(), f"a step {kind.kind_name}")
        self._judge_content(kind, raw, path)
        self._judge_variables(kind, raw, path)
        self._judge_step_id(raw, path)
        branches = self._read_branches(kind, raw, path, number)
        self._learn_variables(kind, raw)
        return Step(kind, number, self._place_of_path(path)[0], raw, branches)

    def _read_branches(
        self, kind: StepKind, raw: Mapping[str, Any], path: KeyPath, number: str
    ) -> tuple[tuple[Step, ...], ...]:
        if kind.kind_name == "repeat":
            return (self._read_list_of_steps(raw.get("steps"), (*path, "steps"), number),)
        if kind.kind_name == "parallel" and isinstance(raw["parallel"], list):
            letters = "abcdefghijklmnopqrstuvwxyz"
            return tuple(
                self._read_list_of_steps(one, (*path, "parallel", n), f"{number}{letters[n % 26]}")
                for n, one in enumerate(raw["parallel"])
            )
        return ()

    def _kind_of_step(self, raw: Mapping[str, Any], path: KeyPath) -> StepKind | None:
        """Return the kind of a step. ``set`` is an option of other kinds too, so it counts only alone."""
        named = [key for key in raw if key in KINDS]
        if len(named) > 1 and "set" in named:
            named.remove("set")
        if len(named) == 1:
            return KINDS[named[0]]
        if not named:
            hint = _suggest_name(next(iter(raw), ""), KINDS)
            self._add_problem(path, f"names no kind of step{hint}; known: {', '.join(KINDS)}")
        else:
            self._add_problem((*path, named[1]), f"is a second kind of step beside {named[0]}: write two steps")
        return None

    # --- rules -------------------------------------------------------------------------------------------------------

    def _judge_keys(self, raw: Mapping[str, Any], path: KeyPath, known: Mapping[str, Key], what: str) -> None:
        for name, value in raw.items():
            if name not in known:
                self._add_problem((*path, name), f"{what} has no such key{_suggest_name(name, known)}")
            elif problem := value_problem(known[name], value):
                self._add_problem((*path, name), problem)
        for key in known.values():
            if key.required and key.name not in raw:
                self._add_problem(path, f"{what} needs the key {key.name}: {key.meaning}")

    def _judge_content(self, kind: StepKind, raw: Mapping[str, Any], path: KeyPath) -> None:
        self._judge_needs(_list_of_texts(raw.get("needs")), (*path, "needs"))
        self._judge_patterns({k: v for k, v in raw.items() if k not in ("steps", "parallel")}, path)
        if kind.kind_name == "backend":
            self._judge_backend(raw, path)
        if kind.kind_name == "check" and not set(raw) & {"equals", "at_least", "at_most"}:
            self._add_problem(path, "compares nothing: add equals, at_least or at_most")
        if kind.kind_name == "measure" and not set(raw) & {"at_least", "at_most", "set"}:
            self._add_problem(path, "measures for nothing: add at_least, at_most, or set")
        if kind.kind_name == "wait_message" and not _is_action_of_ocpp(raw["wait_message"]):
            self._add_problem((*path, "wait_message"), "must be an action of OCPP, like StatusNotification")

    def _judge_patterns(self, value: Any, path: KeyPath) -> None:
        """Complain about regular expressions that are none."""
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if key == "matches" and isinstance(inner, str):
                    try:
                        re.compile(inner)
                    except re.error as e:
                        self._add_problem((*path, key), f"{inner!r} is no regular expression: {e}")
                self._judge_patterns(inner, (*path, key))
        elif isinstance(value, list):
            for n, inner in enumerate(value):
                self._judge_patterns(inner, (*path, n))

    def _judge_backend(self, raw: Mapping[str, Any], path: KeyPath) -> None:
        name = raw["backend"]
        operation = OPERATIONS.get(name) if isinstance(name, str) else None
        if operation is None:
            if not _is_action_of_ocpp(name):
                hint = _suggest_name(str(name), OPERATIONS)
                self._add_problem((*path, "backend"), f"is no operation{hint}; an action of OCPP begins with a capital")
            for key in {"with", "results"} & set(raw):
                self._add_problem((*path, key), "belongs to operations; an action of OCPP takes payload and answer")
            return
        if "payload" in raw:
            self._add_problem((*path, "payload"), f"belongs to actions of OCPP; {name} takes with")
        given = raw.get("with", {})
        if not isinstance(given, Mapping):
            return
        for parameter in given:
            if parameter not in operation.parameter_names():
                hint = _suggest_name(parameter, operation.parameter_names())
                self._add_problem((*path, "with", parameter), f"{name} has no such parameter{hint}")
        if missing := [p for p in operation.required if p not in given]:
            self._add_problem(path, f"{name} needs with = {{ {missing[0]} = ... }}")

    def _judge_needs(self, needs: Collection[str], path: KeyPath) -> None:
        for need in needs:
            if need not in NEEDS:
                self._add_problem(path, f"{need!r} is not known{_suggest_name(need, NEEDS)}; known: {', '.join(NEEDS)}")

    def _judge_step_id(self, raw: Mapping[str, Any], path: KeyPath) -> None:
        name = raw.get("id")
        if not isinstance(name, str):
            return
        line = self._place_of_path(path)[0]
        if self._ids.setdefault(name, line) != line:
            self._add_problem((*path, "id"), f"{name!r} is the id of the step in line {self._ids[name]} already")

    def _judge_variables(self, kind: StepKind, raw: Mapping[str, Any], path: KeyPath) -> None:
        own = {k: v for k, v in raw.items() if k not in ("steps", "parallel")}
        for key, value in own.items():
            for name in references_in(value):
                if name not in self._known:
                    hint = _suggest_name(name, self._known)
                    self._add_problem(
                        (*path, key), f"${{{name}}} is set by no step before this one and is not in [variables]{hint}"
                    )

    def _learn_variables(self, kind: StepKind, raw: Mapping[str, Any]) -> None:
        names = raw.get("set")
        if isinstance(names, str):
            self._known.add(names)
        elif isinstance(names, Mapping):
            self._known |= set(names)

    # --- places ------------------------------------------------------------------------------------------------------

    def _add_problem(self, path: KeyPath, message: str) -> None:
        line, column = self._place_of_path(path)
        self.problems.append(ScenarioProblem(line, column, _path_in_words(path), message))

    def _place_of_path(self, path: KeyPath) -> tuple[int, int]:
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
            return f"{wrong[0]!r} is not known{_suggest_name(wrong[0], key.choices)}; known: {', '.join(key.choices)}"
    if key.form in (Form.INTEGER, Form.NUMBER) and value < 0:
        return f"must not be negative, is {value}"
    if key.form in (Form.TEXTS, Form.LIST) and isinstance(value, list) and not value and key.required:
        return "is an empty list"
    return ""


_FORM_WORDS = {
    Form.TEXT: "a text in quotation marks", Form.INTEGER: "a whole number", Form.NUMBER: "a number",
    Form.FLAG: "true or false", Form.TABLE: "a table, like { status = \"Accepted\" }", Form.VALUE: "a value",
    Form.TEXTS: "a text, or a list of texts", Form.LIST: "a list of texts", Form.STEPS: "a list of steps",
    Form.BRANCHES: "a list of lists of steps",
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
        case Form.STEPS:
            return isinstance(value, list)
        case Form.BRANCHES:
            return isinstance(value, list) and all(isinstance(v, list) for v in value)
        case _:
            return True


def _list_of_texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _is_action_of_ocpp(value: Any) -> bool:
    return isinstance(value, str) and _ACTION.fullmatch(value) is not None


def _suggest_name(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _path_in_words(path: KeyPath) -> str:
    """Return a path as a person reads it. Steps count from 1."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text
