"""A simulated modem for tests: its own process on a pseudo terminal, and a socket for its orders. Beside it a program
that takes the place of ``pppd``, which needs a kernel with PPP."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from agent.ports.bearer import BearerPort
from agent.ports.driver import StationFacts, Where
from drivers.modem_at import DRIVER
from drivers.modem_at.settings import ModemSettings
from tests.support.busy_machine import stretched
from tests.support.control_socket import Json, send_control_order, wait_for_control_socket

STAND_IN = """\
import os, sys, time
lines = open(sys.argv[2]).read().splitlines()
os.close(os.open(lines[0], os.O_RDWR | os.O_NOCTTY))
open(sys.argv[2] + ".seen", "w").write("\\n".join(lines))
{deed}
"""
"""Opens the line that its options name, as pppd does. ``deed``: what it does then."""


class SimulatedModem:
    """``argv``: more of ``python -m drivers.sim.modem``."""

    def __init__(self, folder: Path, *argv: str) -> None:
        self.folder, self.argv = folder, argv
        self.line = folder / "modem"
        self._short = tempfile.TemporaryDirectory(prefix="modem-", dir="/tmp")
        self.control = f"{self._short.name}/control"
        self._process: asyncio.subprocess.Process | None = None

    async def up(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "drivers.sim.modem", "--line", str(self.line), "--control", self.control, *self.argv
        )
        await wait_for_control_socket(self._process, self.control, "state")

    async def down(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for line in self.folder.glob("modem*"):
            if line.is_symlink():  # its number is given to the next pseudo terminal of the machine
                line.unlink()
        self._short.cleanup()

    async def do(self, what: str, **more: Any) -> Json:
        """The state afterwards."""
        return await send_control_order(self.control, what, **more)

    async def fault(self, name: str, on: bool = True) -> Json:
        return await self.do("fault", name=name, on=on)

    def pppd(self, deed: str = "time.sleep(3600)") -> tuple[str, ...]:
        """The command of a program in the place of pppd. ``deed``: what it does with the line open."""
        program = self.folder / "pppd.py"
        program.write_text(STAND_IN.format(deed=deed), "utf-8")
        return sys.executable, str(program)

    def settings(self, **keys: Any) -> ModemSettings:
        own: Json = {
            "device": str(self.line), "apn": "chargy.m2m", "interface": "lo", "answer_s": stretched(0.5),
            "register_s": 0.5, "connect_s": min(60.0, stretched(10.0)),
        }  # fmt: skip
        if "pppd" not in keys:
            own["pppd"] = self.pppd()
        return ModemSettings(**{**own, **keys})

    def opened(self, **keys: Any) -> AbstractAsyncContextManager[BearerPort]:
        where = Where(0, "bearer", lambda: (1, 0.0), (), StationFacts(state_dir=self.folder))
        return DRIVER.open(self.settings(**keys), where)


@contextlib.asynccontextmanager
async def running(folder: Path, *argv: str) -> AsyncIterator[SimulatedModem]:
    modem = SimulatedModem(folder, *argv)
    await modem.up()
    try:
        yield modem
    finally:
        await modem.down()
