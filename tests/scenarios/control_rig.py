"""A simulated station as a process of its own, driven over HTTP as other people's suites do it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.busy_machine import Deadline, stretched
from tests.support.simulated_station import SMALL_PANEL

ROOT = Path(__file__).resolve().parents[2]
STATION = """
[station]
id = "CP-1"
number = "1234"
serial = "SN-1"
state_dir = "state"

{backend}
[settings.ocpp16]
MeterValueSampleInterval = "60"

[[evse]]
number = 1
{panel}
[[evse]]
number = 2
outlet = "tethered"
phases = 1
max_a = 16
bay_sensor = true
{panel}

[simulation]
port = 0
restart_s = 0.1
state_dir = "world"
[[simulation.evse]]
number = 1
meter_wh = 5000
"""


def write_station(folder: Path, backend_url: str = "", panel: str = SMALL_PANEL) -> Path:
    path = folder / "station.toml"
    backend = f'[backend]\nurl = "{backend_url}"\n' if backend_url else ""
    path.write_text(STATION.format(backend=backend, panel=panel), "utf-8")
    return path


class Simulation:
    """``url`` is where page and API are. ``lines`` grows with what the process says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.lines = process, list[str]()
        threading.Thread(target=self._listen, daemon=True).start()
        self.url = wait_for(self._address, "the page's address", 60)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def _address(self) -> str | None:
        said = next((w for line in self.lines for w in line.split() if w.startswith("http://127.0.0.1:")), None)
        if said is None and self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}: {self.lines}")
        return said

    def get(self, path: str) -> Any:
        return json.loads(self.call(path)[1])

    def post(self, path: str, body: Any = None) -> int:
        return self.call(path, json.dumps({} if body is None else body).encode())[0]

    def call(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(f"{self.url}api/v1/{path}", body)
        try:
            with urllib.request.urlopen(request, timeout=stretched(60)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()

    def station(self) -> Any:
        return self.get("station")

    def evse(self, n: int) -> Any:
        return next(e for e in self.station()["evses"] if e["number"] == n)

    def wait_healthy(self, timeout_s: float = 60) -> None:
        wait_for(lambda: self.call("health")[0] == 200, "health", timeout_s)

    def trace(self, since: int = 0) -> list[Any]:
        return [json.loads(line) for line in self.call(f"trace?since={since}")[1].splitlines()]


@contextlib.contextmanager
def simulated(*arguments: str, command: str = "simulate", cwd: Path = ROOT) -> Iterator[Simulation]:
    argv = [sys.executable, "-m", "agent", command, *arguments]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Simulation(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(stretched(12))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """The first true answer of ``condition``."""
    patience = Deadline(timeout_s)
    while not patience.over:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: did not come about within {timeout_s:g} s")
