"""Scenarios of a few lines, run over ``--listen`` on the foreign charge point, in this process."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from agent.commands.scenario.sessions import RunRequest, run_listening
from agent.commands.scenario.terminal import Terminal
from agent.scenario.outcome import ScenarioOutcome, StepOutcome, Verdict
from agent.scenario.scenario_file import parse_scenario
from agent.scenario.scenario_model import Scenario
from tests.support.busy_machine import deadline
from tests.support.foreign_charge_point import actuator_command, foreign_charge_point
from tests.support.simulated_station import held_port

HEAD = 'title = "A test"\nvariables = { card = "04A1B2C3", bad = "BAD0001" }\nsteps = [\n'


def scenario_of(steps: str, name: str = "test") -> Scenario:
    return parse_scenario(f"{HEAD}{steps}\n]\n".encode(), Path(f"{name}.toml"))


async def run_on_foreign_point(
    *scenarios: Scenario, mistakes: Collection[str] = (), version: str = "1.6", **request: Any
) -> list[ScenarioOutcome]:
    with held_port() as port, tempfile.TemporaryDirectory(dir="/tmp") as short:
        path = Path(short) / "deeds"
        wanted: dict[str, Any] = {"actuator": actuator_command(path), "with_person": False, **request}
        asked = RunRequest(scenarios, host="127.0.0.1", port=port, versions=(version,), **wanted)
        async with foreign_charge_point(f"ws://127.0.0.1:{port}", path, mistakes, version), deadline(120):
            return await run_listening(asked, Terminal())


async def run_steps(steps: str, mistakes: Collection[str] = (), version: str = "1.6") -> list[StepOutcome]:
    (outcome,) = await run_on_foreign_point(scenario_of(steps), mistakes=mistakes, version=version)
    return list(outcome.outcomes)


def failed_step(outcomes: list[StepOutcome]) -> StepOutcome:
    """The one step that has failed."""
    (failed,) = [o for o in outcomes if o.verdict is not Verdict.PASS]
    return failed
