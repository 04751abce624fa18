"""A simulated station as a child process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from agent.commands.scenario.control_client import ControlClient
from agent.model.parent_death import die_with_parent
from agent.scenario.target import CannotCarryOut

START_S = 60.0
END_S = 12.0
RETRY_S = 0.1
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")


@contextlib.asynccontextmanager
async def open_simulation(
    station: Path, backend_url: str, version: str, speed: float, more: Sequence[str] = ()
) -> AsyncIterator[ControlClient]:
    """Start the command ``simulate`` in a folder of its own and end it. ``more``: further arguments of it.

    Raises ``CannotCarryOut``.
    """
    with tempfile.TemporaryDirectory(prefix="chargy-scenario-") as folder:
        file, log = Path(folder) / "station.toml", Path(folder) / "simulate.log"
        shutil.copyfile(station, file)
        argv = [
            sys.executable, "-m", "agent", "simulate", str(file), "--port", "0", "--headless", "--speed", f"{speed:g}",
            "--backend", backend_url, "--ocpp", version, *more,
        ]  # fmt: skip
        with log.open("w") as out:
            process = await asyncio.create_subprocess_exec(
                *argv, stdout=out, stderr=out, preexec_fn=die_with_parent(os.getpid(), signal.SIGTERM)
            )
            try:
                client = ControlClient(await _wait_for_address(process, log))
                await _wait_until_healthy(process, client, log)
                yield client
            finally:
                await end_process(process)


async def end_process(process: asyncio.subprocess.Process) -> None:
    """End a child process in order, or else by force."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _wait_for_address(process: asyncio.subprocess.Process, log: Path) -> str:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        if found := ADDRESS.search(_end_of_process_output(log)):
            return found[0]
        if process.returncode is not None:
            raise CannotCarryOut(f"the simulated station has ended: {_end_of_process_output(log)}")
        await asyncio.sleep(RETRY_S)
    raise CannotCarryOut(f"the simulated station has not started within {START_S:g} s: {_end_of_process_output(log)}")


async def _wait_until_healthy(process: asyncio.subprocess.Process, client: ControlClient, log: Path) -> None:
    end_s = time.monotonic() + START_S
    while not await client.is_healthy():
        if process.returncode is not None or time.monotonic() > end_s:
            raise CannotCarryOut(
                f"the agent of the simulated station does not open its devices: {_end_of_process_output(log)}"
            )
        await asyncio.sleep(RETRY_S)


def _end_of_process_output(log: Path) -> str:
    """Return the end of what the process has said."""
    return log.read_text("utf-8", "replace")[-1500:].strip()
