"""The supervisor with small children: what it starts again, when, what it says; and the watch on a status socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.services.status import StatusSocket
from drivers.sim import status_client as watch_module
from drivers.sim.status_client import StatusClient
from drivers.sim.supervisor import NotRunning, Supervisor
from tests.support.busy_machine import Deadline, stretched

SLEEPER = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


async def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> None:
    patience = Deadline(timeout_s)
    while not condition():
        if patience.over:
            raise AssertionError(f"{what}: did not come about within {timeout_s:g} s")
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def supervised(code: str, folder: Path, **more: Any) -> AsyncIterator[tuple[Supervisor, list[str]]]:
    said: list[str] = []
    argv = [sys.executable, "-S", "-c", code]
    supervisor = Supervisor(
        "child", lambda: argv, folder / "child.log", **{"restart_s": 0.05, "print_line": said.append, **more}
    )
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor, said
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert supervisor.pid is None


async def test_an_orderly_end_is_followed_by_a_start(tmp_path: Path) -> None:
    async with supervised("", tmp_path) as (child, said):
        await wait_until(lambda: child.restarts >= 2, "two restarts")
    assert "child: ended by itself (exit 0)" in said


async def test_a_crash_shows_its_last_lines_and_is_started_ever_later(tmp_path: Path) -> None:
    starts: list[float] = []
    more = {"before_start": lambda again: starts.append(time.monotonic())}
    async with supervised("raise SystemExit('no such port')", tmp_path, **more) as (child, said):
        await wait_until(lambda: child.restarts >= 4, "four restarts")
    assert "  no such port" in said
    assert any("unexpectedly (exit 1)" in line and "child.log" in line for line in said)
    assert starts[4] - starts[3] > 0.4  # 0.05 s doubled thrice; the first one came after 0.05 s


async def test_kill_is_followed_by_a_start_and_stop_is_not(tmp_path: Path) -> None:
    async with supervised(SLEEPER, tmp_path) as (child, said):
        await wait_until(lambda: child.pid, "a start")
        first = child.pid
        child.kill()
        await wait_until(lambda: child.pid not in (None, first), "another process")
        child.stop()
        await wait_until(lambda: child.pid is None, "the end")
        await asyncio.sleep(0.3)
        assert child.pid is None
        with pytest.raises(NotRunning):
            child.kill()
        child.start()
        await wait_until(lambda: child.pid, "a start")
    assert not any("unexpectedly" in line for line in said)


async def test_twenty_kills_in_a_row_are_twenty_restarts(tmp_path: Path) -> None:
    async with supervised(SLEEPER, tmp_path, restart_s=0.01) as (child, _):
        for n in range(20):
            await wait_until(lambda n=n: child.pid and child.restarts == n, f"start {n}")
            child.kill()
        await wait_until(lambda: child.restarts == 20, "the last restart", 2)


async def test_the_killed_one_is_gone_at_once(tmp_path: Path) -> None:
    """No caller may see it alive, or kill it twice, until the kernel has informed its parent."""
    async with supervised(SLEEPER, tmp_path) as (child, _):
        await wait_until(lambda: child.pid, "a start")
        child.kill()
        assert child.pid is None
        with pytest.raises(NotRunning):
            child.kill()
        await wait_until(lambda: child.pid and child.restarts == 1, "a restart")


async def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    async with supervised(STUBBORN, tmp_path, stop_within_s=0.3) as (child, said):
        log = tmp_path / "child.log"
        await wait_until(lambda: log.exists() and log.read_text() == "ready\n", "the child's word")
        process = psutil.Process(child.pid)
    assert not process.is_running()
    assert any("killed" in line for line in said)


async def test_a_signal_from_elsewhere_is_reported_by_name(tmp_path: Path) -> None:
    async with supervised(SLEEPER, tmp_path) as (child, said):
        await wait_until(lambda: child.pid, "a start")
        os.kill(child.pid or 0, signal.SIGSEGV)
        await wait_until(lambda: child.restarts == 1, "a restart")
    assert any("SIGSEGV" in line for line in said)


# --- the watch ------------------------------------------------------------------------------------------------------


class Agent:
    """The far end of the status socket: says on connect what it has, then what it is given."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines = path, list[bytes]()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Agent:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._connected, self.path)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.drop()

    def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        writer.writelines(self.lines)

    def say(self, raw: bytes) -> None:
        for writer in self._writers:
            writer.write(raw)

    def frame(self, n: int, text: str) -> bytes:
        body = {"v": 1, "type": "frame", "n": n, "t": 1.0, "dir": "out", "link": "l", "version": "1.6", "frame": text}
        return json.dumps(body).encode() + b"\n"


