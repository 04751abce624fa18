"""The package in the life of a board, under systemd: installed, configured, upgraded while a vehicle charges, removed
and purged. The station's devices are simulated outside: far ends and central system know nothing of the package.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.board_package import ROOT, later_versions
from tests.support.busy_machine import deadline, stretched
from tests.support.private_root import OUTSIDE, PrivateRoot, why_not
from tests.support.simulated_station import CAMPAIGN, held_port
from tests.support.strict_csms import StrictCsms

CARD = "04A1B2C3D4E5F6"
STATION = "/etc/chargy-agent/station.toml"
STATE = "/var/lib/chargy-agent"
UNIT = "chargy-agent.service"
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
BENCH = """
[station]
id = "CP-1"
state_dir = "unused"
[settings]
sample_interval_s = 5
offline_tx_for_unknown_id = true
[[evse]]
number = 1
[simulation]
port = 0
state_dir = "world"
"""
KEPT = ("station", "backend", "settings", "settings.ocpp16", "evse", "reader")
DROP_IN = f"[Service]\nReadWritePaths={OUTSIDE}/world\n"
"""The simulated frame buffer is a file; a real one is a device."""


class Board(PrivateRoot):
    """With the packages as they are seen in it."""

    deb, newer, broken = (f"{OUTSIDE}/{name}.deb" for name in ("first", "newer", "broken"))


@pytest.fixture
def board(tmp_path: Path, deb: Path) -> Iterator[Board]:
    if reason := why_not():
        pytest.skip(reason)
    with Board(tmp_path) as root:
        for package in ("python3-pil", "python3-cryptography"):
            if root.run("dpkg-query", "--show", package, check=False).returncode:
                pytest.skip(f"{package} is not installed: apt-get install {package}")
        version = root.run("/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip()
        if version != MINOR:
            pytest.skip(f"the package is for Python {MINOR}, Debian's here is {version}")
        os.link(deb, tmp_path / "first.deb")
        yield root


class World:
    """Far ends of the devices, outside. ``await world.post("/evses/1/plug")``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http: Any = None
        self.seen: dict[str, Any] = {}

    async def post(self, path: str, body: dict[str, Any] | None = None) -> None:
        async with self.http.post(f"/api/v1{path}", json=body or {}) as answer:
            assert answer.status == 202, (path, await answer.text())

    async def evse(self) -> dict[str, Any]:
        async with self.http.get("/api/v1/station") as answer:
            self.seen = dict((await answer.json())["evses"][0])
        return self.seen

    def station_file(self, backend_url: str, state_dir: str) -> str:
        """The station file of the board: of these devices those that the test uses."""
        text = (self.folder / "world" / "derived.toml").read_text().replace(str(self.folder), OUTSIDE)
        text = re.sub(r"^(status_socket|config_dir) = .*\n", "", text, flags=re.MULTILINE)
        text = re.sub(r'^state_dir = "[^"]*unused"', f'state_dir = "{state_dir}"', text, flags=re.MULTILINE)
        tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
        wanted = [t for t in tables if re.sub(r"[\[\]]", "", t.split("\n")[0]) in KEPT and "reader_serial" not in t]
        wanted = [re.sub(r"^lamp = .*\n", "", t, flags=re.MULTILINE) for t in wanted]
        return "".join(wanted) + f'\n[backend]\nurl = "{backend_url}"\nreconnect_s = 0.3\n'


@asynccontextmanager
async def far_ends(folder: Path) -> AsyncIterator[World]:
    (folder / "bench.toml").write_text(BENCH)
    world = World(folder)
    with (folder / "bench.log").open("w") as log:
        argv = [sys.executable, "-m", "agent", "bench", str(folder / "bench.toml"), "--port", "0"]
        process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=log, stderr=log)
    try:
        said = await until(lambda: re.search(r"page: (http://\S+)[\s\S]*an agent for", read(folder / "bench.log")))
        patience = aiohttp.ClientTimeout(300)  # deadlines count
        async with aiohttp.ClientSession(said[1].rstrip("/"), timeout=patience) as world.http:
            share_wires(folder)
            yield world
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), stretched(20))


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def share_wires(folder: Path) -> None:
    """Let the agent's user get at the far ends, as udev does for devices."""
    for path in (folder / "world").rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    (folder / "world").chmod(0o777)


async def until(what: Callable[[], Any], why: Callable[[], str] = str, timeout_s: float = 60.0) -> Any:
    """The first true answer of ``what``, which may be a coroutine function."""
    try:
        async with deadline(timeout_s):
            while True:
                found = what()
                if isinstance(found, Awaitable):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not reached\n{why()}") from None


async def inside(board: Board, *argv: str, check: bool = True) -> Any:
    """Run a command in the board while far ends and central system go on."""
    return await asyncio.to_thread(board.run, *argv, check=check)


def properties(board: Board, *names: str) -> dict[str, str]:
    said = board.run("systemctl", "show", UNIT, *(f"--property={n}" for n in names)).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def state(board: Board) -> str:
    return properties(board, "ActiveState")["ActiveState"]


# --- before there is a station --------------------------------------------------------------------------------------


