"""A far end that misbehaves on the wire between the simulated station and its audit: each fault fails the right
obligation with the right advice, and a good station is blamed for nothing. ``make test`` runs a seeded sample."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.audit.plan_model import ObligationKind, Plan
from agent.audit.station_facts import make_fact
from agent.commands.audit.plans import (
    built_in_kit,
    built_in_station,
    facts_of_kit,
    facts_of_station_file,
    open_plan,
    plan_folder,
)
from agent.commands.audit.sessions import AuditRequest, run_audit
from agent.commands.kit.kit_file import load_kit
from agent.commands.scenario.control_client import ControlClient
from agent.commands.scenario.terminal import Terminal
from agent.station_file.settings import load_station_file
from tests.support.busy_machine import busy_factor, stretched
from tests.support.faulty_wire import open_faulty_wire
from tests.support.simulated_station import CAMPAIGN
from tests.support.wire_faults import EXERCISES, FAULTS, READ, WireFault, nothing

SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
SPEED, PATIENCE_S = 20.0, 8.0
SAMPLE = 2
SLOW = ("no_answer",)
"""It waits for the end of the backend's patience in real time."""
EXERCISE = '[[sections.obligations]]\nid = "{0}"\ntitle = "{0}"\nscenario = "exercise_{0}"\n'
CHOSEN = FAULTS if CAMPAIGN else random.Random(SEED).sample([f for f in FAULTS if f.name not in SLOW], SAMPLE)


def plan_with_exercises(name: str, folder: Path) -> Plan:
    """A plan that comes with the program, and a section that only does something."""
    text = (plan_folder() / f"{name}.toml").read_text("utf-8")
    blocks = "".join(EXERCISE.format(exercise) for exercise in EXERCISES)
    path = folder / f"{name}.toml"
    path.write_text(f'{text}\n[[sections]]\nid = "exercise"\ntitle = "Exercises"\n{blocks}', "utf-8")
    for exercise, steps in EXERCISES.items():
        scenario = f'title = "{exercise}"\nsteps = [\n{steps}]\n'
        (folder / f"exercise_{exercise}.toml").write_text(re.sub(r"\},\n", ", go_on = true },\n", scenario), "utf-8")
    return open_plan(path)


def request_for(plan: Plan, exercise: tuple[str, ...], folder: Path, **more: Any) -> AuditRequest:
    """What the command line makes of ``audit --simulate``, for some obligations and all judges."""
    kit = built_in_kit(plan)
    judges = [o.id for o in plan.all_obligations() if o.kind is ObligationKind.JUDGE]
    facts = {**facts_of_station_file(load_station_file(built_in_station(plan))), **more.pop("facts", {})}
    return AuditRequest(
        plan, folder, simulate=True, kit=facts_of_kit(load_kit(kit)) if kit else None, known_facts=facts,
        least_wait_s=stretched(PATIENCE_S), only=(*exercise, *judges), **more,
    )  # fmt: skip


async def audited_with(fault: WireFault, folder: Path) -> Mapping[str, Any]:
    """The record of an audit with a fault on the wire."""
    plan = plan_with_exercises(fault.plan, folder)
    facts = {key: make_fact(key, value, "station file") for key, value in fault.facts.items()}
    speed = max(1.0, SPEED / busy_factor())
    request = request_for(
        plan, (READ, *fault.exercise), folder, speed=speed, facts=facts, answers=dict(fault.answers),
        road=lambda url: open_faulty_wire(fault.change, url, speed),
    )  # fmt: skip
    _, record = await run_audit(request, Terminal())
    return record


def falsify_books(change: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The payment terminal does something else than it was ordered: its books say so."""
    true_picture = ControlClient.station_picture

    async def station_picture(client: ControlClient) -> dict[str, Any]:
        picture = await true_picture(client)
        change(picture["ledger"])
        return picture

    monkeypatch.setattr(ControlClient, "station_picture", station_picture)


def obligations_of(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {o["id"]: o for section in record["sections"] for o in section["obligations"]}


@pytest.mark.campaign
@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.name)
async def test_a_planted_fault_is_found(
    fault: WireFault, tmp_path: Path, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault on the wire: the right obligation fails, and its advice says what to do and who."""
    if fault.bank is not None:
        falsify_books(fault.bank, monkeypatch)
    found = obligations_of(await audited_with(fault, tmp_path))
    failed = {name: one["says"] for name, one in found.items() if one["verdict"] == "FAIL"}
    assert fault.fails in failed, failed
    finding = found[fault.fails]["finding"]
    assert fault.advice in finding["action"]
    assert finding["to"] in ("client", "subcontractor")
    record_property("says", failed[fault.fails])
    record_property("fails", sorted(failed))


GOOD_RUNS = 20 if CAMPAIGN else 1
GOOD_PLANS = ("chargy-ac", "chargy-dc", "generic-ocpp201")
GOOD = {
    "chargy-ac": ("exercise.plain", "exercise.limited", "energy.phase_loads", "commands.settings_after_reset",
                  "vehicle.remote", "bearer.heartbeats", "identity.read_configuration"),
    "chargy-dc": ("exercise.bank_card", "vehicle.card_first", "identity.read_configuration"),
    "generic-ocpp201": ("exercise.plain", "exercise.limited", "energy.phase_loads", "vehicle.remote",
                        "bearer.heartbeats"),
}  # fmt: skip


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(GOOD_RUNS))
async def test_a_good_station_is_blamed_for_nothing(number: int, tmp_path: Path, record_property: Any) -> None:
    """The same wire without a fault: no obligation fails, in any plan."""
    plan = GOOD_PLANS[(number + SEED) % len(GOOD_PLANS)]
    fault = WireFault("none", "is as it should be", "", "", nothing, GOOD[plan], plan)
    found = obligations_of(await audited_with(fault, tmp_path))
    blamed = {name: one["says"] for name, one in found.items() if one["verdict"] in ("FAIL", "ERROR")}
    assert blamed == {}
    passed = sum(one["verdict"] == "PASS" for one in found.values())
    assert passed > 20
    record_property("passed", passed)


def test_the_table_has_what_the_audit_must_find() -> None:
    assert len(FAULTS) >= 30
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    plans = {name: open_plan(plan_folder() / f"{name}.toml") for name in {fault.plan for fault in FAULTS}}
    known = {name: {o.id for o in plan.all_obligations()} for name, plan in plans.items()}
    exercises = {f"exercise.{name}" for name in EXERCISES}
    assert [f.name for f in FAULTS if f.fails not in known[f.plan]] == []
    assert [f.name for f in FAULTS if not set(f.exercise) <= known[f.plan] | exercises] == []
