"""What a message costs: CPU of an exchange, instructions of an encoding, how long a message holds the event loop."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.backend import Backend
from tests.bench.figures import Figures, Goal
from tests.bench.process import Skipped, cpu_s, spawned
from tests.bench.starts import counted, instructions_until
from tests.bench.stations import FLOORS, INSIDE, NINE, booted, floor_command, folder_of, simulated

G6 = Goal(
    "G6",
    "CPU of a MeterValues exchange",
    1.8,
    "x floor",
    why="the floor sends one fixed dictionary with frames of its own and reads no answer; the library's frames alone "
    "are 1.6 x floor; the table below has the rest",
)
G7_16 = Goal("G7", "instructions of a MeterValues (1.6)", 0.6, "M")
G7_201 = Goal("G7", "instructions of a TransactionEvent (2.0.1)", 1.0, "M")
G8 = Goal(
    "G8",
    "longest hold of the loop by a message",
    0.1,
    "ms",
    why="to build and validate nine values, and to write and send them, are a turn of the loop each, 0.23 and 0.25 M "
    "instructions; the collector takes as much now and then; a core with other work loses its caches",
)
G8_DISK = Goal(
    "G8",
    "longest hold, each commit 200 ms",
    5.0,
    "ms",
    why="real time: on a machine with other work its turns are in it; not separated yet",
)
WARM, CALLS, TRIGGERS = 200, 2000, 200
EXCHANGING = [sys.executable, "-m", "tests.bench.exchanging"]
SETTINGS = f'MeterValuesSampledData = "{NINE}"'


async def cpu(backend: Backend, figures: Figures, rounds: int) -> None:
    """First the exchange alone: MeterValues out, its answer in, both validated, one by one; no store, no meter.
    Floors and agent take turns, so that the machine's drift hits them alike. Then what else a triggered one costs."""
    more = ("--calls", str(WARM + CALLS))
    commands = {name: floor_command(frames, backend, *more) for name, frames in FLOORS.items()}
    commands["agent's link"] = [*EXCHANGING, f"ws://127.0.0.1:{backend.port}/LINK", str(WARM + CALLS)]
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(max(5, rounds // 2)):
        for name, argv in commands.items():
            spent[name].append(await exchange_us(argv, backend))
    own = spent[next(iter(FLOORS))]
    for name, found in spent.items():
        figures.show(name, f"{min(found):.0f} us", f"{in_ratio(found, own):.2f} x floor")
    link = spent["agent's link"]
    beside = f"floor {min(own):.0f} us (own frames), {min(spent['floor (websockets)']):.0f} us (websockets)"
    if shutil.which("valgrind"):
        counts = [f"{await exchange_instructions(argv[:-1], backend) / 1e6:.2f}" for argv in commands.values()]
        beside += f"; {counts[-1]} M instructions, floors {counts[0]} and {counts[1]} M"
    figures.judge(G6, in_ratio(link, own), f"{min(link):.0f} us", beside)
    with folder_of(backend, SETTINGS) as (_, file):
        backend.forget()
        async with spawned([*INSIDE, str(file)]) as child:
            await booted(child, backend)
            figures.show("triggered: engine, durable queue", f"{await triggered_us(child.pid, backend):.0f} us")
    async with simulated(backend, settings=SETTINGS) as pid:
        figures.show("triggered: and a Modbus meter", f"{await triggered_us(pid, backend):.0f} us")


def in_ratio(found: list[float], beside: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(found, beside, strict=True))


async def exchange_us(argv: list[str], backend: Backend) -> float:
    """CPU of the whole process for each of ``CALLS``, after ``WARM`` that do not count."""
    backend.forget()
    async with spawned(argv) as child:
        await backend.wait_heard("MeterValues", WARM)
        began_s, counted_from = cpu_s(child.pid), backend.count("MeterValues")
        await backend.wait_heard("MeterValues", WARM + CALLS)
        return (cpu_s(child.pid) - began_s) / (WARM + CALLS - counted_from) * 1e6


async def exchange_instructions(argv: list[str], backend: Backend) -> float:
    """Of a program that is given the number of exchanges last: the difference of two runs."""
    few, many = 100, 400
    found = [await instructions_until([*argv, str(n)], backend, "MeterValues", n) for n in (few, many)]
    return (found[1] - found[0]) / (many - few)


async def triggered_us(pid: int, backend: Backend) -> float:
    """CPU of one TriggerMessage and the MeterValues that it brings, less what the process spends anyway."""
    await asyncio.sleep(1.0)
    for _ in range(20):
        await trigger(backend)
    began_s, began = cpu_s(pid), time.perf_counter()
    for _ in range(TRIGGERS):
        await trigger(backend)
    spent_s, took_s = cpu_s(pid) - began_s, time.perf_counter() - began
    began_s, began = cpu_s(pid), time.perf_counter()
    await asyncio.sleep(1.0)
    idle = (cpu_s(pid) - began_s) / (time.perf_counter() - began)
    return (spent_s - idle * took_s) / TRIGGERS * 1e6


async def trigger(backend: Backend) -> None:
    backend.forget()
    await backend.ask("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1})
    try:
        await backend.wait_heard("MeterValues", within_s=5.0)
    except TimeoutError:
        raise Skipped("TriggerMessage brought no MeterValues within 5 s") from None


# --- instructions ----------------------------------------------------------------------------------------------------


async def encoding(backend: Backend, figures: Figures, rounds: int) -> None:
    """Difference of two runs, so that the start does not count. The run before them writes what Python compiles."""
    if not shutil.which("valgrind"):
        raise Skipped("valgrind is not installed")
    for goal, version in ((G7_16, "1.6"), (G7_201, "2.0.1")):
        program = [sys.executable, "-m", "tests.bench.encoding", version]
        _, few, many = [await asyncio.to_thread(counted, [*program, str(n)]) for n in (1, 50, 250)]
        figures.judge(goal, (many - few) / 200 / 1e6, "built, validated, encoded")


# --- holding the loop ----------------------------------------------------------------------------------------------


async def hold(backend: Backend, figures: Figures, rounds: int) -> None:
    """Every callback of the event loop is timed, in CPU time, while 500 exchanges go by; then with a slow disk."""
    cpu_ms, _ = await held_ms(backend)
    worst, p99 = cpu_ms[-1], cpu_ms[int(len(cpu_ms) * 0.99)]
    figures.judge(
        G8, worst, f"p99 {p99:.3f} ms, median {statistics.median(cpu_ms):.3f} ms", f"{len(cpu_ms)} callbacks, CPU"
    )
    _, real_ms = await held_ms(backend, "--slow-disk", "0.2")
    figures.judge(
        G8_DISK, real_ms[-1], f"p99 {real_ms[int(len(real_ms) * 0.99)]:.2f} ms", f"{len(real_ms)} callbacks, real time"
    )


async def held_ms(backend: Backend, *more: str) -> tuple[list[float], list[float]]:
    """Sorted milliseconds, CPU and real, of each callback from the moment when all is ready."""
    with folder_of(backend, SETTINGS) as (folder, file):
        out = folder / "held.json"
        backend.forget()
        async with spawned([*INSIDE, str(file), "--held", str(out), *more]) as child:
            await booted(child, backend, within_s=60.0)
            await asyncio.sleep(3.0)
            child.process.send_signal(signal.SIGUSR1)  # counts from here
            await asyncio.sleep(0.1)
            for n in range(20 if more else 500):
                await trigger(backend)
                if more:
                    await backend.ask("ChangeConfiguration", {"key": "MinimumStatusDuration", "value": str(n % 3)})
                    await asyncio.sleep(0.05)
            child.process.send_signal(signal.SIGUSR2)  # and writes
            held = await asyncio.to_thread(written, out)
    return sorted(x * 1e3 for x in held["cpu_s"]), sorted(x * 1e3 for x in held["real_s"])


def written(path: Path, within_s: float = 10.0) -> Any:
    for _ in range(int(within_s * 10)):
        if path.exists():
            return json.loads(path.read_text())
        time.sleep(0.1)
    raise Skipped("nothing was written")
