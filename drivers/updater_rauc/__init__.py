"""RAUC over D-Bus: bundles that RAUC checks with its own keyring, two systems, and a boot that has to be accepted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.updater import UpdaterPort
from drivers.board_commands import is_command
from drivers.updater_rauc.settings import RaucSettings

RECORD_NAME = "updater_rauc.json"


@asynccontextmanager
async def _open_updater(settings: RaucSettings, where: Where) -> AsyncIterator[UpdaterPort]:
    if missing := DRIVER.missing_dependency():
        raise Broken(f"updater_rauc: {missing}")
    from drivers.updater_rauc.boot_record import BootRecordFile
    from drivers.updater_rauc.service import open_service
    from drivers.updater_rauc.updater import RaucUpdater

    async with open_service(settings.bus, settings.answer_s) as service:
        yield RaucUpdater(settings, service, BootRecordFile((where.facts.state_dir or Path()) / RECORD_NAME))


def _check_settings(settings: RaucSettings, where: Where) -> list[str]:
    found = settings_problems(settings)
    if not settings.reboot:
        found.append('reboot: a command is needed, for example reboot = ["systemctl", "reboot"]')
    elif not is_command(settings.reboot[0]):
        found.append(f"reboot: {settings.reboot[0]} is not there, or cannot be run")
    return found


DRIVER = Driver(
    "updater_rauc",
    "updater",
    RaucSettings,
    _open_updater,
    _check_settings,
    verify_kit="drivers.updater_rauc.verify_kit:VERIFY_KIT",
    needs=("dbus_fast",),
    extra="chargy-agent[dbus]",
)
