"""A station whose agent reaches its backend by the real NetworkManager and ModemManager, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.busy_machine import deadline
from tests.support.network_daemons import NetworkDaemons, running_daemons

PIN = "0042"
OVER_LAN, OVER_MODEM = "10.91.1.", "10.91.2."
"""How the addresses of the station begin."""
BACKEND = """\
import asyncio, json, sys
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
async def answer(ws):
    try:
        await answer_all(ws)
    except ConnectionClosed:
        pass
async def answer_all(ws):
    async for text in ws:
        _, id_, action, payload = json.loads(text)
        print(json.dumps([ws.remote_address[0], action, payload]), flush=True)
        boot = {"status": "Accepted", "currentTime": "2026-11-28T12:00:00Z", "interval": 2}
        beat = {"currentTime": boot["currentTime"]}
        await ws.send(json.dumps([3, id_, boot if action == "BootNotification" else beat]))
async def main():
    async with serve(answer, "0.0.0.0", 9000, subprotocols=["ocpp1.6"]):
        await asyncio.Future()
asyncio.run(main())
"""
STATION = """\
[station]
id = "CP-1"
state_dir = "{folder}/state"
[backend]
url = "ws://10.91.2.1:9000"
reconnect_s = 1
{lan}
[[bearer]]
driver = "network_manager"
kind = "gprs"
apn = "chargy.m2m"
pin = "{pin}"
[[evse]]
number = 1
"""
LAN = """\
[[bearer]]
driver = "network_manager"
kind = "lan"
interface = "{}"
"""


class Site:
    """An agent in the namespace of the station, and its backend in the other one. ``heard``: what came from where."""

    def __init__(self, daemons: NetworkDaemons, folder: Path, pin: str, has_lan: bool) -> None:
        self.daemons, self.folder = daemons, folder
        self.file = folder / "station.toml"
        lan = LAN.format(daemons.lan) if has_lan else ""
        self.file.write_text(STATION.format(folder=folder, lan=lan, pin=pin), "utf-8")
        self.heard: list[tuple[str, str, dict[str, Any]]] = []

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[None]:
        program = self.folder / "backend.py"
        program.write_text(BACKEND, "utf-8")
        words = ("ip", "netns", "exec", self.daemons.far_space, sys.executable, str(program))
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        listening = asyncio.create_task(self._listen(process.stdout))
        try:
            yield
        finally:
            process.kill()
            await process.wait()
            await listening

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.heard.append(tuple(json.loads(line)))

    def agent(self) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
        return self.daemons.inside(sys.executable, "-m", "agent", "run", str(self.file))

    async def bearers(self) -> str:
        """What ``chargy-agent bearers`` shows."""
        async with self.daemons.inside(sys.executable, "-m", "agent", "bearers", str(self.file)) as process:
            said, _ = await process.communicate()
        return said.decode()

    async def shown(self, *words: str, within_s: float = 90) -> str:
        """Wait until the command shows all of these words."""
        said = ""
        try:
            async with deadline(within_s):
                while not all(word in said for word in words):
                    await asyncio.sleep(0.2)
                    said = await self.bearers()
        except TimeoutError:
            raise AssertionError(f"{words} not in:\n{said}\n{self.daemons.logs()}") from None
        return said

    async def came(self, network: str, action: str, within_s: float = 90) -> dict[str, Any]:
        """Wait for a message of this action from an address of this network."""
        begin = len(self.heard)
        try:
            async with deadline(within_s):
                while True:
                    for address, found, payload in self.heard[begin:]:
                        if found == action and address.startswith(network):
                            return payload
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"no {action} from {network}: {self.heard}\n{await self.bearers()}") from None


@asynccontextmanager
async def running_site(folder: Path, pin: str = PIN, has_lan: bool = False) -> AsyncIterator[Site]:
    """The daemons and the backend run. ``pin``: in the station file; the SIM has ``PIN``."""
    async with running_daemons(folder, "--pin", PIN) as daemons:
        made = Site(daemons, folder, pin, has_lan)
        async with made.backend():
            yield made
