"""Commands of an updater that do not end in time."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agent.ports import Unreachable
from drivers.updater_command.commands import CommandUpdater
from drivers.updater_command.settings import CommandUpdaterSettings

SLEEPS = 'echo $$ >"$0"; exec sleep 60'


def make_updater(pid_file: Path) -> CommandUpdater:
    words = ("sh", "-c", SLEEPS, str(pid_file))
    return CommandUpdater(CommandUpdaterSettings(running=words, answer_s=3.0))


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text("ascii").split()[2] != "Z"


async def test_a_command_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(Unreachable, match="did not end within 3 s"):
        await make_updater(pid_file).running()
    assert not is_running(int(pid_file.read_text()))


async def test_a_command_of_another_user_that_does_not_end_in_time_is_left_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal to a process that sudo has started is refused: no reason to end the agent, or to wait for it."""

    def refuse(self: asyncio.subprocess.Process) -> None:
        raise PermissionError(1, "Operation not permitted")

    pid_file = tmp_path / "pid"
    with monkeypatch.context() as other_user:
        other_user.setattr(asyncio.subprocess.Process, "kill", refuse)
        with pytest.raises(Unreachable, match="did not end within 3 s"):
            await make_updater(pid_file).running()
    pid = int(pid_file.read_text())
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)
