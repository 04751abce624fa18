"""An audit of a charge point from npm that shares nothing with this program: its report is right."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.commands.audit.plans import open_plan, plan_path
from agent.commands.audit.sessions import AuditRequest, run_audit
from agent.commands.scenario.terminal import Terminal
from tests.support.busy_machine import stretched
from tests.support.npm_charge_point import install_simulator, npm_charge_point, write_actuator
from tests.support.simulated_station import held_port


async def test_a_simulator_from_npm_gets_a_right_report(tmp_path: Path) -> None:
    if said := await asyncio.to_thread(install_simulator):
        pytest.skip(said)
    with held_port() as port, held_port() as deeds_port:
        request = AuditRequest(
            open_plan(plan_path("generic-ocpp16")), tmp_path, port=port,
            actuator=write_actuator(tmp_path, deeds_port), with_person=False, silence_s=5.0,
            lacks={"display": "it has none"},
            only=("identity", "ladder", "vehicle.card_first", "vehicle.cable_first", "vehicle.remote",
                  "vehicle.token_letters", "vehicle.status_awake", "commands.configuration_round_trip",
                  "commands.unlock_at_rest", "bearer.times_in_utc", "energy.books"),
        )  # fmt: skip
        listening = asyncio.create_task(run_audit(request, Terminal()))
        await wait_until_open(port, listening)
        async with npm_charge_point(f"ws://127.0.0.1:{port}", deeds_port):
            folder, record = await asyncio.wait_for(listening, stretched(240))
    found = {one["id"]: one for section in record["sections"] for one in section["obligations"]}
    chosen = {i: o["verdict"] for i, o in found.items() if o["says"] != "not exercised yet"}
    assert chosen == {
        "identity.boot_identity": "FAIL", "identity.read_configuration": "PASS", "identity.required_settings": "FAIL",
        "bearer.times_in_utc": "PASS", "ladder.boot": "PASS", "ladder.messages_understood": "PASS",
        "ladder.requests_answered": "FAIL", "ladder.status_words": "PASS", "commands.configuration_round_trip": "PASS",
        "commands.unlock_at_rest": "FAIL", "vehicle.card_first": "PASS", "vehicle.cable_first": "PASS",
        "vehicle.remote": "PASS", "vehicle.status_awake": "PASS", "vehicle.token_letters": "PASS",
        "energy.books": "PASS", "identity.identity_constant": "NOT APPLICABLE",
        "identity.facts_agree": "NOT APPLICABLE", "ladder.message_ids": "PASS", "ladder.answers_fit": "PASS",
        "ladder.words_known": "PASS",
    }  # fmt: skip
    assert found["identity.boot_identity"]["says"] == "BootNotification does not say: Serial number"
    assert "UnlockConnector was not answered" in found["commands.unlock_at_rest"]["says"]
    assert "UnlockConnector was not answered" in found["ladder.requests_answered"]["says"]
    assert "ConnectionTimeOut" in found["identity.required_settings"]["says"]
    assert {row["key"]: row["value"] for row in record["station"]}["vendor"] == "npm"
    trace = [json.loads(line) for line in (folder / "trace.jsonl").read_text("utf-8").splitlines()]
    assert sum('"StopTransaction"' in row["frame"] for row in trace) == 3


async def wait_until_open(port: int, listening: asyncio.Task[object]) -> None:
    """The simulator connects once, so the port has to listen before it is started."""
    while not listening.done():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
