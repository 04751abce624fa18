"""Port of the system updater (RAUC, SWUpdate, Mender ... with two systems of which one runs)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from agent.model.fastclass import frozen
from agent.ports import Refused


class Untrusted(Refused):
    """The file's own signature, which the updater checks, is not of a maker that this board trusts."""


@frozen
class Running:
    """``pending``: booted for the first time and not committed: the boot loader would fall back. ``fell_back``: the
    last installation did not come up. ``version``: what the updater calls what runs, "" if it does not say."""

    pending: bool = False
    fell_back: bool = False
    version: str = ""


class UpdaterPort(Protocol):
    """Must: return from ``install`` only when everything is on disk; install the same file again without harm; leave
    the running system alone. Must not: boot the board by itself; end ``install`` with an error when the new system will
    be booted next. While ``running`` says pending, the agent does not call ``install``. Raises: ``Refused`` (this file
    is no firmware for this board), ``Untrusted``, ``Unreachable``, ``Broken``.

    May have an attribute ``progress_percent``: how far the installation is that runs, None while none runs."""

    async def running(self) -> Running: ...

    async def install(self, file: Path) -> bool:
        """True: the board has to be booted."""
        ...

    async def commit(self) -> None: ...

    async def reboot(self) -> None:
        """May return: the agent ends then by itself."""
        ...
