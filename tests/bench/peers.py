"""A fleet beside what it is compared with, in one run: the same central system, one behaviour, the same machine.

  python -m tests.bench.peers [--stations N] [--window S] [--sap FOLDER] [--write docs/fleet.md] [peer ...]

Each peer has N stations with one transaction each and a MeterValues of nine values every second (1.3 kB). Its processes
are measured from spawn to the last accepted BootNotification, and over a window: memory, and CPU time of each sample
(nine values; a fleet that is behind puts several into one message).

``--sap FOLDER`` is a built checkout of SAP's e-mobility-charging-stations-simulator whose configuration has N stations
of one connector that charge by themselves with a MeterValues each second, at ws://127.0.0.1:9210. It is on no registry,
so that without a folder its row is computed: what it took beside the floor in the reference run, times today's floor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Figures, commit, machine, write
from tests.bench.fleet import PROFILE, STATION
from tests.bench.lean_backend import LeanBackend, open_lean_backend
from tests.bench.process import AGENT, ROOT, Skipped, cpu_s, spawned

BEGIN, END = "<!-- make bench peers: begin -->", "<!-- make bench peers: end -->"
INTERVAL_S = 1.0
SETTLE_S = 4.0
PATIENCE_S = 240.0
CHARGING_SHARE = 0.9
"""So many stations have a transaction when the window begins: on a busy machine a driver may give up."""
SAP_PORT = 9210
RPC_PACKAGE = "ocpp-rpc@2.2.1"
INSTALL_S = 120.0
STATIONS_IN_PYTHON = [sys.executable, "-m", "tests.bench.peer_stations"]
FLOOR, SAP = "floor: own frames and JSON", "SAP simulator"


@dataclass(frozen=True)
class Times:
    """What another peer took, as multiples of the floor of the same run: from, to."""

    accepted: tuple[float, float]
    memory_each: tuple[float, float]
    cpu: tuple[float, float]


SAP_BESIDE_FLOOR = Times((9.4 / 2.0, 15.4 / 2.0), (61 / 8, 69 / 8), (350 / 139, 350 / 107))
"""Version 4.11.0, production build, logs, statistics and pings off, 2,000 stations on two cores: 9.4 to 15.4 s beside
2.0, 61 to 69 KiB beside 8, 350 us beside 107 to 139."""


@dataclass(frozen=True)
class PeerFigures:
    """From spawn to the first and to the last acceptance (s), the memory of all (MiB) and of each station above the
    first (KiB), CPU time of a sample (us), samples per second, and the share of a core."""

    first_s: float
    accepted_s: float
    memory_mib: float
    memory_each_kib: float
    cpu_us: float
    samples_per_s: float
    cores: float


@dataclass
class PeerOptions:
    stations: int = 2000
    window_s: float = 20.0
    sap: Path | None = None


CHOSEN = PeerOptions()
"""What ``make bench`` was asked for."""


def process_tree(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from process_tree(int(child))


def shared_memory_mib(pid: int) -> float:
    """Return the memory of a process tree; pages that are shared count once (PSS)."""
    total_kib = 0
    for one in process_tree(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total_kib += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total_kib / 1024


def tree_cpu_s(pid: int) -> float:
    total_s = 0.0
    for one in process_tree(pid):
        with contextlib.suppress(OSError):
            total_s += cpu_s(one)
    return total_s


# --- the peers -------------------------------------------------------------------------------------------------------


def python_peer(kind: str) -> Callable[[LeanBackend, int, Path], list[str]]:
    def argv_of(backend: LeanBackend, stations: int, folder: Path) -> list[str]:
        options = ("--url", backend.url, "--stations", str(stations), "--interval", str(INTERVAL_S))
        return [*STATIONS_IN_PYTHON, kind, *options]

    return argv_of


def fleet_peer(processes: int) -> Callable[[LeanBackend, int, Path], list[str]]:
    def argv_of(backend: LeanBackend, stations: int, folder: Path) -> list[str]:
        profile, station = folder / "profile.toml", folder / "station.toml"
        profile.write_text(PROFILE.replace("at_s = 6", "at_s = 1"))
        station.write_text(STATION)
        return [
            *AGENT, "fleet", str(stations), "--backend", backend.url, "--profile", str(profile), "--station",
            str(station), "--quiet", "--settle", "1", "--processes", str(min(processes, stations)),
        ]  # fmt: skip

    return argv_of


def rpc_peer(backend: LeanBackend, stations: int, folder: Path) -> list[str]:
    """Raises ``Skipped`` where there is no Node, or the package cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Skipped("there is no Node with npm on this machine")
    if not (folder / "node_modules").exists():
        install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), RPC_PACKAGE]
        try:
            subprocess.run(install, capture_output=True, check=True, timeout=INSTALL_S)
        except (subprocess.SubprocessError, OSError) as e:
            raise Skipped(f"{RPC_PACKAGE} cannot be installed ({type(e).__name__})") from e
    script = str(ROOT / "tests" / "bench" / "rpc_stations.mjs")
    return [node, script, backend.url, str(stations), str(INTERVAL_S)]


