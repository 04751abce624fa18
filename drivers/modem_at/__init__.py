"""A modem with AT commands on a serial line (3GPP TS 27.007), and PPP by ``pppd``: for boards without ModemManager."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.bearer import BearerPort
from agent.ports.driver import Driver, Where
from drivers.modem_at.settings import ModemSettings


def list_complaints(settings: ModemSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each. Looks whether this machine has the line and ``pppd``."""
    wrong = settings_problems(settings)
    if not settings.device:
        return [*wrong, 'device: is missing, for example device = "/dev/ttyUSB2"']
    for key, path in (("device", settings.device), ("data_device", settings.data_device)):
        if path and not os.path.exists(path):
            wrong.append(f"{key}: this machine has no {path}")
    if not settings.pppd or shutil.which(settings.pppd[0]) is None:
        wrong.append(f"pppd: this machine has no {' '.join(settings.pppd[:1]) or 'such program'}: install ppp")
    if settings.username and settings.auth == "none":
        wrong.append('auth: must be "pap" or "chap" with a username')
    return wrong


@asynccontextmanager
async def open_modem(settings: ModemSettings, where: Where) -> AsyncIterator[BearerPort]:
    """Yield the modem with its line open. Raises ``Unreachable`` (no such line), ``Broken`` (settings)."""
    from drivers.modem_at.modem import Modem

    if wrong := settings_problems(settings):
        raise Broken(f"modem_at {settings.device}: " + "; ".join(wrong))
    async with Modem(settings, where.facts.state_dir or Path()).open_line() as modem:
        yield modem


DRIVER = Driver(
    "modem_at",
    "bearer",
    ModemSettings,
    open_modem,
    list_complaints,
    verify_kit="drivers.modem_at.verify_kit:VERIFY_KIT",
)
