"""Release of a board: whatever is ordered in whatever order, no board stays released without a session.

A model of a board on a slow half-duplex line, and a model of the domain, drive the real keeper on a clock that moves by
itself. The judge knows only what was ordered and what the board does.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.domain.events import BoardOpened, Event, ReleaseRefused, UnlockTried
from agent.domain.orders import SetHold, SetLimit, SetRelease, SetService, Unlock
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import Limit
from agent.ports import Refused, Unreachable
from agent.services.devices.board import BoardSupervisor
from agent.services.devices.release import OBEYED_WITHIN_S, Release
from agent.services.watchdog import LivenessSignal
from tests.support.moving_clock import run_moving

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
EXAMPLES = 10_000 if FULL else int(os.environ.get("EX", "120"))
POLL_S, TRANSFER_S, WATCHDOG_S = 0.5, 0.1, 10.0
WITHIN_S = POLL_S + 4 * TRANSFER_S
"""One poll, and what the line needs to read, to write, and to end what is under way before each of the two."""
WITHDRAW, CONTROL, POLL = 0, 2, 3


@dataclass
class Shape:
    """How this board and its line behave. ``drops``: a release that was overtaken by a withdrawal is not sent any
    more (drivers do so; the port's contract does not ask for it)."""

    transfers_s: tuple[float, ...] = (TRANSFER_S,)
    unlocks_s: tuple[float, ...] = (1.0,)
    drops: bool = True
    hears_s: float = 0.05
    resumes: bool = False


@dataclass
class Judge:
    """What is ordered and what is done. ``wanted``: a session has release, as far as it was ordered for this board."""

    loop: asyncio.AbstractEventLoop
    wanted: bool = False
    released: bool = False
    reachable: bool = False
    unlocking: bool = False
    limit_a: float = 0.0
    limits_a: list[float] = field(default_factory=list)
    since_s: float | None = None
    wrong: list[str] = field(default_factory=list)

    @property
    def now_s(self) -> float:
        return self.loop.time()

    def look(self) -> None:
        """Whenever one of the three has changed, and when the time is over."""
        if not (self.reachable and self.released and not self.wanted):
            self.since_s = None
        elif self.since_s is None:
            self.since_s = self.now_s
            self.loop.call_later(WITHIN_S + 0.01, self.look)
        elif self.now_s - self.since_s > WITHIN_S:
            self.wrong.append(f"released without a session from {self.since_s:.2f} to {self.now_s:.2f} s")

    def gave(self) -> None:
        if self.unlocking:
            self.wrong.append(f"{self.now_s:.2f} s: released while the plug was being freed")
        if self.wanted and self.limits_a and self.limit_a not in self.limits_a:
            self.wrong.append(f"{self.now_s:.2f} s: released at {self.limit_a} A, ordered were {self.limits_a}")


class BoardModel:
    """``agent.ports.evse.EvsePort`` as its contract says, and not better."""

    traits = EvseTraits()

    def __init__(self, shape: Shape, judge: Judge) -> None:
        self.shape, self.judge = shape, judge
        self.refuses: dict[str, int] = {"give": 0, "limit": 0, "unlock": 0, "hold": 0}
        self.lost = False
        self.obeys_after_s = 0.0
        """So long after its acknowledgement of a withdrawal the board still has release."""
        self.forgets = True
        """Another client's release is taken away by a withdrawal; False: the board obeys no withdrawal."""
        self._transfers_s = itertools.cycle(shape.transfers_s)
        self._unlocks_s = itertools.cycle(shape.unlocks_s)
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        self._busy = False
        self._release = False
        self._beat_s = judge.now_s
        self.withdrawals = self.unlocked = 0

    # --- the line --------------------------------------------------------------------------------------------------

    async def _transfer(self, priority: int, do: Callable[[], None] = lambda: None) -> None:
        """The effect is there before the answer is."""
        while self._busy:
            turn = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (priority, next(self._count), turn))
            try:
                await turn
            except asyncio.CancelledError:
                self._next()
                raise
        self._busy = True
        try:
            took_s = next(self._transfers_s)
            await asyncio.sleep(took_s / 2)
            lost = self.lost
            if not lost:
                do()
            await asyncio.sleep(took_s / 2)
            if lost or self.lost:
                raise Unreachable("the line is cut")
        finally:
            self._busy = False
            self._next()

    def _next(self) -> None:
        while self._waiting and not self._busy:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                break

    def _refused(self, what: str) -> None:
        if self.refuses[what]:
            self.refuses[what] -= 1
            raise Refused(f"{what}: not now")

    def set(self, on: bool) -> None:
        self.judge.released = on
        self.judge.look()

    # --- the port --------------------------------------------------------------------------------------------------

    async def set_release(self, on: bool) -> None:
        self._release = on
        if on and not self.judge.wanted:
            self.judge.wrong.append(f"{self.judge.now_s:.2f} s: ordered to release without a session")

        def give() -> None:
            if self._release or not self.shape.drops:
                self._refused("give")
                self.judge.gave()
                self.set(True)

        def withdraw() -> None:
            self.withdrawals += 1
            if self.forgets and self.obeys_after_s:
                asyncio.get_running_loop().call_later(self.obeys_after_s, self.set, False)
            elif self.forgets:
                self.set(False)

        await self._transfer(CONTROL if on else WITHDRAW, give if on else withdraw)

    async def set_limit(self, limit: Limit) -> float:
        def bound() -> None:
            self._refused("limit")
            self.judge.limit_a = limit.current_a or 0.0

        await self._transfer(CONTROL, bound)
        return limit.current_a or 0.0

    async def set_service(self, on: bool) -> None:
        await self._transfer(CONTROL)

    async def set_hold(self, on: bool) -> None:
        await self._transfer(CONTROL, lambda: self._refused("hold"))

    async def unlock(self) -> bool:
        await self._transfer(CONTROL, lambda: self._refused("unlock"))
        if self.judge.released:
            self.judge.gave()
        self.judge.unlocking = True
        self.unlocked += 1
        try:
            if self.judge.released and (self.judge.wanted or self.obeys_after_s):
                self.judge.wrong.append("unlocked while release was given")
            await asyncio.sleep(next(self._unlocks_s))
        finally:
            self.judge.unlocking = False
        await self._transfer(CONTROL)
        return True

    async def clear_fault(self) -> None:
        await self._transfer(CONTROL)

    async def beat(self) -> None:
        def fed() -> None:
            self._beat_s = self.judge.now_s

        await self._transfer(CONTROL, fed)

    async def state(self) -> EvseState:
        seen: list[bool] = []
        await self._transfer(POLL, lambda: seen.append(self.judge.released))
        return EvseState(Pilot.B, cable=True, contactor=False, released=seen[0])

    async def states(self) -> AsyncIterator[EvseState]:
        last = None
        while True:
            now = await self.state()
            if now != last:
                yield now
            last = now
            await asyncio.sleep(POLL_S)

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[BoardModel]:
        """Comes up with release withdrawn."""
        self.judge.wanted, self.judge.limits_a = False, []
        self._release = False
        await self._transfer(WITHDRAW, lambda: self.set(False) if self.forgets else None)
        self._beat_s = self.judge.now_s
        self.judge.reachable = True
        self.judge.look()
        try:
            yield self
        finally:
            self.judge.reachable = False
            self.judge.look()

    async def watchdog(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            if self.judge.now_s - self._beat_s > WATCHDOG_S and self.judge.released:
                self.set(False)


class DomainModel:
    """Orders as a domain gives them: after an opening that it has heard of, and before."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.judge = Judge(asyncio.get_running_loop())
        self.board = BoardModel(shape, self.judge)
        self.events: list[Event] = []
        self.keeper = BoardSupervisor(1, "board", self.board.opening, self._post, LivenessSignal(2.0), lambda: (1, 0.0))
        self._newest: Event | None = None
        self._heard: Event | None = None

    def _post(self, event: Event) -> None:
        self.events.append(event)
        loop = asyncio.get_running_loop()
        if isinstance(event, BoardOpened):
            self._newest = event
            loop.call_later(self.shape.hears_s, self._hear, event)
        elif isinstance(event, ReleaseRefused):
            loop.call_soon(self.end)

    def _hear(self, event: Event) -> None:
        self._heard = event
        self.keeper.before_event(event)
        if self.shape.resumes:
            self.begin()

    # --- deeds -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.bound(16.0)
        if self.judge.reachable and self._heard is self._newest:
            if not self.judge.wanted:  # a session that runs goes on with what was confirmed
                self.judge.limits_a = self.judge.limits_a[-1:]
            self.judge.wanted = True
            self.judge.look()
        self.keeper.accept_order(SetRelease(1, True))

    def end(self) -> None:
        self.judge.wanted = False
        self.judge.look()
        self.keeper.accept_order(SetRelease(1, False))

    def bound(self, amperes: float) -> None:
        self.judge.limits_a.append(amperes)
        self.keeper.accept_order(SetLimit(1, Limit(amperes)))

    def unlock(self) -> None:
        self.keeper.accept_order(Unlock(1, "r"))

    def hold(self) -> None:
        self.keeper.accept_order(SetHold(1, True))

    def service(self) -> None:
        self.keeper.accept_order(SetService(1, True))

    def refuse(self, what: str, times: int) -> None:
        self.board.refuses[what] += times

    def cut(self, lost: bool) -> None:
        self.board.lost = lost

    def other_master(self) -> None:
        """Something else than the agent releases."""
        self.board.set(True)


@asynccontextmanager
async def playing(shape: Shape) -> AsyncIterator[DomainModel]:
    domain = DomainModel(shape)
    tasks = [asyncio.create_task(domain.keeper.run()), asyncio.create_task(domain.board.watchdog())]
    try:
        yield domain
    finally:
        domain.keeper.prepare_to_stop()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            task.result()


async def play(shape: Shape, deeds: list[tuple[float, tuple[Any, ...]]]) -> None:
    async with playing(shape) as domain:
        await asyncio.sleep(2.0)
        for wait_s, (name, *args) in deeds:
            await asyncio.sleep(wait_s)
            getattr(domain, name)(*args)
            assert domain.judge.wrong == []
        domain.cut(False)
        domain.board.refuses = dict.fromkeys(domain.board.refuses, 0)
        await asyncio.sleep(40.0)  # back-offs, unlocks that wait
        domain.end()
        await asyncio.sleep(2.0)
        assert not domain.judge.released
        domain.begin()
        await asyncio.sleep(2.0)
        assert domain.judge.released, "a session without energy"
        domain.end()
        await asyncio.sleep(2.0)
        assert domain.judge.wrong == []
        assert not domain.judge.released


def deeds() -> st.SearchStrategy[list[tuple[float, tuple[Any, ...]]]]:
    waits = st.sampled_from((0.0, 0.0, 0.001, 0.04, 0.06, 0.11, 0.3, 1.1, 3.0))
    what = st.one_of(
        st.sampled_from((("begin",), ("begin",), ("end",), ("end",), ("unlock",), ("hold",), ("service",))),
        st.tuples(st.just("bound"), st.sampled_from((6.0, 10.0, 16.0))),
        st.tuples(st.just("refuse"), st.sampled_from(("give", "limit", "unlock", "hold")), st.integers(1, 3)),
        st.tuples(st.just("cut"), st.booleans()),
        st.just(("other_master",)),
    )
    return st.lists(st.tuples(waits, what), max_size=40 if FULL else 20)


def shapes() -> st.SearchStrategy[Shape]:
    seconds = st.sampled_from((0.002, 0.01, 0.05, TRANSFER_S))
    return st.builds(
        Shape,
        transfers_s=st.lists(seconds, min_size=1, max_size=5).map(tuple),
        unlocks_s=st.lists(st.sampled_from((0.0, 0.2, 1.0, 6.0)), min_size=1, max_size=3).map(tuple),
        drops=st.booleans(),
        hears_s=st.sampled_from((0.0, 0.05, 0.4, 2.0)),
        resumes=st.booleans(),
    )


WHILE_THE_PLUG_IS_BEING_FREED = [(0.0, ("unlock",)), (0.3, ("begin",)), (0.3, ("end",))]
TWO_UNLOCKS_AND_A_SESSION = [(0.0, ("unlock",)), (0.0, ("unlock",)), (0.3, ("begin",))]
BEFORE_THE_DOMAIN_HAS_HEARD = [
    (0.0, ("begin",)),
    (1.1, ("cut", True)),
    (3.0, ("cut", False)),
    *[(0.3, ("begin",))] * 12,
]
WITH_THE_END_OF_ONE_SESSION_AND_THE_BEGIN_OF_THE_NEXT = [(0.0, ("unlock",)), (0.0, ("end",)), (0.0, ("begin",))]
BETWEEN_TWO_PICTURES = [(0.11, ("other_master",))] * 15 + [(0.06, ("other_master",))] * 7


@pytest.mark.campaign
@pytest.mark.timeout(0)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shapes(), deeds())
@example(Shape(), WHILE_THE_PLUG_IS_BEING_FREED)
@example(Shape(), TWO_UNLOCKS_AND_A_SESSION)
@example(Shape(transfers_s=(0.002,), hears_s=0.0, resumes=True), WITH_THE_END_OF_ONE_SESSION_AND_THE_BEGIN_OF_THE_NEXT)
@example(Shape(hears_s=2.0), BEFORE_THE_DOMAIN_HAS_HEARD)
@example(Shape(transfers_s=(0.002,)), BETWEEN_TWO_PICTURES)
def test_no_board_stays_released_without_a_session(shape: Shape, deeds: list[tuple[float, tuple[Any, ...]]]) -> None:
    run_moving(play(shape, deeds))


class HesitantLock(asyncio.Lock):
    """Free, and still not had at once: as a lock is for which another task waits."""

    async def acquire(self) -> Literal[True]:
        await asyncio.sleep(0.01)
        return await super().acquire()


def test_an_order_that_was_withdrawn_while_the_lock_was_awaited_is_not_given() -> None:
    async def begin_and_end() -> None:
        async with playing(Shape(transfers_s=(0.002,), hears_s=0.0, resumes=False)) as domain:
            await asyncio.sleep(2.0)
            domain.keeper._unlocking = HesitantLock()
            domain.begin()
            await asyncio.sleep(0.008)
            domain.end()
            await asyncio.sleep(2.0)
            assert domain.judge.wrong == []

    run_moving(begin_and_end())


@pytest.mark.parametrize(("obeys_after_s", "unlocked"), [(1.0, 1), (60.0, 0)])
def test_no_plug_is_freed_while_the_board_still_has_release(obeys_after_s: float, unlocked: int) -> None:
    """A board may acknowledge a withdrawal, and carry it out later or never: acknowledged is not obeyed."""

    async def end_and_unlock() -> None:
        async with playing(Shape()) as domain:
            await asyncio.sleep(2.0)
            domain.begin()
            await asyncio.sleep(2.0)
            assert domain.judge.released
            domain.board.obeys_after_s = obeys_after_s
            domain.end()
            domain.unlock()
            await asyncio.sleep(20.0)
            assert "unlocked while release was given" not in domain.judge.wrong
            assert domain.board.unlocked == unlocked
            assert [e.freed for e in domain.events if isinstance(e, UnlockTried)] == [bool(unlocked)]

    run_moving(end_and_unlock())


def test_a_plug_is_not_freed_before_the_first_state_of_a_reopened_board() -> None:
    """The board has acknowledged its withdrawals, has kept release, and was away for a moment."""

    async def reopen_and_unlock() -> None:
        async with playing(Shape()) as domain:
            await asyncio.sleep(2.0)
            domain.begin()
            await asyncio.sleep(2.0)
            domain.board.forgets = False
            domain.cut(True)
            domain.end()
            while domain.keeper.open:
                await asyncio.sleep(0.05)
            domain.cut(False)
            while not domain.keeper.open:
                await asyncio.sleep(0.01)
            domain.unlock()
            await asyncio.sleep(6.0)
            assert domain.judge.released
            assert domain.board.unlocked == 0
            assert [e.freed for e in domain.events if isinstance(e, UnlockTried)] == [False]

    run_moving(reopen_and_unlock())


def test_a_slow_line_does_not_keep_the_plug() -> None:
    async def end_and_unlock() -> None:
        async with playing(Shape(transfers_s=(1.0,))) as domain:
            await asyncio.sleep(6.0)
            domain.begin()
            await asyncio.sleep(8.0)
            domain.end()
            domain.unlock()
            await asyncio.sleep(20.0)
            assert [e.freed for e in domain.events if isinstance(e, UnlockTried)] == [True]

    run_moving(end_and_unlock())


def test_a_board_that_does_not_know_its_release_obeys_when_its_contactor_is_open() -> None:
    async def observe() -> None:
        release = Release("board", *[lambda: None] * 3)
        release.observe_state(EvseState(Pilot.C, cable=True, contactor=True, released=None))
        release.order_release(False)
        release._acknowledged = release._ordered
        release._check_withdrawal(EvseState(Pilot.C, cable=True, contactor=True, released=None), 1)
        await asyncio.sleep(OBEYED_WITHIN_S)
        assert not await release.wait_for_obedience()
        release._check_withdrawal(EvseState(Pilot.B, cable=True, contactor=False, released=None), 1)
        assert await release.wait_for_obedience()

    run_moving(observe())
