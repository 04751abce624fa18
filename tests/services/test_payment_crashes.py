"""The agent ends, and the terminal loses power, at any point of a payment: real engine, real SQLite, real keeper and
driver, a terminal process with a bank that keeps books. What the books say afterwards is what the meter says.

A point is: before a transaction is on disk and after it, before an order to terminal, board or meter is carried out and
after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.events import BoardChanged, BoardOpened, Event, LinkChanged, RawMeterReading, Started
from agent.domain.orders import Order, ReadMeter, SetRelease
from agent.domain.payment import FINISHED, PaymentTerms, PayState
from agent.domain.payment_receipt import KIND as RECEIPT
from agent.domain.payment_receipt import SERIES_KIND, ReceiptTerms
from agent.domain.station import assemble_blocks
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import TerminalOrder
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import Moment, Reading, Stamp
from agent.ports.store import Put
from agent.services.devices import supervisor
from agent.services.devices.terminal import TerminalSupervisor
from agent.services.engine import Engine
from agent.services.event_queue import EventQueue
from agent.services.store.store import Store
from tests.support.busy_machine import deadline, patience_factor
from tests.support.domain_state import evse_record, station_state
from tests.support.terminal_process import Apollo, running

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
RUNS = 1200 if FULL else 5
ABREAST = 4
RATE = 60.0
"""Of the stations' time: a second for a minute of theirs. On a busy machine theirs is slower too."""
HELD_CENTS, USED_WH = 5000, 2468
DUE_CENTS = 123
"""2.468 kWh at 0.50."""
TARIFF = Tariff(kwh=Decimal("0.50"))
SELLER = {"name": "Energy SA", "address": ["1, rue du Test"], "vat_number": "LU12345678"}
TERMS = PaymentTerms(
    HELD_CENTS, {0: (1,)}, prefix="PY", schedule_s=(60.0,) * 36, receipts=ReceiptTerms(SELLER, "CHY42")
)
PLUGGED = EvseState(Pilot.B, pwm=False, cable=True, contactor=False, plugged_s=1e6)
CHARGING = EvseState(Pilot.C, pwm=True, cable=True, contactor=True, plugged_s=1e6)
EMPTY = EvseState(Pilot.A, pwm=False, cable=False, contactor=False)
TRAITS = EvseTraits(counts_plugged=True)
PATIENCE_S = 60.0
READING = 20
"""Looks, until a card that was tapped has surely been seen."""


class Gone(Exception):
    """The process is no more."""


class Street:
    """One car that takes ``USED_WH`` and leaves, one card, and how often something happens to whom."""

    def __init__(self, folder: Path, apollo: Apollo, actions: Sequence[tuple[int, str]]) -> None:
        self.folder, self.apollo, self.actions = folder, apollo, dict(actions)
        self.boot_s = asyncio.get_running_loop().time()
        self.rate = RATE / patience_factor()
        self.register_wh = 1000
        self.tapped = self.served = self.left = False
        self.released = False
        self.point = 0
        self.lives = 0
        self.ids = (f"{folder.name}-{n}" for n in itertools.count(1))

    def now(self) -> Moment:
        t_s = 1e7 + (asyncio.get_running_loop().time() - self.boot_s) * self.rate
        return Moment(Stamp(1, t_s), 1_800_000_000.0 + t_s)

    @property
    def board(self) -> EvseState:
        if self.left:
            return EMPTY
        return CHARGING if self.released else PLUGGED

    def passes(self) -> str:
        """The next point; what happens at it."""
        self.point += 1
        return self.actions.pop(self.point, "")


