"""``make bench``: what the agent costs, beside the floors, in one run. Compare only figures of one run.

  python -m tests.bench.bench [--rounds N] [start instructions memory cpu tap]

start         spawn to BootNotification on the wire, as a multiple of a bare interpreter
instructions  the same in executed instructions (callgrind): alike on a busy machine
memory        RSS and private pages: link, store and engine alone; what each driver's imports add; the whole
cpu           CPU of the agent per triggered MeterValues of nine samples, validation both ways included
tap           a line at the serial reader to Authorize at the backend

``floor (own frames)`` is the least that an agent in Python can be, ``floor (websockets)`` the least on that library.
A figure that cannot be had is skipped and says why. Nothing here is a test: a machine's mood fails no build.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pty
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tty
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.bench.backend import Backend, open_backend
from tests.bench.process import AGENT, ROOT, Child, Skipped, cpu_s, memory_mib, spawned

FLOOR = [sys.executable, str(ROOT / "tests" / "bench" / "floor.py")]
FLOORS = {"floor (own frames)": "own", "floor (websockets)": "websockets"}

DRIVER_IMPORTS = {
    "evse_modbus, meter_modbus": "import pymodbus.client",
    "reader_serial": "import serial",
    "reader_nfc": "import nfc",
    "display_framebuffer": "import PIL.Image, PIL.ImageDraw, PIL.ImageFont, qrcode",
}
"""What the drivers load when they are opened; measured on top of the agent's own rooms."""

BASE_IMPORTS = "import asyncio, ssl, sqlite3, json, logging, tomllib, websockets.asyncio.client"
CALLS, TAPS = 200, 100


def station_file(folder: Path, backend: Backend, devices: str = "", settings: str = "") -> Path:
    """A station of one EVSE in ``folder``; a simulated one gets its page on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = folder / "station.toml"
    path.write_text(
        f'[station]\nid = "BENCH"\nvendor = "Chargy"\nmodel = "Bench"\nserial = "B-1"\nstate_dir = "{folder}/state"\n'
        f'[backend]\nurl = "ws://127.0.0.1:{backend.port}"\nversions = ["1.6"]\n'
        f"[settings.ocpp16]\n{settings}\n[[evse]]\nnumber = 1\n{devices}\n"
        f'[simulation]\nport = {port}\nstate_dir = "{folder}/world"\n'
    )
    return path


@contextlib.asynccontextmanager
async def agent_alone(backend: Backend) -> AsyncIterator[list[str]]:
    """The command line of an agent without devices, on a new store."""
    with tempfile.TemporaryDirectory() as folder:
        yield [*AGENT, "run", str(station_file(Path(folder), backend))]


@contextlib.asynccontextmanager
async def simulated(backend: Backend, devices: str = "", settings: str = "") -> AsyncIterator[int]:
    """Process id of an agent with all its simulated devices, booted and ready."""
    with tempfile.TemporaryDirectory() as folder:
        file = station_file(Path(folder), backend, devices, settings)
        api = re.search(r"port = (\d+)", file.read_text())
        assert api
        argv = [*AGENT, "simulate", str(file), "--headless", "--backend", f"ws://127.0.0.1:{backend.port}"]
        backend.forget()
        async with spawned(argv) as child:
            await booted(child, backend)
            yield await ready_pid(child, int(api[1]))


async def booted(child: Child, backend: Backend, within_s: float = 30.0) -> float:
    """The instant of its BootNotification. Raises ``Skipped`` with what the child said."""
    hearing = asyncio.ensure_future(backend.wait_heard("BootNotification", within_s=within_s))
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


def show(name: str, figure: str, beside: str = "") -> None:
    print(f"  {name:38s} {figure:>24s}   {beside}".rstrip(), flush=True)


# --- start -------------------------------------------------------------------------------------------------------


async def start(backend: Backend, rounds: int) -> None:
    """Interleaved, so that the machine's drift hits every case alike; the first round warms the caches."""
    cases: dict[str, list[float]] = {"bare interpreter": [], **{name: [] for name in FLOORS}, "agent": []}
    for _ in range(rounds + 1):
        t0 = time.perf_counter()
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", "pass"], check=True)
        cases["bare interpreter"].append(time.perf_counter() - t0)
        for name, frames in FLOORS.items():
            cases[name].append(await boot_s(floor_command(frames, backend), backend))
        try:
            async with agent_alone(backend) as argv:
                cases["agent"].append(await boot_s(argv, backend))
        except Skipped as e:
            cases.pop("agent", None)
            show("agent", "skipped", str(e))
            break
    bare = cases["bare interpreter"][1:] or cases["bare interpreter"]
    for name, times in cases.items():
        kept = times[1:] or times
        ratio = statistics.median(t / b for t, b in zip(kept, bare, strict=False))
        show(name, f"{statistics.median(kept) * 1e3:.0f} ms", f"{ratio:.1f} x bare")


