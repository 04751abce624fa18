"""Any updater that can be driven by commands: Mender's, SWUpdate's client, a script of the board's maker."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypeAlias

from agent.model.fastclass import frozen
from agent.model.key_rules import Between, Text, settings_problems
from agent.ports.driver import Driver, Where
from agent.ports.updater import UpdaterPort

Word: TypeAlias = Annotated[str, Text(4000)]


@frozen
class CommandUpdaterSettings:
    """Keys of ``[updater]``: commands as lists of words, run without a shell. ``install``: ``{file}`` is the file; exit
    0 = installed, boot the board; 10 = installed, no boot needed; 2 = this is no firmware for this board; anything else
    = failed. ``running`` prints ``good``, ``pending`` (not committed yet) or ``fell-back``, and perhaps a version
    after it."""

    install: tuple[Word, ...] = ()
    running: tuple[Word, ...] = ()
    commit: tuple[Word, ...] = ()
    reboot: tuple[Word, ...] = ("systemctl", "reboot")
    install_s: Annotated[float, Between(0.01, 86_400, "seconds")] = 1800.0
    answer_s: Annotated[float, Between(0.01, 3600, "seconds")] = 30.0


@asynccontextmanager
async def _open_port(settings: CommandUpdaterSettings, where: Where) -> AsyncIterator[UpdaterPort]:
    from drivers.updater_command.commands import CommandUpdater

    updater = CommandUpdater(settings)
    await updater.running()
    yield updater


def _is_command(word: str) -> bool:
    """As ``shutil.which`` finds it, whose module would bring four compressions along."""
    places = [word] if os.sep in word else [os.path.join(folder, word) for folder in os.get_exec_path()]
    return any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places)


def _check_settings(settings: CommandUpdaterSettings, where: Where) -> list[str]:
    found = settings_problems(settings)
    for name in ("install", "running", "commit", "reboot"):
        words: tuple[Word, ...] = getattr(settings, name)
        if not words:
            found.append(f'{name}: a command is needed, for example {name} = ["/usr/local/bin/updater", "{name}"]')
        elif not _is_command(words[0]):
            found.append(f"{name}: {words[0]} is not there, or cannot be run")
    if settings.install and not any("{file}" in w for w in settings.install):
        found.append("install: one of its words must be {file}")
    return found


DRIVER = Driver(
    "updater_command",
    "updater",
    CommandUpdaterSettings,
    _open_port,
    _check_settings,
    verify_kit="drivers.updater_command.verify_kit:VERIFY_KIT",
)
