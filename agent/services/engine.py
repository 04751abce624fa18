"""Pass events to the domain, one at a time, and carry out its orders.

The orders of one event are carried out in these steps:

1. Release is withdrawn. That waits for nothing.
2. The records that the station signs are made.
3. All facts to persist, every billed message and all other messages that must arrive become one durable transaction.
   It is the only thing that is awaited.
4. The other orders are carried out, in the order in which they were yielded.

If the disk does not take the transaction, release is not given, and no promise that depends on it is made
(``PROMISES``). The batch is kept and tried again: nothing that was billed is dropped while the process lives.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from agent.domain.certificate_orders import KeepCertificates
from agent.domain.events import Event, StopWanted, StoreFailed, StoreRecovered, TimeCame
from agent.domain.functional_block import Blocks
from agent.domain.messages import (
    Message,
    StopReason,
    TriggerReason,
    is_billed_message,
    is_noted_message,
    is_reading_outside_transaction,
)
from agent.domain.orders import (
    AuthorizeToken,
    Order,
    Persist,
    Reconnect,
    Response,
    Restart,
    Send,
    SendToMaster,
    SendToSatellite,
    SetRelease,
    Shutdown,
    UnlockSim,
    WakeMe,
)
from agent.domain.terminal_messages import AuthorizePayment, CommitPayment, RaisePayment, VoidPayment
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import frozen, mutable
from agent.ports.clock import ClockPort
from agent.ports.store import Put, StoreError, link_of, notes_of, readings_of
from agent.services.event_queue import EventQueue

log = logging.getLogger(__name__)

RETRY_S = 5.0
LATE_S = 0.1
"""A handle of the loop that fires so much after its time is armed again: the loop's clock stands while the machine
sleeps, and the domain's does not."""

PROMISES = (
    Response, Reconnect, KeepCertificates, AuthorizePayment, RaisePayment, CommitPayment, VoidPayment, UnlockSim,
    SendToSatellite, SendToMaster,
)  # fmt: skip
"""Orders that wait for the disk if their event has something to store.

A backend whose answer waits too long gets the answer that there was no decision (``InboundRequests``). Money does not
move because of something that could be forgotten, and no PIN is tried that could be tried again.
"""


class LinkRoom(Protocol):
    """The part of a link that the engine uses."""

    def send(self, message: Any) -> None: ...
    def authorize(self, order: AuthorizeToken) -> None: ...
    def respond(self, order: Response) -> None: ...
    def queue_changed(self) -> None: ...
    def reconnect_if_changed(self) -> None: ...
    def reconnect(self) -> None: ...


class DispatchRoom(Protocol):
    """The part of the hardware side that the engine uses. None of its methods blocks."""

    def dispatch_order(self, order: Order) -> None: ...
    def before_event(self, event: Event) -> None:
        """Prepare for an event that is about to be handled."""


class DurableStore(Protocol):
    """The part of the store that the engine uses."""

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None: ...


@mutable
class Batch:
    """The durable transaction of one event, until the disk has it."""

    puts: list[Put]
    messages: list[tuple[str, Any]]
    """Each with its queue."""
    promised: list[Order] = field(default_factory=list)
    """Orders that are carried out when the disk has it and all before it."""


@frozen
class EngineHooks:
    """The functions of the station that the engine calls."""

    restart: Callable[[Restart | Shutdown], None] = lambda order: None
    """The domain wants the process to end."""
    before_event: Callable[[Event], None] = lambda event: None
    after_event: Callable[[], None] = lambda: None
    after_message: Callable[[Send], None] = lambda order: None
    sign_records: Callable[[Sequence[Order]], Sequence[Order]] = lambda orders: orders
    """Completes the orders of one event that wait for a record of the station's signer."""
    facts_beside: Callable[[Sequence[Put], Sequence[tuple[str, Message]]], Iterable[Put]] = lambda puts, messages: ()
    """Facts that go with a transaction that is made anyway, by its facts and messages."""


