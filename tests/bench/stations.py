"""Programs that the benches start: the floors, the agent alone, the agent with devices, and the wait for each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import socket
import sys
import tempfile
import tty
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from tests.bench.backend import Backend
from tests.bench.process import AGENT, ROOT, Child, Skipped, spawned

FLOOR = [sys.executable, str(ROOT / "tests" / "bench" / "floor.py")]
INSIDE = [sys.executable, "-m", "tests.bench.inside"]
FLOORS = {"floor (own frames)": "own", "floor (websockets)": "websockets"}
NINE = "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage,Current.Offered"
ASKS = 'LocalPreAuthorize = "false"\nAuthorizationCacheEnabled = "false"'
"""Every tap is asked about."""


def station_file(folder: Path, backend: Backend, devices: str = "", settings: str = "") -> Path:
    """A station of one EVSE in ``folder``; a simulated one gets its page on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = folder / "station.toml"
    path.write_text(
        f'[station]\nid = "BENCH"\nvendor = "Chargy"\nmodel = "Bench"\nserial = "B-1"\nstate_dir = "{folder}/state"\n'
        f'[backend]\nurl = "ws://127.0.0.1:{backend.port}"\nversions = ["1.6"]\n'
        f"[settings]\nrefused_cards_per_min = 0\n[settings.ocpp16]\n{settings}\n[[evse]]\nnumber = 1\n{devices}\n"
        f'[simulation]\nport = {port}\nstate_dir = "{folder}/world"\n'
    )
    return path


@contextlib.contextmanager
def folder_of(backend: Backend, settings: str = "", devices: str = "") -> Iterator[tuple[Path, Path]]:
    """A new folder and the station file in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder), station_file(Path(folder), backend, devices, settings)


@contextlib.contextmanager
def agent_alone(backend: Backend) -> Iterator[list[str]]:
    """The command line of an agent without devices, on a new store."""
    with folder_of(backend) as (_, file):
        yield [*AGENT, "run", str(file)]


@contextlib.asynccontextmanager
async def simulated(backend: Backend, devices: str = "", settings: str = "", shipped: str = "") -> AsyncIterator[int]:
    """Process id of an agent with all its simulated devices, booted and ready. ``shipped``: a station file of
    ``config/stations`` instead of one that is made here."""
    with folder_of(backend, settings, devices) as (folder, file):
        if shipped:
            text = (ROOT / "config" / "stations" / shipped).read_text("utf-8")
            port = re.search(r"port = \d+", file.read_text())
            assert port
            file.write_text(re.sub(r"port = 8080", port[0], text.replace('"state', f'"{folder}/state')))
        api = re.search(r"port = (\d+)", file.read_text())
        assert api
        argv = [*AGENT, "simulate", str(file), "--headless", "--backend", f"ws://127.0.0.1:{backend.port}"]
        backend.forget()
        async with spawned(argv) as child:
            await booted(child, backend)
            yield await ready_pid(child, int(api[1]))


async def booted(child: Child, backend: Backend, within_s: float = 30.0, action: str = "BootNotification") -> float:
    """The instant of its BootNotification, or first ``action``. Raises ``Skipped`` with what the child said."""
    hearing = asyncio.ensure_future(backend.wait_heard(action, within_s=within_s))
    while not hearing.done() and child.process.poll() is None:
        await asyncio.wait((hearing,), timeout=0.2)
    if not hearing.done() or hearing.exception():
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        raise Skipped(child.why())
    return hearing.result()


async def ready_pid(child: Child, port: int) -> int:
    """The agent's process id, once its devices are open."""

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1{path}", timeout=5) as answer:
            return answer.read()

    for _ in range(150):
        try:
            await asyncio.to_thread(ask, "/health")
            return int(json.loads(await asyncio.to_thread(ask, "/station"))["agent"]["pid"])
        except (OSError, ValueError, TypeError, KeyError):
            await asyncio.sleep(0.1)
    raise Skipped(f"simulation not ready: {child.why()}")


def floor_command(frames: str, backend: Backend, *more: str) -> list[str]:
    return [*FLOOR, "--frames", frames, "--url", f"ws://127.0.0.1:{backend.port}/FLOOR", *more]


@contextlib.contextmanager
def serial_line() -> Iterator[tuple[int, str]]:
    """A pseudo terminal: the far end's descriptor, and the device that a reader driver opens."""
    far, near = pty.openpty()
    tty.setraw(near)
    try:
        yield far, os.ttyname(near)
    finally:
        os.close(far)
        os.close(near)
