"""A simulated station as a child process, for as long as it is needed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.desk.station import LOOK_EVERY_S, WAIT_S, WAIT_VARIABLE, Station
from agent.model.parent_death import die_with_parent

END_S = 12.0
LOG_TAIL = 1500
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\n")
ONE_OUTLET = """\
[station]
id = "CP-1"

[[evse]]
number = 1
"""


class SimulationFailed(Exception):
    """The station could not be started. The message has the end of what it has said."""


@contextlib.contextmanager
def simulate_station(
    file: Path | str | None = None,
    *,
    text: str = "",
    backend: str = "",
    versions: Sequence[str] = (),
    speed: float | None = None,
    folder: Path | None = None,
) -> Iterator[Station]:
    """Start a simulated station, and end it. Raises ``SimulationFailed``.

    ``file``: its station file, of which a copy is used; ``text``: its text instead; neither: one AC outlet, ``CP-1``.
    ``backend``: the address of the central system; "": as the file says, or a built-in one. ``versions`` of OCPP, the
    preferred one first. ``speed``: its time runs so many times as fast. ``folder``: for its files; None: one that is
    removed at the end.
    """
    with contextlib.ExitStack() as stack:
        home = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chargy-station-")))
        copy, log = home / "station.toml", home / "simulate.log"
        if file is not None:
            shutil.copyfile(file, copy)
        else:
            copy.write_text(text or ONE_OUTLET, "utf-8")
        argv = [sys.executable, "-m", "agent", "simulate", str(copy), "--port", "0", "--headless"]
        argv += ["--backend", backend] if backend else []
        argv += [word for version in versions for word in ("--ocpp", version)]
        argv += ["--speed", f"{speed:g}"] if speed is not None else []
        process = stack.enter_context(_running_process(argv, log))
        yield _wait_until_ready(process, log)


@contextlib.contextmanager
def _running_process(argv: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    # the kernel sends the signal when the thread ends that has started the child, not the process (prctl(2))
    is_main = threading.current_thread() is threading.main_thread()
    guard = die_with_parent(os.getpid(), signal.SIGTERM) if is_main else None
    env = {**os.environ, "PYTHONSAFEPATH": "1"}  # a folder `agent` of the project that is tested is not this program
    with log.open("w") as out, subprocess.Popen(argv, stdout=out, stderr=out, preexec_fn=guard, env=env) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> Station:
    start_s = float(os.environ.get(WAIT_VARIABLE, WAIT_S))
    end_s = time.monotonic() + start_s
    station: Station | None = None
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise SimulationFailed(f"the simulated station has ended: {_end_of_log(log)}")
        if station is None and (found := ADDRESS.search(log.read_text("utf-8", "replace"))):
            station = Station(found[0].strip())
        if station is not None and station.get_health():
            return station
        time.sleep(LOOK_EVERY_S)
    raise SimulationFailed(f"the simulated station is not ready after {start_s:g} s: {_end_of_log(log)}")


def _end_of_log(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-LOG_TAIL:].strip()
