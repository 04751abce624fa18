"""Run the field page as a process of its own beside the agent (decision 52).

Passwords are hashed and devices examined there, with a heap and an event loop of its own: the station goes on whatever
the page does. The page ends when its standard input ends, so it never outlives the agent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

log = logging.getLogger(__name__)

EXIT_CANNOT = 2
USERS_EVERY_S = 5.0
RESTART_S, RESTART_MOST_S = 2.0, 60.0
STOP_S = 2.0
NOT_FOR_THE_PAGE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd has given the agent for itself."""


class FieldPageProcess:
    """Keeps the page running. ``users_file``: without it there is no user, and nothing is started."""

    def __init__(self, station: Path, users_file: Path) -> None:
        self._station, self._users_file = station.resolve(), users_file
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Keep it running until cancelled. A page that cannot run is logged and tried again; the station goes on."""
        pause_s = RESTART_S
        try:
            while True:
                await self._wait_for_users()
                began_s = asyncio.get_running_loop().time()
                try:
                    code = await self._run_process()
                    said = f"has ended (exit {code})"
                except OSError as e:  # no process, no memory or no descriptor is left
                    code, said = None, f"cannot be started ({e.strerror or e})"
                lived_s = asyncio.get_running_loop().time() - began_s
                pause_s = RESTART_S if lived_s > RESTART_MOST_S else min(2 * pause_s, RESTART_MOST_S)
                if code == EXIT_CANNOT:
                    pause_s = RESTART_MOST_S
                log.error("the field page %s; it is started again in %g s", said, pause_s)
                await asyncio.sleep(pause_s)
        finally:
            await self._end_process()

    async def _wait_for_users(self) -> None:
        if not self._has_users_file():
            log.warning(
                "the field page has no user and is not served: chargy-agent page user add %s NAME", self._station
            )
        while not self._has_users_file():  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(USERS_EVERY_S)

    def _has_users_file(self) -> bool:
        try:
            return self._users_file.exists()
        except OSError as e:  # before Python 3.14, for example of a folder that may not be entered
            log.debug("%s: %s", self._users_file, e.strerror or e)
            return False

    async def _run_process(self) -> int:
        environment = {name: text for name, text in os.environ.items() if name not in NOT_FOR_THE_PAGE}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", "page", "serve", "--with-agent", str(self._station)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env=environment,
        )
        return await self._process.wait()

    async def _end_process(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
