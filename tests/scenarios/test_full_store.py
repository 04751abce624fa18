"""Off line until the store is full: starts and ends are all there in the end, the bills are the meter's advance to the
Wh, and the values that are left lie evenly over the session. ``make campaign`` does it on both versions."""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from agent.ports.store import Put
from agent.services.store.store import Store
from tests.support.busy_machine import deadline
from tests.support.simulated_station import CAMPAIGN, Simulated
from tests.support.station_rig import Backend, Street, station_text
from tests.support.station_rig_v201 import CARD, FRIEND, Street201

LEFT_BYTES = 54_000


async def nearly_full(folder: Path) -> None:
    """Something else takes nearly all of the megabyte: to fill it with values takes hours, even hurried ones."""
    (folder / "state").mkdir(mode=0o700)
    store = await Store.open(folder / "state" / "agent.db", 1)
    await store.commit([Put("filler", "x", {"text": "x" * ((1 << 20) - LEFT_BYTES)})])
    await store.close()


def given_up(s: Street) -> list[int]:
    log = (s.station.folder / "world" / "agent.log").read_text()
    return [int(n) for n in re.findall(r"is full: (\d+) values", log)]


async def start(s: Street201) -> Any:
    return await (Street.charge(s, CARD) if s.csms.version == "1.6" else s.session(CARD))


def places_of(s: Street201, number: Any) -> list[int]:
    """Where the periodic values of a transaction lie in it: by their numbers, which know nothing of a machine that was
    too busy to take one; in 1.6 by their registers."""
    transaction = s.csms.transactions[number]
    if s.csms.version == "1.6":
        return transaction.samples
    return [e["seqNo"] for e in transaction.events if e["triggerReason"] == "MeterValuePeriodic"]


@pytest.mark.campaign
@pytest.mark.parametrize("version", ["1.6", "2.0.1"] if CAMPAIGN else ["2.0.1"])
async def test_off_line_until_the_store_is_full(tmp_path: Path, version: str) -> None:
    await nearly_full(tmp_path)
    text = station_text(
        1,
        station="store_max_mb = 1",
        backend=f'versions = ["{version}"]',
        settings="sample_interval_s = 1\noffline_tx_for_unknown_id = true",
        simulation="[[simulation.evse]]\nnumber = 1\nmeter_wh = 1234567",
    )
    async with Backend(speaks=(version,)) as csms, Simulated(tmp_path, text, csms.url, 60.0) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        s = Street201(station, csms)
        register = (await station.evse())["meter_wh"]
        number = await start(s)
        await s.off_line()
        async with deadline(120):
            while not given_up(s):
                await asyncio.sleep(0.1)
        before = (await station.evse())["meter_wh"]
        await s.until(lambda e: e["meter_wh"] >= before + 60)
        await s.tap(CARD)
        await s.screen("finished")
        await s.unplug()
        await s.seen_free()
        await s.plug()  # and another driver
        await s.seen_occupied()
        await s.tap(FRIEND)
        await s.until(lambda e: e["session"] and e["session"]["energy_wh"] > 5)
        await s.tap(FRIEND)
        await s.screen("finished")
        await s.unplug()
        await s.kill()
        await s.on_line()
        csms.violations[:] = [v for v in csms.violations if not v.startswith("seqNo ")]  # the gaps are to be seen
        await s.end()
        found = list(csms.transactions.values())
        assert len(found) == 2
        assert all(t.stop_wh is not None for t in found)
        billed = [(t.stop_wh or 0) - t.start_wh for t in found]
        assert sum(billed) == (await station.evse())["meter_wh"] - register
        assert all(wh > 0 for wh in billed)
        judge(s, number)


def judge(s: Street201, number: Any) -> None:
    steps = [b - a for a, b in itertools.pairwise(places_of(s, number))]
    fresh = sorted(steps)[0]
    thinned = [step for step in steps if step > 1.8 * fresh]
    assert len(thinned) >= 3, steps
    assert max(thinned) <= 2.5 * min(thinned), f"no hole anywhere: {steps}"
    if s.csms.version != "1.6":
        numbers = [e["seqNo"] for e in s.csms.transactions[number].events]
        assert numbers == sorted(set(numbers))
        assert len(numbers) < numbers[-1], "what was given up left its gap"