def test_a_board_that_is_not_configured_is_left_alone(board: Board) -> None:
    said = board.run("dpkg", "-i", board.deb).stdout
    assert f"not started, because there is no {STATION}" in said
    assert state(board) == "inactive"
    assert board.run("systemctl", "is-enabled", UNIT).stdout.strip() == "enabled"
    board.run("systemctl", "start", UNIT)
    assert properties(board, "ActiveState", "ConditionResult") == {"ActiveState": "inactive", "ConditionResult": "no"}
    assert "chargy-agent 0." in board.run("chargy-agent", "--version").stdout
    groups = board.run("id", "-Gn", "chargy-agent").stdout.split()
    assert {"chargy-agent", "dialout", "video", "input", "gpio", "i2c", "spi"} <= set(groups)
    owners = board.run("stat", "-c", "%U:%G %a", "/etc/chargy-agent", STATE).stdout.split("\n")
    assert owners[:2] == ["root:chargy-agent 750", "chargy-agent:chargy-agent 700"]
    assert requirements_met(board) == []
    path = board.run("/opt/chargy-agent/venv/bin/python3", "-c", "import sys; print(sys.path)").stdout
    assert f"/usr/local/lib/python{MINOR}/dist-packages" in path, "where drivers of other makers go"
    central = board.run("chargy-agent", "csms", check=False)
    assert (central.returncode, "chargy-agent[sim]" in central.stderr) == (2, True), "ocpp is not for boards"
    assert board.run("dpkg", "-P", "chargy-agent").returncode == 0
    left = board.shell("ls -d /opt/chargy-agent /etc/chargy-agent /var/lib/chargy-agent /usr/bin/chargy-agent", False)
    assert left.stdout == ""


def test_an_image_is_built_without_a_running_systemd(board: Board) -> None:
    """As in a chroot: the unit is enabled for the first boot, and the user is there. A kept station file is not enough
    to start anything."""
    board.shell(f"mkdir -m 755 /etc/chargy-agent; echo >{STATION}")
    board.run("unshare", "--mount", "sh", "-c", f"mount -t tmpfs tmpfs /run && dpkg -i {board.deb}")
    assert state(board) == "inactive"
    assert board.run("systemctl", "is-enabled", UNIT).stdout.strip() == "enabled"
    assert board.run("stat", "-c", "%U:%G %a", STATION).stdout == "root:chargy-agent 640\n"
    board.run("unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /run && dpkg -P chargy-agent")
    assert board.run("systemctl", "is-enabled", UNIT, check=False).stdout.strip() == "not-found"


def requirements_met(board: Board) -> list[str]:
    """What pyproject.toml asks for and the board does not have in that range of versions."""
    code = (
        "import re\nfrom importlib.metadata import requires, version\n"
        "for text in requires('chargy-agent'):\n"
        "    if 'extra ==' not in text: print(text.split(';')[0], version(re.split('[<>]', text)[0]))\n"
    )
    from packaging.requirements import Requirement

    said = board.run("/opt/chargy-agent/venv/bin/python3", "-c", code).stdout.splitlines()
    assert len(said) >= 7
    pairs = [line.rsplit(" ", 1) for line in said]
    return [line for line, version in pairs if not Requirement(line).specifier.contains(version)]


# --- the life of a board --------------------------------------------------------------------------------------------


async def test_upgraded_while_charging_and_purged_when_delivered(
    board: Board, deb: Path, tmp_path: Path, record_property: Any
) -> None:
    async with far_ends(tmp_path) as world, StrictCsms() as csms:
        await configure_and_start(board, world, csms.url)
        assert (await inside(board, "dpkg-query", "-f", "${Version}", "-W", "chargy-agent")).stdout.count("-1+") == 1
        later_versions(deb, tmp_path)
        await charge(world, 10, board)
        before = await inside(board, "stat", "-c", "%Y %Z %i", STATION)
        failed = await inside(board, "dpkg", "-i", board.broken, check=False)
        assert failed.returncode == 1
        await until(lambda: charging(world), board.journal)
        began = time.monotonic()
        await inside(board, "dpkg", "-i", board.newer)
        await until(lambda: charging(world), board.journal)
        record_property("upgrade_s", round(time.monotonic() - began, 1))
        assert (await inside(board, "stat", "-c", "%Y %Z %i", STATION)).stdout == before.stdout
        assert [t.stop for t in csms.transactions.values()] == [None], "it is still the same transaction"
        wh = (await world.evse())["meter_wh"]
        await until(lambda: metered(world, wh + 6), board.journal)
        await end_session(world, csms, board)
        assert csms.energy_wh == (await world.evse())["meter_wh"]
        assert csms.violations == []
        assert len(csms.transactions) == 1

        await until(lambda: nothing_undelivered(board), board.journal)
        gone = await inside(board, "dpkg", "-r", "chargy-agent")
        assert "on this machine alone" not in gone.stderr
        refuse_what_changed(board)
        await inside(board, "dpkg", "-P", "chargy-agent")
        assert board.shell(f"ls -d {STATE} /etc/chargy-agent /var/lib/misc/chargy-agent*", False).stdout == ""


