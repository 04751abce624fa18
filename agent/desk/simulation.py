"""Simulated stations as a child process, for as long as they are needed."""

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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from agent.desk.station import LOOK_EVERY_S, WAIT_S, WAIT_VARIABLE, ControlError, Station
from agent.model.parent_death import die_with_parent

T = TypeVar("T")

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
    """A station could not be started. The message has the end of what it has said, or why it has ended."""


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
        copy = _copy_station_file(home / "station.toml", file, text)
        options = _command_options(backend, versions, speed)
        process, log = stack.enter_context(_running_process([str(copy), *options], home))
        station = _wait_for_address(process, log)
        _wait_for(process, log, station.get_health)
        yield station


@contextlib.contextmanager
def simulate_stations(
    files: Sequence[Path | str] | int,
    *,
    text: str = "",
    backend: str = "",
    versions: Sequence[str] = (),
    speed: float | None = None,
    folder: Path | None = None,
) -> Iterator[dict[str, Station]]:
    """Start several simulated stations behind one port, and end them. Yields them by their ids. Raises
    ``SimulationFailed``.

    ``files``: a station file of each; or how many copies of ``text``, of which the ids count up: ``CP-1``, ``CP-2``.
    The other arguments are those of ``simulate_station``, for all of them.
    """
    with contextlib.ExitStack() as stack:
        home = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chargy-stations-")))
        if isinstance(files, int):
            named = [str(_copy_station_file(home / "station.toml", None, text)), "--stations", str(files)]
        else:
            copies = [(home / f"station-{n}.toml", file) for n, file in enumerate(files, 1)]
            named = [str(_copy_station_file(copy, file, "")) for copy, file in copies]
        options = _command_options(backend, versions, speed)
        process, log = stack.enter_context(_running_process([*named, *options], home))
        first = _wait_for_address(process, log)
        yield _wait_for(process, log, lambda: _find_ready_stations(first))


def _copy_station_file(copy: Path, file: Path | str | None, text: str) -> Path:
    if file is not None:
        shutil.copyfile(file, copy)
    else:
        copy.write_text(text or ONE_OUTLET, "utf-8")
    return copy


def _command_options(backend: str, versions: Sequence[str], speed: float | None) -> list[str]:
    options = ["--backend", backend] if backend else []
    options += [word for version in versions for word in ("--ocpp", version)]
    options += ["--speed", f"{speed:g}"] if speed is not None else []
    return options


@contextlib.contextmanager
def _running_process(arguments: Sequence[str], home: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run the command in a process. Yields it, and where it prints."""
    log = home / "simulate.log"
    argv = [sys.executable, "-m", "agent", "simulate", *arguments, "--port", "0", "--headless"]
    # the kernel sends the signal when the thread ends that has started the child, not the process (prctl(2))
    is_main = threading.current_thread() is threading.main_thread()
    guard = die_with_parent(os.getpid(), signal.SIGTERM) if is_main else None
    env = {**os.environ, "PYTHONSAFEPATH": "1"}  # a folder `agent` of the project that is tested is not this program
    with log.open("w") as out, subprocess.Popen(argv, stdout=out, stderr=out, preexec_fn=guard, env=env) as process:
        try:
            yield process, log
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(process: subprocess.Popen[bytes], log: Path, look: Callable[[], T | None]) -> T:
    """Return what ``look`` finds. Raises ``SimulationFailed`` if the process ends before, or it takes too long."""
    start_s = float(os.environ.get(WAIT_VARIABLE, WAIT_S))
    end_s = time.monotonic() + start_s
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise SimulationFailed(f"the simulated station has ended: {_end_of_log(log)}")
        if found := look():
            return found
        time.sleep(LOOK_EVERY_S)
    raise SimulationFailed(f"the simulated station is not ready after {start_s:g} s: {_end_of_log(log)}")


def _wait_for_address(process: subprocess.Popen[bytes], log: Path) -> Station:
    found = _wait_for(process, log, lambda: ADDRESS.search(log.read_text("utf-8", "replace")))
    return Station(found[0].strip())


def _find_ready_stations(first: Station) -> dict[str, Station] | None:
    """Return all stations by their ids; None: not all of them are ready yet. Raises ``SimulationFailed``."""
    try:
        entries = first.get_stations()
    except ControlError as e:
        if e.status == 0:
            return None
        raise
    for entry in entries:
        if entry["state"] == "ended":
            raise SimulationFailed(f"{entry['id']} has ended: {entry['error']}")
    stations = {entry["id"]: Station(first.url, name=entry["id"]) for entry in entries}
    return stations if all(station.get_health() for station in stations.values()) else None


def _end_of_log(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-LOG_TAIL:].strip()
