"""A simulated payment terminal for tests: its own process, killed for a power cut, and a socket for its orders."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from agent.ports.driver import StationFacts, Where
from agent.ports.terminal import TerminalNews, TerminalPort
from drivers.terminal_payter import DRIVER
from drivers.terminal_payter.settings import PayterSettings
from drivers.testkit.terminal import BankRecords, TerminalWorld
from tests.support.busy_machine import deadline, stretched
from tests.support.certificate_authorities import Authority
from tests.support.control_socket import Json, send_control_order, wait_for_control_socket


class Apollo:
    """``line``: tcp, tls (needs ``authority``) or serial. ``argv``: more of ``python -m drivers.sim.apollo``."""

    def __init__(self, folder: Path, line: str = "tcp", *argv: str, authority: Authority | None = None) -> None:
        self.folder, self.line, self.argv, self.authority = folder, line, argv, authority
        self._holder = bound()
        self.port = int(self._holder.getsockname()[1])
        self._short = tempfile.TemporaryDirectory(prefix="apollo-", dir="/tmp")
        self._control = f"{self._short.name}/control"
        self._process: asyncio.subprocess.Process | None = None

    async def up(self) -> None:
        where = ["--serial", str(self.folder / "tty")] if self.line == "serial" else ["--port", str(self.port)]
        tls = ["--cert", str(self.authority.server())] if self.authority else []
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "drivers.sim.apollo", "--books", str(self.folder / "books.json"),
            "--control", self._control, *where, *tls, "--bank-s", "0.05", *self.argv,
        )  # fmt: skip
        await wait_for_control_socket(self._process, self._control, "picture")

    async def down(self) -> None:
        """SIGKILL: mains lost."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._control)
            # The next pseudo terminal of the machine gets its number: a driver that still had the name would open that.
            (self.folder / "tty").unlink(missing_ok=True)

    def close(self) -> None:
        self._holder.close()
        self._short.cleanup()

    async def power_cycle(self) -> None:
        await self.down()
        await self.up()

    async def do(self, what: str, **more: Any) -> Json:
        """The picture afterwards."""
        return await send_control_order(self._control, what, **more)

    async def tap(self, behaviour: str = "approve", last4: str = "1234", **more: Any) -> None:
        await self.do("card", behaviour=behaviour, last4=last4, **more)

    async def spoil(self, what: str, **more: Any) -> None:
        await self.do("mischief", item={"what": what, **more})

    async def books(self) -> BankRecords:
        ledger = (await self.do("picture"))["ledger"]
        return BankRecords(
            {h["terminal_session"]: h["cents"] for h in ledger["holds"]},
            [(c["terminal_session"], c["cents"]) for c in ledger["captures"]],
            [v["terminal_session"] for v in ledger["voids"]],
        )

    def settings(self, **keys: Any) -> PayterSettings:
        own: Json = {"sync_every_s": 0.05, "reply_s": stretched(1.0), "settle_s": stretched(1.0), "line": self.line}
        if self.line == "serial":
            own["device"] = str(self.folder / "tty")
        else:
            own |= {"host": "127.0.0.1", "port": self.port}
            own["ca_file"] = self.authority.root if self.authority else None
        return PayterSettings(**{**own, **keys})

    def opened(self, **keys: Any) -> AbstractAsyncContextManager[TerminalPort]:
        return DRIVER.open(self.settings(**keys), self.where)

    @property
    def where(self) -> Where:
        return Where(0, "terminal", lambda: (1, 0.0), (), StationFacts(state_dir=self.folder))

    @property
    def world(self) -> TerminalWorld:
        return TerminalWorld(self.tap, self.books, self.power_cycle)


@contextlib.asynccontextmanager
async def running(
    folder: Path, line: str = "tcp", *argv: str, authority: Authority | None = None
) -> AsyncIterator[Apollo]:
    apollo = Apollo(folder, line, *argv, authority=authority)
    await apollo.up()
    try:
        yield apollo
    finally:
        await apollo.down()
        apollo.close()


async def heard(news: AsyncIterator[TerminalNews], timeout_s: float = 30.0) -> TerminalNews:
    async with deadline(timeout_s):
        return await anext(news)


def bound() -> socket.socket:
    """Keeps a port free for the process, also while that has no power."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
