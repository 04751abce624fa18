"""Only a healthy core keeps the boards alive (fail-safe rule 2, the core's part): the proof goes through its queue."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from agent.domain.events import CablePlugged, Event
from agent.services import watchdog
from agent.services.engine import Engine
from agent.services.watchdog import LivenessSignal
from tests.services.test_engine import Disk, make
from tests.support.busy_machine import deadline

PATIENCE_S = 0.2


class Fed:
    """A board that counts what feeds its watchdog."""

    def __init__(self) -> None:
        self.beats = 0

    async def beat(self) -> None:
        self.beats += 1


@contextlib.asynccontextmanager
async def station(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Engine, Disk, Fed, Callable[[Event], None]]]:
    """The engine with its disk, the question that is asked of it, and a board."""
    monkeypatch.setattr(watchdog, "PATIENCE_S", PATIENCE_S)
    engine, disk, _ = make()
    alive, board = LivenessSignal(0.01), Fed()
    tasks = [
        asyncio.ensure_future(work)
        for work in (
            engine.run(),
            watchdog.feed_watchdogs(engine.events, alive, boards=True),
            alive.feed_watchdog(board),
        )
    ]
    try:
        yield engine, disk, board, engine.events.post_event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    async with deadline(within_s):
        while not true():
            await asyncio.sleep(0.005)


async def fed(board: Fed) -> None:
    before = board.beats
    await until(lambda: board.beats > before + 2)


async def starved(board: Fed) -> None:
    """Until thirty periods have gone by without a beat."""
    last, since = board.beats, time.monotonic()
    async with deadline(20):
        while time.monotonic() - since < 0.3:
            await asyncio.sleep(0.01)
            if board.beats != last:
                last, since = board.beats, time.monotonic()


async def test_a_core_that_hangs_on_its_disk_feeds_no_one_until_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with station(monkeypatch) as (_, disk, board, post):
        await fed(board)
        disk.gate.clear()
        post(CablePlugged(1))
        await starved(board)
        disk.gate.set()
        await fed(board)


async def test_a_core_whose_disk_is_full_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lets run what runs and gives no new release (tests/services/test_engine.py)."""
    async with station(monkeypatch) as (engine, disk, board, post):
        disk.broken = True
        post(CablePlugged(1))
        await engine.events.wait_until_handled()
        await fed(board)