PICTURE = b'{"v": 1, "type": "picture", "agent": {}, "evses": [], "ready": true}\n'


@contextlib.asynccontextmanager
async def watching(path: Path) -> AsyncIterator[StatusClient]:
    watch = StatusClient(path, lambda: None)
    task = asyncio.create_task(watch.follow_agents())
    try:
        yield watch
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _frames(watch: StatusClient) -> list[str]:
    return [f["frame"] for f in watch.trace.frames_since(0)]


async def test_frames_are_reported_once_per_agent_and_numbered_over_all(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with watching(path) as watch:
        async with Agent(path) as first:
            first.lines = [first.frame(1, "a"), first.frame(2, "b"), PICTURE]
            await wait_until(lambda: watch.said, "a picture")
            first.drop()  # the same agent repeats its ring to the next connection
            await wait_until(lambda: watch.said is None, "the loss")
            await wait_until(lambda: watch.said, "a picture again")
            assert _frames(watch) == ["a", "b"]
        await wait_until(lambda: watch.said is None, "the end of the first agent")
        async with Agent(path) as second:
            second.lines = [second.frame(1, "c"), PICTURE]
            await wait_until(lambda: watch.said, "the next agent")
            second.say(second.frame(2, "d"))
            await wait_until(lambda: len(_frames(watch)) == 4, "the new frame")
    assert _frames(watch) == ["a", "b", "c", "d"]
    assert [f["seq"] for f in watch.trace.frames_since(0)] == [1, 2, 3, 4]


async def test_what_is_not_understood_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with watching(path) as watch, Agent(path) as agent:
        odd = [b"\xff\n", b"not json\n", b"[]\n", b'{"v": 2, "type": "picture"}\n', b'{"v": 1, "type": "frame"}\n']
        agent.lines = [*odd, agent.frame(1, "x" * 1_000_000), PICTURE, b'{"v": 1, "type": "frame", "n": 2']
        await wait_until(lambda: watch.said, "a picture")
        assert [len(f) for f in _frames(watch)] == [1_000_000]


async def test_the_last_words_of_one_agent_are_not_those_of_the_next(tmp_path: Path) -> None:
    """Its picture may be in the socket still when the next one exists already."""
    path = tmp_path / "s"
    async with watching(path) as watch, Agent(path) as first:
        first.lines = [PICTURE]
        await wait_until(lambda: watch.said, "a picture")
        watch.agent_starts()
        assert watch.said is None


async def test_who_asks_gets_no_picture_of_before(tmp_path: Path) -> None:
    """What was reported last may be a tenth of a second old, or older without a report of a change."""
    now = {"agent": {"queue": 0}}
    async with watching(tmp_path / "s") as watch, StatusSocket(tmp_path / "s", lambda: dict(now), lambda: None):
        await wait_until(lambda: watch.said, "a picture")
        for queue in (1, 2, 0):
            now["agent"] = {"queue": queue}
            await asyncio.gather(*(watch.wait_until_fresh() for _ in range(3)))
            assert watch.said
            assert watch.said["agent"]["queue"] == queue


async def test_who_asks_does_not_wait_for_an_agent_that_is_gone_or_hangs(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "s"
    async with watching(path) as watch:
        await watch.wait_until_fresh()
        async with Agent(path) as agent:
            agent.lines = [PICTURE]
            await wait_until(lambda: watch.said, "a picture")
            asked = asyncio.create_task(watch.wait_until_fresh())
            await asyncio.sleep(0)
            agent.drop()
            await asked
            assert watch.said is None, "it did not wait for the time-out"
            await wait_until(lambda: watch.said, "a picture again")
            monkeypatch.setattr(watch_module, "FRESH_WITHIN_S", 0.05)
            await watch.wait_until_fresh()
            assert watch.said is not None
            agent.say(b'{"v": 1, "type": "answer"}\n')  # too late
            monkeypatch.setattr(watch_module, "FRESH_WITHIN_S", 60.0)
            asked = asyncio.create_task(watch.wait_until_fresh())
            await asyncio.sleep(0)
            agent.say(b'{"v": 1, "type": "answer", "error": "unknown"}\n')  # an older agent
            await asyncio.wait_for(asked, stretched(30))
