"""Keepers: open, use, fail, back off, tell. The ports here are small and honest; real drivers have their own tests."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    FaultCleared,
    FaultRaised,
    MeterFailed,
    MeterRead,
    UnlockTried,
)
from agent.domain.orders import ReadMeter, SetLimit, SetRelease, Unlock
from agent.kinds import EvseState, EvseTraits, Fault, Limit, MeterIdentity, Pilot, Reading, Stamp
from agent.ports import Broken, Garbled, Refused, Unreachable
from agent.services import keep
from agent.services.keep import Alive, BoardKeeper, Hands, MeterKeeper


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(keep, "BACK_OFF_S", (0.01,))
    monkeypatch.setattr(keep, "BROKEN_S", 0.05)


async def until(condition, timeout_s=5.0):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


class Board:
    traits = EvseTraits()

    def __init__(self):
        self.states_ = asyncio.Queue()
        self.states_.put_nowait(EvseState(Pilot.A))
        self.did = []
        self.slow = None
        self.stuck = False

    async def states(self):
        while True:
            state = await self.states_.get()
            if isinstance(state, Exception):
                raise state
            yield state

    async def set_release(self, on):
        self.did.append(("release", on))
        if self.slow is not None and on:
            await self.slow.wait()

    async def set_limit(self, limit):
        self.did.append(("limit", limit.current_a))
        return limit.current_a

    async def unlock(self):
        if self.stuck:
            raise Refused("contactor closed")
        return True

    async def beat(self):
        self.did.append(("beat",))


def keeper(board, refuse=()):
    events, failures = [], list(refuse)

    @asynccontextmanager
    async def opening():
        if failures:
            raise failures.pop(0)
        board.did.append(("open",))
        yield board

    return BoardKeeper(1, "board", opening, events.append, Alive(0.01)), events


async def test_first_picture_then_changes_and_the_heart_beats():
    board = Board()
    k, events = keeper(board)
    task = asyncio.create_task(k.run())
    board.states_.put_nowait(EvseState(Pilot.B, cable=True))
    await until(lambda: len(events) == 2 and ("beat",) in board.did)
    assert isinstance(events[0], BoardOpened)
    assert events[1] == BoardChanged(1, EvseState(Pilot.B, cable=True))
    task.cancel()


async def test_no_heart_beat_when_the_core_is_not_well():
    board = Board()
    k, events = keeper(board)
    k._alive.ok = False
    task = asyncio.create_task(k.run())
    await until(lambda: len(events) == 1)
    await asyncio.sleep(0.05)
    assert ("beat",) not in board.did
    task.cancel()


async def test_one_hiccup_is_no_fault_two_are_and_a_success_clears_it():
    board = Board()
    k, events = keeper(board, [Unreachable("x"), Unreachable("x")])
    task = asyncio.create_task(k.run())
    await until(lambda: any(isinstance(e, BoardOpened) for e in events))
    assert events[:2] == [FaultRaised(1, Fault.BOARD_SILENT), FaultCleared(1, Fault.BOARD_SILENT)]
    task.cancel()
    k, events = keeper(Board(), [Unreachable("x")])
    task = asyncio.create_task(k.run())
    await until(lambda: events)
    assert isinstance(events[0], BoardOpened)
    task.cancel()


async def test_withdrawing_overtakes_and_levels_of_before_a_reopening_are_void():
    board = Board()
    k, _ = keeper(board)
    board.slow = asyncio.Event()
    task = asyncio.create_task(k.run())
    await until(lambda: ("open",) in board.did)
    k.do(SetRelease(1, True))
    await until(lambda: ("release", True) in board.did)
    k.do(SetLimit(1, Limit(16.0)))
    k.do(SetRelease(1, False))
    board.slow.set()
    await until(lambda: ("limit", 16.0) in board.did)
    did = [d for d in board.did if d[0] in ("release", "limit")]
    assert did == [("release", True), ("release", False), ("limit", 16.0)]
    board.did.clear()
    board.states_.put_nowait(Unreachable("cable out"))
    k.do(SetRelease(1, True))
    board.states_.put_nowait(EvseState(Pilot.A))
    await until(lambda: ("open",) in board.did)
    await asyncio.sleep(0.03)
    opened = board.did.index(("open",))
    assert ("release", True) not in board.did[opened:]
    task.cancel()


async def test_every_unlock_is_answered():
    board = Board()
    k, events = keeper(board)
    task = asyncio.create_task(k.run())
    await until(lambda: ("open",) in board.did)
    k.do(Unlock(1, "r1"))
    await until(lambda: UnlockTried(1, "r1", True) in events)
    board.stuck = True
    k.do(Unlock(1, "r2"))
    await until(lambda: UnlockTried(1, "r2", False) in events)
    task.cancel()
    hands_events = []
    Hands(hands_events.append).do(Unlock(7, "r3"))
    assert hands_events == [UnlockTried(7, "r3", False)]


async def test_withdrawing_does_not_wait_for_an_unlock_and_the_unlock_is_answered_when_the_board_goes_away():
    class Slow(Board):
        async def unlock(self):
            self.did.append(("unlock",))
            await asyncio.Event().wait()

    board = Slow()
    k, events = keeper(board)
    task = asyncio.create_task(k.run())
    await until(lambda: ("open",) in board.did)
    k.do(Unlock(1, "r1"))
    await until(lambda: ("unlock",) in board.did)
    k.do(SetRelease(1, False))
    await until(lambda: ("release", False) in board.did)
    assert k.busy
    board.states_.put_nowait(Unreachable("cable out"))
    await until(lambda: UnlockTried(1, "r1", False) in events)
    task.cancel()


class Meter:
    identity = MeterIdentity(serial="1")

    def __init__(self):
        self.fail = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.order = []

    async def read(self):
        self.order.append("live")
        await self.gate.wait()
        if self.fail:
            raise self.fail
        return Reading(Stamp(1, 1.0), 5)

    async def read_billing(self):
        self.order.append("billing")
        if self.fail:
            raise self.fail
        return Reading(Stamp(1, 1.0), 6)


def meter_keeper(meter, refuse=()):
    events, failures = [], list(refuse)

    @asynccontextmanager
    async def opening():
        if failures and (e := failures.pop(0)):
            raise e
        yield meter

    return MeterKeeper(1, "meter", opening, events.append), events


async def test_billing_reads_overtake_and_live_looks_do_not_pile_up():
    meter = Meter()
    k, events = meter_keeper(meter)
    task = asyncio.create_task(k.run())
    await until(lambda: k.open)
    meter.gate.clear()
    k.do(ReadMeter(1, "sample"))
    await until(lambda: meter.order == ["live"])
    for _ in range(5):
        k.do(ReadMeter(1, "live"))
    k.do(ReadMeter(1, "end:1", billing=True))
    meter.gate.set()
    await until(lambda: len(events) == 3)
    assert meter.order == ["live", "billing", "live"]
    assert [e.purpose for e in events] == ["sample", "end:1", "live"]
    task.cancel()


async def test_garbage_is_no_reading_and_keeps_the_line_open():
    meter = Meter()
    k, events = meter_keeper(meter)
    task = asyncio.create_task(k.run())
    await until(lambda: k.open)
    meter.fail = Garbled("register ran backwards")
    k.do(ReadMeter(1, "begin:1", billing=True))
    await until(lambda: events)
    assert events == [MeterFailed(1, "begin:1")]
    assert k.open
    meter.fail = None
    k.do(ReadMeter(1, "begin:2", billing=True))
    await until(lambda: len(events) == 2)
    assert isinstance(events[1], MeterRead)
    task.cancel()


async def test_a_meter_that_is_not_there_answers_nobody_for_ever(monkeypatch):
    monkeypatch.setattr(MeterKeeper, "WAIT_OPEN_S", 0.05)
    k, events = meter_keeper(Meter(), [Unreachable("gone")] * 100000)
    task = asyncio.create_task(k.run())
    k.do(ReadMeter(1, "begin:1", billing=True))
    await until(lambda: MeterFailed(1, "begin:1") in events)
    assert FaultRaised(1, Fault.METER_SILENT) in events
    task.cancel()


async def test_another_meter_than_configured_is_told_at_once():
    k, events = meter_keeper(Meter(), [Broken("serial 9 instead of 1")])
    task = asyncio.create_task(k.run())
    await until(lambda: events)
    assert events[0] == FaultRaised(1, Fault.METER_EXCHANGED)
    task.cancel()