async def boot_s(argv: list[str], backend: Backend) -> float:
    backend.forget()
    t0 = time.perf_counter()
    async with spawned(argv) as child:
        return await booted(child, backend) - t0


# --- instructions ------------------------------------------------------------------------------------------------


async def instructions(backend: Backend, rounds: int) -> None:
    if not shutil.which("valgrind"):
        raise Skipped("valgrind is not installed")
    bare = await bare_instructions()
    show("bare interpreter", f"{bare / 1e6:.0f} M")
    for name, frames in FLOORS.items():
        counted = await instructions_to_boot(floor_command(frames, backend), backend)
        show(name, f"{counted / 1e6:.0f} M", f"{counted / bare:.1f} x bare")
    async with agent_alone(backend) as argv:
        counted = await instructions_to_boot(argv, backend)
        show("agent", f"{counted / 1e6:.0f} M", f"{counted / bare:.1f} x bare")


def under_callgrind(out: Path, argv: list[str]) -> list[str]:
    grind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    return ["env", "PYTHONHASHSEED=0", *grind, *argv]


async def bare_instructions() -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cg"
        argv = under_callgrind(out, [sys.executable, "-c", "pass"])
        await asyncio.to_thread(subprocess.run, argv, check=True, capture_output=True)
        return summary(out)


async def instructions_to_boot(argv: list[str], backend: Backend) -> int:
    """The count is dumped while the program waits for something to do; ending it does not count."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cg"
        backend.forget()
        async with spawned(under_callgrind(out, argv)) as child:
            await booted(child, backend, within_s=180.0)
            dump = ["callgrind_control", "--dump", str(child.pid)]
            done = await asyncio.to_thread(subprocess.run, dump, capture_output=True, text=True, timeout=60)
            counted = summary(out.with_suffix(".1"))
            if not counted:
                raise Skipped(f"callgrind wrote no dump: {(done.stderr or done.stdout).strip()[-200:]}")
            return counted


def summary(out: Path) -> int:
    """The total of a dump; 0 if there is none."""
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE) if out.exists() else None
    return int(found[1]) if found else 0


# --- memory ------------------------------------------------------------------------------------------------------


async def memory(backend: Backend, rounds: int) -> None:
    for name, frames in FLOORS.items():
        await show_memory(name, floor_command(frames, backend), backend)
    try:
        async with agent_alone(backend) as argv:
            await show_memory("agent: link, store, engine", argv, backend)
    except Skipped as e:
        show("agent: link, store, engine", "skipped", str(e))
    base = await imports_mib(BASE_IMPORTS)
    for driver, imports in DRIVER_IMPORTS.items():
        show(f"+ imports of {driver}", f"+{await imports_mib(f'{BASE_IMPORTS}; {imports}') - base:.1f} MiB RSS")
    async with simulated(backend) as pid:
        await asyncio.sleep(5.0)
        figures = memory_mib(pid)
        show("agent: all simulated devices", f"{figures['rss']:.1f} MiB RSS", f"{figures['uss']:.1f} MiB private")


async def show_memory(name: str, argv: list[str], backend: Backend) -> None:
    backend.forget()
    async with spawned(argv) as child:
        await booted(child, backend)
        await asyncio.sleep(2.0)
        figures = memory_mib(child.pid)
        show(name, f"{figures['rss']:.1f} MiB RSS", f"{figures['uss']:.1f} MiB private")


async def imports_mib(code: str) -> float:
    tail = "; print(next(l.split()[1] for l in open('/proc/self/smaps_rollup') if l.startswith('Rss')))"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1024


# --- cpu ---------------------------------------------------------------------------------------------------------


async def cpu(backend: Backend, rounds: int) -> None:
    own = 0.0
    for name, frames in FLOORS.items():
        backend.forget()
        async with spawned(floor_command(frames, backend)) as child:
            await booted(child, backend)
            spent = await exchange_us(child.pid, backend)
            own = own or spent
            show(name, f"{spent:.0f} us", f"{spent / own:.2f} x floor")
    async with simulated(backend) as pid:
        spent = await exchange_us(pid, backend)
        show("agent, meter read included", f"{spent:.0f} us", f"{spent / own:.2f} x floor")


async def exchange_us(pid: int, backend: Backend) -> float:
    """CPU of one TriggerMessage and the MeterValues that it brings, less what the process spends anyway."""
    await asyncio.sleep(1.0)
    for _ in range(20):
        await exchange(backend)
    began_s, t0 = cpu_s(pid), time.perf_counter()
    for _ in range(CALLS):
        await exchange(backend)
    spent_s, took_s = cpu_s(pid) - began_s, time.perf_counter() - t0
    began_s, t0 = cpu_s(pid), time.perf_counter()
    await asyncio.sleep(3.0)
    idle = (cpu_s(pid) - began_s) / (time.perf_counter() - t0)
    return (spent_s - idle * took_s) / CALLS * 1e6


async def exchange(backend: Backend) -> None:
    backend.forget()
    await backend.ask("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1})
    try:
        await backend.wait_heard("MeterValues", within_s=5.0)
    except TimeoutError:
        raise Skipped("no MeterValues within 5 s of TriggerMessage") from None


# --- tap ---------------------------------------------------------------------------------------------------------


async def tap(backend: Backend, rounds: int) -> None:
    with serial_line() as (descriptor, device):
        for name, frames in FLOORS.items():
            backend.forget()
            async with spawned(floor_command(frames, backend, "--tty", device)) as child:
                await booted(child, backend)
                await show_taps(name, descriptor, backend)
    with serial_line() as (descriptor, device):
        devices = f'[[reader]]\ndriver = "reader_serial"\ndevice = "{device}"'
        settings = 'LocalPreAuthorize = "false"\nAuthorizationCacheEnabled = "false"'
        async with simulated(backend, devices, settings):
            await show_taps("agent", descriptor, backend)


@contextlib.contextmanager
def serial_line() -> Any:
    """A pseudo terminal: the far end's descriptor, and the device that a reader driver opens."""
    far, near = pty.openpty()
    tty.setraw(near)
    try:
        yield far, os.ttyname(near)
    finally:
        os.close(far)
        os.close(near)


