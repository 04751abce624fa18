"""A queue that has grown off line, on loopback: how fast it is sent, in order, once each and durably removed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

from agent.domain.messages import StopReason, TransactionEnded, TransactionStarted, TriggerReason
from agent.model.types import Stamp, Token
from agent.services.store.migrations import PRAGMAS
from tests.bench import encoding
from tests.bench.backend import Backend
from tests.bench.figures import Figures, Goal
from tests.bench.process import AGENT, Skipped, spawned
from tests.bench.starts import fill
from tests.bench.stations import FLOORS, booted, floor_command, folder_of

WHY = (
    "a start and an end wait for three durable commits in each session, so that no bill goes twice; the rest is in the "
    "table below"
)
G18 = Goal("G18", "offline queue sent, beside the floor's rate", 0.5, "x floor", least=True, why=WHY)
G18_RATE = Goal("G18", "offline queue sent", 3000, "messages/s", least=True, why=WHY)
QUEUED, OF_SESSION = 2_000, 50


def message(number: int) -> Any:
    """Sessions of one start, 48 meter values and an end."""
    session, place = f"s{number // OF_SESSION}", number % OF_SESSION
    at = Stamp(1, float(number))
    if place == 0:
        return TransactionStarted(session, 1, Token("04A1B2C3"), at, number)
    if place == OF_SESSION - 1:
        return TransactionEnded(session, 1, None, at, number, StopReason.LOCAL, TriggerReason.EV_DEPARTED)
    return encoding.message(number, session)


async def replay(backend: Backend, figures: Figures, rounds: int) -> None:
    rates: dict[str, float] = {}
    for name, frames in FLOORS.items():
        backend.forget()
        async with spawned(floor_command(frames, backend, "--calls", str(QUEUED))):
            rates[name] = await rate(backend, "MeterValues", QUEUED)
        figures.show(name, f"{rates[name]:.0f} messages/s")
    with folder_of(backend) as (folder, file):
        text = file.read_text().replace("[backend]", "store_max_mb = 512\n[backend]")
        file.write_text(text)
        await fill(folder / "state", QUEUED, message, OF_SESSION)
        removals = await asyncio.to_thread(removals_per_s, folder / "state" / "agent.db", folder / "alone.db")
        both = 1 / (1 / rates["floor (own frames)"] + 1 / removals)
        figures.show(
            "durable removals alone, one by one", f"{removals:.0f} /s", f"with the floor {both:.0f} messages/s"
        )
        backend.forget()
        async with spawned([*AGENT, "run", str(file)]) as child:
            await booted(child, backend)
            per_second = await rate(backend, "StopTransaction", QUEUED // OF_SESSION, QUEUED)
            values = [p for _, action, p in backend.heard if action == "MeterValues"]
            await asyncio.sleep(1.0)
        left = sqlite3.connect(folder / "state" / "agent.db").execute("SELECT count(*) FROM outbox").fetchone()[0]
    registers = [value["sampledValue"][0]["value"] for p in values for value in p["meterValue"]]
    if left or registers != sorted(set(registers), key=int):
        raise Skipped(f"not right: {left} left, {len(registers)} sent, {len(set(registers))} different ones")
    figures.show("samples in one MeterValues", f"{len(registers) / len(values):.1f}", f"{len(values)} CALLs")
    beside = f"floor {rates['floor (own frames)']:.0f}, with a durable removal of each {both:.0f}"
    figures.judge(G18, per_second / rates["floor (own frames)"], f"{per_second:.0f} messages/s", beside)
    figures.judge(
        G18_RATE, per_second, f"{QUEUED} messages of {QUEUED // OF_SESSION} sessions, in order, none twice, none left"
    )


def removals_per_s(queue: Path, alone: Path) -> float:
    """Of a copy of this queue, each on disk before the next, as the store's PRAGMAs have it; nothing is sent."""
    shutil.copy(queue, alone)
    with contextlib.closing(sqlite3.connect(alone, isolation_level=None)) as db:
        for pragma in PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        seqs = [seq for (seq,) in db.execute("SELECT seq FROM outbox ORDER BY seq")]
        began = time.perf_counter()
        for seq in seqs:
            db.execute("DELETE FROM outbox WHERE seq=?", (seq,))
        return len(seqs) / (time.perf_counter() - began)


async def rate(backend: Backend, action: str, count: int, messages: int = 0) -> float:
    """Messages per second from the first to the last."""
    last = await backend.wait_heard(action, count, within_s=300.0)
    first = next(at for at, heard, _ in backend.heard if heard not in ("BootNotification", "StatusNotification"))
    return (messages or count) / (last - first)