class Life:
    """One process of the agent; ``ended`` is done when it is gone."""

    def __init__(self, street: Street, store: Store) -> None:
        self.street, self._store, self.rate = street, store, street.rate
        evse = evse_record(1, offer=AdhocTariff(TARIFF))
        site = station_state({1: evse}, new_id=lambda: next(street.ids), payment_terms=TERMS)
        links = {"chargy": self}
        self.engine = Engine(EventQueue(), assemble_blocks(site), self, self, links, self)  # type: ignore[arg-type]
        self.site = site
        self.keeper = TerminalSupervisor(0, "terminal", street.apollo.opened, self.engine.events.post_event)
        self.records: dict[str, dict[str, Any]] = {}

    def now(self) -> Moment:
        return self.street.now()

    # --- store, link and hands of the engine -------------------------------------------------------------------------

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        await self._pass()
        await self._store.commit(puts, messages)
        for put in puts:
            if put.kind == "payment":
                self.records.pop(put.key, None)
                self.records |= {put.key: dict(put.value)} if put.value else {}
        await self._pass()

    async def _pass(self) -> None:
        """At a transaction there is time for a real power cut of the terminal."""
        action = self.street.passes()
        if action == "power":
            await self.street.apollo.power_cycle()
        elif action == "blink":
            await self.street.apollo.do("restart")
        elif action == "exchange":
            await self.street.apollo.do("restart", serial=f"ANOTHER{self.street.point}")
        elif action:
            raise Gone

    def dispatch_order(self, order: Order) -> None:
        touches = isinstance(order, TerminalOrder | SetRelease | ReadMeter)
        self._look(touches)
        if isinstance(order, TerminalOrder):
            self.keeper.accept_order(order)
        elif isinstance(order, SetRelease):
            self._release(order.on)
        elif isinstance(order, ReadMeter):
            reading = Reading(self.now().stamp, self.street.register_wh)
            self.engine.events.post_event(RawMeterReading(order.evse, order.purpose, reading))
        self._look(touches)

    def _look(self, touches: bool) -> None:
        if touches and self.street.passes():
            raise Gone

    def _release(self, on: bool) -> None:
        self.street.released = on and not self.street.left
        self.engine.events.post_event(BoardChanged(1, self.street.board))

    def before_event(self, event: Event) -> None:
        pass

    def queue_changed(self) -> None:
        pass

    def send(self, message: Any) -> None:
        pass

    # --- a life ------------------------------------------------------------------------------------------------------

    async def run(self) -> bool:
        """True: there is nothing left to do. False: it was ended."""
        facts = await self._store.read_facts()
        self.records = {k: dict(v) for k, v in facts.get("payment", {}).items()}
        self.engine.events.post_event(Started(facts))
        self.engine.events.post_event(BoardOpened(1, self.street.board, TRAITS))
        self.engine.events.post_event(LinkChanged("chargy", True))
        tasks = [asyncio.create_task(c) for c in (self.engine.run(), self.keeper.run(), self._people())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            with contextlib.suppress(Gone):
                for task in tasks:
                    if task.done():
                        task.result()
                        return True
            return False
        finally:
            self.street.released = False  # the board's watchdog
            self.keeper.prepare_to_stop()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _people(self) -> None:
        """The driver taps once, takes his energy, leaves. Returns when everything is over and on disk."""
        street, quiet = self.street, -READING
        while quiet < 8:
            await asyncio.sleep(0.01)
            waits = (await self._picture()).get("state") == "wait_card"
            if not street.tapped and waits:
                with contextlib.suppress(OSError, ValueError):  # it is without power just now
                    await street.apollo.tap()
                    street.tapped, quiet = True, -READING
            if street.released and not street.served:
                street.served = True
                street.register_wh += USED_WH
            elif street.served and not street.left:
                street.left, street.released = True, False
                self.engine.events.post_event(BoardChanged(1, EMPTY))
            idle = self.site.evses[1].session is None and self.site.evses[1].authorization is None
            open_ = [r for r in self.records.values() if PayState(r["state"]) not in FINISHED]
            over = street.tapped and waits and idle and not open_
            quiet = quiet + 1 if over else min(quiet, 0)

    async def _picture(self) -> dict[str, Any]:
        try:
            return await self.street.apollo.do("picture")
        except (OSError, ValueError):
            return {}


async def played(street: Street) -> dict[str, dict[str, Any]]:
    """Life after life until nothing is left to do; what the journal says then."""
    while True:
        store = await Store.open(street.folder / "agent.db")
        life = Life(street, store)
        street.lives += 1
        try:
            async with deadline(PATIENCE_S):
                if await life.run():
                    return life.records
        finally:
            await store.close()


async def one(folder: Path, apollo: Apollo, actions: Sequence[tuple[int, str]]) -> tuple[str, int]:
    """A run, judged by the bank's books and the meter: how its payment ended, and at how many points something could
    have happened."""
    before = await apollo.books()
    street = Street(folder, apollo, actions)
    records = await played(street)
    after = await apollo.books()
    captured = [cents for _, cents in after.captures[len(before.captures) :]]
    held = set(after.holds) - set(before.holds)
    states = sorted(r["state"] for r in records.values())
    about = f"{actions}: {states}, captured {captured}, held {held}, drawn {street.register_wh - 1000} Wh"
    lost = [r for r in records.values() if r["reservation"] is None]
    assert len(held) <= len(lost), f"held and not known: {about}"
    assert len(captured) <= 1, f"charged twice: {about}"
    drawn_cents = DUE_CENTS if street.served else 0
    if PayState.UNCERTAIN not in states or captured:
        assert sum(captured) == drawn_cents, f"not what was drawn: {about}"
    assert all(r["owed_cents"] in (None, drawn_cents) for r in records.values()), about
    await judge_receipts(folder, records, drawn_cents, about)
    return ",".join(states) or "nothing", street.point


async def judge_receipts(folder: Path, records: dict[str, dict[str, Any]], drawn_cents: int, about: str) -> None:
    """One receipt for each bill, with its amount, under consecutive numbers: none is missing and none is there twice,
    whatever has died when."""
    store = await Store.open(folder / "agent.db")
    try:
        receipts, _ = await store.read_fact_page(RECEIPT, "", 100)
        made = (await store.read_facts()).get(SERIES_KIND, {}).get("made", {}).get("number", 0)
    finally:
        await store.close()
    billed = {r["receipt"]: r for r in records.values() if r["cents"]}
    assert {r["number"] for r in receipts.values()} == set(billed), about
    assert sorted(int(r["number"].rpartition("-")[2]) for r in receipts.values()) == list(range(1, made + 1)), about
    assert all(r["cents"] == drawn_cents == billed[r["number"]]["cents"] for r in receipts.values()), about


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.02,))


