"""What is done by hand on the page becomes a scenario: it passes on a station that does the same, and fails on one that
does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.scenario.scenario_file import load_scenario
from tests.page.visiting import at, frame, has, judged, visited, wait_until_true
from tests.scenarios.control_rig import ROOT, Simulation, simulated
from tests.support.busy_machine import stretched

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]
STATION = """
[station]
id = "CP-1"
state_dir = "state"
[settings]
sample_interval_s = 10
{settings}
[[evse]]
number = 1
[[evse]]
number = 2
[simulation]
port = 0
state_dir = "world"
"""


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    path = tmp_path_factory.mktemp("recorded") / "station.toml"
    path.write_text(STATION.format(settings=""), "utf-8")
    with simulated(str(path), "--port", "0", "--speed", "20") as s:
        yield s


@pytest.fixture
def page(browser: Any, simulation: Simulation) -> Iterator[Any]:
    with visited(browser, simulation) as page:
        has(page, "backend", "Accepted")
        for n in (1, 2):
            has(page, f"reported-{n}", "Available")
        yield page


def run_scenario(file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """As a person runs it: the command, on a simulated station of its own."""
    patience = ["--least-wait", f"{stretched(30):g}"]
    argv = [sys.executable, "-m", "agent", "scenario", "run", str(file), "--simulate", *patience, *more]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(300))


def recorded_file(page: Any, folder: Path) -> Path:
    """End the recording and take the file as a visitor does."""
    at(page, "recording-toggle").click()
    with page.expect_download() as download:
        at(page, "recording-file").click()
    path = folder / str(download.value.suggested_filename)
    download.value.save_as(path)
    return path


def energy(page: Any, n: int, above_kwh: float) -> None:
    wait_until_true(
        page,
        "([id, e]) => Number(document.querySelector(`[data-testid=${id}]`)?.textContent) > e",
        arg=[f"energy-{n}", above_kwh],
    )


def station_with(folder: Path, settings: str) -> Path:
    path = folder / "changed.toml"
    path.write_text(STATION.format(settings=settings), "utf-8")
    return path


def test_a_session_by_hand_passes_again_and_a_changed_station_fails_it(page: Any, tmp_path: Path) -> None:
    at(page, "recording-title").fill('A driver "Alice" charges and pulls at the car')
    at(page, "recording-toggle").click()
    has(page, "recording-toggle", "End")
    at(page, "tap-at-1").click()
    at(page, "plug-1").click()
    has(page, "reported-1", "Preparing")
    at(page, "card-alice").click()
    has(page, "reported-1", "Charging")
    energy(page, 1, 0.04)
    frame(page, "MeterValues", "out")
    judged(page, "recording")
    at(page, "unplug-ev-1").click()
    has(page, "reported-1", "Finishing")
    has(page, "lock-1", "unlocked")
    at(page, "unplug-1").click()
    has(page, "reported-1", "Available")
    file = recorded_file(page, tmp_path)
    judged(page, "recorded")

    scenario = load_scenario(file)
    kinds = [step.kind.kind_name for step in scenario.steps]
    assert scenario.title == 'A driver "Alice" charges and pulls at the car'
    assert kinds[0] == "wait_status"
    assert [kind for kind in kinds if not kind.startswith("wait")] == ["plug", "tap", "unplug", "unplug"]
    assert {"wait_transaction", "wait_energy"} <= set(kinds)
    assert scenario.variables == {"card": "04A1B2C3D4E5F6"}
    again = run_scenario(file)
    assert again.returncode == 0, again.stdout + again.stderr
    changed = run_scenario(file, "--station", str(station_with(tmp_path, "stop_on_ev_disconnect = false")))
    assert changed.returncode == 1, changed.stdout + changed.stderr
    assert "no transaction has ended" in changed.stderr


def test_requests_of_the_backend_faults_and_the_link_are_recorded_from_their_panels(page: Any, tmp_path: Path) -> None:
    at(page, "recording-toggle").click()
    has(page, "recording-toggle", "End")
    at(page, "plug-2").click()
    has(page, "reported-2", "Preparing")
    at(page, "request-outlet").select_option("2")
    at(page, "request-start").click()
    has(page, "reported-2", "Charging")
    at(page, "request-limit").click()
    page.get_by_text("10 A").first.wait_for()
    at(page, "request-stop").click()
    has(page, "reported-2", "Finishing")
    at(page, "request-unlimit").click()
    frame(page, "ClearChargingProfile", "out", "result")
    has(page, "lock-2", "unlocked")
    at(page, "unplug-2").click()
    has(page, "reported-2", "Available")
    at(page, "link-down").click()
    has(page, "backend", "away")
    at(page, "link-up").click()
    has(page, "backend", "Accepted")
    page.locator("[data-testid=bay-1] .more summary").click()
    at(page, "fault-DoorOpen-1").click()
    has(page, "reported-1", "Faulted")
    at(page, "fault-DoorOpen-1").click()
    has(page, "reported-1", "Available")
    judged(page, "many steps")
    file = recorded_file(page, tmp_path)
    scenario = load_scenario(file)
    deeds = [step.kind.kind_name for step in scenario.steps if not step.kind.kind_name.startswith("wait")]
    assert deeds == [
        "plug", "backend", "backend", "backend", "backend", "unplug", "link", "link", "fault", "fault",
    ]  # fmt: skip
    assert {"two_outlets", "smart_charging", "link_control", "fault_injection"} == set(scenario.needs)
    again = run_scenario(file)
    assert again.returncode == 0, file.read_text("utf-8") + again.stdout + again.stderr
