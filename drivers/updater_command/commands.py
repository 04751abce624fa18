"""The updater's commands in the words of the port."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from agent.ports import Broken, Garbled, Refused, Unreachable
from agent.ports.updater import Running
from drivers.updater_command.settings import CommandUpdaterSettings

log = logging.getLogger(__name__)

NO_BOOT, UNFIT = 10, 2
_STATES = {"good": Running(), "pending": Running(pending=True), "fell-back": Running(fell_back=True)}


class CommandUpdater:
    """``agent.ports.updater.UpdaterPort``."""

    def __init__(self, settings: CommandUpdaterSettings) -> None:
        self._settings = settings

    async def running(self) -> Running:
        output = (await self._run_checked("running", self._settings.running)).split()
        state = _STATES.get(output[0]) if output else None
        if state is None:
            raise Garbled(f"updater: running printed {' '.join(output)[:40]!r}; good, pending or fell-back is expected")
        return Running(state.pending, state.fell_back, output[1] if len(output) > 1 else "")

    async def install(self, file: Path) -> bool:
        words = tuple(w.replace("{file}", str(file)) for w in self._settings.install)
        code, output = await self._run_command("install", words, self._settings.install_s)
        if code == UNFIT:
            raise Refused(f"updater: this is no firmware for this board: {output}")
        if code not in (0, NO_BOOT):
            raise Broken(f"updater: install failed (exit {code}): {output}")
        return code == 0

    async def commit(self) -> None:
        await self._run_checked("commit", self._settings.commit)

    async def reboot(self) -> None:
        await self._run_checked("reboot", self._settings.reboot)

    async def _run_checked(self, name: str, words: tuple[str, ...]) -> str:
        code, output = await self._run_command(name, words, self._settings.answer_s)
        if code != 0:
            raise Broken(f"updater: {name} failed (exit {code}): {output}")
        return output

    async def _run_command(self, name: str, words: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        """Run a command. Return its exit code, and what it printed: the first line, or what it complained of last."""
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except (OSError, ValueError, IndexError, TypeError) as e:
            raise Broken(f"updater: {name}: {words[:1]} cannot be run ({e}); check [updater] {name}") from e
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await process.communicate()
        except TimeoutError:
            raise Unreachable(f"updater: {name} did not end within {timeout_s:g} s") from None
        finally:
            if process.returncode is None:
                await _end_command(process)
        lines = (out if process.returncode == 0 else err or out).decode("utf-8", "replace").strip().splitlines()
        assert process.returncode is not None
        return process.returncode, (lines[0] if process.returncode == 0 else lines[-1])[:200] if lines else ""


async def _end_command(process: asyncio.subprocess.Process) -> None:
    """End a command that still runs. One of another user, which ``sudo`` has started, is left to itself."""
    try:
        process.kill()
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("updater: process %d of another user cannot be ended; it goes on", process.pid)
        return
    await process.wait()
