"""Two real networks between an agent and its backend: pairs of virtual interfaces into a network namespace, in which
the backend runs. The cable is pulled, a network swallows everything, the backend starts again."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

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
PORT = 9000
STATION = """\
[station]
id = "CP-1"
state_dir = "state"
[backend]
url = "ws://{backend}:{port}"
reconnect_s = 1
[settings]
ping_interval_s = 1
[[bearer]]
driver = "lan_static"
kind = "lan"
interface = "{lan}"
[[bearer]]
driver = "lan_static"
kind = "wifi"
interface = "{wifi}"
[[evse]]
number = 1
"""


class Networks:
    """``lan`` and ``wifi``: the station's ends. The backend has one address, reached over either."""

    def __init__(self, folder: Path) -> None:
        mark = os.getpid() % 60_000
        self.folder, self.space = folder, f"chargy-{mark}"
        self.lan, self.wifi = f"cl{mark}", f"cw{mark}"
        self.net = f"10.{200 + mark % 50}.{mark // 50 % 250}"
        self.backend = f"{self.net}.1"
        self.seen = folder / "seen"
        self._backend: asyncio.subprocess.Process | None = None

    def lay(self) -> None:
        ip("netns", "add", self.space)
        self.inside("link", "set", "lo", "up")
        self.inside("addr", "add", f"{self.backend}/32", "dev", "lo")
        for number, name in enumerate((self.lan, self.wifi), 1):
            ip("link", "add", name, "type", "veth", "peer", "name", f"{name}b", "netns", self.space)
            ip("addr", "add", f"{self.address(name)}/30", "dev", name)
            self.inside("addr", "add", f"{self.net}.{16 * number + 1}/30", "dev", f"{name}b")
            self.inside("link", "set", f"{name}b", "up")
            ip("link", "set", name, "up")
            via = f"{self.net}.{16 * number + 1}"
            ip("route", "add", self.backend, "via", via, "dev", name, "metric", str(100 * number))

    def remove(self) -> None:
        for name in (self.lan, self.wifi):
            subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.space], capture_output=True, check=False)

    async def start_backend(self) -> None:
        program = self.folder / "backend.py"
        program.write_text(BACKEND, "utf-8")
        words = (sys.executable, str(program), self.backend, str(PORT), str(self.seen))
        self._backend = await asyncio.create_subprocess_exec("ip", "netns", "exec", self.space, *words)

    async def kill_backend(self) -> None:
        if self._backend is not None:
            self._backend.kill()
            await self._backend.wait()
            self._backend = None

    def inside(self, *words: str) -> None:
        ip("-n", self.space, *words)

    def address(self, name: str) -> str:
        return f"{self.net}.{16 * (1 + (name == self.wifi)) + 2}"

    def came_over(self) -> list[str]:
        """The bearers over which connections came, in order."""
        named = {self.address(name): name for name in (self.lan, self.wifi)}
        return [named[line] for line in self.seen.read_text().split()] if self.seen.exists() else []


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[Networks]:
    """The agent runs, and its link is up over LAN."""
    networks, agent = Networks(folder), None
    try:
        try:
            networks.lay()
        except OSError as e:
            pytest.skip(f"no network namespace with virtual interfaces here ({e})")
        file = folder / "station.toml"
        file.write_text(
            STATION.format(backend=networks.backend, port=PORT, lan=networks.lan, wifi=networks.wifi), "utf-8"
        )
        await networks.start_backend()
        agent = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", "run", str(file), stderr=asyncio.subprocess.DEVNULL
        )
        await over(networks, networks.lan, 60)
        async with deadline(60):
            while f"* bearer[0]  lan   up, interface {networks.lan}" not in await shown(folder):
                await asyncio.sleep(0.2)
        yield networks
    finally:
        if agent is not None:
            agent.kill()
            await agent.wait()
        await networks.kill_backend()
        networks.remove()


async def shown(folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "bearers", str(folder / "station.toml"), stdout=asyncio.subprocess.PIPE
    )
    text, _ = await process.communicate()
    return text.decode()


async def over(networks: Networks, bearer: str, within_s: float) -> float:
    """Wait until the newest connection came over this bearer; the seconds that it took."""
    began_s = time.monotonic()
    async with deadline(within_s):
        while networks.came_over()[-1:] != [bearer]:
            await asyncio.sleep(0.05)
    return time.monotonic() - began_s


@pytest.fixture(autouse=True)
def _root() -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip (Debian: iproute2)")


async def test_a_pulled_cable_moves_the_link_within_ten_seconds(tmp_path: Path) -> None:
    async with connected(tmp_path) as networks:
        networks.inside("link", "set", f"{networks.lan}b", "down")
        await over(networks, networks.wifi, 10)
        said = await shown(tmp_path)
        assert "  bearer[0]  lan   down" in said
        assert "no carrier" in said
        assert f"* bearer[1]  wifi  up, interface {networks.wifi}" in said


async def test_a_network_that_swallows_everything_is_left_within_ninety_seconds(tmp_path: Path) -> None:
    async with connected(tmp_path) as networks:
        networks.inside("route", "add", "blackhole", f"{networks.address(networks.lan)}/32")
        await over(networks, networks.wifi, 90)
        said = await shown(tmp_path)
        assert "(demoted for " in said.splitlines()[0]
        assert f"* bearer[1]  wifi  up, interface {networks.wifi}" in said


async def test_a_backend_that_starts_again_is_reached_over_the_same_bearer(tmp_path: Path) -> None:
    async with connected(tmp_path) as networks:
        await networks.kill_backend()
        await asyncio.sleep(4)  # some attempts are refused over both networks
        await networks.start_backend()
        async with deadline(60):
            while len(networks.came_over()) < 2:
                await asyncio.sleep(0.05)
        assert networks.came_over() == [networks.lan] * 2
