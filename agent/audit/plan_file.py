"""Read and judge an audit plan. Every mistake has its place in the file, and says what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.audit.context import JudgeParameter
from agent.audit.judge_table import known_judges
from agent.audit.plan_grammar import FACTS, HEAD, KIND_KEYS, NEEDS, OBLIGATION, OF_KIND, SECTION
from agent.audit.plan_model import DEFAULT_SPEED, FASTEST, Obligation, ObligationKind, Plan, Section
from agent.scenario.grammar import Key
from agent.scenario.scenario_file import ScenarioError
from agent.scenario.scenario_model import Scenario
from agent.scenario.toml_reader import (
    TomlFileError,
    TomlReader,
    list_of_texts,
    parse_toml_text,
    read_raw_bytes,
    suggest_name,
    value_problem,
)
from agent.station_file.toml_positions import Path as KeyPath

_ID = re.compile(r"[a-z0-9][a-z0-9_]*")
FindScenario = Callable[[str], Scenario | None]
"""Returns the scenario of a name, None if there is none. Raises ``ScenarioError``."""


class PlanError(TomlFileError):
    """A plan is wrong."""


def load_plan(path: Path, find_scenario: FindScenario) -> Plan:
    """Read a plan. Raises ``PlanError``."""
    return parse_plan(read_raw_bytes(path, PlanError), path, find_scenario)


def parse_plan(raw_bytes: bytes, path: Path, find_scenario: FindScenario) -> Plan:
    """Parse the content of a plan. Raises ``PlanError``."""
    reader = _PlanReader(*parse_toml_text(raw_bytes, path, PlanError), find_scenario)
    plan = reader.read_plan(path)
    if reader.problems:
        raise PlanError(path, reader.problems)
    return plan


class _PlanReader(TomlReader):
    def __init__(
        self, raw: Mapping[str, Any], places: Mapping[KeyPath, tuple[int, int]], find_scenario: FindScenario
    ) -> None:
        super().__init__(raw, places)
        self._find_scenario = find_scenario
        self._section_lines: dict[str, int] = {}
        self._known_ids: dict[str, int] = {}
        self._variables_of_scenarios: set[str] = set()

    def read_plan(self, path: Path) -> Plan:
        self.judge_keys(self.raw, (), _keys_by_name(HEAD), "a plan")
        sections = tuple(
            self._read_section(raw, at) for raw, at in self._tables_with_their_paths(self.raw, (), "sections")
        )
        variables = self.raw.get("variables", {})
        if isinstance(variables, Mapping):
            self._judge_variables(variables)
        self._judge_named_obligations()
        return Plan(
            path, str(self.raw.get("id", path.stem)), str(self.raw.get("title", "")), str(self.raw.get("edition", "")),
            sections, str(self.raw.get("purpose", "")), list_of_texts(self.raw.get("versions")),
            str(self.raw.get("station", "")), list_of_texts(self.raw.get("signing")), self._simulation_speed(),
            variables if isinstance(variables, Mapping) else {},
        )  # fmt: skip

    def _simulation_speed(self) -> float:
        speed = self.raw.get("speed", DEFAULT_SPEED)
        if isinstance(speed, int | float) and not 0.1 <= speed <= FASTEST:
            self.add_problem(("speed",), f"must be 0.1 to {FASTEST:g}, is {speed}")
        return float(speed) if isinstance(speed, int | float) else DEFAULT_SPEED

    # --- sections and obligations ------------------------------------------------------------------------------------

    def _read_section(self, raw: Mapping[str, Any], path: KeyPath) -> Section:
        self.judge_keys(raw, path, _keys_by_name(SECTION), "a section")
        name = str(raw.get("id", ""))
        self._judge_short_name(name, path, self._section_lines, "a section")
        common = list_of_texts(raw.get("references"))
        obligations = tuple(
            self._read_obligation(one, at, name, common)
            for one, at in self._tables_with_their_paths(raw, path, "obligations")
        )
        return Section(name, str(raw.get("title", "")), obligations)

    def _read_obligation(
        self, raw: Mapping[str, Any], path: KeyPath, section: str, common: tuple[str, ...]
    ) -> Obligation:
        self.judge_keys(raw, path, _keys_by_name(OBLIGATION), "an obligation")
        whole = f"{section}.{raw.get('id', '')}"
        self._judge_short_name(str(raw.get("id", "")), path, self._known_ids, "an obligation", whole)
        self.judge_needs(list_of_texts(raw.get("needs")), (*path, "needs"), tuple(NEEDS))
        kind = self._kind_of_obligation(raw, path)
        subject = str(raw.get(str(kind), ""))
        given = raw.get("with", {})
        self._judge_subject(kind, subject, given if isinstance(given, Mapping) else {}, path)
        self._judge_answer_keys(raw, path)
        references = (*list_of_texts(raw.get("references")), *common)
        return Obligation(
            whole, str(raw.get("title", "")), kind, subject, self.place_of_path(path)[0],
            given if isinstance(given, Mapping) else {}, list_of_texts(raw.get("of")), list_of_texts(raw.get("needs")),
            list_of_texts(raw.get("versions")), tuple(dict.fromkeys(references)), str(raw.get("advice", "")),
            str(raw.get("advice_to", "client")), str(raw.get("expect", "yes")), str(raw.get("matches", "")),
            raw.get("simulated"), str(raw.get("fact", "")), raw.get("picture") is True,
        )  # fmt: skip

    def _kind_of_obligation(self, raw: Mapping[str, Any], path: KeyPath) -> ObligationKind:
        named = [kind for kind, key in KIND_KEYS.items() if key.name in raw]
        if not named:
            self.add_problem(path, f"needs one of the keys {', '.join(KIND_KEYS)}")
        for other in named[1:]:
            self.add_problem((*path, str(other)), f"is a second kind beside {named[0]}: write two obligations")
        kind = named[0] if named else ObligationKind.ASK
        for name, kinds in OF_KIND.items():
            if named and name in raw and kind not in kinds:
                self.add_problem((*path, name), f"belongs to {' or '.join(kinds)}, not to {kind}")
        return kind

    # --- rules -------------------------------------------------------------------------------------------------------

    def _judge_subject(self, kind: ObligationKind, subject: str, given: Mapping[str, Any], path: KeyPath) -> None:
        if not subject:
            return
        if kind is ObligationKind.SCENARIO:
            self._judge_scenario(subject, given, path)
        elif kind is ObligationKind.JUDGE:
            judge = known_judges().get(subject)
            if judge is None:
                known = tuple(known_judges())
                self.add_problem((*path, "judge"), f"{subject!r} is no judge{suggest_name(subject, known)}")
                return
            for name, value in given.items():
                self._judge_parameter(judge.parameters, name, value, (*path, "with", name))

    def _judge_scenario(self, name: str, given: Mapping[str, Any], path: KeyPath) -> None:
        try:
            scenario = self._find_scenario(name)
        except ScenarioError as e:
            self.add_problem((*path, "scenario"), f"{name}: {e.problems[0].compiler_line(e.path)}")
            return
        if scenario is None:
            self.add_problem((*path, "scenario"), f"there is no scenario {name!r} (chargy-agent scenario list)")
            return
        self._variables_of_scenarios |= set(scenario.variables)
        for variable in given:
            if variable not in scenario.variables:
                hint = suggest_name(variable, scenario.variables)
                self.add_problem((*path, "with", variable), f"{name} has no such variable{hint}")

    def _judge_parameter(self, known: Mapping[str, JudgeParameter], name: str, value: Any, path: KeyPath) -> None:
        if name not in known:
            self.add_problem(path, f"the judge has no such parameter{suggest_name(name, known)}")
        elif problem := value_problem(Key(name, known[name].form, known[name].meaning), value):
            self.add_problem(path, problem)

    def _judge_answer_keys(self, raw: Mapping[str, Any], path: KeyPath) -> None:
        fact, pattern = raw.get("fact"), raw.get("matches")
        if isinstance(fact, str) and fact not in FACTS:
            known = ", ".join(FACTS)
            self.add_problem((*path, "fact"), f"{fact!r} is not known{suggest_name(fact, FACTS)}; known: {known}")
        if isinstance(pattern, str):
            try:
                re.compile(pattern)
            except re.error as e:
                self.add_problem((*path, "matches"), f"{pattern!r} is no regular expression: {e}")

    def _judge_variables(self, variables: Mapping[str, Any]) -> None:
        for name in variables:
            if name not in self._variables_of_scenarios:
                hint = suggest_name(name, self._variables_of_scenarios)
                self.add_problem(("variables", name), f"no scenario of the plan has this variable{hint}")

    def _judge_named_obligations(self) -> None:
        """Complain about obligations in ``of`` that are not there."""
        known = {*self._known_ids, *self._section_lines}
        for section, at in self._tables_with_their_paths(self.raw, (), "sections", judged=True):
            for one, path in self._tables_with_their_paths(section, at, "obligations", judged=True):
                for name in list_of_texts(one.get("of")):
                    if name not in known:
                        hint = suggest_name(name, known)
                        self.add_problem((*path, "of"), f"{name!r} is no obligation and no section{hint}")

    def _judge_short_name(self, name: str, path: KeyPath, known: dict[str, int], what: str, whole: str = "") -> None:
        if not name:
            return
        if not _ID.fullmatch(name):
            self.add_problem((*path, "id"), f"the id of {what} has small letters, digits and _, is {name!r}")
        line = self.place_of_path(path)[0]
        if known.setdefault(whole or name, line) != line:
            self.add_problem((*path, "id"), f"{whole or name!r} is the id of {what} in line {known[whole or name]}")

    def _tables_with_their_paths(
        self, raw: Mapping[str, Any], path: KeyPath, name: str, judged: bool = False
    ) -> list[tuple[Mapping[str, Any], KeyPath]]:
        """Return the tables of a list with their paths. Another entry is a mistake, if not yet ``judged``."""
        found: list[tuple[Mapping[str, Any], KeyPath]] = []
        entries = raw.get(name, [])
        for number, one in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(one, Mapping):
                found.append((one, (*path, name, number)))
            elif not judged:
                self.add_problem((*path, name, number), f"must be a table, written as [[{name}]]")
        if not judged and entries == [] and name in raw:
            self.add_problem((*path, name), f"needs at least one of {name}")
        return found


def _keys_by_name(keys: tuple[Key, ...]) -> dict[str, Key]:
    return {key.name: key for key in keys}
