"""An old copy of the store is put back under a station: the backend hears of it, and no driver pays for another."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.support.station_rig import Street, station_text, street


def copy(folder: Path, to: Path) -> None:
    """The store without its witness."""
    to.mkdir(exist_ok=True)
    for name in ("agent.db", "agent.db-wal"):
        (to / name).unlink(missing_ok=True)
        if (folder / name).exists():
            shutil.copyfile(folder / name, to / name)


async def halted(s: Street) -> None:
    await s.station.post("/agent", {"action": "kill"})
    await s.station.post("/agent", {"action": "stop"})
    await s.station.until(lambda p: p["agent"]["pid"] is None)


async def charged(s: Street, token: str) -> None:
    """Plugged, charged, stopped and gone; the backend may be away."""
    await s.plug()
    await s.until(lambda e: e["cable"] and e["car"])
    await s.tap(token)
    await s.until(lambda e: e["session"] and e["session"]["energy_wh"] > 20)
    await s.tap(token)
    await s.screen("finished")
    await s.unplug()
    await s.screen("idle")


@pytest.mark.parametrize("online", [True, False])
async def test_an_old_copy_of_the_store(tmp_path: Path, online: bool) -> None:
    """It is of the time when A charged. A has ended since, and B has charged after him."""
    async with street(
        tmp_path, station_text(1, settings="sample_interval_s = 5\noffline_tx_for_unknown_id = true")
    ) as s:
        state = s.station.folder / "state"
        number = await s.charge("CARD-A")
        await s.until(lambda e: e["session"] and e["session"]["energy_wh"] > 20)
        await asyncio.to_thread(copy, state, tmp_path / "old")
        if not online:
            await s.station.post("/links/backend", {"up": False})
        await s.tap("CARD-A")
        await s.screen("finished")
        end_wh = (await s.station.evse())["meter_wh"]
        await s.unplug()
        await s.screen("idle")
        await charged(s, "CARD-B")
        if online:
            await s.empty()
        await halted(s)
        before = {n: t.stop_wh for n, t in s.csms.transactions.items()}
        await asyncio.to_thread(copy, tmp_path / "old", state)
        s.begin()
        await s.station.post("/links/backend", {"up": True})
        await s.station.post("/agent", {"action": "start"})
        await s.station.healthy()
        await s.heard(lambda: [p for p in s.payloads("SecurityEventNotification") if "StoreFailed" in p["techInfo"]])
        assert "check the disk" in (s.station.folder / "world" / "agent.log").read_text()
        await s.heard(lambda: s.csms.transactions[number].stop)
        assert s.csms.transactions[number].stop_wh == end_wh
        await charged(s, "CARD-C")
        await s.empty()
        after = {n: t.stop_wh for n, t in s.csms.transactions.items()}
        assert {n: wh for n, wh in after.items() if n in before and before[n] is not None} == {
            n: wh for n, wh in before.items() if wh is not None
        }
        newest = s.csms.transactions[max(after)]
        assert newest.start_wh >= end_wh, "C begins where the meter is"
        assert len(after) == len(before) + 1, "nothing is begun twice"
        starts = [p["idTag"] for p in s.payloads("StartTransaction")]
        assert starts == ["CARD-C"]
        assert s.csms.violations == []