async def test_an_honest_payment_is_captured(tmp_path: Path) -> None:
    async with running(tmp_path) as apollo:
        state, points = await one(tmp_path / "run", apollo, ())
        assert state == PayState.COMMITTED
        assert points > 20


async def test_an_exchanged_terminal_is_asked_for_nothing_that_the_old_one_holds(tmp_path: Path) -> None:
    """Exchanged while something is written down; here the new one would even know the number and charge it."""
    whys: Counter[str] = Counter()
    async with running(tmp_path) as apollo:
        for n in (14, 20):
            before = await apollo.books()
            street = Street(tmp_path / f"run{n}", apollo, [(n, "exchange")])
            records = await played(street)
            after = await apollo.books()
            captured, held = after.captures[len(before.captures) :], set(after.holds) - set(before.holds)
            for r in records.values():
                whys[r["why"]] += 1
                if r["why"] == "another terminal is there":
                    assert (r["state"], captured, held) == (PayState.UNCERTAIN, [], {r["reservation"]}), n
                elif r["state"] == PayState.COMMITTED:
                    assert [cents for _, cents in captured] == [DUE_CENTS], n
    assert whys["another terminal is there"], whys


async def test_a_hold_that_a_dying_agent_did_not_hear_of_is_let_go(tmp_path: Path) -> None:
    """The terminal lists nothing; but it counts, and the agent knows every other number. First an honest payment, then
    some whose agent dies about when their bank is asked."""
    folder, begun_s, given_back = tmp_path / "run", asyncio.get_running_loop().time(), 0
    rate = RATE / patience_factor()
    folder.mkdir()
    async with running(tmp_path) as apollo:
        for n in (0, 8, 9, 10):
            street = Street(folder, apollo, [(n, "end")])
            street.boot_s, street.rate = begun_s, rate  # one life after the other
            street.ids = (f"{n}-{m}" for m in itertools.count(1))
            records = await played(street)
            ours = [r for k, r in records.items() if k.startswith(f"{n}-")]
            given_back += any(r["guessed"] and r["state"] == PayState.VOIDED for r in ours)
            assert (await apollo.books()).holds == {}, (n, ours)
    assert given_back, "none of them died while a bank was asked"


async def _all(folder: Path, runs: Sequence[Sequence[tuple[int, str]]]) -> Counter[str]:
    """Some abreast, each with a terminal of its own that goes on from run to run."""
    ends: Counter[str] = Counter()
    waiting = list(enumerate(runs))

    async def lane(number: int) -> None:
        (folder / f"lane{number}").mkdir()
        async with running(folder / f"lane{number}") as apollo:
            while waiting:
                n, actions = waiting.pop()
                state, _ = await one(folder / f"run{n}", apollo, actions)
                ends[state] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(min(ABREAST, len(runs))):
            group.create_task(lane(number))
    return ends


def drawn(draw: random.Random) -> list[tuple[int, str]]:
    """One to three points and what happens there."""
    return [
        (draw.randint(1, 45), draw.choice(("end", "end", "blink", "power"))) for _ in range(draw.choice((1, 1, 2, 3)))
    ]


@pytest.mark.campaign
@pytest.mark.timeout(0)
async def test_whoever_dies_when(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The agent's process ends and the terminal loses power at random points of a payment, up to three times: captured
    is what the meter says, once, or nothing and it is reported."""
    runs = [drawn(random.Random(f"{SEED}:{n}")) for n in range(RUNS)]
    ends = await _all(tmp_path, runs)
    record_property("runs", RUNS)
    record_property("ends", dict(ends))


@pytest.mark.campaign
@pytest.mark.timeout(0)
async def test_the_agent_dies_at_each_point(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """One death at each point in turn (each third in `make test`)."""
    points = range(1, 40) if FULL else range(1 + SEED % 3, 40, 3)
    ends = await _all(tmp_path, [[(n, "end")] for n in points])
    record_property("ends", dict(ends))
    assert ends[PayState.COMMITTED] >= 3, f"hardly any of these was paid: {ends}"