@pytest.mark.campaign
@pytest.mark.skipif(not CAMPAIGN, reason="20 s: make campaign runs it; the other test tries the refusals of a purge")
async def test_a_purge_never_deletes_what_is_not_delivered(board: Board, tmp_path: Path) -> None:
    with held_port() as dead_port:
        async with far_ends(tmp_path) as world, StrictCsms() as csms:
            await configure_and_start(board, world, csms.url, f"{STATE}/station")
            text = board.run("cat", STATION).stdout
            await inside(board, "systemctl", "stop", UNIT)
            board.write(STATION, text.replace(csms.url, f"ws://127.0.0.1:{dead_port}"))
            await inside(board, "systemctl", "start", UNIT)
            await charge(world, 10, board)
            refused = await inside(board, "dpkg", "-P", "chargy-agent", check=False)
            assert refused.returncode == 1
            assert "NOT purged" in refused.stderr
            assert re.search(r"^open session ", refused.stderr, re.MULTILINE)
            assert re.search(r"^queued +\w+ +[1-9]", refused.stderr, re.MULTILINE)
            assert CARD not in refused.stderr
            assert board.shell(f"ls {STATE}/station/agent.db {STATION}").returncode == 0
            again = await inside(board, "dpkg", "-P", "chargy-agent", check=False)
            assert again.returncode == 1, "nor the second time"

            board.write(STATION, text)
            await inside(board, "dpkg", "-i", board.deb)
            await until(lambda: charging(world), board.journal)
            await end_session(world, csms, board)
            assert csms.violations == []
            assert csms.energy_wh == (await world.evse())["meter_wh"]
            await until(lambda: nothing_undelivered(board), board.journal)
            await inside(board, "dpkg", "-P", "chargy-agent")
            assert board.shell(f"ls -d {STATE}", False).stdout == ""


def refuse_what_changed(board: Board) -> None:
    """A store that changed after the removal, or a damaged one beside it, is kept; undone, it is not."""
    for spoil, undo, words in (
        (f"cp {STATE}/agent.db /tmp/kept; echo more >>{STATE}/agent.db", f"cp /tmp/kept {STATE}/agent.db", "changed"),
        (f"touch {STATE}/agent.corrupt-1", f"rm {STATE}/agent.corrupt-1", "agent.corrupt-1"),
        (f"mkdir {STATE}/old; cp {STATE}/agent.db {STATE}/old/", f"rm -r {STATE}/old", f"not examined: {STATE}/old"),
        (f"echo new >{STATE}/agent.db-wal", f"rm {STATE}/agent.db-wal", "changed"),
    ):
        board.shell(spoil)
        refused = board.run("dpkg", "-P", "chargy-agent", check=False)
        assert refused.returncode == 1, spoil
        assert words in refused.stderr
        assert board.shell(f"ls {STATE}/agent.db {STATION}").returncode == 0
        board.shell(undo)


async def configure_and_start(board: Board, world: World, url: str, state_dir: str = STATE) -> None:
    await inside(board, "dpkg", "-i", board.deb)
    await inside(board, "mkdir", "-p", f"/etc/systemd/system/{UNIT}.d")
    board.write(f"/etc/systemd/system/{UNIT}.d/world.conf", DROP_IN)
    board.write(STATION, world.station_file(url, state_dir))
    board.run("systemd-tmpfiles", "--create", "chargy-agent.conf")
    said = await inside(board, "chargy-agent", "check", STATION, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    await inside(board, "systemctl", "daemon-reload")
    await inside(board, "systemctl", "start", UNIT)
    assert state(board) == "active"
    status = await inside(board, "sh", "-c", f"cat /proc/$(systemctl show -P MainPID {UNIT})/status")
    assert f"\nUid:\t{(await inside(board, 'id', '-u', 'chargy-agent')).stdout.strip()}\t" in status.stdout
    assert re.search(r"^CapEff:\t0+$", status.stdout, re.MULTILINE)


async def charge(world: World, wh: int, board: Board) -> None:
    """Plug in, tap, and wait for that much energy. The station is given its time: a second tap would end a session."""
    start = (await world.evse())["meter_wh"]
    await world.post("/evses/1/plug")
    await until(lambda: locked(world), board.journal)
    await world.post("/cards/tap", {"uid": CARD, "evse": 1, "hold_s": 1.0})
    await until(lambda: metered(world, start + wh), lambda: f"{world.seen}\n{board.journal()}")


async def locked(world: World) -> bool:
    return bool((await world.evse())["locked"])


async def charging(world: World) -> bool:
    """Does current flow?"""
    return bool((await world.evse())["power_w"])


async def metered(world: World, wh: int) -> bool:
    return bool((await world.evse())["meter_wh"] >= wh)


async def end_session(world: World, csms: StrictCsms, board: Board) -> None:
    await world.post("/evses/1/unplug", {"side": "ev"})
    await until(lambda: csms.transactions and all(t.stop for t in csms.transactions.values()), board.journal)


async def nothing_undelivered(board: Board) -> bool:
    said = await inside(board, "chargy-agent", "undelivered", STATION, check=False)
    return bool(said.returncode == 0)
