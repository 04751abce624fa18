"""A payment terminal of the station: a process (``drivers.sim.apollo``) with or without power, and what the world does
to it.

Its bank's books are a file of the world.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from drivers.sim.apollo.terminal import BEHAVIOURS, HOLD_S
from drivers.sim.supervisor import NotRunning, Supervisor

Json: TypeAlias = dict[str, Any]

CARD_BEHAVIOURS = BEHAVIOURS
ACTIONS = ("power_cycle", "offline", "online")
DARK_S = 0.5
"""How long a power cycle takes."""
RETRY_S = 0.05
DARK: Json = {"state": "off", "screen": [], "language": "", "qr": "", "online": True}
NO_LEDGER: Json = {"holds": [], "captures": [], "voids": []}


class Terminal:
    """A terminal. ``place``: its EVSE, 0 for the station's. ``picture`` and ``ledger``: as last received from it."""

    def __init__(self, folder: Path, place: int, rate: float) -> None:
        self.place = place
        self.picture: Json = DARK
        self.ledger: Json = NO_LEDGER
        self.known = False
        """Its ledger was received."""
        self._place_holder = _reserve_port()
        self.port = int(self._place_holder.getsockname()[1])
        self._books = folder / f"terminal-{place}.json"
        self._rate, self._online, self._powered = rate, True, True
        self._folder = tempfile.mkdtemp(prefix="chargy-", dir="/tmp")  # a Unix socket's path may have 107 bytes
        self._control = f"{self._folder}/control"
        self._process = Supervisor(
            f"terminal {place}",
            self._command_line,
            folder / f"terminal-{place}.log",
            restart_s=DARK_S,
            stop_within_s=1.0,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def device_table(self) -> Json:
        return {"driver": "terminal_payter", "host": "127.0.0.1", "port": self.port, "line": "tcp"}

    def start(self) -> None:
        self._start_task(self._process.run())
        self._start_task(self._follow_pictures())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._place_holder.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def set_terminal_power(self, on: bool) -> None:
        self._powered = on
        if on:
            self._process.start()
        else:
            self._process.stop()

    def perform_action(self, action: str) -> None:
        """Perform an action of the control API. Raises ``NotRunning`` for a power cycle without power."""
        if action == "power_cycle":
            if not self._powered:
                raise NotRunning(f"terminal {self.place} has no power: a fault takes it away")
            self._process.kill()
            return
        self._online = action == "online"
        self._start_task(self._send_command({"do": "online", "online": self._online}))

    def tap_bank_card(self, last4: str, behaviour: str) -> None:
        """Hold a card to the terminal for a moment. Without power the card is not seen."""
        self._start_task(self._send_command({"do": "card", "last4": last4, "behaviour": behaviour}))

    def tap_badge(self, uid: str) -> None:
        """Hold a badge to the terminal for a moment. It is read where the terminal is a reader of badges."""
        self._start_task(self._send_command({"do": "badge", "uid": uid}))

    def _command_line(self) -> list[str]:
        own = ["--books", str(self._books), "--control", self._control, "--port", str(self.port)]
        numbers = ["--first", str(1000 * self.place + 1), "--rate", f"{self._rate:g}"]
        return [sys.executable, "-m", "drivers.sim.apollo", *own, *numbers, *([] if self._online else ["--offline"])]

    def _start_task(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_command(self, what: Json) -> None:
        """Send a command to the process. Try for as long as a card is held, because the process may still start."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(HOLD_S):
                reader, writer = await self._connect_control()
                try:
                    writer.write(json.dumps(what).encode() + b"\n")
                    await reader.readline()
                finally:
                    writer.close()

    async def _follow_pictures(self) -> None:
        while True:
            reader, writer = await self._connect_control()
            with contextlib.suppress(ConnectionError):
                writer.write(b'{"do": "watch"}\n')
                while line := await reader.readline():
                    seen = json.loads(line)
                    self.ledger, self.known = seen.pop("ledger"), True
                    self.picture = seen
            writer.close()
            self.picture = DARK
            await asyncio.sleep(RETRY_S)

    async def _connect_control(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            with contextlib.suppress(OSError):
                return await asyncio.open_unix_connection(self._control)
            await asyncio.sleep(RETRY_S)


def merge_ledgers(terminals: Iterable[Terminal]) -> Json:
    """Return the books of all banks in one."""
    terminals = list(terminals)
    return {name: [row for t in terminals for row in t.ledger[name]] for name in NO_LEDGER}


def _reserve_port() -> socket.socket:
    """Reserve the port for the process while it has no power. Connections to it are not answered then."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
