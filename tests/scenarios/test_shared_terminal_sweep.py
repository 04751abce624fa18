"""Two stations with one bank card terminal, six outlets, cards in any order: the agent of either is killed at any
instant, or both, and the network between them is cut. Then: the bank has captured or released each hold once, what it
has captured is what the energy of each transaction costs, and each watt-hour is in a transaction that a card pays for.

``make campaign`` plays 500 payments in four parts, ``make test`` a round of three drivers.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_bank_card import CAR, waits
from tests.scenarios.test_dc import listed, owed
from tests.scenarios.test_dc_days import facts
from tests.scenarios.test_shared_terminal import MASTER, SATELLITE
from tests.support.busy_machine import Deadline
from tests.support.certificate_authorities import Authority
from tests.support.network_cable import NetworkCable, network_cable
from tests.support.simulated_station import CAMPAIGN, Simulated, held_port

SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "73"))
PARTS = range(4) if CAMPAIGN else range(1)
PAYMENTS = 125 if CAMPAIGN else 2
"""Holds of each part, at least."""
SPEED = 30.0
MICRO_PER_KWH = 500_000
OUTLETS = {n: ("master", n) for n in (1, 2)} | {n + 2: ("satellite", n) for n in (1, 2, 3, 4)}
"""By the number at the terminal: which station, and its number there."""
SAMPLED_OUTLETS = (1, 3, 4)
TROUBLES = ("kill master", "kill satellite", "kill both", "pull", "pull", "reset", "reset")
ROUND_S = 15.0 if CAMPAIGN else 6.0
"""In which most cards of a round are read."""
REST_S = 240.0
OPEN_STATES = ("Pending", "Authorised", "Active", "Uncertain")
BUTTONS = """
[buttons]
driver = "buttons_evdev"
keys = { outlet-1 = 2, outlet-2 = 3, outlet-3 = 4, outlet-4 = 5, outlet-5 = 6, outlet-6 = 7 }
"""


@dataclass
class SharedSite:
    """``done``: all that was done, for the words of a failure."""

    master: Simulated
    satellite: Simulated
    cable: NetworkCable
    dice: random.Random
    done: list[str] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    terminal: asyncio.Lock = field(default_factory=asyncio.Lock)

    def station(self, outlet: int) -> tuple[Simulated, int]:
        name, evse = OUTLETS[outlet]
        return (self.master if name == "master" else self.satellite), evse

    async def post(self, station: Simulated, path: str, **body: Any) -> None:
        """What is impossible as things stand does not happen."""
        async with station.http.post(f"/api/v1{path}", json=body) as answer:
            assert answer.status in (202, 409), (path, await answer.text())

    async def visit(self, outlet: int) -> None:
        """A driver plugs in, presents a card, says which outlet is meant, and leaves after a while."""
        station, evse = self.station(outlet)
        await asyncio.sleep(self.dice.random())
        self.done.append(f"plug {outlet}")
        await self.post(station, f"/evses/{evse}/plug", **CAR)
        async with self.terminal:
            await self.present_card(outlet)
        await asyncio.sleep(self.dice.uniform(0.2, 6))
        self.done.append(f"unplug {outlet}")
        await self.post(station, f"/evses/{evse}/unplug", side="ev")

    async def present_card(self, outlet: int) -> None:
        patience = Deadline(20)
        while not patience.over and not waits(await self.master.picture()):
            await asyncio.sleep(0.05)
        self.done.append(f"card {outlet}")
        await self.post(self.master, "/terminal/card", pan_last4=f"{outlet}{outlet}{outlet}{self.dice.randrange(10)}")
        patience = Deadline(2)
        while not patience.over:
            picture = await self.master.picture()
            if picture["evses"][0]["screen"] == "choose_outlet":
                await self.post(self.master, f"/buttons/outlet-{outlet}")
                return
            await asyncio.sleep(0.1)

    async def trouble(self) -> None:
        await asyncio.sleep(self.dice.uniform(0, ROUND_S))
        what = self.dice.choice(TROUBLES)
        self.done.append(what)
        self.troubles[what] += 1
        match what.split():
            case ["kill", victim]:
                for station in (self.master, self.satellite):
                    if victim in ("both", "master" if station is self.master else "satellite"):
                        await self.post(station, "/agent", action="kill")
            case ["pull"]:
                self.cable.pull_out()
                await asyncio.sleep(self.dice.uniform(0.1, 4))
                self.cable.plug_in()
            case ["reset"]:
                self.cable.reset_connections()

    async def round(self) -> None:
        async with asyncio.TaskGroup() as group:
            for outlet in OUTLETS if CAMPAIGN else SAMPLED_OUTLETS:
                group.create_task(self.visit(outlet))
            for _ in range(3 if CAMPAIGN else 1):
                group.create_task(self.trouble())
        await self.rest()

    async def rest(self) -> None:
        """The vehicles have gone, all is settled, and the satellite is known to the terminal again."""
        for station, evse in map(self.station, OUTLETS):
            await station.until(lambda p: p["agent"]["up"], REST_S)
            await station.until(lambda p, n=evse: not p["evses"][n - 1]["session"], REST_S)
            await station.until(lambda p, n=evse: not p["evses"][n - 1]["locked"], REST_S)
            await self.post(station, f"/evses/{evse}/unplug", side="station")
        await self.master.until(lambda p: is_ready(p) and not p["ledger"]["holds"], REST_S)
        for station in (self.master, self.satellite):
            await station.until(
                lambda p: not p["agent"]["queue"] and all(e["reported"]["status"] == "Available" for e in p["evses"]),
                REST_S,
            )

    async def settled(self) -> int:
        """How many holds the bank has captured or released."""
        ledger = (await self.master.picture())["ledger"]
        return len(ledger["captures"]) + len(ledger["voids"])


def is_ready(picture: dict[str, Any]) -> bool:
    """The terminal is there. It waits for a card while a vehicle does (``payment_start``)."""
    return picture["terminals"][0]["state"] in ("enabled", "wait_card")


def more_outlets(count: int) -> str:
    return "".join(f"[[evse]]\nnumber = {n}\n" for n in range(2, count + 1))


@asynccontextmanager
async def shared_site(folder: Path, dice: random.Random) -> AsyncIterator[SharedSite]:
    pool = Authority(folder, "Pool")
    for name in ("master", "satellite"):
        (folder / name).mkdir()
    with held_port() as port:
        async with network_cable(port) as cable:
            first = (
                MASTER.replace("outlets = [2]", "outlets = [2, 3]")
                .format(port=port, certificate=pool.server(("payment-master",)), ca=pool.root)
                .replace("[simulation]", more_outlets(2) + BUTTONS + "\n[simulation]", 1)
            )
            second = SATELLITE.format(port=cable.port, certificate=pool.client("east"), ca=pool.root).replace(
                "[simulation]", more_outlets(4) + "\n[simulation]", 1
            )
            async with (
                Simulated(folder / "master", first, speed=SPEED) as master,
                Simulated(folder / "satellite", second, speed=SPEED) as satellite,
            ):
                yield SharedSite(master, satellite, cable, dice)


async def meter_sum(station: Simulated) -> int:
    return int(sum(e["meter_wh"] for e in (await station.picture())["evses"]))


@pytest.mark.campaign
@pytest.mark.timeout(0 if CAMPAIGN else 900)
@pytest.mark.parametrize("part", PARTS)
async def test_each_hold_is_captured_or_released_once(tmp_path: Path, part: int, record_property: Any) -> None:
    async with shared_site(tmp_path, random.Random(f"{SEED} {part}")) as site:
        await site.master.until(is_ready)
        stations = (site.master, site.satellite)
        before_wh = [await meter_sum(s) for s in stations]
        while await site.settled() < PAYMENTS:
            await site.round()
        ledger = (await site.master.picture())["ledger"]
        said = f"seed {SEED}, part {part}: {site.done}\n{ledger}\n{site.master.said()}\n{site.satellite.said()}"
        numbers = [hold["terminal_session"] for hold in [*ledger["captures"], *ledger["voids"]]]
        assert len(numbers) == len(set(numbers)), said
        cents: Counter[int] = Counter()
        energy_wh = 0
        for station, first_wh in zip(stations, before_wh, strict=True):
            starts, stops = {f["transaction_id"]: f for f in facts(station, "start")}, facts(station, "stop")
            assert len(starts) == len(stops), said
            assert all(start["id_tag"].startswith("PY") for start in starts.values()), said
            assert facts(station, "violation") == [], said
            used_wh = sum(stop["energy_wh"] for stop in stops)
            assert used_wh == await meter_sum(station) - first_wh, said
            energy_wh += used_wh
            cents.update(c for stop in stops if (c := owed(stop["energy_wh"], MICRO_PER_KWH)))
        assert Counter(c["cents"] for c in ledger["captures"]) == cents, said
        await all_rows_are_settled(site)
        record_property("captured", len(ledger["captures"]))
        record_property("released", len(ledger["voids"]))
        record_property("energy_wh", energy_wh)
        for what, count in site.troubles.items():
            record_property(what, count)


async def all_rows_are_settled(site: SharedSite) -> None:
    """The journal of the master agrees with the bank that nothing is open. The bank knows a moment before."""
    patience = Deadline(60)
    while any(word in " ".join(row) for row in await listed(site.master) for word in OPEN_STATES):
        assert not patience.over, await listed(site.master)
        await asyncio.sleep(0.3)
