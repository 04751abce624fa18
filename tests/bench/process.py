"""Children of the benches and what Linux says of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
AGENT = [sys.executable, "-c", "import sys; from agent.cli import main; sys.exit(main())"]
"""What the console script ``chargy-agent`` does."""
UNIT = (ROOT / "systemd" / "chargy-agent.service").read_text("utf-8")
OF_UNIT = dict(re.findall(r"(MALLOC_\w+|PYTHONTZPATH)=(\S+)", UNIT))
ENVIRONMENT = OF_UNIT | {
    k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME")
}
"""As systemd starts it, floors too; but for the bytecode, which a board has: the first round writes it."""


class Skipped(Exception):
    """Why a figure cannot be had here and now."""


@dataclass(frozen=True)
class Child:
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def why(self) -> str:
        """The last line that it wrote, for a person."""
        self.log.seek(0)
        lines = [x for x in self.log.read().decode("utf-8", "replace").splitlines() if x and not x.startswith("==")]
        code = self.process.poll()
        ended = "still runs: " if code is None else f"ended with {code}: "
        return ended + (lines[-1][:200] if lines else "said nothing")


@asynccontextmanager
async def spawned(argv: list[str], environment: dict[str, str] | None = None, cwd: Path = ROOT) -> AsyncIterator[Child]:
    """A running child, its output in a file; ended (SIGTERM, then SIGKILL) on the way out."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: ASYNC220
            argv, cwd=cwd, env=ENVIRONMENT | (environment or {}), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield Child(process, log)
        finally:
            await end(process)


async def end(process: subprocess.Popen[bytes]) -> None:
    for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        if process.poll() is None:
            process.send_signal(number)
            try:
                await asyncio.to_thread(process.wait, patience_s)
            except subprocess.TimeoutExpired:
                continue


def cpu_s(pid: int) -> float:
    """CPU time of all threads so far, in seconds, to the nanosecond (``/proc/PID/task/*/schedstat``)."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total_ns += int((task / "schedstat").read_text().split()[0])
        except OSError:  # a thread that ended meanwhile
            continue
    return total_ns / 1e9


def wakeups(pid: int) -> int:
    """How often a thread of it has gone to sleep by itself so far, and so been woken."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total


def memory_mib(pid: int) -> dict[str, float]:
    """``rss`` and ``uss`` (private pages) in MiB."""
    kib = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        kib[name] = int(value.split()[0])
    return {"rss": kib["Rss"] / 1024, "uss": (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024}
