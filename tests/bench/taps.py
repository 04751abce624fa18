"""From a card to Authorize, and from its answer to the order that lets the board close the contactor."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bench.backend import ACCEPTED, Backend
from tests.bench.exchange import written
from tests.bench.figures import Figures, Goal
from tests.bench.process import Skipped, spawned
from tests.bench.stations import (
    ASKS,
    FLOORS,
    INSIDE,
    booted,
    floor_command,
    folder_of,
    serial_line,
    simulated,
)

G12 = Goal(
    "G12",
    "tap to Authorize in the kernel, p99",
    1.0,
    "ms",
    why="real time: on a machine with other work its turns are in it; the median is the better word",
)
G12_BACK = Goal(
    "G12",
    "answer to contactor order, less its commit, p99",
    1.0,
    "ms",
    why="the answer, the reading at the begin and the start of the session are three turns of the loop and two events "
    "of the domain, 0.2 and 0.35 ms; real time, in which a machine's other work is",
)
TAPS, INSIDE_TAPS = 100, 60


async def tap(backend: Backend, figures: Figures, rounds: int) -> None:
    with serial_line() as (descriptor, device):
        for name, frames in FLOORS.items():
            backend.forget()
            async with spawned(floor_command(frames, backend, "--tty", device)) as child:
                await booted(child, backend)
                await show_taps(name, descriptor, backend, figures)
    with serial_line() as (descriptor, device):
        async with simulated(backend, f'[[reader]]\ndriver = "reader_serial"\ndevice = "{device}"', ASKS):
            await show_taps("agent, serial reader to backend", descriptor, backend, figures)
    marks = await inside_marks(backend)
    handed = sorted((m["handed"] - m["tapped"]) * 1e3 for m in marks)
    back = sorted((m["released"] - m["answered"] - m["commit_s"]) * 1e3 for m in marks)
    whole = statistics.median((m["released"] - m["answered"]) * 1e3 for m in marks)
    figures.judge(G12, p99(handed), f"median {statistics.median(handed):.2f} ms", f"{len(handed)} taps")
    figures.judge(G12_BACK, p99(back), f"median {statistics.median(back):.2f} ms", f"with the commit {whole:.2f} ms")
    show_turns(await inside_marks(backend, "--turns"), figures)


def show_turns(marks: list[dict[str, Any]], figures: Figures) -> None:
    """The turns of the loop from the answer to the contactor order, of the taps that take the usual ones."""
    names = Counter(tuple(name for name, _, _ in m["turns"]) for m in marks)
    usual, count = names.most_common(1)[0]
    found = [m["turns"] for m in marks if tuple(name for name, _, _ in m["turns"]) == usual]
    for place, name in enumerate(usual):
        began, took = (statistics.median(turns[place][part] * 1e3 for turns in found) for part in (1, 2))
        figures.show(f"turn {place + 1} of {count} taps: {name}", f"after {began:.2f} ms", f"took {took:.2f} ms")


def p99(found: list[float]) -> float:
    return found[max(0, int(len(found) * 0.99) - 1)]


async def show_taps(name: str, descriptor: int, backend: Backend, figures: Figures) -> None:
    """Of a line that is written to the reader's serial line."""
    await asyncio.sleep(1.0)
    delays = []
    for n in range(TAPS):
        backend.forget()
        began = time.perf_counter()
        os.write(descriptor, f"04A1B2C3{n:06X}\r\n".encode())
        try:
            delays.append((await backend.wait_heard("Authorize", within_s=5.0) - began) * 1e3)
        except TimeoutError:
            raise Skipped(f"no Authorize within 5 s of tap {n + 1}") from None
        await asyncio.sleep(0.02)
    delays.sort()
    figures.show(name, f"p50 {statistics.median(delays):.2f} ms", f"p99 {p99(delays):.2f} ms")


async def inside_marks(backend: Backend, *options: str) -> Any:
    """Instants of whole sessions, noted in the agent itself."""
    backend.replies["Authorize"] = ACCEPTED
    with folder_of(backend, ASKS) as (folder, file):
        out: Path = folder / "taps.json"
        backend.forget()
        async with spawned([*INSIDE, str(file), "--taps", str(INSIDE_TAPS), str(out), *options]) as child:
            await booted(child, backend)
            return await asyncio.to_thread(written, out, 60.0)
