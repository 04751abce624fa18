"""From the start to BootNotification: time, instructions, without a writable cache, with a full queue."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.domain.serialization import dump_record
from agent.services.store import encoding as forms
from agent.services.store.store import Store
from tests.bench import encoding
from tests.bench.backend import Backend
from tests.bench.figures import Figures, Goal
from tests.bench.process import AGENT, ROOT, Skipped, cpu_s, memory_mib, spawned
from tests.bench.stations import FLOORS, agent_alone, booted, floor_command, folder_of

BARE = "bare interpreter"
WEBSOCKETS = "floor (websockets)"
G1 = Goal(
    "G1", "start to BootNotification", 1.3, "x floor", why="the agent's own 260 modules; see the instructions of G2"
)
G2 = Goal(
    "G2",
    "instructions to the first frame",
    450,
    "M",
    why="the table below says what takes them",
)
G3 = Goal("G3", "start of the wheel, nothing may be written", 1.05, "x start")
G20 = Goal(
    "G20",
    "start with 100,000 messages queued",
    1.1,
    "x empty",
    why="each row and each entry of the index of 100,000 are checked, 0.65 G instructions of SQLite beside the 0.47 G "
    "of the start, in a thread: the start waits for what is left of it, or for a core",
)
G20_RSS = Goal("G20", "memory with 100,000 messages queued", 1.0, "MiB more")
QUEUED = 100_000
WITHOUT_DEVICES = [
    sys.executable,
    "-c",
    "import gc, sys; gc.disable(); from agent.model.lazy_import import UNUSED_BY_STATION, load_later; "
    "load_later(*UNUSED_BY_STATION); from agent.assembly import station; station.HEAD_START_S = 3600.0; "
    "from agent.cli import main; sys.exit(main())",
]
"""The agent with devices that wait for the backend's answer: under callgrind their 0.3 s are over before the first
frame."""


async def start(backend: Backend, figures: Figures, rounds: int) -> None:
    """Interleaved, so that the machine's drift hits every case alike; the first round warms the caches."""
    cases: dict[str, list[float]] = {BARE: [], **{name: [] for name in FLOORS}, "agent": [], "agent (wheel)": []}
    with wheel() as unpacked:
        for _ in range(rounds + 1):
            began = time.perf_counter()
            await asyncio.to_thread(subprocess.run, [sys.executable, "-c", "pass"], check=True)
            cases[BARE].append(time.perf_counter() - began)
            for name, frames in FLOORS.items():
                cases[name].append(await boot_s(floor_command(frames, backend), backend))
            with agent_alone(backend) as argv:
                cases["agent"].append(await boot_s(argv, backend))
                sealed = {"PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"}
            with agent_alone(backend) as argv:
                cases["agent (wheel)"].append(await boot_s(argv, backend, sealed, unpacked))
    for name, times in cases.items():
        ratio = in_pairs(times, cases[BARE])
        figures.show(name, f"{statistics.median(times[1:]) * 1e3:.0f} ms", f"{ratio:.1f} x bare")
    agent, floor = cases["agent"], cases[WEBSOCKETS]
    beside = f"floor {statistics.median(floor[1:]) * 1e3:.0f} ms ({WEBSOCKETS}), in pairs"
    figures.judge(G1, in_pairs(agent, floor), f"{statistics.median(agent[1:]) * 1e3:.0f} ms", beside)
    sealed_ms = statistics.median(cases["agent (wheel)"][1:]) * 1e3
    figures.judge(G3, in_pairs(cases["agent (wheel)"], agent), f"{sealed_ms:.0f} ms", "beside the warm tree, in pairs")


def in_pairs(times: list[float], beside: list[float]) -> float:
    """Median ratio of runs that stood next to each other, without the first."""
    return statistics.median(t / b for t, b in zip(times[1:], beside[1:], strict=True))


async def boot_s(
    argv: list[str], backend: Backend, environment: dict[str, str] | None = None, cwd: Path = ROOT
) -> float:
    backend.forget()
    began = time.perf_counter()
    async with spawned(argv, environment, cwd) as child:
        return await booted(child, backend) - began


