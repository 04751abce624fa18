"""The agent as it is, with devices that cost nothing: what is left is the agent's own cost.

  python -m tests.bench.inside STATION.toml [--held FILE] [--taps N FILE [--turns] [--link quiet|busy]] [--slow-disk S]

Everything is the real thing, composed by ``agent.assembly.station``, but the three ports (board, meter, reader),
which answer at
once. ``--held``: writes how long each callback held the event loop, as JSON, on SIGUSR2. ``--taps``: taps by itself and
writes the instants. ``--slow-disk``: every commit takes so much longer, as on a worn SD card.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sqlite3
import sys
import time
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.assembly import station as compose
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import Limit, MeterIdentity, Reading, Stamp, Token
from agent.ocpp.transport.ocpp_j.websocket import WebSocket
from agent.ports.reader import Tap
from agent.services.devices import configured
from agent.services.store import store
from agent.station_file.settings import load_station_file

CARD = "04A1B2C3D4E5F6"
QUIET_LOOKS = 50
"""A message follows another one at once: so many looks in a row, half a second, without one find an idle link."""


class Board:
    """``vehicle()`` plugs in or out. ``marks``: instants by name, of the present tap."""

    traits = EvseTraits(counts_plugged=False)

    def __init__(self, marks: dict[str, float]) -> None:
        self._marks, self._now = marks, EvseState(pilot=Pilot.A, released=False, contactor=False)
        self._new: asyncio.Queue[EvseState] = asyncio.Queue()

    def _show(self, **changes: Any) -> None:
        from dataclasses import replace

        self._now = replace(self._now, **changes)
        self._new.put_nowait(self._now)

    def vehicle(self, there: bool) -> None:
        self._show(pilot=Pilot.B if there else Pilot.A, cable=there)

    async def state(self) -> EvseState:
        return self._now

    async def states(self) -> AsyncIterator[EvseState]:
        yield self._now
        while True:
            yield await self._new.get()

    async def set_release(self, on: bool) -> None:
        if on:
            self._marks.setdefault("released", time.perf_counter())
        self._show(released=on)

    async def set_limit(self, limit: Limit) -> float:
        return limit.current_a or 32.0

    async def unlock(self) -> bool:
        return True

    async def set_service(self, on: bool) -> None: ...
    async def set_hold(self, on: bool) -> None: ...
    async def clear_fault(self) -> None: ...
    async def beat(self) -> None: ...


class Meter:
    identity = MeterIdentity(vendor="Bench", model="Instant", serial="M-1")

    def __init__(self, now: Callable[[], tuple[int, float]]) -> None:
        self._now = now

    async def read(self) -> Reading:
        boot, t_s = self._now()
        return Reading(
            Stamp(boot, t_s), 1234567, 11040.0, (230.4, 229.8, 231.1), (15.9, 16.0, 15.8), (3663.0, 3677.0, 3651.0)
        )

    read_billing = read


class Reader:
    def __init__(self, marks: dict[str, float]) -> None:
        self._marks, self._cards = marks, asyncio.Queue[Token]()

    def tap(self) -> None:
        self._cards.put_nowait(Token(CARD))

    async def taps(self) -> AsyncIterator[Tap]:
        while True:
            token = await self._cards.get()
            self._marks["tapped"] = time.perf_counter()
            yield Tap(token)


def opened(port: Any) -> Callable[[], Any]:
    @asynccontextmanager
    async def opening() -> AsyncIterator[Any]:
        yield port

    return opening


# --- what is noted -------------------------------------------------------------------------------------------------


def note_holding() -> tuple[array[float], array[float]]:
    """CPU and real seconds of every callback, from now on."""
    cpu, real = array("d"), array("d")
    run = asyncio.Handle._run

    def _run(self: asyncio.Handle) -> None:
        began, began_cpu = time.perf_counter(), time.thread_time_ns()
        run(self)
        cpu.append((time.thread_time_ns() - began_cpu) / 1e9)
        real.append(time.perf_counter() - began)

    asyncio.Handle._run = _run  # type: ignore[method-assign]
    return cpu, real


def on_signals(held: tuple[array[float], array[float]], out: Path) -> None:
    """SIGUSR1: what was noted so far does not count. SIGUSR2: write it down."""
    loop = asyncio.get_running_loop()

    def clear() -> None:
        for noted in held:
            del noted[:]

    def tell() -> None:
        part = out.with_suffix(".part")
        part.write_text(json.dumps({"cpu_s": list(held[0]), "real_s": list(held[1])}))
        part.rename(out)

    loop.add_signal_handler(signal.SIGUSR1, clear)
    loop.add_signal_handler(signal.SIGUSR2, tell)


def note_commits(marks: dict[str, float]) -> None:
    """How long the commits took that release waited for."""
    commit = store.Store.commit

    async def committed(self: store.Store, *args: Any) -> None:
        began = time.perf_counter()
        await commit(self, *args)
        if "answered" in marks and "released" not in marks:
            marks["commit_s"] = marks.get("commit_s", 0.0) + time.perf_counter() - began

    store.Store.commit = committed  # type: ignore[method-assign,assignment]


def note_frames(marks: dict[str, float]) -> None:
    send, received = WebSocket.send_text, WebSocket.buffer_updated

    async def sent(self: WebSocket, text: str) -> None:
        await send(self, text)
        if '"Authorize"' in text:
            marks["handed"] = time.perf_counter()

    def came(self: WebSocket, octets: int) -> None:
        if "handed" in marks:
            marks.setdefault("answered", time.perf_counter())
        received(self, octets)

    WebSocket.send_text, WebSocket.buffer_updated = sent, came  # type: ignore[method-assign,assignment]


def note_turns(marks: dict[str, Any]) -> None:
    """The turns of the loop from the answer to release: of which callback, how long after the answer, how long (s)."""
    run = asyncio.Handle._run

    def _run(self: asyncio.Handle) -> None:
        began = time.perf_counter()
        run(self)
        if "answered" in marks and "contactor_turn" not in marks:
            since = max(began, marks["answered"])
            marks.setdefault("turns", []).append(
                (_callback_name(self), since - marks["answered"], time.perf_counter() - since)
            )
            if "released" in marks:
                marks["contactor_turn"] = since

    asyncio.Handle._run = _run  # type: ignore[method-assign]


def _callback_name(handle: asyncio.Handle) -> str:
    callback: Any = handle._callback  # type: ignore[attr-defined]
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return getattr(owner.get_coro(), "__qualname__", "a task")
    return getattr(callback, "__qualname__", type(callback).__name__)


def slow_down(seconds: float) -> None:
    """Where SQLite waits for the disk, with the same lock of the interpreter released: in the store's thread."""

    class Slow(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                time.sleep(seconds)
            return super().execute(sql, *args)

    connect = sqlite3.connect

    def slow(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        return connect(*args, **kwargs, factory=Slow)

    store.sqlite3.connect = slow  # type: ignore[attr-defined]


async def tap_around(
    count: int, link: str, station: compose.Station, board: Board, reader: Reader, marks: Any, out: Path
) -> None:
    """Plug, tap, wait for release, tap, unplug; ``count`` times. ``link``: ``quiet`` or ``busy`` when the card comes;
    "": whatever it is."""
    found: list[dict[str, float]] = []

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20.0):
            while not condition():
                await asyncio.sleep(0.005)

    def is_busy() -> bool:
        return any(link.has_open_exchange for link in station.links.values())

    async def quiet() -> None:
        looks = 0
        while looks < QUIET_LOOKS:
            looks = 0 if is_busy() else looks + 1
            await asyncio.sleep(0.01)

    await until(lambda: station.ready and all(link.is_up for link in station.links.values()))
    for _ in range(count):
        if link:
            await quiet()
        board.vehicle(True)
        if link == "quiet":
            await quiet()
        elif link == "busy":
            await until(is_busy)
        else:
            await asyncio.sleep(0.05)
        marks.clear()
        reader.tap()
        await until(lambda: "released" in marks)
        found.append(dict(marks))
        await asyncio.sleep(0.02)
        reader.tap()
        await until(lambda: not board._now.released)
        board.vehicle(False)
        await until(lambda: station.site.evses[1].session is None)
        await asyncio.sleep(0.05)
    part = out.with_suffix(".part")
    part.write_text(json.dumps(found))
    part.rename(out)


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("station", type=Path)
    parser.add_argument("--held", type=Path)
    parser.add_argument("--taps", nargs=2)
    parser.add_argument("--link", default="", choices=("", "quiet", "busy"), help="when the card comes")
    parser.add_argument("--turns", action="store_true", help="note the turns of the loop from the answer to release")
    parser.add_argument("--slow-disk", type=float, default=0.0)
    args = parser.parse_args()
    marks: dict[str, Any] = {}
    board, reader = Board(marks), Reader(marks)

    def composed(file: Any, now: Callable[[], tuple[int, float]]) -> list[configured.ComposedDevice]:
        ports = {"board": board, "meter": Meter(now), "reader": reader}
        return [configured.ComposedDevice(1, role, role, opened(port), [], *[None] * 3) for role, port in ports.items()]

    configured.compose_devices = composed
    if args.taps:
        note_frames(marks)
        note_commits(marks)
    if args.turns:
        note_turns(marks)
    if args.slow_disk:
        slow_down(args.slow_disk)
    file = load_station_file(args.station)
    database = await store.Store.open(file.station.state_dir / "agent.db")
    station = compose.Station(file, compose.Options(), database, await database.read_facts())
    if args.held:
        on_signals(note_holding(), args.held)
    tapping = args.taps and asyncio.ensure_future(
        tap_around(int(args.taps[0]), args.link, station, board, reader, marks, Path(args.taps[1]))
    )
    code = await station.run()
    if tapping:
        await asyncio.gather(tapping, return_exceptions=True)
    await database.close()
    return code


if __name__ == "__main__":
    gc.disable()  # as the command line does: ``assembly/startup.py``
    sys.exit(asyncio.run(main()))
