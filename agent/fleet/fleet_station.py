"""One station of a fleet: what outlives a reset, and what the fleet does with it.

A reset that the backend orders ends the station's life (``station_life.py``) and begins the next one on the same
store, with the same vehicles on its outlets.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import Any

from agent.domain.events import ClockTrusted
from agent.domain.orders import Restart, Shutdown
from agent.fleet.books import StationBalance, StationBooks
from agent.fleet.conversation import StationConversation
from agent.fleet.figures import FleetFigures
from agent.fleet.fleet_journal import JournaledStore, WriteEntry
from agent.fleet.outlet_ports import CardReader
from agent.fleet.simulated_outlet import FleetLoad, SimulatedOutlet
from agent.fleet.station_kind import StationKind
from agent.fleet.station_life import StationLife
from agent.fleet.volatile_store import VolatileStore
from agent.model.fastclass import frozen
from agent.model.slim_event import SlimEvent
from agent.model.types import EvseId, MeterIdentity, Token
from agent.ports.store import Put
from agent.services.clock import Boot, Clock

LOOK_S = 0.05


@frozen
class Surroundings:
    """What the stations of one process share."""

    figures: FleetFigures
    now_s: Callable[[], float]
    """Real seconds since the start of the fleet."""
    boot_id: str
    rate: float = 1.0
    """Seconds of the stations' clocks per real second."""
    load: FleetLoad = field(default_factory=FleetLoad)
    jitter: random.Random = field(default_factory=random.Random)
    """One for all links: each of its own would take 2.5 KiB."""


class FleetStation:
    """``await run()`` until ``stop_station``. ``write``: journals what must outlive the process; None: nothing does."""

    def __init__(
        self,
        kind: StationKind,
        station_id: str,
        registers_wh: Sequence[float],
        shared: Surroundings,
        write: WriteEntry | None = None,
    ) -> None:
        self.id, self.kind, self.shared = station_id, kind, shared
        self._write = write
        self.store = VolatileStore() if write is None else JournaledStore(write)
        self.books = StationBooks(None if write is None else lambda record: write({"books": record}))
        self.conversation = StationConversation(shared.figures, self.books)
        self.clock = self._make_clock({})
        self.outlets = {
            evse.number: SimulatedOutlet(self._seconds_now, shared.rate, register_wh, shared.load)
            for evse, register_wh in zip(kind.file.evses, registers_wh, strict=True)
        }
        self.reader = CardReader()
        self.is_online = self.is_cut_off = False
        self._was_accepted = self._is_stopped = self._is_closing = False
        self._boot_reason = "PowerUp"
        self._life_over: asyncio.Event = SlimEvent()
        self._life: StationLife | None = None

    def meter_identity(self, number: EvseId) -> MeterIdentity:
        """Return the meter of an outlet. Each has a serial number of its own: a station bills nothing from a meter
        that two outlets share."""
        return MeterIdentity(vendor="Chargy", model="Simulated", serial=f"{number}-{self.id}"[:25])

    def _seconds_now(self) -> float:
        return self.clock.now().t_s

    def _clock_changed(self, boot: Boot) -> None:
        if self._life is not None:
            self._life.events.remember_fact("boot", str(boot.number), boot.to_record())
            self._life.events.post_event(ClockTrusted())

    # --- what outlives the process -------------------------------------------------------------------------------

    async def resume_from(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Be the station of a process that was killed, and journal from now on. Without entries it is a new one."""
        for entry in entries:
            if "books" in entry:
                self.books.restore_record(entry["books"])
            elif "outlet" not in entry and isinstance(self.store, JournaledStore):
                await self.store.replay_entry(entry)
        newest = {entry["number"]: entry["outlet"] for entry in entries if "outlet" in entry}
        for number, outlet in self.outlets.items():
            if number in newest:
                outlet.restore_record(newest[number])
            if self._write is not None:
                outlet.write_changes(partial(self._write_outlet, self._write, number))
        self.clock = self._make_clock(self.store.read_facts().get("boot", {}))

    @staticmethod
    def _write_outlet(write: WriteEntry, number: int, record: dict[str, Any]) -> None:
        write({"outlet": record, "number": number})

    def _make_clock(self, boots: Mapping[str, Mapping[str, Any]]) -> Clock:
        return Clock(boots, self.shared.rate, boot_id=self.shared.boot_id, changed=self._clock_changed)

    # --- what the fleet does with it -----------------------------------------------------------------------------

    def present_card(self, token: Token) -> None:
        self.reader.present_card(token)

    def cut_network_off(self) -> None:
        """Take the network away. The station tries to connect again and again, as its settings say."""
        self.is_cut_off = True
        self.close_connection()

    def bring_network_back(self) -> None:
        self.is_cut_off = False

    def close_connection(self) -> None:
        """End the connection. That is no error of the backend."""
        if self._life is not None and self._life.link.is_connected:
            self._is_closing = True
            self._life.link.reconnect()

    def stop_station(self) -> None:
        """End in order: ``run`` returns."""
        self._is_stopped = self._is_closing = True
        self._life_over.set()

    async def drain_queues(self, timeout_s: float) -> bool:
        """Wait until the backend has everything. Return False if it has not within ``timeout_s``."""
        end_s = asyncio.get_running_loop().time() + timeout_s
        while self.store.waiting_count:
            left_s = end_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                return False
            if self._life is not None and self._life.link.is_up:
                await self._life.link.drain_queues(left_s)
            await asyncio.sleep(LOOK_S)
        return True

    def balance_books(self) -> StationBalance:
        metered_wh = sum(outlet.read_register_wh() - outlet.begin_wh for outlet in self.outlets.values())
        waiting = self.store.queued_count(self.kind.backend.name)
        return self.books.balance_against(self.id, metered_wh, waiting, self.store.unpaid_count)

    # --- its lives -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        while not self._is_stopped:
            self._life_over.clear()
            await self._store_boot()
            self._life = StationLife(self, self._boot_reason)
            try:
                await self._life.run(self._life_over)
            finally:
                self._life = None

    async def _store_boot(self) -> None:
        """Store the present boot of the kernel: later processes compare its stamps with theirs."""
        boot = self.clock.mark_boot_alive()
        await self.store.put_facts([Put("boot", str(boot.number), boot.to_record())])

    def end_life(self, order: Restart | Shutdown) -> None:
        """The domain wants the process to end."""
        self._boot_reason = order.reason if isinstance(order, Restart) else "PowerUp"
        self._is_closing = True
        self.shared.figures.counts["restarts"] += 1
        self._life_over.set()

    # --- what its link reports -----------------------------------------------------------------------------------

    def note_link_change(self, is_up: bool) -> None:
        if is_up == self.is_online:
            return
        self.is_online = is_up
        figures = self.shared.figures
        figures.online_count += 1 if is_up else -1
        if is_up:
            figures.counts["connections accepted"] += 1
            if not self._was_accepted:
                figures.accepted_s.append(self.shared.now_s())
            self._was_accepted, self._is_closing = True, False
            return
        self.conversation.connection_ended()
        if not self._is_closing:
            figures.errors["connection lost"] += 1

    def note_failed_attempt(self, trouble: str) -> None:
        """An attempt to connect has failed. While the network is away that is no error."""
        if not self.is_cut_off:
            self.shared.figures.errors[f"not connected: {trouble}"] += 1