NO_HOOKS = EngineHooks()


class Engine:
    """The one task that handles events."""

    def __init__(
        self,
        events: EventQueue,
        blocks: Blocks,
        store: DurableStore,
        clock: ClockPort,
        links: Mapping[str, LinkRoom],
        order_dispatch: DispatchRoom,
        hooks: EngineHooks = NO_HOOKS,
    ) -> None:
        self.events = events
        self._blocks = blocks
        self._store = store
        self._clock = clock
        self._links = links
        self._order_dispatch = order_dispatch
        self._hooks = hooks
        self._timers = Timers(clock, events.post_event)
        self._unsaved: list[Batch] = []
        self._failing = False
        self._retry: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        while True:
            await self.handle_event(await self.events.next_event())

    async def handle_event(self, event: Event) -> None:
        self._hooks.before_event(event)
        self._order_dispatch.before_event(event)
        orders: Sequence[Order] = _keep_last_releases(self._blocks.handle_event(event, self._clock.now()))
        for order in orders:
            if isinstance(order, SetRelease) and not order.on:
                self._order_dispatch.dispatch_order(order)
        if any(isinstance(o, Send | Persist) and o.to_sign is not None for o in orders):
            orders = self._hooks.sign_records(orders)
        saved = await self._save_records(orders)
        held = () if saved else self._hold_promises(orders)
        for order in orders:
            if isinstance(order, SetRelease) and order.on and not saved:
                self._refuse_release(order)
            elif order not in held and not (isinstance(order, SetRelease) and not order.on):
                self._carry_out_order(order)
        self._hooks.after_event()

    # --- durability --------------------------------------------------------------------------------------------

    async def _save_records(self, orders: Sequence[Order]) -> bool:
        puts = self.events.take_facts() + [Put(o.kind, o.key, o.value) for o in orders if isinstance(o, Persist)]
        messages = [
            (queue, o.message)
            for o in orders
            if isinstance(o, Send) and (queue := _durable_queue_of(o.link, o.message))
        ]
        if puts or messages:
            self._unsaved.append(Batch([*puts, *self._hooks.facts_beside(puts, messages)], messages))
        return await self._flush_batches()

    def _hold_promises(self, orders: Sequence[Order]) -> Sequence[Order]:
        """Return the promises of an event that is not on disk. They are carried out when it is. What a payment master
        and a satellite say of a record may speak of an earlier event, which is not on disk either."""
        if any(isinstance(o, Persist) for o in orders):
            held = [o for o in orders if isinstance(o, PROMISES)]
        else:
            held = [o for o in orders if isinstance(o, SendToSatellite | SendToMaster) and o.message.waits_for_disk]
        self._unsaved[-1].promised += held
        return held

    async def _flush_batches(self) -> bool:
        """Save the batches strictly in order: a later one never overtakes one that could not be saved."""
        while self._unsaved:
            batch = self._unsaved[0]
            try:
                await self._store.commit(batch.puts, batch.messages)
            except StoreError as e:
                self._on_save_failure(e)
                return False
            self._unsaved.pop(0)
            for link in {link_of(queue) for queue, _ in batch.messages}:
                self._links[link].queue_changed()
            for order in batch.promised:
                self._carry_out_order(order)
        if self._failing:
            self._failing = False
            log.warning("the store takes records again")
            self.events.post_event(StoreRecovered())
        return True

    def _on_save_failure(self, e: StoreError) -> None:
        if not self._failing:
            self._failing = True
            log.error("not saved, nothing new may start until it is: %s", e)
            self.events.post_event(StoreFailed(str(e)))
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._retry_save)

    def _retry_save(self) -> None:
        self._retry = None
        self.events.post_event(TimeCame(Timer(TimerKind.STORE_RETRY)))  # any event tries the kept batches again

    def _refuse_release(self, order: SetRelease) -> None:
        self.events.post_event(StopWanted(order.evse, StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION, note="fault"))

    # --- the rest ----------------------------------------------------------------------------------------------

    def _carry_out_order(self, order: Order) -> None:
        match order:
            case Send(link, message):
                if not _durable_queue_of(link, message):
                    self._links[link].send(message)
            case AuthorizeToken(link):
                self._links[link].authorize(order)
            case Response(link):
                self._links[link].respond(order)
            case Reconnect(link, True):
                self._links[link].reconnect()
            case Reconnect(link):
                self._links[link].reconnect_if_changed()
            case WakeMe(timer, at_s):
                self._timers.set_timer(timer, at_s)
            case Restart() | Shutdown():
                self._hooks.restart(order)
            case Persist():
                pass
            case _:
                self._order_dispatch.dispatch_order(order)
        if isinstance(order, Send):
            self._hooks.after_message(order)


