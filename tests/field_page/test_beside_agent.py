"""The page beside a running agent: what it costs the agent, and when it starts and ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.commands.page.page_server import ROUTES
from agent.commands.page.roles import Role
from tests.scenarios.control_rig import Simulation, simulated, wait_for
from tests.support.busy_machine import Deadline, stretched
from tests.support.field_page_process import PASSWORD, RawClient, write_users
from tests.support.simulated_station import held_port

pytestmark = pytest.mark.timeout(600)
STATION = """
[station]
id = "CP-1"
state_dir = "state"
[[evse]]
number = 1
[evse.meter]
driver = "meter_modbus"
map = "carlo_gavazzi_em340"
[simulation]
state_dir = "world"
"""
PAGES = sorted(path for method, path in ROUTES if method == "GET" and not path.startswith(("/audits/", "/kit/")))


@pytest.fixture
def port() -> Iterator[int]:
    """Of the field page, which starts long after its simulation."""
    with held_port() as port:
        yield port


def is_served(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def agent_pid(simulation: Simulation) -> int:
    return int(simulation.station()["agent"]["pid"])


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [int(child) for child in listed]


def page_pid(simulation: Simulation) -> int | None:
    for child in children_of(agent_pid(simulation)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if b"page\0serve" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    return None


def users_file(folder: Path) -> Path:
    return folder / "state" / "field-page" / "users.json"


def write_station(folder: Path) -> str:
    (folder / "station.toml").write_text(STATION, "utf-8")
    return str(folder / "station.toml")


def test_a_session_beside_a_page_under_load(tmp_path: Path, port: int) -> None:
    """Logins that are hashed, every page, the doctor: meanwhile a vehicle is charged, and its bill is right."""
    users = users_file(tmp_path)
    write_users(users, max=Role.MANUFACTURER)
    with simulated(write_station(tmp_path), "--port", "0", "--field-page", str(port)) as simulation:
        simulation.wait_healthy(60)
        wait_for(lambda: is_served(port), "the field page")
        wait_for(lambda: reported_status(simulation) == "Available", "a free outlet")
        simulation.post("evses/1/plug")
        simulation.post("cards/tap", {"token": "04A1B2C3D4E5F6", "evse": 1})
        wait_for(lambda: reported_status(simulation) == "Charging", "charging")
        pid, lateness_s = agent_pid(simulation), []
        with ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load_page, port, number) for number in range(4)]
            while not all(load.done() for load in loads):
                began = time.monotonic()
                assert simulation.evse(1)["session"] is not None
                lateness_s.append(time.monotonic() - began)
                time.sleep(0.05)
            assert sum(load.result() for load in loads) > 30
        assert agent_pid(simulation) == pid, "the agent was not restarted"
        worker = page_pid(simulation)
        assert worker is not None
        assert os.getpriority(os.PRIO_PROCESS, worker) >= 10
        assert b"aiohttp" not in Path(f"/proc/{pid}/maps").read_bytes(), "the agent has loaded nothing of the page"
        assert sorted(lateness_s)[len(lateness_s) // 2] < stretched(1.0), lateness_s
        simulation.post("cards/tap", {"token": "04A1B2C3D4E5F6", "evse": 1})
        wait_for(lambda: simulation.evse(1)["session"] is None, "the end of the session")
        assert_billed_to_the_wh(simulation)


def reported_status(simulation: Simulation) -> str | None:
    reported = simulation.evse(1)["reported"]
    return str(reported["status"]) if reported else None


def assert_billed_to_the_wh(simulation: Simulation) -> None:
    calls = wait_for(lambda: (found := sent_calls(simulation)) and "StopTransaction" in found and found, "the bill")
    billed = calls["StopTransaction"]["meterStop"] - calls["StartTransaction"]["meterStart"]
    assert billed == simulation.evse(1)["last_session"]["energy_wh"] > 0
    assert calls["StopTransaction"]["meterStop"] == simulation.evse(1)["meter_wh"]


def sent_calls(simulation: Simulation) -> dict[str, Any]:
    """What the station has sent, by action."""
    frames = [json.loads(frame["frame"]) for frame in simulation.trace() if frame["dir"] == "out"]
    return {frame[2]: frame[3] for frame in frames if frame[0] == 2}


def load_page(port: int, number: int) -> int:
    """Use the page as fast as it answers, each part of it at least once. Returns how many answers there were."""
    client, answers = RawClient(port), 0
    while client.login("max").status != 303:
        time.sleep(0.2)
    patience = Deadline(4.0)
    while not (answers and patience.over):
        for path in PAGES:
            answers += client.get(path).status in (200, 303, 204)
        client.post("/doctor", {"form": client.get("/doctor").form})
        RawClient(port).login(f"guess{number}", "wrong password")
    return answers


def test_the_page_begins_with_its_first_user_and_ends_with_the_agent(tmp_path: Path, port: int) -> None:
    users = users_file(tmp_path)
    with simulated(write_station(tmp_path), "--port", "0", "--field-page", str(port)) as simulation:
        simulation.wait_healthy(60)
        assert page_pid(simulation) is None
        log_text = (tmp_path / "world" / "agent.log").read_text("utf-8")
        assert "the field page has no user and is not served: chargy-agent page user add" in log_text
        write_users(users, tom=Role.TECHNICIAN)
        wait_for(lambda: is_served(port), "the field page")
        first = page_pid(simulation)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: page_pid(simulation) not in (None, first), "another page")
        wait_for(lambda: is_served(port), "the field page again")
        client = RawClient(port)
        assert client.login("tom", PASSWORD).status == 303
        second = page_pid(simulation)
        simulation.post("agent", {"action": "kill"})
        wait_for(lambda: not Path(f"/proc/{second}").exists(), "the end of the page of a killed agent")
        simulation.wait_healthy(60)
        wait_for(lambda: is_served(port), "the page of the next agent")
        assert client.get("/state").status == 200, "a login outlives the agent"


def test_only_a_card_that_is_shown_in_its_step_ends_it(tmp_path: Path, port: int) -> None:
    """Neither a card of before, nor a reader of the page, does a step of the commissioning."""
    write_users(users_file(tmp_path), tom=Role.TECHNICIAN, rita=Role.READER)
    with simulated(write_station(tmp_path), "--port", "0", "--field-page", str(port)) as simulation:
        simulation.wait_healthy(60)
        wait_for(lambda: is_served(port), "the field page")
        wait_for(lambda: reported_status(simulation) == "Available", "a free outlet")
        tom, rita = RawClient(port), RawClient(port)
        assert (tom.login("tom").status, rita.login("rita").status) == (303, 303)
        simulation.post("cards/tap", {"token": "04A1B2C3D4E5F6", "evse": 1})
        wait_for(lambda: "E5F6" in rita.get("/cards").text, "the card of before")
        for step in ("kit", "devices", "doctor"):
            tom.post("/commission", {"form": tom.get("/commission").form, "step": step})
        assert set(done_steps(tmp_path)) == {"kit", "devices", "doctor"}
        for client, path in ((rita, "/cards"), (tom, "/cards"), (tom, "/commission")):
            assert "E5F6" in client.get(path).text
        assert "card" not in done_steps(tmp_path)
        simulation.post("cards/tap", {"token": "04A1B2C3D4E5A7", "evse": 1})
        wait_for(lambda: "E5A7" in rita.get("/cards").text, "the card of the step")
        assert "card" not in done_steps(tmp_path)
        assert "E5A7" in tom.get("/commission").text
        assert done_steps(tmp_path)["card"].endswith("Z tom")


def done_steps(folder: Path) -> dict[str, str]:
    steps: dict[str, str] = json.loads((folder / "state" / "field-page" / "commissioning.json").read_text("utf-8"))
    return steps


def test_without_the_table_there_is_no_page_and_no_question(tmp_path: Path) -> None:
    write_users(users_file(tmp_path), tom=Role.TECHNICIAN)
    with simulated(write_station(tmp_path), "--port", "0") as simulation:
        simulation.wait_healthy(60)
        assert page_pid(simulation) is None
