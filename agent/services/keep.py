"""Keepers: open a device, use it, and when it fails close it, back off and open it again. What a device cannot do
becomes a fault of its EVSE; what no device may do (any other exception) ends the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    ButtonPressed,
    CardPresented,
    Event,
    FaultCleared,
    FaultRaised,
    MeterFailed,
    MeterRead,
    UnlockTried,
)
from agent.domain.orders import ClearFaults, Order, ReadMeter, SetLimit, SetRelease, SetService, Show, Unlock
from agent.kinds import EvseId, Fault, Limit, MeterIdentity, Screen
from agent.ports import Broken, DeviceError, Exchanged, Garbled, Refused, Unreachable

log = logging.getLogger(__name__)

BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
BROKEN_S = 30.0
PATIENCE = 2
"""How many failures in a row before a fault is raised: one hiccup is no fault."""
NONSENSE = 3
FLAPPING = 5
GOOD_S = 30.0
"""How long a device must work before its failures are forgotten: one that opens and fails again and again is no
working device. Until then its fault stays raised."""

Opening = Callable[[], AbstractAsyncContextManager[Any]]


class Keeper:
    """``fault`` is raised after ``PATIENCE`` failed openings in a row and cleared by a success. ``seen`` is set when
    the device was opened, or could not be, for the first time."""

    fault = Fault.INTERNAL_ERROR

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        self.evse = evse
        self.name = name
        self.seen = asyncio.Event()
        self.open = False
        self.trouble = ""
        self._opening = opening
        self._post = post
        self._failures = 0
        self._raised: Fault | None = None
        self._clearing: asyncio.TimerHandle | None = None
        self._leaving = False

    def leave(self) -> None:
        """Say before the task is cancelled: a ``TaskGroup`` whose device fails at the same moment swallows the
        cancellation (Python 3.11), and the keeper would go on."""
        self._leaving = True

    async def run(self) -> None:
        while not self._leaving:
            error: DeviceError = Unreachable("closed by itself")
            opened_s = asyncio.get_running_loop().time()
            try:
                async with self._opening() as port:
                    self._opened()
                    await self.use(port)
            except* DeviceError as group:
                error = _first(group)
            finally:
                self._unclear()
            if self.open and asyncio.get_running_loop().time() - opened_s > GOOD_S:
                self._failures = 0
            self.open = False
            await self._failed(error)

    async def use(self, port: Any) -> None:
        """Work with the open device until it fails."""
        raise NotImplementedError

    def _opened(self) -> None:
        self.open = True
        self.seen.set()
        if self._raised is not None:
            wait_s = 0.0 if self._failures <= FLAPPING else GOOD_S
            self._clearing = asyncio.get_running_loop().call_later(wait_s, self._clear)

    def _clear(self) -> None:
        if self._raised is not None:
            log.warning("%s: works again", self.name)
            self._post(FaultCleared(self.evse, self._raised))
            self._raised, self.trouble = None, ""

    def _unclear(self) -> None:
        if self._clearing is not None:
            self._clearing.cancel()
            self._clearing = None

    async def _failed(self, error: DeviceError) -> None:
        self._failures += 1
        if str(error) != self.trouble:
            self.trouble = str(error)
            log.warning("%s: %s", self.name, error)
        if (self._failures >= PATIENCE or isinstance(error, Broken)) and self._raised is None:
            self._raised = self.fault_of(error)
            self._post(FaultRaised(self.evse, self._raised))
        self.seen.set()
        wait_s = BROKEN_S if isinstance(error, Broken) else BACK_OFF_S[min(self._failures, len(BACK_OFF_S)) - 1]
        await asyncio.sleep(wait_s)

    def fault_of(self, error: DeviceError) -> Fault:
        return self.fault


def _first(group: BaseExceptionGroup[DeviceError]) -> DeviceError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, DeviceError)
    return error


async def _together(*works: Awaitable[None]) -> None:
    """All of them, until one fails."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(_run(work))


async def _run(work: Awaitable[None]) -> None:
    await work


