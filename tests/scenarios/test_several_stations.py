"""``simulate`` with several stations: each has an agent, a central system and a payment page of its own, and one that
does not start, or fails, takes no other one along."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from agent.desk import ControlError, Station, simulate_stations
from agent.desk.pytest_plugin import StartStations
from agent.desk.station import WAIT_VARIABLE
from tests.scenarios.control_rig import simulated, wait_for
from tests.support.busy_machine import stretched

CARD = "04A1B2C3D4E5F6"
STATION = """
[station]
id = "{name}"
[web_payment]
dynamic = true
allowed_hosts = ["127.0.0.1"]
[[evse]]
number = 1
[simulation]
port = 0
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, f"{stretched(60):g}")


def actions_of(station: Station) -> list[str]:
    return [call.action for call in station.calls_since() if call.direction == "out"]


def read_page(url: str, posted: bytes | None = None) -> tuple[str, str]:
    """What a telephone reads, and at which address after redirects."""
    with urllib.request.urlopen(url, posted, timeout=stretched(30)) as answer:
        return answer.read().decode(), answer.url


def form_address(page: str, beside: str, path: str) -> str:
    """Where the form goes whose address begins with ``path``."""
    (action,) = re.findall(rf'method=post action="({re.escape(path)}[^"]+)"', page)
    return f"http://{urlsplit(beside).netloc}{action}"


def test_two_stations_of_one_folder_and_one_that_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is to be")
    paths = []
    for name in ("CP-A", "CP-B", "CP-C"):
        paths.append(tmp_path / f"{name}.toml")
        folder = 'state_dir = "taken/world"\n' if name == "CP-C" else ""
        paths[-1].write_text(STATION.format(name=name) + folder, "utf-8")
    with simulated(*map(str, paths), "--port", "0", "--speed", "10") as simulation:
        root = Station(simulation.url)
        first, second = (Station(simulation.url, name=name) for name in ("CP-A", "CP-B"))
        for station in (first, second):
            station.wait_for_status("Available")
        *_, third = root.get_stations()
        assert (third["id"], third["state"], third["picture"]) == ("CP-C", "ended", None)
        assert "taken/world: Not a directory" in third["error"]
        wait_for(lambda: f"CP-C: has ended: {third['error']}" in simulation.lines, "the reason at the terminal")
        with pytest.raises(ControlError, match="station CP-C is not running"):
            Station(simulation.url, name="CP-C").get_station()

        code = second.wait_for_evse(lambda e: e["code"])["code"]
        assert code is not None
        assert urlsplit(code).path.startswith("/stations/CP-B/pay/CP-B/1/")
        offer, _ = read_page(code)
        ask, address = read_page(form_address(offer, code, "/stations/CP-B/pay/CP-B/1/"), b"")
        assert urlsplit(address).path.startswith("/stations/CP-B/pay/at/")
        page, _ = read_page(form_address(ask, code, "/stations/CP-B/pay/not/"), b"")
        assert "Cancelled" in page

        second.plug_in_vehicle()
        second.tap_contactless_card(CARD)
        second.wait_for_status("Charging")
        first.control_agent("kill")
        first.wait_for_picture(lambda p: p["agent"]["restarts"] == 1 and p["agent"]["up"])
        assert second.get_station()["agent"]["restarts"] == 0
        second.tap_contactless_card(CARD)
        second.wait_for_call("StopTransaction")
        assert "StartTransaction" not in actions_of(first)
        runs = [station.get_station()["simulation"]["run"] for station in (root, first, second)]
        assert runs[0] == runs[1] != runs[2], "without a name it is the first"
        second.unplug_vehicle()
        second.wait_for_status("Available")
        assert {p.name for p in tmp_path.iterdir()} >= {"world-CP-A", "world-CP-B", "state-CP-A", "state-CP-B"}

        (tmp_path / "world-CP-B").rename(tmp_path / "gone")  # at once: its station goes on writing
        with contextlib.suppress(ControlError):
            second.plug_in_vehicle()  # which its world cannot keep any more
        entry = wait_for(lambda: root.get_stations()[1]["state"] == "ended" and root.get_stations()[1], "its end")
        assert "No such file or directory" in entry["error"]
        first.plug_in_vehicle()
        first.wait_for_status("Preparing")

        family = psutil.Process(simulation.process.pid).children(recursive=True)
        assert len(family) >= 2, "agent and central system of the first"
        simulation.process.terminate()
        simulation.process.wait(stretched(8))
        assert psutil.wait_procs(family, stretched(5))[1] == []


def test_copies_of_one_station_by_their_ids(simulated_stations: StartStations) -> None:
    stations = simulated_stations(2, speed=5)
    assert list(stations) == ["CP-1", "CP-2"]
    stations["CP-2"].plug_in_vehicle()
    stations["CP-2"].wait_for_status("Preparing")
    assert not stations["CP-1"].get_evse()["cable"]
    entries = stations["CP-1"].get_stations()
    assert [(e["id"], e["path"], e["state"]) for e in entries] == [
        ("CP-1", "/stations/CP-1/", "running"), ("CP-2", "/stations/CP-2/", "running"),
    ]  # fmt: skip
    boots = [station.wait_for_call("BootNotification").payload for station in stations.values()]
    assert [boot["chargePointSerialNumber"] for boot in boots] == ["CP-1", "CP-2"]


def test_a_station_that_has_ended_is_a_failure_of_the_start(tmp_path: Path) -> None:
    from agent.desk import SimulationFailed

    broken = tmp_path / "broken.toml"
    broken.write_text('[station]\nid = "CP-X"\n[[evse]]\n[simulation]\nstate_dir = "station-1.toml/world"\n')
    good = tmp_path / "good.toml"
    good.write_text('[station]\nid = "CP-Y"\n[[evse]]\n')
    home = tmp_path / "home"
    home.mkdir()
    with (
        pytest.raises(SimulationFailed, match=r"CP-X has ended: .*Not a directory"),
        simulate_stations([good, broken], folder=home),
    ):
        pass


def test_when_all_have_failed_the_command_ends(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    path = tmp_path / "station.toml"
    path.write_text('[station]\nid = "CP-1"\n[[evse]]\n[simulation]\nport = 0\nstate_dir = "taken/world"\n')
    with simulated(str(path), "--stations", "2", "--port", "0") as simulation:
        assert simulation.process.wait(stretched(60)) == 2
        wait_for(lambda: "chargy-agent: [simulation] state_dir" in simulation.lines[-1], "the reason")
        assert len([line for line in simulation.lines if "has ended" in line]) == 2


def test_each_conversation_is_recorded_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text(STATION.format(name="CP-1"), "utf-8")
    record = tmp_path / "day.jsonl"
    with simulated(str(path), "--stations", "2", "--port", "0", "--record", str(record)) as simulation:
        for name in ("CP-1", "CP-2"):
            Station(simulation.url, name=name).wait_for_status("Available")
    for name in ("CP-1", "CP-2"):
        lines = [json.loads(line) for line in (tmp_path / f"day-{name}.jsonl").read_text("utf-8").splitlines()]
        assert any("BootNotification" in str(line) for line in lines)
    assert not record.exists()
