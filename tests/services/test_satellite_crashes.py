"""Payment master and satellite end at any point of a payment, and the network between them is cut (decision 73): two
real engines with a SQLite store each, TLS over real sockets, the real driver, a terminal process with a bank that keeps
books.

A point is, at either station: before a transaction is on disk and after it, before an order to terminal, board, meter
or the other station is carried out and after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    Event,
    LinkChanged,
    RawMeterReading,
    ReleaseWithdrawn,
    Started,
)
from agent.domain.orders import Order, ReadMeter, SendToMaster, SendToSatellite, SetRelease
from agent.domain.payment import FINISHED, PaymentTerms, PayState
from agent.domain.station import assemble_blocks
from agent.domain.terminal_messages import TerminalOrder
from agent.model.types import Moment, Reading, Stamp
from agent.ports.store import Put
from agent.services.devices import supervisor
from agent.services.devices.terminal import TerminalSupervisor
from agent.services.engine import Engine
from agent.services.event_queue import EventQueue
from agent.services.satellites import master_dialer, satellite_listener
from agent.services.satellites.master_dialer import MasterDialer
from agent.services.satellites.satellite_listener import SatelliteListener
from agent.services.satellites.shared_tls import MASTER_NAME
from agent.services.store.store import Store
from agent.station_file.tables import MasterTable, SatelliteTable
from tests.services.test_payment_crashes import CHARGING, DUE_CENTS, EMPTY, PLUGGED, TARIFF, TRAITS, USED_WH, Gone
from tests.support.busy_machine import deadline, patience_factor
from tests.support.certificate_authorities import Authority
from tests.support.domain_state import evse_record, station_state
from tests.support.network_cable import NetworkCable, network_cable
from tests.support.simulated_station import held_port
from tests.support.terminal_process import Apollo, running

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
RUNS = 500 if FULL else 3
RATE = 60.0
"""Of the stations' time: a second for a minute of theirs. On a busy machine theirs is slower too."""
TERMS = PaymentTerms(5000, {0: (1,)}, prefix="PY", schedule_s=(60.0,) * 36)
PATIENCE_S = 60.0
READING, QUIET = 20, 8
"""Looks, until a card that was tapped has surely been seen, and until nothing happens any more."""
CUT_S = 0.2
DEEDS = ("master", "satellite", "cut")


class Site:
    """One car at the satellite that takes ``USED_WH`` and leaves, one card at the master, and what happens when."""

    def __init__(self, folder: Path, apollo: Apollo, network: NetworkCable, actions: Sequence[tuple[int, str]]) -> None:
        self.folder, self.apollo, self.network, self.actions = folder, apollo, network, dict(actions)
        self.boot_s = asyncio.get_running_loop().time()
        self.rate = RATE / patience_factor()
        self.register_wh = 1000
        self.tapped = self.served = self.left = self.released = False
        self.point = 0
        self.ids = (f"{folder.name}-{n}" for n in itertools.count(1))
        self.master: Life | None = None
        self.satellite: Life | None = None

    def now(self) -> Moment:
        t_s = 1e7 + (asyncio.get_running_loop().time() - self.boot_s) * self.rate
        return Moment(Stamp(1, t_s), 1_800_000_000.0 + t_s)

    @property
    def board(self) -> Any:
        if self.left:
            return EMPTY
        return CHARGING if self.released else PLUGGED

    def pass_point(self) -> str:
        """Return who ends at this point; "": none of the stations."""
        self.point += 1
        action = self.actions.pop(self.point, "")
        if action == "cut":
            self.network.cut(CUT_S)
        return "" if action == "cut" else action


