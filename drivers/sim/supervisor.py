"""Child processes of the simulation: started, watched, restarted, and ended when the parent dies."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from agent.model.parent_death import die_with_parent

LOG_CAP = 8 * 1024 * 1024
LAST_LINES = 12
BRIEF_S = 2.0
"""A child that fails sooner than this is restarted with growing pauses of at most ``SLOWEST_S``."""
SLOWEST_S = 5.0


class NotRunning(Exception):
    """There is no running process."""


class Refused(Exception):
    """The child ended at its first start with the exit code for wrong settings."""


class Supervisor:
    """Keeps one child running, as systemd would. A child that ends with the exit code ``refusal`` stays down until
    ``start``.

    ``argv`` is called before each start. ``before_start(again)`` runs just before the process is created. ``changed``
    is called whenever it starts or ends; ``print_line`` prints lines for a person. Output goes to ``log``.
    """

    def __init__(
        self,
        name: str,
        argv: Callable[[], list[str]],
        log: Path,
        *,
        restart_s: float = 0.1,
        stop_within_s: float = 4.0,
        before_start: Callable[[bool], None] = lambda again: None,
        changed: Callable[[], None] = lambda: None,
        print_line: Callable[[str], None] = lambda line: None,
        refusal: int | None = None,
    ) -> None:
        self.name, self.restarts = name, 0
        self._argv, self._log, self._restart_s, self._stop_within_s = argv, log, restart_s, stop_within_s
        self._before_start, self._changed, self._print_line, self._refusal = before_start, changed, print_line, refusal
        self._process: asyncio.subprocess.Process | None = None
        self._wanted, self._stopping, self._starts, self._failures = True, False, 0, 0
        self._killed = self._is_present = False
        self._called = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id. None from the moment of a ``kill``, even while the kernel still removes the process."""
        return self._process.pid if self._process and not self._killed else None

    @property
    def is_process_present(self) -> bool:
        """From just before a process is created until it has ended."""
        return self._is_present

    def start(self) -> None:
        """Start the child if it is not running."""
        self._wanted, self._failures = True, 0
        self._called.set()

    def stop(self) -> None:
        """End the child with SIGTERM and keep it stopped."""
        self._wanted = False
        self._called.set()

    def kill(self) -> None:
        """Kill the child with SIGKILL; it is started again. Raises ``NotRunning``."""
        if self.pid is None or self._process is None:
            raise NotRunning(f"{self.name} is not running")
        self._stopping = self._killed = True
        self._process.kill()

    def restart(self) -> None:
        """End the child with SIGTERM, after ``stop_within_s`` with SIGKILL; it is started again. Nothing happens if it
        is not running."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._stopping = True
        process.terminate()
        asyncio.get_running_loop().call_later(self._stop_within_s, _kill_process, process)

    async def run(self) -> None:
        """Keep the child running until cancelled, then end it. Raises ``Refused``."""
        try:
            while True:
                if not self._wanted:
                    await self._wait_for_call()
                    continue
                began = time.monotonic()
                code = await self._run_process()
                if code == self._refusal and not self._stopping:
                    self._stay_stopped()
                await self._pause_before_restart(code, time.monotonic() - began)
        finally:
            await self.end_process()

    async def end_process(self) -> None:
        """End the child with SIGTERM, after ``stop_within_s`` with SIGKILL."""
        if self._process is None:
            return
        self._stopping = True
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(self._stop_within_s):
                    await self._process.wait()
            except TimeoutError:
                self._print_line(f"{self.name}: did not end within {self._stop_within_s:g} s, killed")
                self._process.kill()
                await self._process.wait()
        self._process = None
        self._changed()

    async def _run_process(self) -> int:
        """Run the child once. Return its exit code."""
        self._is_present = True
        self._before_start(self._starts > 0)
        with self._open_log_file() as log:
            begin = log.tell()
            self._stopping = self._killed = False
            self._process = process = await asyncio.create_subprocess_exec(
                *self._argv(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal reaches the parent only, which ends all in order
                preexec_fn=die_with_parent(os.getpid()),
            )
        self.restarts, self._starts = self._starts, self._starts + 1
        self._changed()
        code = await self._until_it_ends(process)
        self._process, self._is_present = None, False
        self._changed()
        self._report_end(code, begin)
        return code

    async def _until_it_ends(self, process: asyncio.subprocess.Process) -> int:
        ended = asyncio.ensure_future(process.wait())
        called = asyncio.ensure_future(self._wait_for_call())
        try:
            while not ended.done():
                await asyncio.wait((ended, called), return_when=asyncio.FIRST_COMPLETED)
                if not self._wanted and not ended.done():
                    await self.end_process()
                if called.done():
                    called = asyncio.ensure_future(self._wait_for_call())
            return await ended
        finally:
            called.cancel()
            ended.cancel()

    async def _wait_for_call(self) -> None:
        await self._called.wait()
        self._called.clear()

    async def _pause_before_restart(self, code: int, lived_s: float) -> None:
        if not self._wanted:
            return
        failed = code != 0 and not self._stopping and lived_s < BRIEF_S
        self._failures = self._failures + 1 if failed else 0
        pause_s = self._restart_s * 2 ** max(0, self._failures - 1)
        try:
            async with asyncio.timeout(max(self._restart_s, min(pause_s, SLOWEST_S))):
                await self._wait_for_call()
        except TimeoutError:
            pass

    def _stay_stopped(self) -> None:
        if self._starts == 1:
            raise Refused(f"the {self.name} does not start (exit {self._refusal}): correct what it printed above")
        self._wanted = False
        self._print_line(f"{self.name}: is not started again: correct what it printed above, then start it by hand")

    def _open_log_file(self) -> BinaryIO:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > LOG_CAP:
            self._log.replace(self._log.with_suffix(".log.1"))
        log = self._log.open("ab")
        log.seek(0, os.SEEK_END)
        return log

    def _report_end(self, code: int, begin: int) -> None:
        """Report the end of the child. If it was unexpected, add the last lines of its output."""
        if self._stopping:
            self._print_line(f"{self.name}: ended as asked")
        elif code == 0:
            self._print_line(f"{self.name}: ended by itself (exit 0)")
        else:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
            self._print_line(f"{self.name}: ended unexpectedly ({how}); all of its output is in {self._log}")
            for line in _last_log_lines(self._log, begin):
                self._print_line(f"  {line}")


def _kill_process(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


def _last_log_lines(log: Path, begin: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - 65536))
        return file.read().decode("utf-8", "replace").splitlines()[-LAST_LINES:]