def _durable_queue_of(link: str, message: Message) -> str:
    """Return the durable queue that a message travels in, "" for none."""
    if is_billed_message(message):
        return link
    if is_reading_outside_transaction(message):
        return readings_of(link)
    return notes_of(link) if is_noted_message(message) else ""


def _keep_last_releases(orders: Sequence[Order]) -> list[Order]:
    """Return the orders with the last release of each EVSE only.

    Releases are levels. Withdrawals are carried out first, which would turn the order "on, off" into "off, on".
    """
    last = {o.evse: i for i, o in enumerate(orders) if isinstance(o, SetRelease)}
    return [o for i, o in enumerate(orders) if not isinstance(o, SetRelease) or last[o.evse] == i]


class Timers:
    """The timers of the domain (``WakeMe``), on one handle of the event loop."""

    def __init__(self, clock: ClockPort, post: Callable[[Event], None]) -> None:
        self._clock = clock
        self._post = post
        self._due: list[tuple[float, int, Timer]] = []
        self._number: dict[Timer, int] = {}
        self._count = itertools.count()
        self._handle: asyncio.TimerHandle | None = None
        self._armed_s = 0.0
        """When the handle is due, of the domain's time."""

    def set_timer(self, timer: Timer, at_s: float | None) -> None:
        if at_s is None:
            self._number.pop(timer, None)
        else:
            number = next(self._count)
            self._number[timer] = number
            heapq.heappush(self._due, (at_s, number, timer))
        if len(self._due) > 2 * len(self._number):  # what was replaced would otherwise stay until its time
            self._due = [due for due in self._due if self._number.get(due[2]) == due[1]]
            heapq.heapify(self._due)
        self._arm_next_timer()

    def _arm_next_timer(self) -> None:
        while self._due and self._number.get(self._due[0][2]) != self._due[0][1]:
            heapq.heappop(self._due)
        if self._handle is not None:
            if self._due and self._due[0][0] >= self._armed_s and not self._handle_is_late(self._handle):
                return  # when it fires too early, it is armed for what is due next
            self._handle.cancel()
            self._handle = None
        if self._due:
            self._armed_s = self._due[0][0]
            wait_s = (self._due[0][0] - self._clock.now().t_s) / self._clock.rate
            self._handle = asyncio.get_running_loop().call_later(max(0.0, wait_s), self._fire_due_timers)

    def _handle_is_late(self, handle: asyncio.TimerHandle) -> bool:
        left_s = handle.when() - asyncio.get_running_loop().time()
        return left_s > (self._armed_s - self._clock.now().t_s) / self._clock.rate + LATE_S

    def _fire_due_timers(self) -> None:
        self._handle = None
        now_s = self._clock.now().t_s
        while self._due and self._due[0][0] <= now_s:
            _, number, timer = heapq.heappop(self._due)
            if self._number.get(timer) == number:
                del self._number[timer]
                self._post(TimeCame(timer))
        self._arm_next_timer()