class Life:
    """One process of one of the two agents."""

    def __init__(self, site: Site, store: Store, port: int, pool: Authority) -> None:
        self.site, self._store, self.rate = site, store, site.rate
        options = {"new_id": lambda: next(site.ids), **self.options}
        self.state = station_state({1: evse_record(1, offer=AdhocTariff(TARIFF))}, self.settings, **options)
        links = {"chargy": self}
        self.engine = Engine(EventQueue(), assemble_blocks(self.state), self, self, links, self)  # type: ignore[arg-type]
        self.post = self.engine.events.post_event
        self.records: dict[str, dict[str, dict[str, Any]]] = {}
        self.killed = asyncio.Event()
        self.make_services(port, pool)

    name = ""
    options: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    services: tuple[Any, ...]

    def make_services(self, port: int, pool: Authority) -> None:
        raise NotImplementedError

    def now(self) -> Moment:
        return self.site.now()

    # --- store, link and hands of the engine -------------------------------------------------------------------------

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        self.look()
        await self._store.commit(puts, messages)
        for put in puts:
            kept = self.records.setdefault(put.kind, {})
            kept.pop(put.key, None)
            if put.value is not None:
                kept[put.key] = dict(put.value)
        self.look()

    def dispatch_order(self, order: Order) -> None:
        touches = isinstance(order, TerminalOrder | SetRelease | ReadMeter | SendToMaster | SendToSatellite)
        if touches:
            self.look()
        self.carry_out(order)
        if touches:
            self.look()

    def look(self) -> None:
        """The station that is named ends at this point, this station or the other one."""
        ends = self.site.pass_point()
        other = {"master": self.site.master, "satellite": self.site.satellite}.get(ends)
        if ends == self.name:
            raise Gone
        if other is not None:
            other.killed.set()

    def carry_out(self, order: Order) -> None:
        raise NotImplementedError

    def before_event(self, event: Event) -> None:
        pass

    def queue_changed(self) -> None:
        pass

    def send(self, message: Any) -> None:
        pass

    # --- a life ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until it is ended."""
        facts = await self._store.read_facts()
        self.records = {kind: {k: dict(v) for k, v in kept.items()} for kind, kept in facts.items()}
        self.post(Started(facts))
        self.post(BoardOpened(1, self.first_board, TRAITS))
        self.post(LinkChanged("chargy", True))
        work = (self.engine.run(), self.killed.wait(), *(s.run() for s in self.services))
        tasks = [asyncio.create_task(w) for w in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            with contextlib.suppress(Gone):
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            self.end_hands()
            tasks[0].cancel()  # nothing is handled any more
            await self.wait_for_port()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def wait_for_port(self) -> None:
        """A process that ends gives its port back; a task that is cancelled while it opens one does not."""

    @property
    def first_board(self) -> Any:
        return EMPTY

    def end_hands(self) -> None:
        pass

    @property
    def is_idle(self) -> bool:
        evse = self.state.evses[1]
        return evse.session is None and evse.authorization is None


class MasterLife(Life):
    name = "master"
    options = {"payment_terms": TERMS, "satellites": {"east": (2,)}}
    settings = {"payment_start": "plug"}

    def make_services(self, port: int, pool: Authority) -> None:
        table = MasterTable(self.site.folder.parent / "master.pem", pool.root, host="127.0.0.1", port=port)
        self._listener = SatelliteListener(table, ("east",), self.post, self.engine.events.wait_until_handled)
        self._keeper = TerminalSupervisor(0, "terminal", self.site.apollo.opened, self.post)
        self.services = (self._listener, self._keeper)

    def carry_out(self, order: Order) -> None:
        if isinstance(order, TerminalOrder):
            self._keeper.accept_order(order)
        elif isinstance(order, SendToSatellite):
            self._listener.accept_order(order)
        elif isinstance(order, SetRelease):
            assert not order.on, "no session is here"
            self.post(ReleaseWithdrawn(order.evse))

    def end_hands(self) -> None:
        self._keeper.prepare_to_stop()

    async def wait_for_port(self) -> None:
        while not self._listener.is_open:
            await asyncio.sleep(0.01)

    @property
    def has_open_payment(self) -> bool:
        return any(PayState(r["state"]) not in FINISHED for r in self.records.get("payment", {}).values())

    def is_uncertain(self, payment: str) -> bool:
        """A person may still have it charged: its satellite keeps it."""
        record = self.records.get("payment", {}).get(payment)
        return record is not None and PayState(record["state"]) is PayState.UNCERTAIN


class SatelliteLife(Life):
    name = "satellite"
    options = {"is_satellite": True, "io_s": 10.0}  # ten real seconds for the master's word

    def make_services(self, port: int, pool: Authority) -> None:
        table = SatelliteTable(f"127.0.0.1:{self.site.network.port}", self.site.folder.parent / "east.pem", pool.root)
        self._dialer = MasterDialer(table, self.post, self.engine.events.wait_until_handled)
        self.services = (self._dialer,)

    def carry_out(self, order: Order) -> None:
        if isinstance(order, SendToMaster):
            self._dialer.accept_order(order)
        elif isinstance(order, SetRelease):
            self.site.released = order.on and not self.site.left
            self.post(BoardChanged(1, self.site.board))
            if not order.on:
                self.post(ReleaseWithdrawn(1))
        elif isinstance(order, ReadMeter):
            self.post(RawMeterReading(order.evse, order.purpose, Reading(self.now().stamp, self.site.register_wh)))

    @property
    def first_board(self) -> Any:
        return self.site.board

    def end_hands(self) -> None:
        self.site.released = False  # the board's watchdog


async def live(site: Site, kind: type[Life], port: int, pool: Authority) -> None:
    """Life after life."""
    while True:
        store = await Store.open(site.folder / f"{kind.name}.db")
        try:
            life = kind(site, store, port, pool)
            setattr(site, kind.name, life)
            await life.run()
        finally:
            await store.close()


async def use_site(site: Site) -> None:
    """The driver taps once, takes his energy, leaves. Returns when everything is over and on disk."""
    quiet = -READING
    while quiet < QUIET:
        await asyncio.sleep(0.01)
        master, satellite = site.master, site.satellite
        if not isinstance(master, MasterLife) or not isinstance(satellite, SatelliteLife):
            continue
        state = (await site.apollo.do("picture")).get("state")  # a terminal that is slow makes each look as slow
        if not site.tapped and state == "wait_card":
            await site.apollo.tap()
            site.tapped, quiet = True, -READING
        if site.released and not site.served:
            site.served = True
            site.register_wh += USED_WH
        elif site.served and not site.left:
            site.left, site.released = True, False
            satellite.post(BoardChanged(1, EMPTY))
        grants = [payment for payment in satellite.records.get("grant", {}) if not master.is_uncertain(payment)]
        is_over = site.tapped and satellite.is_idle and not grants and not master.has_open_payment
        quiet = quiet + 1 if is_over else min(quiet, 0)


async def play(folder: Path, apollo: Apollo, port: int, pool: Authority, actions: Sequence[tuple[int, str]]) -> str:
    """One payment, judged by the bank's books and the meter. Returns how it has ended."""
    before = await apollo.books()
    async with network_cable(port) as network:
        site = Site(folder, apollo, network, actions)
        lives = [asyncio.create_task(live(site, kind, port, pool)) for kind in (MasterLife, SatelliteLife)]
        people = asyncio.create_task(use_site(site))
        try:
            async with deadline(PATIENCE_S):
                await asyncio.wait([*lives, people], return_when=asyncio.FIRST_COMPLETED)
            for task in lives:
                if task.done():
                    task.result()
            await people
        finally:
            for task in (*lives, people):
                task.cancel()
            await asyncio.wait([*lives, people])
    after = await apollo.books()
    assert site.master is not None
    records = site.master.records.get("payment", {})
    captured = [cents for _, cents in after.captures[len(before.captures) :]]
    held = set(after.holds) - set(before.holds)
    states = sorted(r["state"] for r in records.values())
    about = f"{actions}: {states}, captured {captured}, held {held}, drawn {site.register_wh - 1000} Wh"
    lost = [r for r in records.values() if r["reservation"] is None]
    assert len(held) <= len(lost), f"held and not known: {about}"
    assert captured == ([DUE_CENTS] if site.served else []), f"not what was drawn: {about}"
    assert all(r["owed_cents"] in (None, DUE_CENTS if site.served else 0) for r in records.values()), about
    return ",".join(states) or "nothing"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.02,))
    monkeypatch.setattr(master_dialer, "FIRST_S", 0.02)
    monkeypatch.setattr(master_dialer, "LONGEST_S", 0.1)
    monkeypatch.setattr(satellite_listener, "AGAIN_S", 0.05)


