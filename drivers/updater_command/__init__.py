"""Any updater that can be driven by commands: Mender's, SWUpdate's client, a script of the board's maker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports.driver import Driver, Where
from agent.ports.updater import UpdaterPort
from drivers.board_commands import is_command
from drivers.updater_command.settings import CommandUpdaterSettings, Word


@asynccontextmanager
async def _open_port(settings: CommandUpdaterSettings, where: Where) -> AsyncIterator[UpdaterPort]:
    from drivers.updater_command.commands import CommandUpdater

    updater = CommandUpdater(settings)
    await updater.running()
    yield updater


def _check_settings(settings: CommandUpdaterSettings, where: Where) -> list[str]:
    found = settings_problems(settings)
    for name in ("install", "running", "commit", "reboot"):
        words: tuple[Word, ...] = getattr(settings, name)
        if not words:
            found.append(f'{name}: a command is needed, for example {name} = ["/usr/local/bin/updater", "{name}"]')
        elif not is_command(words[0]):
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