class BoardKeeper(Keeper):
    """One EVSE of a board. Wanted levels wait in ``_release``, ``_limit`` ...: the newest wins, withdrawing first."""

    fault = Fault.BOARD_SILENT

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None], alive: Alive) -> None:
        super().__init__(evse, name, opening, post)
        self._alive = alive
        self._release: bool | None = None
        self._limit: Limit | None = None
        self._service: bool | None = None
        self._others: list[Order] = []
        self._wanted, self._settled, self._withdraw = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._opening_told: BoardOpened | None = None
        self._heard = False
        self._given = self._paused = False
        self._withdrawals = 0
        self._unlocking = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Something that was ordered has not reached the board."""
        return self.open and (self._release is not None or bool(self._others))

    def do(self, order: Order) -> None:
        match order:
            case SetRelease(_, on):
                self._order_release(on)
            case SetLimit(_, limit):
                self._limit = limit
            case SetService(_, on):
                self._service = on
            case _:
                self._others.append(order)
        self._wanted.set()

    def _order_release(self, on: bool) -> None:
        """Release that was meant for the board as it was before it was opened anew is void: the domain has not yet
        heard that the vehicle may be another one."""
        if on and not self._heard:
            return
        self._release = on
        if not on:
            self._withdrawals += 1
            self._withdraw.set()

    def hearing(self, event: Event) -> None:
        """The domain is about to learn of this opening: what it orders from now on is meant for this board."""
        if event is self._opening_told:
            self._heard = True

    async def use(self, port: Any) -> None:
        # Levels of before are void: the board came up released from everything, the domain says anew what it wants.
        self._release = self._limit = self._service = None
        self._heard = self._given = self._paused = False
        self._opening_told = None
        for order in self._others:
            self._cannot(order)
        self._others = []
        await _together(
            self._watch(port), self._work(port), self._withdrawing(port), self._tend(port), self._alive.beat(port)
        )

    async def _watch(self, port: Any) -> None:
        first = True
        async for state in port.states():
            if first:
                self._opening_told = BoardOpened(self.evse, state, port.traits)
                self._post(self._opening_told)
                first = False
                continue
            self._post(BoardChanged(self.evse, state))
            if state.released is False and self._given and not await self._still_given(port):
                raise Unreachable("the board has withdrawn release by itself (its watchdog, or a restart)")

    async def _still_given(self, port: Any) -> bool:
        """A picture may be older than our last order: look again before we believe that the board forgot it."""
        return bool(not self._given or (await port.state()).released is not False or not self._given)

    async def _withdrawing(self, port: Any) -> None:
        """Beside everything else: taking energy away waits for no other order."""
        while True:
            await self._withdraw.wait()
            self._withdraw.clear()
            self._given = False
            await port.set_release(False)
            if self._release is False:
                self._release = None

    async def _work(self, port: Any) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while await self._one(port):
                pass
            self._settled.set()

    async def _tend(self, port: Any) -> None:
        """What takes its time (an unlock: seconds), beside the levels but after those that were wanted before it. It
        stays in ``_others`` until it is answered."""
        while True:
            await self._settled.wait()
            self._settled.clear()
            if self._others:
                await self._other(port, self._others[0])
                self._others.pop(0)
                self._wanted.set()

    async def _one(self, port: Any) -> bool:
        """The most urgent wanted level; False when nothing is wanted. A level that the board refuses is told, not
        fatal: the next picture shows what is."""
        try:
            return await self._level(port)
        except Refused as e:
            log.warning("%s: %s", self.name, e)
            return True

    async def _level(self, port: Any) -> bool:
        if self._service is not None:
            on, self._service = self._service, None
            await port.set_service(on)
        elif self._limit is not None:
            limit, self._limit = self._limit, None
            self._paused = await port.set_limit(limit) == 0
        elif self._release:
            self._release = None
            async with self._unlocking:  # the cable is being freed: no energy meanwhile
                before = self._withdrawals
                if self._release is not False:
                    await port.set_release(True)
                    self._given = self._withdrawals == before and not self._paused
        else:
            return False
        return True

    async def _other(self, port: Any, order: Order) -> None:
        if isinstance(order, Unlock):
            try:
                async with self._unlocking:
                    freed = await port.unlock()
            except Refused as e:
                log.warning("%s: %s", self.name, e)
                freed = False
            self._post(UnlockTried(self.evse, order.request, freed))
            self._post(FaultCleared(self.evse, Fault.UNLOCK_FAILURE) if freed else _stuck(self.evse))
        elif isinstance(order, ClearFaults):
            await port.clear_fault()

    def _cannot(self, order: Order) -> None:
        if isinstance(order, Unlock):
            self._post(UnlockTried(self.evse, order.request, False))

    async def _failed(self, error: DeviceError) -> None:
        for order in self._others:
            self._cannot(order)
        self._others = []
        await super()._failed(error)


def _stuck(evse: EvseId) -> Event:
    return FaultRaised(evse, Fault.UNLOCK_FAILURE)


class Alive:
    """The proof of life that feeds the boards' watchdogs: ``ok`` is set by the health service only. A single beat may
    miss (the polls tell whether the board is there); three in a row, within a watchdog's patience, are a failure."""

    def __init__(self, period_s: float = 2.0) -> None:
        self.period_s = period_s
        self.ok = True

    async def beat(self, port: Any) -> None:
        missed = 0
        while True:
            if self.ok:
                try:
                    await port.beat()
                    missed = 0
                except DeviceError:
                    missed += 1
                    if missed == 3:
                        raise
            await asyncio.sleep(self.period_s)


