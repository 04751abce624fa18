"""Days of a station that sells both kinds of current: cards, cars, kills of the agent, power cuts of the terminal, a
bank, a board and a backend that are away, emergency stops, in any order. Then: each watt-hour that has flowed is in one
transaction, and what the bank has booked is what these cost by their tariffs, once each. Nothing stays held but what
the journal reports as unknown.

``make campaign`` plays sixty rounds, ``make test`` two.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_dc import DC400, journal, owed, played, waits
from tests.support.busy_machine import deadline
from tests.support.simulated_station import CAMPAIGN, Simulated

SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
ROUNDS = 60 if CAMPAIGN else 2
REST_S = 240.0
"""A bank that was asked and never answered is waited for at first."""
UNDER_WAY = {"Active", "Authorised", "FinalKnown", "CommitPending", "VoidPending"}
"""States in which the agent has still to ask the bank, or the bank to answer."""
HABITS = ("tap", "tap", "badge", "unplug 1", "unplug 2")
TROUBLES = (
    "kill",
    "kill",
    "cycle",
    "bank away",
    "bank back",
    "cut",
    "heal",
    "stop",
    "calm",
    "board away",
    "board back",
)


class Days:
    def __init__(self, station: Simulated, dice: random.Random) -> None:
        self.s, self.dice, self.done = station, dice, list[str]()

    async def post(self, path: str, **body: Any) -> None:
        """What is impossible as things stand does not happen."""
        async with self.s.http.post(f"/api/v1{path}", json=body) as answer:
            assert answer.status in (202, 409), (path, await answer.text())

    async def do(self, deed: str) -> None:
        self.done.append(deed)
        match deed.split():
            case ["tap"]:
                await self.post("/terminal/card", pan_last4=self.dice.choice(["1111", "2222", "3333"]))
                await asyncio.sleep(0 if CAMPAIGN else 0.8)  # else a bank's answer may be lost, and is waited for
            case ["badge"]:
                await self.post("/cards/tap", uid="04A1B2C3D4E5F6")
            case ["plug", "1"]:
                soc, capacity_kwh = self.dice.choice([(40, 77), (98, 20), (99.9, 20)])
                await self.post("/evses/1/plug", car=DC400 | {"soc": soc, "capacity_kwh": capacity_kwh})
            case ["plug", "2"]:
                await self.post("/evses/2/plug", car={"max_a": 32, "soc": self.dice.choice([40, 99.9])})
            case ["unplug", n]:
                await self.post(f"/evses/{n}/unplug", side="ev")
            case ["kill"]:
                await self.post("/agent", action="kill")
            case ["cycle"]:
                await self.post("/terminal", action="power_cycle")
            case ["bank", where]:
                await self.post("/terminal", action="offline" if where == "away" else "online")
            case ["board", where]:
                await self.post("/evses/1/fault", fault="BoardSilent", active=where == "away")
            case ["stop" | "calm" as what]:
                await self.post("/evses/1/fault", fault="EmergencyStop", active=what == "stop")
            case ["cut" | "heal" as what]:
                await self.post("/links/backend", up=what == "heal")

    async def round(self) -> None:
        deeds = ["tap", "tap", "plug 1", "plug 2", *self.dice.choices(HABITS, k=2), *self.dice.choices(TROUBLES, k=3)]
        self.dice.shuffle(deeds)
        for deed in deeds:
            await self.do(deed)
            await asyncio.sleep(self.dice.choice([0.05, 0.3, 1, 2]) * self.dice.random())
        await self.rest()

    async def rest(self) -> None:
        """All is well, and the cars have gone."""
        for deed in ("calm", "board back", "bank back", "heal", "unplug 1", "unplug 2"):
            await self.do(deed)
        await self.s.until(lambda p: p["agent"]["up"] and not any(e["session"] for e in p["evses"]), REST_S)
        await self.s.until(lambda p: not p["evses"][1]["locked"])
        await self.post("/evses/2/unplug", side="station")
        await self.s.until(
            lambda p: (
                waits(p) and not p["agent"]["queue"] and {e["reported"]["status"] for e in p["evses"]} == {"Available"}
            ),
            REST_S,
        )


def facts(s: Simulated, kind: str) -> list[dict[str, Any]]:
    """What the backend has understood."""
    lines = (s.folder / "world" / "central.jsonl").read_text().splitlines()
    return [f for f in map(json.loads, lines) if f["kind"] == kind]


async def settled_journal(s: Simulated) -> list[list[str]]:
    """The rows of the journal, once nothing is under way: a bank that has not answered is asked again later."""
    rows = await journal(s)
    async with deadline(60):
        while any(UNDER_WAY & {word.rstrip(":") for word in row} for row in rows):
            await asyncio.sleep(0.2)
            rows = await journal(s)
    return rows


def due(start: dict[str, Any], stop: dict[str, Any]) -> int:
    """Cents; 0 for who has a badge."""
    wh = stop["energy_wh"]
    if not wh or not start["id_tag"].startswith("PY"):
        return 0
    return owed(wh) if start["connector"] == 1 else owed(wh, 450_000) + 50


@pytest.mark.campaign
@pytest.mark.timeout(0 if CAMPAIGN else 900)
async def test_each_watt_hour_is_paid_once(tmp_path: Path, record_property: Any) -> None:
    async with played(tmp_path, "mixed") as s:
        first = sum(e["meter_wh"] for e in (await s.until(waits))["evses"])
        days = Days(s, random.Random(SEED))
        for _ in range(ROUNDS):
            await days.round()
        rows = await settled_journal(s)
        over = await s.picture()
        starts, stops = {f["transaction_id"]: f for f in facts(s, "start")}, facts(s, "stop")
        cents = Counter(c for stop in stops if (c := due(starts[stop["transaction_id"]], stop)))
        said = f"seed {SEED}: {days.done}"
        assert Counter(c["cents"] for c in over["ledger"]["captures"]) == cents, said
        assert sum(stop["energy_wh"] for stop in stops) == sum(e["meter_wh"] for e in over["evses"]) - first, said
        assert len(starts) == len(stops), said
        assert facts(s, "violation") == [], said
        unknown = [row for row in rows if "Uncertain:" in row or "AuthPending" in row]
        ledger = over["ledger"]
        assert len(ledger["holds"]) <= len(unknown), f"{said}\n{ledger}\n{rows}"
        record_property("rounds", ROUNDS)
        record_property("charged", cents.total())
