"""A day of a station with two outlets, behind a road that is cut a hundred times, with an agent that is killed twenty
times, before a central system that is not ours: whatever happens, each transaction has one start and one end, the bills
are the meters' advance to the Wh, nothing waits any more and nothing was given up.

Drivers are seeded: cards, remote starts, refused cards, cars that pause; they leave by card, by remote stop or by
pulling the cable. ``make campaign`` runs 24 h of the station's clock and shows where it is, ``make test`` a short one.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.busy_machine import Deadline, deadline
from tests.support.simulated_station import CAMPAIGN, Simulated
from tests.support.station_rig import station_text
from tests.support.third_party_csms import Between, Foreign

SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
SPEED = 60.0
DAY_S = 86400 / SPEED if CAMPAIGN else 3.0
CUTS, KILLS = (100, 20) if CAMPAIGN else (3, 1)
MOST_WH = 6000 if CAMPAIGN else 300
GIVE_UP_S = 90.0
CARDS = ("04A1B2C3", "04D4E5F6", "04112233445566", "0499AA")
BAD = "BAD0000001"


@dataclass
class Day:
    station: Simulated
    csms: Between
    foreign: Foreign
    version: str
    dice: random.Random
    say: Callable[[str], None]
    done: Counter[str] = field(default_factory=Counter)
    over: bool = False
    remote_ids: int = 0

    # --- what people do --------------------------------------------------------------------------------------------

    async def try_to(self, path: str, **body: Any) -> bool:
        """False: impossible as things stand; a person sees it and thinks again."""
        async with self.station.http.post(f"/api/v1{path}", json=body) as answer:
            assert answer.status in (202, 409), (path, await answer.text())
            return answer.status == 202

    async def remote_start(self, n: int, token: str) -> None:
        self.remote_ids += 1
        if self.version == "1.6":
            answer = await self.foreign.ask("RemoteStartTransaction", {"connectorId": n, "idTag": token})
        else:
            wanted = {"idToken": {"idToken": token, "type": "Central"}, "remoteStartId": self.remote_ids, "evseId": n}
            answer = await self.foreign.ask("RequestStartTransaction", wanted)
        self.done[f"remote start {answer.get('status') or 'unanswered'}"] += 1

    async def remote_stop(self, number: str) -> None:
        if self.version == "1.6":
            answer = await self.foreign.ask("RemoteStopTransaction", {"transactionId": int(number)})
        else:
            answer = await self.foreign.ask("RequestStopTransaction", {"transactionId": number})
        self.done[f"remote stop {answer.get('status') or 'unanswered'}"] += 1

    # --- what happens to them --------------------------------------------------------------------------------------

    async def road(self, **condition: Any) -> None:
        await self.station.post("/links/backend", condition)

    async def cuts(self) -> None:
        """Each of them ends with a broken connection; what went before is the kind of trouble."""
        for _ in range(CUTS):
            await asyncio.sleep(self.dice.uniform(0, 2 * DAY_S / CUTS) * 0.6)
            kind = self.dice.choice(("cut", "cut", "stall", "slow", "lossy", "flap"))
            hard_s = self.dice.choice((0.1, 0.5, 2.0, 2.0, 8.0) if CAMPAIGN else (0.1, 0.5)) * self.dice.uniform(
                0.5, 1.5
            )
            if kind == "stall":
                await self.road(stall=True)
            elif kind == "slow":
                await self.road(latency_ms=self.dice.uniform(300, 900), kbit_s=self.dice.uniform(10, 60))
            elif kind == "lossy":
                await self.road(loss=0.2, latency_ms=100)
            for _ in range(4 if kind == "flap" else 0):
                await self.road(up=False)
                await asyncio.sleep(self.dice.uniform(0, 0.15))
                await self.road(up=True)
                await asyncio.sleep(self.dice.uniform(0, 0.4))
            if kind in ("stall", "slow", "lossy"):
                await asyncio.sleep(hard_s)
            await self.road(up=False)
            if kind in ("cut", "flap"):
                await asyncio.sleep(hard_s)
            await self.road(up=True, stall=False, latency_ms=0, loss=0, kbit_s=None)
            self.done["cuts"] += 1
            self.done[f"link: {kind}"] += 1

    async def kills(self) -> None:
        for _ in range(KILLS):
            await asyncio.sleep(self.dice.uniform(0.2, 2) * DAY_S / KILLS * 0.6)
            while not await self.try_to("/agent", action="kill"):
                await asyncio.sleep(self.dice.uniform(0, 0.2))
            self.done["kills"] += 1

    async def clock(self) -> None:
        began = time.monotonic()
        while (spent_s := time.monotonic() - began) < DAY_S or not self._enough_seen():
            if CAMPAIGN and int(spent_s) % 20 == 0:
                counts = ", ".join(f"{k} {v}" for k, v in sorted(self.done.items()))
                hour = spent_s * self.station.speed / 3600
                self.say(f"OCPP {self.version}, {hour:.1f} h: {len(self.csms.transactions)} transactions, {counts}")
            assert not self.csms.violations, self.csms.violations
            await asyncio.sleep(1.0)
        self.over = True

    def _enough_seen(self) -> bool:
        """All the trouble, and a bill with energy on it."""
        billed = any(t.stop_wh is not None and t.stop_wh > t.start_wh for t in self.csms.transactions.values())
        return billed and self.done["cuts"] >= CUTS and self.done["kills"] >= KILLS

    async def visits(self, n: int) -> None:
        dice = random.Random(f"{SEED} {self.version} {n}")
        while not self.over:
            await asyncio.sleep(dice.uniform(0, 6 if CAMPAIGN else 0.5))
            await Visit(self, n, dice).run()
            self.done["visits"] += 1


@dataclass
class Visit:
    """One driver at one outlet: looks, and does what comes next, whatever happens to road and agent."""

    day: Day
    n: int
    dice: random.Random

    async def run(self) -> None:
        try:
            async with deadline(GIVE_UP_S * 3):
                if await self._start(self.dice.choices(("cable", "card", "remote", "bad"), (4, 3, 3, 1))[0]):
                    await self._charge()
                    await self._stop(self.dice.choice(("card", "remote", "cable")))
                await self._leave()
        except TimeoutError:
            raise AssertionError(f"stuck: {await self._look()}\n{self.day.station.said()}") from None

    async def _look(self) -> dict[str, Any]:
        return await self.day.station.evse(self.n)

    async def _sees(self, what: Any, timeout_s: float) -> dict[str, Any] | None:
        """The outlet as soon as it is so; None: not in time."""
        patience = Deadline(timeout_s)
        while not patience.over:
            evse = await self._look()
            if what(evse):
                return evse
            await asyncio.sleep(0.1)
        return None

    async def _plug(self) -> None:
        car = {"capacity_kwh": self.dice.choice((0.3, 40.0)), "phases": self.dice.choice((1, 3))}
        await self.day.try_to(f"/evses/{self.n}/plug", ready=self.dice.random() < 0.8, car=car)

    async def _start(self, how: str) -> bool:
        """False: the station did not want this driver."""
        self.token = BAD if how == "bad" else self.dice.choice(CARDS)
        self.day.done[f"came with {how}"] += 1
        if how != "card":
            await self._plug()
            await asyncio.sleep(self.dice.uniform(0, 1.0))
        for _ in range(2 if how == "bad" else 6):
            if how == "remote":
                await self.day.remote_start(self.n, self.token)
            else:
                await self.day.try_to("/cards/tap", token=self.token, evse=self.n)
            if how == "card" and not (await self._look())["car"]:
                await asyncio.sleep(self.dice.uniform(0, 0.6))
                await self._plug()
            if await self._sees(lambda e: e["session"], self.dice.uniform(1.5, 3)):
                self.day.done["sessions"] += 1
                return True
        return False

    async def _charge(self) -> None:
        await self.day.try_to(f"/evses/{self.n}/ev", ready=True)
        want_wh, patience_s = self.dice.uniform(1, MOST_WH), 40 if CAMPAIGN else 2
        pauses = self.dice.random() < 0.3
        if pauses:
            await self._enough(want_wh / 2, patience_s)
            await self.day.try_to(f"/evses/{self.n}/ev", ready=False)
            await asyncio.sleep(self.dice.uniform(0, 2))
            await self.day.try_to(f"/evses/{self.n}/ev", ready=True)
        await self._enough(want_wh, patience_s)

    async def _enough(self, wh: float, timeout_s: float) -> None:
        def enough(evse: dict[str, Any]) -> bool:
            session, reported = evse["session"], evse["reported"]
            return session["energy_wh"] >= wh if session else reported is not None

        await self._sees(enough, timeout_s)

    async def _stop(self, how: str) -> None:
        self.day.done[f"left by {how}"] += 1
        for attempt in range(8):
            evse = await self._look()
            if evse["reported"] and not evse["session"]:
                return
            number = (evse["session"] or {}).get("transaction_id")
            if how == "cable" or attempt > 3:
                await self.day.try_to(f"/evses/{self.n}/unplug", side="ev")
            elif how == "remote" and number:
                await self.day.remote_stop(number)
            elif evse["session"]:
                await self.day.try_to("/cards/tap", token=self.token, evse=self.n)
            await self._sees(lambda e: e["reported"] and not e["session"], 2.5)

    async def _leave(self) -> None:
        patience = Deadline(GIVE_UP_S)
        while not patience.over:
            evse = await self._look()
            if not evse["cable"] and not evse["car"] and evse["reported"] and not evse["session"]:
                return
            if evse["car"] and (evse["locked"] or not evse["cable"] or self.dice.random() < 0.5):
                await self.day.try_to(f"/evses/{self.n}/unplug", side="ev")
            elif evse["cable"] and not evse["locked"]:
                await self.day.try_to(f"/evses/{self.n}/unplug", side="station")
            await asyncio.sleep(0.2)
        raise AssertionError(f"cannot leave: {await self._look()}\n{self.day.station.said()}")


def text(version: str) -> str:
    more = "\n".join(f"[[simulation.evse]]\nnumber = {n}\nmeter_wh = {n}234567" for n in (1, 2))
    return station_text(
        2,
        backend=f'versions = ["{version}"]\ncall_timeout_s = 3.0',
        settings="sample_interval_s = 300\nconnection_timeout_s = 300\nmessage_retry_interval_s = 60\n"
        "offline_tx_for_unknown_id = true",
        simulation=more,
    )


async def a_day(folder: Path, version: str, say: Callable[[str], None]) -> dict[str, Any]:
    async with (
        Foreign() as foreign,
        Between(speaks=(version,), target=foreign.url) as csms,
        Simulated(folder, text(version), csms.url, SPEED) as station,
    ):
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        before = {e["number"]: e["meter_wh"] for e in (await station.picture())["evses"]}
        day = Day(station, csms, foreign, version, random.Random(f"{SEED} {version}"), say)
        async with asyncio.TaskGroup() as group:
            for work in (day.cuts(), day.kills(), day.clock(), day.visits(1), day.visits(2)):
                group.create_task(work)
        await station.until(lambda p: p["backend"]["link"] == "up" and p["agent"]["queue"] == 0, 120)
        picture = await station.picture()
        advance = {e["number"]: e["meter_wh"] - before[e["number"]] for e in picture["evses"]}
        judge(day, await foreign.ledger(), advance)
        assert picture["agent"]["restarts"] == day.done["kills"], station.said()
    with sqlite3.connect(folder / "state" / "agent.db") as db:
        assert db.execute("SELECT * FROM dead").fetchall() == []
        assert db.execute("SELECT * FROM outbox").fetchall() == []
    db.close()
    return {**day.done, "transactions": len(csms.transactions), "wh": sum(advance.values()), "seed": SEED}


def judge(day: Day, heard: dict[str, Any], advance: dict[int, int]) -> None:
    csms, said = day.csms, day.station.said
    assert csms.violations == [], said()
    assert heard["violations"] == [], said()
    assert [t for t in csms.transactions.values() if t.stop_wh is None] == [], said()
    for n, wh in advance.items():
        billed = {t.id: t.stop_wh - t.start_wh for t in csms.transactions.values() if t.connector == n and t.stop_wh}
        assert sum(billed.values()) == wh, f"outlet {n}: {billed}\n{said()}"
    booked = heard["transactions"]
    assert set(booked) == {str(number) for number in csms.transactions}
    for number, entry in booked.items():
        assert (len(entry["starts"]), len(entry["ends"])) == (1, 1), f"{number}: {entry}"
        assert entry["seqs"] == list(range(len(entry["seqs"]))), f"{number}: {entry}"
    assert sum(e["stop_wh"] - e["start_wh"] for e in booked.values()) == sum(advance.values())
    assert sum(advance.values()) > 0


@pytest.mark.campaign
@pytest.mark.timeout(0 if CAMPAIGN else 900)
@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_a_day(tmp_path: Path, version: str, record_property: Any, capfd: pytest.CaptureFixture[str]) -> None:
    def say(line: str) -> None:
        with capfd.disabled():
            print(line, flush=True)

    for name, value in sorted((await a_day(tmp_path, version, say)).items()):
        record_property(name, value)
