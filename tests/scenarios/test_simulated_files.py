"""The files of ``simulate`` and ``bench``: maps and profiles beside the station file are found from the derived one, it
is readable by its owner alone, and an agent that refuses it is not started for ever."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.control_rig import ROOT, Simulation, simulated, wait_for
from tests.support.busy_machine import stretched
from tests.support.simulated_station import held_port

OWN_FILES = """
[station]
id = "CP-1"
state_dir = "state"
{station}
[backend]
url = "ws://127.0.0.1:9"
password = "secret-of-the-backend"
quirks = "own_profile"
[[evse]]
number = 1
board = {{ driver = "evse_modbus", map = "own_board", host = "127.0.0.1", port = 9 }}
meter = {{ driver = "meter_modbus", map = "own_meter", line = "tcp", host = "127.0.0.1", port = 9 }}
[simulation]
port = 0
state_dir = "world"
"""


def station_with_own_files(folder: Path, station: str = "", beside: str = "", quirks: str = "") -> Path:
    """A station file whose maps and profile are its own: in ``beside`` and ``quirks``, seen from its folder."""
    for kind, shipped, own, home in (
        ("boards", "charx_sec", "own_board", beside),
        ("meters", "eastron_sdm630", "own_meter", beside),
        ("quirks", "old_parser", "own_profile", quirks),
    ):
        place = folder / home / kind
        place.mkdir(parents=True)
        shutil.copy(ROOT / "config" / kind / f"{shipped}.toml", place / f"{own}.toml")
    path = folder / "station.toml"
    path.write_text(OWN_FILES.format(station=station), "utf-8")
    return path


def checked(path: Path) -> tuple[int, str]:
    argv = [sys.executable, "-m", "agent", "check", str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60), check=False)
    return done.returncode, done.stderr


def derived_by_bench(path: Path) -> Path:
    derived = path.parent / "world" / "derived.toml"
    with simulated(str(path), "--port", "0", command="bench") as s:
        wait_for(lambda: any("chargy-agent run" in line for line in s.lines), "the derived file", 60)
        assert checked(derived) == (0, "")
    return derived


def test_own_maps_beside_the_station_file_are_found_from_the_derived_one(tmp_path: Path) -> None:
    path = station_with_own_files(tmp_path)
    assert checked(path) == (0, "")
    derived_by_bench(path)


def test_so_are_those_in_a_folder_of_their_own_and_beside_the_file(tmp_path: Path) -> None:
    path = station_with_own_files(tmp_path, 'config_dir = "own"', beside="own")
    assert checked(path) == (0, "")
    derived_by_bench(path)


def test_so_are_own_texts(tmp_path: Path) -> None:
    path = station_with_own_files(tmp_path, 'languages = ["nl", "en"]')
    code, said = checked(path)
    assert code == 2
    assert "there are no texts for 'nl'" in said
    (tmp_path / "texts").mkdir()
    shutil.copy(ROOT / "config" / "texts" / "de.toml", tmp_path / "texts" / "nl.toml")
    assert checked(path) == (0, "")
    derived_by_bench(path)


def test_the_derived_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = station_with_own_files(tmp_path)
    left = tmp_path / "world" / "derived.toml"
    left.parent.mkdir()
    left.write_text("of an earlier version\n")
    left.chmod(0o644)
    derived = derived_by_bench(path)
    assert "secret-of-the-backend" in derived.read_text()
    assert stat.S_IMODE(derived.stat().st_mode) == 0o600


def test_an_agent_that_refuses_its_file_ends_the_simulation(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text('[station]\nid = "CP-1"\nstate_dir = "state"\n[settings]\nno_such_setting = 1\n[[evse]]\n')
    argv = [sys.executable, "-m", "agent", "simulate", str(path), "--port", "0", "--headless"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60), check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no_such_setting" in done.stdout + done.stderr
    assert (tmp_path / "world" / "agent.log").read_text().count("no_such_setting") == 1


def test_an_agent_that_cannot_start_again_stays_down(tmp_path: Path) -> None:
    """It has run before: the page stays, and says what is wrong."""
    path = tmp_path / "station.toml"
    path.write_text('[station]\nid = "CP-1"\nstate_dir = "state"\n[[evse]]\n')
    with simulated(str(path), "--port", "0", "--headless") as s:
        s.wait_healthy(60)
        assert s.post("agent", {"action": "stop"}) == 202
        wait_for(lambda: s.station()["agent"]["pid"] is None, "no process", 60)
        derived = tmp_path / "world" / "derived.toml"
        good = derived.read_text()
        derived.write_text(good + "\n[nonsense]\n")
        assert s.post("agent", {"action": "start"}) == 202
        wait_for(lambda: any("is not started again" in line for line in s.lines), "the reason", 60)
        assert starts(s) == 1
        derived.write_text(good)
        assert s.post("agent", {"action": "start"}) == 202
        s.wait_healthy(60)


def starts(s: Simulation) -> int:
    """How often it ended by itself."""
    return sum("ended unexpectedly" in line for line in s.lines)


@pytest.mark.parametrize("name", ["simulate", "bench"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "station.toml"
    path.write_text('[station]\nid = "CP-1"\nstate_dir = "state"\n[[evse]]\n')
    code = "import sys; sys.modules['aiohttp'] = None; from agent.cli import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", code, name, str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60), check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "pip install 'chargy-agent[sim]'" in done.stderr


def test_a_backend_where_nothing_listens_is_called_so_behind_the_road_too(tmp_path: Path) -> None:
    with held_port() as port:
        path = tmp_path / "station.toml"
        path.write_text(
            f'[station]\nid = "CP-1"\nstate_dir = "state"\n[backend]\nurl = "ws://127.0.0.1:{port}"\n[[evse]]\n'
        )
        with simulated(str(path), "--port", "0", "--headless"):
            log = tmp_path / "world" / "agent.log"
            wait_for(lambda: log.exists() and "via 127.0.0.1" in log.read_text(), "the agent's complaint", 60)
            said = log.read_text()
    assert "hung up before it answered" in said
    assert "check what is behind 127.0.0.1" in said
