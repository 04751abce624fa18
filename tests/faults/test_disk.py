"""A real disk that is full, and one that is read-only: the station reports it, starts nothing, loses nothing that is
billed, and goes on by itself when the disk is well again. Needs the right to mount; says so where it has none."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.busy_machine import deadline
from tests.support.station_rig import Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("disk")
    (folder / "state").mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder / "state")]
    try:
        made = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as e:
        pytest.skip(f"a small disk cannot be made here: {e}")
    if made.returncode:
        pytest.skip(f"a small disk cannot be made here (root?): {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder / "state")], check=True)


async def remount(folder: Path, how: str) -> None:
    """As soon as no process writes any more."""
    words = ("mount", "-o", f"remount,{how}", str(folder / "state"))
    async with deadline(60):
        while await (await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.DEVNULL)).wait():
            await asyncio.sleep(0.05)


def fill(folder: Path) -> None:
    with (folder / "state" / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            pass


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def s(disk: Path) -> AsyncIterator[Street]:
    async with street(disk, station_text(2, settings="sample_interval_s = 5")) as opened:
        yield opened


def log(s: Street) -> str:
    return (s.station.folder / "world" / "agent.log").read_text()


async def said(s: Street, text: str) -> None:
    async with deadline(60):
        while text not in log(s):
            await asyncio.sleep(0.05)


async def billed(s: Street) -> int:
    assert all(t.stop_wh is not None for t in s.csms.transactions.values())
    return sum((t.stop_wh or 0) - t.start_wh for t in s.csms.transactions.values())


async def test_a_disk_that_fills_up(disk: Path, s: Street) -> None:
    registers = [e["meter_wh"] for e in (await s.station.picture())["evses"]]
    number = await s.charge("CARD-A")
    fill(disk)
    await said(s, "nothing new may start until it is")
    await s.plug(2)
    await s.tap("CARD-B", 2)
    await s.screen("refused", 2)
    assert (await s.station.evse(1))["contactor"], "what runs goes on: its begin is on disk"
    await s.tap("CARD-A")
    await s.until(lambda e: not e["contactor"])
    assert s.csms.transactions[number].stop is None, "an end that is not on disk is not sent"
    (disk / "state" / "filler").unlink()
    await s.heard(lambda: s.csms.transactions[number].stop)
    await said(s, "the store takes records again")
    await s.end()
    now = [e["meter_wh"] for e in (await s.station.picture())["evses"]]
    assert await billed(s) == sum(now) - sum(registers)


async def test_a_start_on_a_disk_that_can_only_be_read(disk: Path, s: Street) -> None:
    """The power went in a session off line; the file system came back read-only after its check."""
    register = (await s.station.evse())["meter_wh"]
    before, bills = len(s.csms.transactions), await billed(s)
    number = await s.charge("CARD-A")
    await s.station.post("/links/backend", {"up": False})
    await s.until(lambda e: e["session"] and e["session"]["energy_wh"] > 20)
    await s.tap("CARD-A")
    await s.screen("finished")
    await s.station.post("/agent", {"action": "kill"})
    await s.station.post("/agent", {"action": "stop"})
    await s.station.until(lambda p: p["agent"]["pid"] is None)
    await remount(disk, "ro")
    s.begin()
    await s.station.post("/links/backend", {"up": True})
    await s.station.post("/agent", {"action": "start"})
    await s.station.healthy()
    await said(s, "nothing can be written, what is there is read")
    await s.heard(lambda: s.csms.statuses.get("2") == "Faulted")
    await s.plug(2)
    await s.tap("CARD-B", 2)
    await s.screen("out_of_service", 2)
    assert s.csms.transactions[number].stop is None
    assert not {"StartTransaction", "StopTransaction", "MeterValues"} & {a for a, _ in s.calls()}
    await remount(disk, "rw")
    await s.heard(lambda: s.csms.transactions[number].stop)
    await said(s, "can be written again")
    await s.end()
    assert len(s.csms.transactions) == before + 1
    assert await billed(s) - bills == (await s.station.evse())["meter_wh"] - register
    assert await s.charge("CARD-B", 2) > 0
