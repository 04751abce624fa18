"""Two real networks between an agent and its backend. The cable is pulled, a network swallows everything, the backend
starts again."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.bearer_networks import BACKEND_PORT, BearerNetworks, bearer_networks
from tests.support.busy_machine import deadline

BACKEND = """\
import asyncio, json, sys
from websockets.asyncio.server import serve
async def answer(ws):
    with open(sys.argv[3], "a") as seen:
        print(ws.remote_address[0], file=seen)
    async for text in ws:
        _, id_, action, *_ = json.loads(text)
        boot = {"status": "Accepted", "currentTime": "2026-11-28T12:00:00Z", "interval": 300}
        await ws.send(json.dumps([3, id_, boot if action == "BootNotification" else {}]))
async def main():
    async with serve(answer, sys.argv[1], int(sys.argv[2]), subprotocols=["ocpp1.6"]):
        await asyncio.Future()
asyncio.run(main())
"""
STATION = """\
[station]
id = "CP-1"
state_dir = "state"
[backend]
url = "{url}"
reconnect_s = 1
{settings}
{bearers}
[[evse]]
number = 1
"""


QUICK_PINGS = "[settings]\nping_interval_s = 1"


class ConnectedAgent:
    """An agent of its own process, and a backend inside the namespace that writes down where connections come from."""

    def __init__(self, folder: Path, networks: BearerNetworks) -> None:
        self.folder, self.networks = folder, networks
        self.seen = folder / "seen"
        self._backend: asyncio.subprocess.Process | None = None

    async def start_backend(self) -> None:
        program = self.folder / "backend.py"
        program.write_text(BACKEND, "utf-8")
        words = (sys.executable, str(program), self.networks.backend, str(BACKEND_PORT), str(self.seen))
        self._backend = await asyncio.create_subprocess_exec("ip", "netns", "exec", self.networks.space, *words)

    async def kill_backend(self) -> None:
        if self._backend is not None:
            self._backend.kill()
            await self._backend.wait()
            self._backend = None

    def came_over(self) -> list[str]:
        """Return the bearers over which connections came, in order."""
        lines = self.seen.read_text().split() if self.seen.exists() else []
        return [self.networks.kind_of_address(line) for line in lines]


@asynccontextmanager
async def connected(folder: Path, *dearer: str, settings: str = QUICK_PINGS) -> AsyncIterator[ConnectedAgent]:
    """The agent runs, and its link is up over LAN. ``dearer``: kinds of bearer behind Wi-Fi."""
    with bearer_networks("lan", "wifi", *dearer) as networks:
        at, agent = ConnectedAgent(folder, networks), None
        try:
            file = folder / "station.toml"
            text = STATION.format(url=networks.url, bearers=networks.station_tables(), settings=settings)
            file.write_text(text, "utf-8")
            await at.start_backend()
            agent = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agent", "run", str(file), stderr=asyncio.subprocess.DEVNULL
            )
            await over(at, "lan", 60)
            async with deadline(60):
                while f"* bearer[0]  lan   up, interface {networks.interfaces['lan']}" not in await shown(folder):
                    await asyncio.sleep(0.2)
            yield at
        finally:
            if agent is not None:
                agent.kill()
                await agent.wait()
            await at.kill_backend()


async def shown(folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "bearers", str(folder / "station.toml"), stdout=asyncio.subprocess.PIPE
    )
    text, _ = await process.communicate()
    return text.decode()


async def over(at: ConnectedAgent, bearer: str, within_s: float) -> float:
    """Wait until the newest connection came over this bearer; the seconds that it took."""
    began_s = time.monotonic()
    async with deadline(within_s):
        while at.came_over()[-1:] != [bearer]:
            await asyncio.sleep(0.05)
    return time.monotonic() - began_s


async def test_a_pulled_cable_moves_the_link_within_ten_seconds(tmp_path: Path) -> None:
    async with connected(tmp_path) as at:
        at.networks.lose_carrier("lan")
        await over(at, "wifi", 10)
        said = await shown(tmp_path)
        assert "  bearer[0]  lan   down" in said
        assert "no carrier" in said
        assert f"* bearer[1]  wifi  up, interface {at.networks.interfaces['wifi']}" in said


async def test_a_network_that_swallows_everything_is_left_within_ninety_seconds(tmp_path: Path) -> None:
    async with connected(tmp_path) as at:
        at.networks.swallow_frames("lan")
        await over(at, "wifi", 90)
        said = await shown(tmp_path)
        assert "(demoted for " in said.splitlines()[0]
        assert f"* bearer[1]  wifi  up, interface {at.networks.interfaces['wifi']}" in said


async def test_a_backend_that_starts_again_is_reached_over_the_same_bearer(tmp_path: Path) -> None:
    async with connected(tmp_path) as at:
        await at.kill_backend()
        await asyncio.sleep(4)  # some attempts are refused over both networks
        await at.start_backend()
        async with deadline(60):
            while len(at.came_over()) < 2:
                await asyncio.sleep(0.05)
        assert at.came_over() == ["lan"] * 2


async def test_a_station_with_a_modem_leaves_a_silent_lan_within_ninety_seconds(tmp_path: Path) -> None:
    """At its real length: nothing is set, so the profile of GPRS is in force, which pings after 240 s over a modem."""
    async with connected(tmp_path, "gprs", settings="") as at:
        at.networks.swallow_frames("lan")
        await over(at, "wifi", 90)
        assert at.came_over() == ["lan", "wifi"]
