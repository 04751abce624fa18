"""The updater's commands in the words of the port."""

from __future__ import annotations

from pathlib import Path

from agent.ports import Broken, Garbled, Refused
from agent.ports.updater import Running
from drivers.board_commands import run_board_command, run_checked_command
from drivers.updater_command.settings import CommandUpdaterSettings

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
        code, output = await run_board_command("install", words, self._settings.install_s)
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
        return await run_checked_command(name, words, self._settings.answer_s)