async def show_taps(name: str, descriptor: int, backend: Backend) -> None:
    await asyncio.sleep(1.0)
    delays = []
    for n in range(TAPS):
        backend.forget()
        t0 = time.perf_counter()
        os.write(descriptor, f"04A1B2C3{n:06X}\r\n".encode())
        try:
            delays.append(await backend.wait_heard("Authorize", within_s=5.0) - t0)
        except TimeoutError:
            raise Skipped(f"no Authorize within 5 s of tap {n + 1}") from None
        await asyncio.sleep(0.02)
    delays.sort()
    p99 = delays[int(len(delays) * 0.99) - 1]
    show(name, f"p50 {statistics.median(delays) * 1e3:.2f} ms", f"p99 {p99 * 1e3:.2f} ms")


SECTIONS: dict[str, tuple[str, Callable[[Backend, int], Awaitable[None]]]] = {
    "start": ("start to BootNotification on the wire", start),
    "instructions": ("instructions to BootNotification", instructions),
    "memory": ("memory, connected and idle", memory),
    "cpu": ("CPU per triggered MeterValues exchange", cpu),
    "tap": ("tap at the serial reader to Authorize at the backend", tap),
}


async def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=9, help="starts per case (default 9)")
    parser.add_argument("section", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    args = parser.parse_args()
    if unknown := set(args.section) - set(SECTIONS):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    print(f"python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if any(m.startswith("__editable__") for m in sys.modules):
        print("note: this environment loads an import finder at every start, which blurs `start` and `instructions`;")
        print("      one that `make` has made does not (make clean bench)")
    for name in args.section or SECTIONS:
        title, measure = SECTIONS[name]
        print(f"{title}", flush=True)
        async with open_backend() as backend:
            try:
                await measure(backend, args.rounds)
            except Skipped as e:
                show("skipped", "", str(e))


if __name__ == "__main__":
    asyncio.run(main())
