"""Children of the benches and what Linux says of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AGENT = [sys.executable, "-c", "import sys; from agent.cli import main; sys.exit(main())"]
"""What the console script ``chargy-agent`` does."""


class Skipped(Exception):
    """Why a figure cannot be had here and now."""


@asynccontextmanager
async def spawned(argv: list[str], cwd: Path = ROOT) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Running child in a session of its own; ended (SIGTERM, then SIGKILL) on the way out."""
    child = subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert child.stderr is not None
    os.set_blocking(child.stderr.fileno(), False)
    try:
        yield child
    finally:
        await end(child)


async def end(child: subprocess.Popen[bytes]) -> None:
    for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        if child.poll() is None:
            child.send_signal(number)
            try:
                await asyncio.to_thread(child.wait, patience_s)
            except subprocess.TimeoutExpired:
                continue
    if child.stderr:
        child.stderr.close()


def why(child: subprocess.Popen[bytes]) -> str:
    """The last line that a child wrote to stderr, for a person."""
    assert child.stderr is not None
    lines = (child.stderr.read() or b"").decode("utf-8", "replace").strip().splitlines()
    ended = "" if child.poll() is None else f"ended with {child.returncode}: "
    return ended + (lines[-1][:200] if lines else "said nothing")


def cpu_s(pid: int) -> float:
    """CPU time of all threads so far, in seconds, to the nanosecond (``/proc/PID/task/*/schedstat``)."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total_ns += int((task / "schedstat").read_text().split()[0])
        except OSError:  # a thread that ended meanwhile
            continue
    return total_ns / 1e9


def memory_mib(pid: int) -> dict[str, float]:
    """``rss`` and ``uss`` (private pages) in MiB."""
    kib = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        kib[name] = int(value.split()[0])
    return {"rss": kib["Rss"] / 1024, "uss": (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024}