def sap_peer(backend: LeanBackend, stations: int, folder: Path) -> list[str]:
    """The number of its stations is that of its configuration. Raises ``Skipped`` without a folder."""
    if CHOSEN.sap is None:
        raise Skipped("no --sap FOLDER with a built checkout")
    return ["node", str(CHOSEN.sap / "dist" / "start.js")]


PEERS: dict[str, Callable[[LeanBackend, int, Path], list[str]]] = {
    FLOOR: python_peer("floor"),
    "floor: websockets and JSON": python_peer("websockets"),
    "ocpp (PyPI), validated inline": python_peer("ocpp"),
    "ocpp-rpc (npm), strict": rpc_peer,
    SAP: sap_peer,
    "chargy-agent fleet, one process": fleet_peer(1),
    "chargy-agent fleet, two processes": fleet_peer(2),
}


# --- measuring -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running_peer(name: str, stations: int, folder: Path) -> AsyncIterator[tuple[int, LeanBackend, float, float]]:
    """Run a peer until all its stations are accepted and charge. Yield its process id, and after how many seconds the
    first and the last station were accepted. Raises ``Skipped``."""
    async with open_lean_backend(SAP_PORT if name == SAP else 0) as backend:
        argv = PEERS[name](backend, stations, folder)
        cwd = CHOSEN.sap if name == SAP and CHOSEN.sap is not None else folder if "ocpp-rpc" in name else ROOT
        began_s = time.monotonic()
        async with spawned(argv, cwd=cwd) as child:
            seen = await backend.read_books()
            while seen["accepted"] < stations or seen["transactions"] < CHARGING_SHARE * stations:
                if child.process.poll() is not None or time.monotonic() > began_s + PATIENCE_S:
                    raise Skipped(f"{seen['accepted']} accepted, {seen['transactions']} charge; {child.why()}")
                await asyncio.sleep(0.25)
                seen = await backend.read_books()
            yield child.pid, backend, seen["first_s"] - began_s, seen["all_s"] - began_s
            for pid in [*process_tree(child.pid)][1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            child.process.kill()


async def measure_peer(name: str, options: PeerOptions, folder: Path) -> PeerFigures:
    """Raises ``Skipped``."""
    alone_mib = 0.0
    if name != SAP:
        async with running_peer(name, 1, folder) as (pid, _, _, _):
            await asyncio.sleep(1.0)
            alone_mib = shared_memory_mib(pid)
    async with running_peer(name, options.stations, folder) as (pid, backend, first_s, accepted_s):
        await asyncio.sleep(SETTLE_S)
        samples, spent_s, began_s = (await backend.read_books())["samples"], tree_cpu_s(pid), time.monotonic()
        await asyncio.sleep(options.window_s)
        count = (await backend.read_books())["samples"] - samples
        took_s, lasted_s = tree_cpu_s(pid) - spent_s, time.monotonic() - began_s
        if not count:
            raise Skipped("no sample came")
        whole_mib = shared_memory_mib(pid)
        each_kib = (whole_mib - alone_mib) * 1024 / max(1, options.stations - 1)
        return PeerFigures(
            first_s, accepted_s, whole_mib, each_kib, took_s / count * 1e6, count / lasted_s, took_s / lasted_s
        )


async def measure_peers(options: PeerOptions, wanted: list[str], figures: Figures) -> dict[str, PeerFigures]:
    found: dict[str, PeerFigures] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            try:
                found[name] = one = await measure_peer(name, options, Path(folder))
            except (Skipped, TimeoutError, OSError) as e:
                figures.skip(name, str(e) or type(e).__name__)
                continue
            figures.show(
                name, f"{one.cpu_us:.0f} us a sample",
                f"accepted in {one.accepted_s:.1f} s, {one.memory_each_kib:.0f} KiB each, {one.samples_per_s:.0f}/s",
            )  # fmt: skip
    return found


async def peers(backend: object, figures: Figures, rounds: int) -> None:
    """The section of ``make bench``. It has a central system of its own."""
    found = await measure_peers(CHOSEN, [*PEERS], figures)
    for line in table_lines(found, CHOSEN):
        print(f"  {line}")


# --- the table -------------------------------------------------------------------------------------------------------


def table_lines(found: dict[str, PeerFigures], options: PeerOptions) -> Iterator[str]:
    yield "| peer | first after s | all after s | whole MiB | KiB a station | µs of CPU a sample | samples/s | cores |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in PEERS:
        if name in found:
            one = found[name]
            yield (
                f"| {name} | {one.first_s:.2f} | {one.accepted_s:.1f} | {one.memory_mib:.0f} | "
                f"{one.memory_each_kib:.0f} | {one.cpu_us:.0f} | {one.samples_per_s:.0f} | {one.cores:.2f} |"
            )
        elif name == SAP and FLOOR in found:
            yield _reference_row(found[FLOOR])


def _reference_row(floor: PeerFigures) -> str:
    """Return the row of what cannot be fetched: its ratio to the floor of the reference run, times today's floor."""
    ratio = SAP_BESIDE_FLOOR

    def span(times: tuple[float, float], value: float, digits: int = 0) -> str:
        return " to ".join(f"{each * value:.{digits}f}" for each in times)

    return (
        f"| {SAP} (**not run here: reference ratio × today's floor**) | | "
        f"{span(ratio.accepted, floor.accepted_s, 1)} | | "
        f"{span(ratio.memory_each, floor.memory_each_kib)} | {span(ratio.cpu, floor.cpu_us)} | | |"
    )


def document_text(found: dict[str, PeerFigures], options: PeerOptions, load: str) -> str:
    """Return the table with its markers, and where it was measured."""
    day = time.strftime("%Y-%m-%d")
    return "\n".join(
        [
            BEGIN,
            f"Commit {commit()}, {day}, one run of `python -m tests.bench.peers`: {options.stations} stations, window "
            f"{options.window_s:g} s. Machine: {machine()}; load average {load}.",
            "",
            *table_lines(found, options),
            END,
        ]
    )


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers")
    parser.add_argument("--stations", type=int, default=CHOSEN.stations)
    parser.add_argument("--window", type=float, default=CHOSEN.window_s)
    parser.add_argument("--sap", type=Path, help="a built checkout of SAP's simulator")
    parser.add_argument("--write", type=Path, help="a document with the markers of the table")
    parser.add_argument("peer", nargs="*", help="part of the name of a peer (default: all)")
    args = parser.parse_args()
    CHOSEN.stations, CHOSEN.window_s, CHOSEN.sap = args.stations, args.window, args.sap
    wanted = [name for name in PEERS if not args.peer or any(part in name for part in args.peer)]
    before = os.getloadavg()[0]
    print(f"{machine()}, load {before:.1f}", flush=True)
    found = await measure_peers(CHOSEN, wanted, Figures())
    text = document_text(found, CHOSEN, f"{before:.1f} to {os.getloadavg()[0]:.1f}")
    print(text)
    if args.write:
        write(args.write, text, (BEGIN, END))


if __name__ == "__main__":
    asyncio.run(main())