async def play_all(folder: Path, runs: Sequence[Sequence[tuple[int, str]]]) -> Counter[str]:
    """One after the other, at a terminal that goes on from run to run."""
    ends: Counter[str] = Counter()
    pool = Authority(folder, "Pool")
    pool.server((MASTER_NAME,)).rename(folder / "master.pem")
    pool.client("east").rename(folder / "east.pem")
    with held_port() as port:
        async with running(folder) as apollo:
            for n, actions in enumerate(runs):
                run = folder / f"run{n}"
                await asyncio.to_thread(run.mkdir)
                ends[await play(run, apollo, port, pool, actions)] += 1
    return ends


async def test_an_honest_payment_at_a_satellite_is_captured(tmp_path: Path) -> None:
    assert await play_all(tmp_path, [()]) == {PayState.COMMITTED: 1}


def draw_actions(draw: random.Random) -> list[tuple[int, str]]:
    """One to three points and what happens there."""
    return [(draw.randint(1, 75), draw.choice(DEEDS)) for _ in range(draw.choice((1, 1, 2, 3)))]


@pytest.mark.campaign
@pytest.mark.timeout(0)
async def test_either_station_dies_or_the_network_is_cut(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """One bank card terminal for two stations: the agent of either ends, and the network between them is cut, at
    random points of a payment, up to three times: each hold is captured once, as the meter says, or released."""
    ends = await play_all(tmp_path, [draw_actions(random.Random(f"{SEED}:{n}")) for n in range(RUNS)])
    record_property("payments", RUNS)
    record_property("ends", dict(ends))
    assert ends[PayState.COMMITTED] >= RUNS // 4, f"hardly any of these was paid: {ends}"