@contextlib.contextmanager
def wheel() -> Iterator[Path]:
    """A folder with what the wheel of a copy of this tree holds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for room in ("agent", "drivers", "config"):
            shutil.copytree(ROOT / room, folder / "tree" / room, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, folder / "tree")
        code = f"from setuptools.build_meta import build_wheel; build_wheel({name!r})"
        subprocess.run([sys.executable, "-c", code], cwd=folder / "tree", capture_output=True, check=True)
        zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(folder / "site")
        yield folder / "site"


# --- instructions ------------------------------------------------------------------------------------------------


async def instructions(backend: Backend, figures: Figures, rounds: int) -> None:
    if not shutil.which("valgrind"):
        raise Skipped("valgrind is not installed")
    bare = await asyncio.to_thread(counted, [sys.executable, "-c", "pass"])
    figures.show(BARE, f"{bare / 1e6:.0f} M")
    found = 0
    for name, frames in FLOORS.items():
        found = await instructions_to_boot(floor_command(frames, backend), backend)
        figures.show(name, f"{found / 1e6:.0f} M", f"{found / bare:.1f} x bare")
    with agent_alone(backend) as argv:
        await boot_s(argv, backend)  # which leaves its bytecode
        ready = await instructions_to_boot(argv, backend)
    figures.show("agent, until it waits for a card", f"{ready / 1e6:.0f} M", f"{ready / bare:.1f} x bare")
    backend.unanswered.add("BootNotification")  # the answer begins what comes after the first frame
    with agent_alone(backend) as (*_, run, file):
        agent = await instructions_to_boot([*WITHOUT_DEVICES, run, file], backend)
    figures.judge(G2, agent / 1e6, f"{agent / bare:.1f} x bare", f"floor {found / 1e6:.0f} M ({WEBSOCKETS})")


def under_callgrind(out: Path, argv: list[str]) -> list[str]:
    grind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    return ["env", "PYTHONHASHSEED=0", *grind, *argv]


def counted(argv: list[str]) -> int:
    """Instructions of a program that ends by itself."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cg"
        subprocess.run(under_callgrind(out, argv), check=True, capture_output=True, cwd=ROOT)
        return summary(out)


async def instructions_to_boot(argv: list[str], backend: Backend) -> int:
    return await instructions_until(argv, backend, "BootNotification", 1)


async def instructions_until(argv: list[str], backend: Backend, action: str, count: int) -> int:
    """Of a program that has sent so many CALLs and waits for something to do; ending it does not count."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cg"
        backend.forget()
        async with spawned(under_callgrind(out, argv)) as child:
            await booted(child, backend, within_s=180.0, action=action)
            await backend.wait_heard(action, count, within_s=180.0)
            await settled(child.pid)
            dump_it = ["callgrind_control", "--dump", str(child.pid)]
            done = await asyncio.to_thread(subprocess.run, dump_it, capture_output=True, text=True, timeout=60)
            found = summary(out.with_suffix(".1"))
            if not found:
                raise Skipped(f"callgrind wrote no dump: {(done.stderr or done.stdout).strip()[-200:]}")
            return found


async def settled(pid: int) -> None:
    """Wait until the process waits."""
    spent_s = -1.0
    while spent_s < (spent_s := cpu_s(pid)):
        await asyncio.sleep(0.7)


def summary(out: Path) -> int:
    """The total of a dump; 0 if there is none."""
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE) if out.exists() else None
    return int(found[1]) if found else 0


# --- a full queue ------------------------------------------------------------------------------------------------


async def full(backend: Backend, figures: Figures, rounds: int) -> None:
    """An agent whose backend does not know it yet (Pending), so that nothing is delivered meanwhile."""
    backend.replies["BootNotification"] = {**backend.replies["BootNotification"], "status": "Pending"}
    with folder_of(backend) as (_, file), folder_of(backend) as (queue, queue_file):
        text = queue_file.read_text().replace("[backend]", "store_max_mb = 512\n[backend]")
        queue_file.write_text(text)
        await fill(queue / "state", QUEUED, lambda n: encoding.message(n, f"s{n // 50}"))
        size_mb = (queue / "state" / "agent.db").stat().st_size / 1e6
        times: dict[str, list[float]] = {"empty": [], "full": []}
        rss: dict[str, list[float]] = {"empty": [], "full": []}
        for _ in range(rounds + 1):
            for name, path in (("empty", file), ("full", queue_file)):
                backend.forget()
                began = time.perf_counter()
                async with spawned([*AGENT, "run", str(path)]) as child:
                    times[name].append(await booted(child, backend) - began)
                    await asyncio.sleep(0.7)
                    rss[name].append(memory_mib(child.pid)["rss"])
    full_ms, empty_ms = (statistics.median(times[k][1:]) * 1e3 for k in ("full", "empty"))
    figures.judge(
        G20, in_pairs(times["full"], times["empty"]), f"{full_ms:.0f} ms", f"empty {empty_ms:.0f} ms; {size_mb:.0f} MB"
    )
    more = statistics.median(rss["full"]) - statistics.median(rss["empty"])
    figures.judge(G20_RSS, more, f"{statistics.median(rss['full']):.1f} MiB")


async def fill(state: Path, count: int, make: Callable[[int], Any], of_session: int = 50) -> None:
    """A store with so many messages queued for the backend ``chargy``, written as the agent writes them."""
    store = await Store.open(state / "agent.db", 512)
    await store.close()
    with contextlib.closing(sqlite3.connect(state / "agent.db")) as db, db:
        for number in range(count):
            row = make(number)
            what = (
                "chargy",
                row.session,
                type(row).__name__,
                forms.to_json_text(dump_record(row)),
                number % of_session,
            )
            db.execute("INSERT INTO outbox(link, session, kind, body, number) VALUES(?,?,?,?,?)", what)
