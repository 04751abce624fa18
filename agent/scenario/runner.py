"""Run a scenario on a target: step by step, with a verdict and evidence for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.scenario.outcome import ScenarioOutcome, StepOutcome, Verdict
from agent.scenario.run_state import Branch, Conversation, RunState
from agent.scenario.scenario_model import Scenario, Step
from agent.scenario.step_actions import ACTIONS
from agent.scenario.target import CannotCarryOut, CheckFailed, NotApplicable
from agent.scenario.variables import UnknownVariable
from agent.scenario.wording import step_title

MOST_FRAMES = 40
"""Frames of evidence for a step. What decided it is always among them."""
VERDICT_OF: Mapping[type[Exception], Verdict] = {
    CheckFailed: Verdict.FAIL,
    NotApplicable: Verdict.NOT_APPLICABLE,
    CannotCarryOut: Verdict.ERROR,
    UnknownVariable: Verdict.ERROR,
}


class Progress(Protocol):
    """Shows how far a run is."""

    def begin_scenario(self, scenario: Scenario, version: str) -> None: ...
    def begin_step(self, step: Step, done: int, total: int) -> None: ...
    def end_step(self, outcome: StepOutcome) -> None: ...
    def end_scenario(self, outcome: ScenarioOutcome) -> None: ...


class _Ended(Exception):
    """A step has failed, and the steps after it are not tried."""


class ScenarioRun:
    """One run of one scenario."""

    def __init__(
        self, scenario: Scenario, conversation: Conversation, progress: Progress, variables: Mapping[str, Any]
    ) -> None:
        self._state = RunState(scenario, conversation, variables)
        self._scenario, self._progress = scenario, progress
        self._outcomes: list[StepOutcome] = []
        self._began_s = time.monotonic()

    async def run_scenario(self) -> ScenarioOutcome:
        """Run all steps, then in any case those of ``finally``."""
        version = self._state.run_target.frames.version
        self._progress.begin_scenario(self._scenario, version)
        problem = applicability_problem(self._scenario, version, self._state.run_target.lacks)
        if not problem:
            mark = self._state.run_target.frames.next_seq
            try:
                await self._run_list_of_steps(self._scenario.steps, Branch(mark))
            except* _Ended:
                pass
            try:
                await self._run_list_of_steps(self._scenario.finally_steps, Branch(mark))
            except* _Ended:
                pass
        outcome = ScenarioOutcome(
            self._scenario, version, self._state.run_target.name, tuple(self._outcomes),
            time.monotonic() - self._began_s, problem, not_reached=() if problem else self._unreached_steps(),
        )  # fmt: skip
        self._progress.end_scenario(outcome)
        return outcome

    async def _run_list_of_steps(self, steps: Sequence[Step], branch: Branch) -> None:
        for step in steps:
            versions = step.texts_of("versions")
            if not versions or self._state.run_target.frames.version in versions:
                await self._run_single_step(step, branch)

    async def _run_single_step(self, step: Step, branch: Branch) -> None:
        if step.branches:
            await self._run_branches(step, branch)
            return
        self._progress.begin_step(step, len(self._outcomes), self._scenario.count_steps())
        first_frame, began_s = self._state.run_target.frames.next_seq, time.monotonic()
        if step.is_deed:
            branch.mark = first_frame
        branch.matched = []
        verdict, says = await self._carry_out_step(step, branch)
        title = step_title(step.kind, self._state.shown_values(step, branch))
        took_s, evidence = time.monotonic() - began_s, self._evidence_frames(first_frame, branch)
        outcome = StepOutcome(step, verdict, says, title, began_s - self._began_s, took_s, evidence, branch.round)
        self._outcomes.append(outcome)
        self._progress.end_step(outcome)
        ends = verdict in (Verdict.FAIL, Verdict.ERROR) or (verdict is Verdict.NOT_APPLICABLE and step.is_deed)
        if ends and not step.values.get("go_on"):
            raise _Ended

    async def _carry_out_step(self, step: Step, branch: Branch) -> tuple[Verdict, str]:
        if missing := _missing_need(step.texts_of("needs"), self._state.run_target.lacks):
            return Verdict.NOT_APPLICABLE, missing
        try:
            values = self._state.filled_values(step, branch)
            return Verdict.PASS, await ACTIONS[step.kind.kind_name](self._state, step, values, branch)
        except tuple(VERDICT_OF) as e:
            return next(v for kind, v in VERDICT_OF.items() if isinstance(e, kind)), str(e)

    async def _run_branches(self, step: Step, branch: Branch) -> None:
        if step.kind.kind_name == "parallel":
            async with asyncio.TaskGroup() as group:
                for steps in step.branches:
                    group.create_task(self._run_list_of_steps(steps, branch.split_branch()))
            branch.mark = self._state.run_target.frames.next_seq
            return
        before = branch.round
        for n in range(1, int(self._state.filled_values(step, branch)["repeat"]) + 1):
            branch.round = f"{before}#{n}"
            await self._run_list_of_steps(step.branches[0], branch)
        branch.round = before

    def _evidence_frames(self, first_frame: int, branch: Branch) -> list[dict[str, Any]]:
        """Return the frames of the present step, those that decided it first of all."""
        target = self._state.run_target
        window = target.frames.frames[first_frame:][-MOST_FRAMES:]
        chosen = {f.seq: f for f in (*window, *branch.matched)}
        return [chosen[seq].as_json(target.mask) for seq in sorted(chosen)]

    def _unreached_steps(self) -> tuple[str, ...]:
        reached = {o.step.number for o in self._outcomes}
        version = self._state.run_target.frames.version
        return tuple(s.step_id for s in _plain_steps(self._scenario.steps, version) if s.number not in reached)


def _plain_steps(steps: Sequence[Step], version: str) -> list[Step]:
    """Return the steps that are meant for a version, those within others in place of these."""
    found: list[Step] = []
    for step in steps:
        versions = step.texts_of("versions")
        if versions and version not in versions:
            continue
        found += [s for branch in step.branches for s in _plain_steps(branch, version)] if step.branches else [step]
    return found


def applicability_problem(scenario: Scenario, version: str, lacks: Mapping[str, str]) -> str:
    """Return why a scenario does not apply to a station, or ""."""
    if version and version not in scenario.versions:
        return f"is meant for OCPP {', '.join(scenario.versions)}; the station speaks {version}"
    return _missing_need(scenario.needs, lacks)


def _missing_need(needs: Sequence[str], lacks: Mapping[str, str]) -> str:
    return next((f"needs {need}: {lacks[need]}" for need in needs if need in lacks), "")
