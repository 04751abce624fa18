"""The library on the simulated station: everything passes. ``make test`` runs a seeded sample, ``make campaign``
all."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from agent.commands.scenario.sessions import RunRequest, run_simulated
from agent.commands.scenario.stations import library_folder
from agent.commands.scenario.terminal import Terminal
from agent.scenario.outcome import Verdict
from agent.scenario.scenario_file import load_scenario
from agent.station_file.settings import load_station_file
from tests.support.busy_machine import busy_factor, stretched
from tests.support.simulated_station import CAMPAIGN

SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
ALWAYS, SAMPLE = ("card_first", "link_lost_stop_offline"), 2
SPEED = 20.0
PATIENCE_S = 30.0


def chosen(version: str) -> list[str]:
    """All scenarios for a version, or the usual ones and a few that the seed picks."""
    names = [p.stem for p in sorted(library_folder().glob("*.toml")) if version in load_scenario(p).versions]
    if CAMPAIGN:
        return names
    quick = [n for n in names if n not in (*ALWAYS, "qr_payment", "meter_lost_while_charging")]
    return [*ALWAYS, *random.Random(f"{SEED} {version}").sample(quick, SAMPLE)]


def request_for(names: list[str], version: str, **more: Any) -> RunRequest:
    scenarios = tuple(load_scenario(library_folder() / f"{name}.toml") for name in names)
    speed = max(1.0, SPEED / busy_factor())
    return RunRequest(scenarios, versions=(version,), speed=speed, least_wait_s=stretched(PATIENCE_S), **more)


@pytest.mark.campaign
@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_the_library_passes(version: str, record_property: Any) -> None:
    names = chosen(version)
    outcomes = await run_simulated(request_for(names, version), Terminal())
    wrong = {o.scenario.id: [f"{s.step_id} {s.says}" for s in o.outcomes if s.verdict is not Verdict.PASS] or o.says
             for o in outcomes if o.final_verdict is not Verdict.PASS}  # fmt: skip
    assert wrong == {}
    assert sorted(o.scenario.id for o in outcomes) == sorted(names)
    assert all(not o.not_reached for o in outcomes)
    record_property("scenarios", len(outcomes))
    record_property("steps", sum(len(o.outcomes) for o in outcomes))


def test_a_driver_has_real_time_between_card_and_cable() -> None:
    """A minute of the station is three seconds of a run, in which a busy machine shows the screen and no more."""
    settings = load_station_file(library_folder() / "stations" / "ac.toml").settings
    assert settings["connection_timeout_s"] / RunRequest(()).speed >= 20


def command(*words: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "agent", "scenario", *words]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=stretched(120))
    return done.returncode, done.stdout


WRONG = """
title = "What the simulated station does not do"
steps = [
  { wait_screen = "charging", within_s = 1, go_on = true, advice = "Look at the display.", advice_to = "client" },
  { measure = "power_w", at_least = 100, within_s = 1, go_on = true },
  { ask = "Is the lamp red?", expect = "yes", simulated = "no", go_on = true },
  { ask = "Is there a sticker?" },
  { backend = "ChangeConfiguration", payload = { key = "AuthorizationKey", value = "0123456789abcdef0123" } },
  { wait_status = "faulted", within_s = 1 },
  { plug = 1, id = "later" },
]
"""


def test_the_command_writes_what_failed_for_people_and_for_machines(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text(WRONG)
    files = [str(tmp_path / "r.json"), str(tmp_path / "r.xml")]
    code, said = command(
        "run", str(tmp_path / "wrong.toml"), "unknown_vendor", "--simulate", "--ocpp", "1.6", "--least-wait", "1",
        "--json", files[0], "--junit", files[1],
    )  # fmt: skip
    assert code == 1, said
    assert "FAIL wrong (1.6), step 1, line 4: outlet 1: the display shows idle, expected charging" in said
    assert "step 3, line 6: Is the lamp red? The answer is no, expected yes" in said
    assert "2 scenarios: 1 PASS, 1 FAIL" in said
    text = Path(files[0]).read_text()
    assert "0123456789abcdef0123" not in text + said + Path(files[1]).read_text(), "no secret is written"
    wrong, passed = json.loads(text)["scenarios"]
    assert [s["verdict"] for s in wrong["steps"]] == ["FAIL", "FAIL", "FAIL", "NOT APPLICABLE", "PASS", "FAIL"]
    assert wrong["not_reached"] == ["later"]
    assert wrong["steps"][0]["finding"] == {"action": "Look at the display.", "to": "client"}
    assert "ChangeConfiguration" in wrong["steps"][4]["evidence"][0]["frame"]
    assert passed["verdict"] == "PASS"
    suites = ElementTree.parse(files[1]).getroot().findall("testsuite")
    assert [(s.get("failures"), s.get("skipped"), s.get("tests")) for s in suites] == [("4", "1", "6"), ("0", "0", "1")]


@pytest.mark.parametrize(("words", "said"), [
    (("run", "card_first"), "say either --simulate, or --listen"),
    (("run", "nothing_like_it", "--simulate"), "there is no such file, and no scenario of this name"),
    (("run", "card_first", "--simulate", "--set", "crad=1"), "--set crad: no scenario has it"),
    (("run", "card_first", "--simulate", "--without", "lift"), "--without lift: known: ac, dc"),
    (("run", "card_first", "--listen", "0.0.0.0:x"), "--listen 0.0.0.0:x: must be HOST:PORT"),
    (("run", "card_first", "--simulate", "--station", "no.toml"), "no.toml: cannot be read"),
    (("check", "no.toml"), "there is no such file"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(words: tuple[str, ...], said: str) -> None:
    code, text = command(*words)
    assert code == 2
    assert said in text
    assert "Traceback" not in text


def test_a_reader_that_ends_early_is_no_failure() -> None:
    words = f"{sys.executable} -m agent scenario list | head -1"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, timeout=stretched(60))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("availability ")


def test_list_and_schema() -> None:
    code, text = command("list")
    assert code == 0
    assert len(text.splitlines()) >= 40
    code, text = command("schema")
    assert code == 0
    assert json.loads(text)["title"].startswith("Scenario")
