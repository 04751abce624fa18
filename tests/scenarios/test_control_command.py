"""The command ``simulate`` as a process: its life, the agent child's lives, and its end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.scenarios.control_rig import ROOT, Simulation, simulated, wait_for, write_station
from tests.support.busy_machine import stretched


def _family(simulation: Simulation) -> list[psutil.Process]:
    return psutil.Process(simulation.process.pid).children(recursive=True)


def _all_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_a_session_survives_in_the_world_while_the_agent_is_killed(tmp_path: Path) -> None:
    with simulated(str(write_station(tmp_path)), "--port", "0", "--headless", "--speed", "10") as s:
        s.wait_healthy()
        wait_for(lambda: (s.station()["backend"] or {}).get("boot") == "Accepted", "boot", 60)
        assert s.post("evses/1/plug", {"car": {"soc": 20}}) == 202
        assert s.post("cards/tap", {"uid": "04A1B2C3D4E5F6", "evse": 1, "hold_s": 1}) == 202
        wait_for(lambda: (s.evse(1)["reported"] or {}).get("status") == "Charging", "Charging", 60)
        wait_for(lambda: s.evse(1)["session"]["energy_wh"] > 0, "energy", 60)
        before, seq = s.station(), s.trace()[-1]["seq"]
        assert s.post("agent", {"action": "kill"}) == 202
        wait_for(lambda: s.station()["agent"]["restarts"] == 1, "a restart", 60)
        s.wait_healthy()
        after = s.station()
        assert after["agent"]["pid"] != before["agent"]["pid"]
        assert after["evses"][0]["cable"]
        assert after["evses"][0]["meter_wh"] >= before["evses"][0]["meter_wh"]
        wait_for(lambda: s.trace(seq), "frames of the new agent", 60)
        seqs = [f["seq"] for f in s.trace()]
        assert seqs == list(range(1, len(seqs) + 1))


def test_a_stopped_agent_stays_stopped_until_it_is_started(tmp_path: Path) -> None:
    with simulated(str(write_station(tmp_path)), "--port", "0") as s:
        s.wait_healthy()
        assert s.post("agent", {"action": "stop"}) == 202
        wait_for(lambda: s.station()["agent"]["pid"] is None, "no process", 60)
        time.sleep(0.5)  # five times restart_s: it would be back by now
        down = s.station()
        assert down["agent"]["up"] is False
        assert down["backend"] is None
        assert down["evses"][0]["reported"] is None
        assert down["evses"][0]["screen"] is None
        assert s.call("health")[0] == 503
        assert s.post("agent", {"action": "kill"}) == 409
        assert s.post("agent", {"action": "start"}) == 202
        s.wait_healthy()


def test_health_does_not_wait_for_a_backend(tmp_path: Path) -> None:
    unused_port = "ws://127.0.0.1:9"
    with simulated(str(write_station(tmp_path, "ws://127.0.0.1:1")), "--backend", unused_port, "--port", "0") as s:
        s.wait_healthy()
        assert s.station()["backend"]["link"] == "down"
        assert s.station()["backend"]["url"].startswith(unused_port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_in_order_takes_less_than_8_s_and_leaves_no_one(tmp_path: Path, number: signal.Signals) -> None:
    with simulated(str(write_station(tmp_path)), "--port", "0") as s:
        s.wait_healthy()
        # agent and central system; for a moment the agent also has an updater that it asks, and nfcpy's "uname -p"
        wait_for(lambda: len(_family(s)) == 2, "two children", 60)
        family = _family(s)
        began = time.monotonic()
        s.process.send_signal(number)
        assert s.process.wait(8) == 0
        assert time.monotonic() - began < 8
        assert _all_gone(family)


def test_an_open_event_stream_does_not_delay_the_end(tmp_path: Path) -> None:
    with simulated(str(write_station(tmp_path)), "--port", "0") as s:
        s.wait_healthy()
        with socket.create_connection(("127.0.0.1", int(s.url.rstrip("/").rsplit(":", 1)[1]))) as listener:
            listener.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"200 OK" in listener.recv(100)
            s.process.terminate()
            assert s.process.wait(8) == 0


def test_a_killed_parent_takes_its_children_along(tmp_path: Path) -> None:
    with simulated(str(write_station(tmp_path)), "--port", "0") as s:
        s.wait_healthy()
        family = _family(s)
        s.process.kill()
        s.process.wait(5)
        wait_for(lambda: _all_gone(family), "the end of all children", 5)


def test_without_a_file_there_is_a_station_with_two_sockets(tmp_path: Path) -> None:
    with simulated("--port", "0", cwd=tmp_path) as s:
        s.wait_healthy()
        assert [e["kind"] for e in s.station()["evses"]] == ["AC", "AC"]
        wait_for(lambda: s.station()["backend"]["link"] == "up", "the built-in backend")
        assert [p.name for p in tmp_path.iterdir()] == ["chargy-sim"]


def test_a_second_station_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    path = str(write_station(tmp_path))
    with simulated(path, "--port", "0") as s:
        s.wait_healthy()
        second = _run(path, "--port", "0")
        assert second.returncode == 2
        assert "Traceback" not in second.stderr


def test_a_busy_port_is_reported(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = _run(str(write_station(tmp_path)), "--port", str(port))
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--backend", "localhost"],
        ["--speed", "0"],
        ["--port", "70000"],
        ["--ocpp", "new"],
        ["--ocpp", "1.6S", "--backend", "ws://127.0.0.1:1"],
    ],
)
def test_arguments_that_cannot_be(tmp_path: Path, arguments: list[str]) -> None:
    done = _run(str(write_station(tmp_path)), *arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_the_commands_cost_nothing_until_they_run() -> None:
    code = (
        "import drivers.sim.command, sys; print([m for m in ('aiohttp', 'PIL', 'asyncio.runners') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "aiohttp" not in done.stdout
    assert "PIL" not in done.stdout


def test_bench_says_where_the_devices_are(tmp_path: Path) -> None:
    with simulated(str(write_station(tmp_path, "ws://127.0.0.1:9")), "--port", "0", command="bench") as s:
        wait_for(lambda: any("chargy-agent run" in line for line in s.lines), "the hint", 60)
        assert len([line for line in s.lines if line.startswith("evse")]) or len(s.lines) > 4
        assert (tmp_path / "world" / "derived.toml").exists()
        assert s.post("evses/1/plug") == 202
        assert s.evse(1)["cable"]
        assert s.post("agent", {"action": "kill"}) == 409
        assert len(_family(s)) == 0


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "agent", "simulate", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60), check=False)


@pytest.mark.parametrize("offset_s", [-3600.0, 0.0, -1e9, 1e9])
def test_the_agent_understands_every_step_of_its_clock(tmp_path: Path, offset_s: float) -> None:
    from agent.cli import _build_parser
    from drivers.sim.runner import AgentCommand
    from drivers.sim.time_rate import Pace

    command = AgentCommand(tmp_path / "derived.toml", Pace.first_pace(20.0))
    command.set_rtc_offset(offset_s)
    argv = command()[3:]
    assert _build_parser(argv).parse_args(argv).rtc_offset == offset_s