class MeterKeeper(Keeper):
    """A meter and its requests. Begin and end readings come first; a live look is dropped when one waits already."""

    fault = Fault.METER_SILENT
    WAIT_OPEN_S = 5.0
    IDLE_POLL_S = 10.0

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self.identity: MeterIdentity | None = None
        self._requests: asyncio.PriorityQueue[tuple[int, int, ReadMeter, float]] = asyncio.PriorityQueue()
        self._count = 0
        self._live = False
        self._garbled = 0

    def do(self, order: Order) -> None:
        if not isinstance(order, ReadMeter):
            return
        if order.purpose == "live":
            if self._live or not self.open:
                return
            self._live = True
        self._count += 1
        asked_s = asyncio.get_running_loop().time()
        self._requests.put_nowait((0 if order.billing else 1, self._count, order, asked_s))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(self._refuse_while_closed())

    async def _refuse_while_closed(self) -> None:
        """Nobody waits for ever for a meter that is not there."""
        while True:
            await asyncio.sleep(1.0 if not self.open else self.IDLE_POLL_S)
            late = asyncio.get_running_loop().time() - self.WAIT_OPEN_S
            while not self.open and not self._requests.empty():
                item = self._requests.get_nowait()
                if item[3] > late:
                    self._requests.put_nowait(item)
                    break
                self._fail(item[2])

    async def use(self, port: Any) -> None:
        self.identity = port.identity
        while True:
            try:
                async with asyncio.timeout(self.IDLE_POLL_S):
                    _, _, order, _ = await self._requests.get()
            except TimeoutError:
                order = ReadMeter(self.evse, "poll")
            await self._answer(port, order)

    async def _answer(self, port: Any, order: ReadMeter) -> None:
        try:
            reading = await (port.read_billing() if order.billing else port.read())
        except Garbled as e:
            self._fail(order)
            self._nonsense(e)
            return
        except DeviceError:
            self._fail(order)
            raise
        finally:
            self._live = self._live and order.purpose != "live"
        if self._garbled >= NONSENSE:
            self._post(FaultCleared(self.evse, Fault.METER_IMPLAUSIBLE))
        self._garbled = 0
        self._post(MeterRead(self.evse, order.purpose, reading))

    def _nonsense(self, error: Garbled) -> None:
        """One impossible value is dropped; three in a row are a fault, and the meter is opened anew: what it was
        compared with may be what is wrong."""
        self._garbled += 1
        if self._garbled == 1:
            log.warning("%s: %s", self.name, error)
        if self._garbled == NONSENSE:
            self._post(FaultRaised(self.evse, Fault.METER_IMPLAUSIBLE))
        if self._garbled % NONSENSE == 0:
            raise error

    def _fail(self, order: ReadMeter) -> None:
        self._live = self._live and order.purpose != "live"
        self._post(MeterFailed(self.evse, order.purpose))

    def fault_of(self, error: DeviceError) -> Fault:
        return Fault.METER_EXCHANGED if isinstance(error, Exchanged) else Fault.METER_SILENT


class ReaderKeeper(Keeper):
    fault = Fault.READER_SILENT

    async def use(self, port: Any) -> None:
        async for tap in port.taps():
            self._post(CardPresented(self.evse, tap.token, tap.reason))


class ButtonsKeeper(Keeper):
    fault = Fault.READER_SILENT

    async def use(self, port: Any) -> None:
        async for name in port.presses():
            self._post(ButtonPressed(name))


class DisplayKeeper(Keeper):
    """The newest screen is what is shown; the ones in between are skipped."""

    fault = Fault.DISPLAY_SILENT

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self._screen: Screen | None = None
        self._new = asyncio.Event()

    def do(self, order: Order) -> None:
        if isinstance(order, Show):
            self._screen = order.screen
            self._new.set()

    async def use(self, port: Any) -> None:
        while True:
            if self._screen is not None:
                await port.show(self._screen)
            await self._new.wait()
            self._new.clear()


class Hands:
    """Orders to hardware find their keeper. An order for a device that is not composed is answered, never lost."""

    def __init__(self, post: Callable[[Event], None]) -> None:
        self.boards: dict[EvseId, BoardKeeper] = {}
        self.meters: dict[EvseId, MeterKeeper] = {}
        self.displays: dict[EvseId, DisplayKeeper] = {}
        self._post = post

    def hearing(self, event: Event) -> None:
        """The engine is about to handle this event."""
        if isinstance(event, BoardOpened) and event.evse in self.boards:
            self.boards[event.evse].hearing(event)

    def do(self, order: Order) -> None:
        match order:
            case Show(evse):
                if evse in self.displays:
                    self.displays[evse].do(order)
            case ReadMeter(evse, purpose):
                if evse in self.meters:
                    self.meters[evse].do(order)
                else:
                    self._post(MeterFailed(evse, purpose))
            case Unlock(evse, request) if evse not in self.boards:
                self._post(UnlockTried(evse, request, False))
            case SetRelease(evse) | SetLimit(evse) | SetService(evse) | Unlock(evse) | ClearFaults(evse):
                if evse in self.boards:
                    self.boards[evse].do(order)
            case _:
                pass

    async def settled(self, patience_s: float) -> None:
        """Wait until the boards have what was ordered, or the patience is over."""
        end_s = asyncio.get_running_loop().time() + patience_s
        while any(b.busy for b in self.boards.values()):
            if asyncio.get_running_loop().time() > end_s:
                return
            await asyncio.sleep(0.02)
