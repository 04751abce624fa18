"""Read and judge a scenario file. Every mistake has its place in the file, and says what would be right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.scenario.grammar import BUILT_IN, HEAD, KINDS, VERSIONS, StepKind
from agent.scenario.operations import OPERATIONS
from agent.scenario.scenario_model import Scenario, Step
from agent.scenario.toml_reader import (
    TomlFileError,
    TomlReader,
    list_of_texts,
    parse_toml_text,
    read_raw_bytes,
    suggest_name,
)
from agent.scenario.variables import references_in
from agent.station_file.toml_positions import Path as KeyPath

_ACTION = re.compile(r"[A-Z][A-Za-z]+")


class ScenarioError(TomlFileError):
    """A scenario file is wrong."""


def load_scenario(path: Path) -> Scenario:
    """Read a scenario. Raises ``ScenarioError``."""
    return parse_scenario(read_raw_bytes(path, ScenarioError), path)


def parse_scenario(raw_bytes: bytes, path: Path) -> Scenario:
    """Parse the content of a scenario file. Raises ``ScenarioError``."""
    reader = _Reader(*parse_toml_text(raw_bytes, path, ScenarioError))
    scenario = reader.read_scenario(path)
    if reader.problems:
        raise ScenarioError(path, reader.problems)
    return scenario


class _Reader(TomlReader):
    def __init__(self, raw: Mapping[str, Any], places: Mapping[KeyPath, tuple[int, int]]) -> None:
        super().__init__(raw, places)
        self._ids: dict[str, int] = {}
        self._known: set[str] = set(BUILT_IN)

    def read_scenario(self, path: Path) -> Scenario:
        self.judge_keys(self.raw, (), {k.name: k for k in HEAD}, "a scenario")
        variables = self.raw.get("variables", {})
        if isinstance(variables, Mapping):
            self._known |= set(variables)
        steps = self._read_list_of_steps(self.raw.get("steps", []), ("steps",), "")
        finally_steps = self._read_list_of_steps(self.raw.get("finally", []), ("finally",), "F")
        if self.raw.get("steps") == []:
            self.add_problem(("steps",), "has no step; write at least one, like { plug = 1 }")
        texts = {name: list_of_texts(self.raw.get(name)) for name in ("versions", "references", "needs")}
        self.judge_needs(texts["needs"], ("needs",))
        return Scenario(
            path, str(self.raw.get("id", path.stem)), str(self.raw.get("title", "")), steps, finally_steps,
            str(self.raw.get("purpose", "")), texts["versions"] or VERSIONS, texts["references"], texts["needs"],
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
            self.add_problem(path, "must be a step in braces, like { plug = 1 }")
            return None
        kind = self._kind_of_step(raw, path)
        if kind is None:
            return None
        self.judge_keys(raw, path, kind.keys_by_name(), f"a step {kind.kind_name}")
        self._judge_content(kind, raw, path)
        self._judge_variables(kind, raw, path)
        self._judge_step_id(raw, path)
        branches = self._read_branches(kind, raw, path, number)
        self._learn_variables(kind, raw)
        return Step(kind, number, self.place_of_path(path)[0], raw, branches)

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
            hint = suggest_name(next(iter(raw), ""), KINDS)
            self.add_problem(path, f"names no kind of step{hint}; known: {', '.join(KINDS)}")
        else:
            self.add_problem((*path, named[1]), f"is a second kind of step beside {named[0]}: write two steps")
        return None

    # --- rules -------------------------------------------------------------------------------------------------------

    def _judge_content(self, kind: StepKind, raw: Mapping[str, Any], path: KeyPath) -> None:
        self.judge_needs(list_of_texts(raw.get("needs")), (*path, "needs"))
        self._judge_patterns({k: v for k, v in raw.items() if k not in ("steps", "parallel")}, path)
        if kind.kind_name == "backend":
            self._judge_backend(raw, path)
        if kind.kind_name == "check" and not set(raw) & {"equals", "at_least", "at_most"}:
            self.add_problem(path, "compares nothing: add equals, at_least or at_most")
        if kind.kind_name == "measure" and not set(raw) & {"at_least", "at_most", "set"}:
            self.add_problem(path, "measures for nothing: add at_least, at_most, or set")
        if kind.kind_name == "wait_message" and not _is_action_of_ocpp(raw["wait_message"]):
            self.add_problem((*path, "wait_message"), "must be an action of OCPP, like StatusNotification")

    def _judge_patterns(self, value: Any, path: KeyPath) -> None:
        """Complain about regular expressions that are none."""
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if key == "matches" and isinstance(inner, str):
                    try:
                        re.compile(inner)
                    except re.error as e:
                        self.add_problem((*path, key), f"{inner!r} is no regular expression: {e}")
                self._judge_patterns(inner, (*path, key))
        elif isinstance(value, list):
            for n, inner in enumerate(value):
                self._judge_patterns(inner, (*path, n))

    def _judge_backend(self, raw: Mapping[str, Any], path: KeyPath) -> None:
        name = raw["backend"]
        operation = OPERATIONS.get(name) if isinstance(name, str) else None
        if operation is None:
            if not _is_action_of_ocpp(name):
                hint = suggest_name(str(name), OPERATIONS)
                self.add_problem((*path, "backend"), f"is no operation{hint}; an action of OCPP begins with a capital")
            for key in {"with", "results"} & set(raw):
                self.add_problem((*path, key), "belongs to operations; an action of OCPP takes payload and answer")
            return
        if "payload" in raw:
            self.add_problem((*path, "payload"), f"belongs to actions of OCPP; {name} takes with")
        given = raw.get("with", {})
        if not isinstance(given, Mapping):
            return
        for parameter in given:
            if parameter not in operation.parameter_names():
                hint = suggest_name(parameter, operation.parameter_names())
                self.add_problem((*path, "with", parameter), f"{name} has no such parameter{hint}")
        if missing := [p for p in operation.required if p not in given]:
            self.add_problem(path, f"{name} needs with = {{ {missing[0]} = ... }}")

    def _judge_step_id(self, raw: Mapping[str, Any], path: KeyPath) -> None:
        name = raw.get("id")
        if not isinstance(name, str):
            return
        line = self.place_of_path(path)[0]
        if self._ids.setdefault(name, line) != line:
            self.add_problem((*path, "id"), f"{name!r} is the id of the step in line {self._ids[name]} already")

    def _judge_variables(self, kind: StepKind, raw: Mapping[str, Any], path: KeyPath) -> None:
        own = {k: v for k, v in raw.items() if k not in ("steps", "parallel")}
        for key, value in own.items():
            for name in references_in(value):
                if name not in self._known:
                    hint = suggest_name(name, self._known)
                    self.add_problem(
                        (*path, key), f"${{{name}}} is set by no step before this one and is not in [variables]{hint}"
                    )

    def _learn_variables(self, kind: StepKind, raw: Mapping[str, Any]) -> None:
        names = raw.get("set")
        if isinstance(names, str):
            self._known.add(names)
        elif isinstance(names, Mapping):
            self._known |= set(names)


def _is_action_of_ocpp(value: Any) -> bool:
    return isinstance(value, str) and _ACTION.fullmatch(value) is not None
