"""Supervisors: open, use, fail, back off, report. Ports here are small; real drivers have their own tests."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    FaultCleared,
    FaultRaised,
    MeterFailed,
    MeterKnown,
    RawMeterReading,
    ReleaseRefused,
    ReleaseWithdrawn,
    UnlockTried,
)
from agent.domain.orders import ReadMeter, SetLimit, SetRelease, Show, Unlock
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import Fault, Limit, MeterIdentity, Reading, Screen, ScreenName, Stamp
from agent.ports import Broken, Exchanged, Garbled, Refused, Unreachable
from agent.services.devices import release, supervisor
from agent.services.devices.board import BoardSupervisor
from agent.services.devices.dispatch import OrderDispatch
from agent.services.devices.supervisor import DisplaySupervisor, MeterSupervisor
from agent.services.watchdog import LivenessSignal
from tests.support.busy_machine import deadline, stretched
from tests.support.reading_purposes import LIVE, SAMPLED


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.01,))
    monkeypatch.setattr(supervisor, "BROKEN_S", 0.05)


async def until(condition, timeout_s=30.0):
    async with deadline(timeout_s):
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
        self.released = None
        self.beats = []
        self.refuse_limit = False
        self.refuse_release = 0
        self.freeing = None
        self.withdrawing = self.contactor = None
        self.looks = 0
        self.lost_looks = []
        self.asked = False

    async def states(self):
        self.asked = True
        while True:
            state = await self.states_.get()
            if isinstance(state, Exception):
                raise state
            yield state

    async def set_release(self, on):
        self.did.append(("release", on))
        if on and self.refuse_release:
            self.refuse_release -= 1
            raise Refused("not now")
        if self.slow is not None and on:
            await self.slow.wait()
        if self.withdrawing is not None and not on:
            await self.withdrawing.wait()

    async def state(self):
        self.looks += 1
        if self.lost_looks:
            raise self.lost_looks.pop(0)
        return EvseState(Pilot.B, released=self.released, contactor=self.contactor)

    async def set_limit(self, limit):
        if self.refuse_limit:
            raise Refused("no")
        self.did.append(("limit", limit.current_a))
        return limit.current_a

    async def unlock(self):
        self.did.append(("unlock",))
        if self.freeing is not None:
            await self.freeing.wait()
        if self.stuck:
            raise Refused("contactor closed")
        return True

    async def beat(self):
        if self.beats and (error := self.beats.pop(0)):
            raise error
        self.did.append(("beat",))


def keeper(board, refuse=()):
    events, failures = [], list(refuse)

    @asynccontextmanager
    async def opening():
        if failures:
            raise failures.pop(0)
        board.did.append(("open",))
        yield board

    return BoardSupervisor(1, "board", opening, events.append, LivenessSignal(0.01), lambda: (1, 0.0)), events


async def test_first_picture_then_changes_and_the_heart_beats():
    board = Board()
    k, events = keeper(board)
    task = asyncio.create_task(k.run())
    board.states_.put_nowait(EvseState(Pilot.B, cable=True))
    await until(lambda: len(events) == 2 and ("beat",) in board.did)
    assert isinstance(events[0], BoardOpened)
    assert events[1] == BoardChanged(1, EvseState(Pilot.B, cable=True))
    task.cancel()


async def test_it_is_reported_when_the_board_was_asked_and_when_its_first_state_was_there():
    board, at_s, events = Board(), [5.0], []
    board.states_ = asyncio.Queue()

    @asynccontextmanager
    async def opening():
        yield board

    k = BoardSupervisor(1, "board", opening, events.append, LivenessSignal(0.01), lambda: (2, at_s[0]))
    task = asyncio.create_task(k.run())
    await until(lambda: board.asked)
    at_s[0] = 9.0  # the answer comes late
    board.states_.put_nowait(EvseState(Pilot.B, cable=True))
    await until(lambda: events)
    assert (events[0].asked_at, events[0].answered_at) == (Stamp(2, 5.0), Stamp(2, 9.0))
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
    await until(lambda: FaultCleared(1, Fault.BOARD_SILENT) in events)
    assert events[0] == FaultRaised(1, Fault.BOARD_SILENT)
    task.cancel()
    k, events = keeper(Board(), [Unreachable("x")])
    task = asyncio.create_task(k.run())
    await until(lambda: events)
    assert isinstance(events[0], BoardOpened)
    task.cancel()


async def opened(board, refuse=()):
    """A keeper whose opening the domain has heard of."""
    k, events = keeper(board, refuse)
    task = asyncio.create_task(k.run())
    await until(lambda: any(isinstance(e, BoardOpened) for e in events))
    k.before_event(next(e for e in events if isinstance(e, BoardOpened)))
    return k, events, task


async def test_withdrawing_waits_for_no_other_order():
    board = Board()
    k, _, task = await opened(board)
    board.slow = asyncio.Event()
    k.accept_order(SetRelease(1, True))
    await until(lambda: ("release", True) in board.did)
    k.accept_order(SetLimit(1, Limit(16.0)))
    k.accept_order(SetRelease(1, False))
    await until(lambda: ("release", False) in board.did)
    assert ("limit", 16.0) not in board.did, "the release under way still holds the others up"
    board.slow.set()
    await until(lambda: ("limit", 16.0) in board.did)
    assert k._release.given is False
    task.cancel()


def releases(board):
    return [did[1] for did in board.did if did[0] == "release"]


async def test_a_release_that_ends_after_its_withdrawal_is_withdrawn_once_more():
    """The board may have carried out the two in the other order."""
    board = Board()
    k, _, task = await opened(board)
    board.slow = asyncio.Event()
    k.accept_order(SetRelease(1, True))
    await until(lambda: releases(board) == [True])
    k.accept_order(SetRelease(1, False))
    await until(lambda: releases(board) == [True, False])
    board.slow.set()
    await until(lambda: releases(board) == [True, False, False])
    assert not k._release.given
    task.cancel()


async def test_a_release_of_before_a_withdrawal_is_not_taken_for_the_one_after_it():
    board = Board()
    k, _, task = await opened(board)
    board.slow = asyncio.Event()
    k.accept_order(SetRelease(1, True))
    await until(lambda: releases(board) == [True])
    k.accept_order(SetRelease(1, False))
    k.accept_order(SetRelease(1, True))
    first, board.slow = board.slow, asyncio.Event()
    first.set()
    await until(lambda: releases(board) == [True, False, True])
    assert not k._release.given
    board.slow.set()
    await until(lambda: k._release.given)
    task.cancel()


async def test_release_waits_until_the_board_has_taken_the_withdrawal_before_it():
    """Ordered in one breath they would reach the board in the other order."""
    board = Board()
    k, _, task = await opened(board)
    board.withdrawing = asyncio.Event()
    k.accept_order(SetRelease(1, False))
    k.accept_order(SetRelease(1, True))
    await until(lambda: board.did.count(("beat",)) > 3)
    assert releases(board) == [False]
    assert k.has_pending_orders
    board.withdrawing.set()
    await until(lambda: releases(board) == [False, True])
    task.cancel()


async def test_a_withdrawal_does_not_wait_for_an_earlier_one():
    board = Board()
    k, _, task = await opened(board)
    board.withdrawing = asyncio.Event()
    for times in (1, 2):
        k.accept_order(SetRelease(1, False))
        await until(lambda: releases(board) == [False] * times)  # noqa: B023
    task.cancel()


async def test_a_withdrawal_is_confirmed_when_the_board_shows_an_open_contactor():
    board = Board()
    k, events, task = await opened(board)
    board.released, board.contactor = False, True
    k.accept_order(SetRelease(1, False))
    await until(lambda: board.looks > 2)
    assert ReleaseWithdrawn(1) not in events
    board.contactor = False
    await until(lambda: ReleaseWithdrawn(1) in events)
    looks = board.looks
    beats = board.did.count(("beat",))
    await until(lambda: board.did.count(("beat",)) > beats + 20)
    assert (events.count(ReleaseWithdrawn(1)), board.looks) == (1, looks)
    task.cancel()


async def test_a_look_that_is_lost_after_a_withdrawal_is_no_failure_three_are():
    """Two noisy answers must not open a board again under a session that only pauses."""
    board = Board()
    k, events, task = await opened(board)
    board.lost_looks = [Unreachable("lost"), Garbled("noise")]
    k.accept_order(SetRelease(1, False))
    await until(lambda: ReleaseWithdrawn(1) in events)
    assert board.did.count(("open",)) == 1
    board.lost_looks = [Unreachable("lost")] * 3
    k.accept_order(SetRelease(1, False))
    await until(lambda: board.did.count(("open",)) == 2)
    task.cancel()


async def test_a_withdrawal_that_the_board_does_not_obey_is_sent_again():
    board = Board()
    k, _, task = await opened(board)
    board.released = True
    k.accept_order(SetRelease(1, False))
    await until(lambda: len(releases(board)) > 3)
    board.released = False
    await until(lambda: k._release._confirmed == k._release._ordered)
    sent, beats = len(releases(board)), board.did.count(("beat",))
    await until(lambda: board.did.count(("beat",)) > beats + 20)
    assert len(releases(board)) == sent
    task.cancel()


async def test_release_meant_for_the_board_of_before_is_void():
    """Between a reopening and the moment the domain hears of it the vehicle may be another one."""
    board = Board()
    k, events, task = await opened(board)
    board.did.clear()
    board.states_.put_nowait(Unreachable("cable out"))
    board.states_.put_nowait(EvseState(Pilot.B))
    await until(lambda: len([e for e in events if isinstance(e, BoardOpened)]) == 2)
    k.accept_order(SetRelease(1, True))
    await until(lambda: board.did.count(("beat",)) > 3)
    assert ("release", True) not in board.did
    k.before_event(events[0])
    k.accept_order(SetRelease(1, True))
    await until(lambda: board.did.count(("beat",)) > 6)
    assert ("release", True) not in board.did, "that was the opening of before"
    k.before_event([e for e in events if isinstance(e, BoardOpened)][-1])
    k.accept_order(SetRelease(1, True))
    await until(lambda: ("release", True) in board.did)
    task.cancel()


async def test_a_release_that_the_board_forgot_is_not_believed_in():
    """A board whose watchdog struck while we were slow used to stay without energy until the plug was pulled."""
    board = Board()
    k, events, task = await opened(board)
    board.released = False
    k.accept_order(SetRelease(1, True))
    await until(lambda: k._release.given)
    board.states_.put_nowait(EvseState(Pilot.B, released=False))
    board.states_.put_nowait(EvseState(Pilot.B))
    await until(lambda: len([e for e in events if isinstance(e, BoardOpened)]) == 2)
    task.cancel()


async def test_a_missed_beat_is_no_failure_three_are():
    board = Board()
    _k, _events, task = await opened(board)
    board.beats = [Unreachable("x"), None, Unreachable("x"), Unreachable("x")]
    await until(lambda: not board.beats)
    await until(lambda: board.did.count(("beat",)) > 3)
    assert board.did.count(("open",)) == 1
    board.beats = [Unreachable("x")] * 3
    board.states_.put_nowait(EvseState(Pilot.A))
    await until(lambda: board.did.count(("open",)) == 2)
    task.cancel()


async def test_a_device_that_opens_and_fails_for_ever_is_a_fault():
    board = Board()
    k, events = keeper(board)
    task = asyncio.create_task(k.run())
    for _ in range(8):
        board.states_.put_nowait(Unreachable("again"))
        board.states_.put_nowait(EvseState(Pilot.A))
    await until(lambda: board.did.count(("open",)) > 7)
    faults = [e for e in events if isinstance(e, FaultRaised | FaultCleared)]
    assert faults[-1] == FaultRaised(1, Fault.BOARD_SILENT)
    k.prepare_to_stop()
    task.cancel()
    await asyncio.wait({task}, timeout=stretched(30))
    assert task.done(), "a failing device used to swallow the cancellation"


async def test_a_board_that_is_opened_and_fails_is_silent_once_more_although_its_fault_was_not_cleared(monkeypatch):
    """What is known of it is old again: the domain has heard of the opening in between."""
    monkeypatch.setattr(supervisor, "FLAPPING", -1)  # each opening counts as one of many
    board = Board()
    k, events = keeper(board, [Unreachable("x"), Unreachable("x")])
    task = asyncio.create_task(k.run())
    board.states_.put_nowait(Unreachable("again"))
    board.states_.put_nowait(EvseState(Pilot.A))
    await until(lambda: board.did.count(("open",)) == 2 and isinstance(events[-1], BoardOpened))
    assert [type(e) for e in events] == [FaultRaised, BoardOpened, FaultRaised, BoardOpened]
    k.prepare_to_stop()
    task.cancel()


async def test_a_level_that_is_refused_is_reported_and_not_fatal():
    """Who charges goes on with what was confirmed before; a driver that cannot promise that has withdrawn release."""
    board = Board()
    k, _, task = await opened(board)
    k.accept_order(SetLimit(1, Limit(10.0)))
    k.accept_order(SetRelease(1, True))
    await until(lambda: k._release.given)
    board.refuse_limit = True
    k.accept_order(SetLimit(1, Limit(16.0)))
    await until(lambda: board.did.count(("beat",)) > 3)
    assert board.did.count(("open",)) == 1
    task.cancel()


async def test_a_release_that_is_refused_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(release, "AGAIN_S", 0.01)
    board = Board()
    k, events, task = await opened(board)
    board.refuse_release = 2
    k.accept_order(SetRelease(1, True))
    await until(lambda: k._release.given)
    assert board.did.count(("release", True)) == 3
    assert not any(isinstance(e, ReleaseRefused) for e in events)
    task.cancel()


async def test_but_not_for_ever_then_it_is_reported(monkeypatch):
    """A contactor of a board that gives and takes it back at once would click all night."""
    monkeypatch.setattr(release, "AGAIN_S", 0.01)
    board = Board()
    k, events, task = await opened(board)
    board.refuse_release = 99
    k.accept_order(SetRelease(1, True))
    await until(lambda: ReleaseRefused(1) in events)
    await until(lambda: board.did.count(("beat",)) > 10)
    assert board.did.count(("release", True)) == 3
    assert events.count(ReleaseRefused(1)) == 1
    assert board.did.count(("open",)) == 1
    board.refuse_release = 0
    for on in (False, True):  # a new order begins again
        k.accept_order(SetRelease(1, on))
        await asyncio.sleep(0)
    await until(lambda: k._release.given)
    task.cancel()


async def test_a_release_that_is_withdrawn_meanwhile_is_not_asked_for_again(monkeypatch):
    monkeypatch.setattr(release, "AGAIN_S", 0.01)
    board = Board()
    k, events, task = await opened(board)
    board.refuse_release = 1
    k.accept_order(SetRelease(1, True))
    await until(lambda: ("release", True) in board.did)
    k.accept_order(SetRelease(1, False))
    await until(lambda: ("release", False) in board.did)
    before = board.did.count(("beat",))
    await until(lambda: board.did.count(("beat",)) > before + 5)
    assert board.did.count(("release", True)) == 1
    assert not any(isinstance(e, ReleaseRefused) for e in events)
    task.cancel()


@pytest.mark.parametrize("lower", [Limit(8.0), Limit(16.0, 1), Limit(0.0)])
async def test_who_cannot_be_bounded_lower_gets_nothing(lower):
    """What he does not give up belongs to another by now: the board is opened again, with release withdrawn."""
    board = Board()
    k, _, task = await opened(board)
    k.accept_order(SetLimit(1, Limit(16.0, 3)))
    k.accept_order(SetRelease(1, True))
    await until(lambda: k._release.given)
    board.refuse_limit = True
    k.accept_order(SetLimit(1, lower))
    board.states_.put_nowait(EvseState(Pilot.B))
    await until(lambda: board.did.count(("open",)) == 2)
    assert not k._release.given
    task.cancel()


async def test_without_a_confirmed_limit_nothing_is_released():
    """The board may offer what was ordered long ago: it is opened again."""
    board = Board()
    k, _, task = await opened(board)
    board.refuse_limit = True
    k.accept_order(SetLimit(1, Limit(6.0)))
    k.accept_order(SetRelease(1, True))
    board.states_.put_nowait(EvseState(Pilot.B))
    await until(lambda: board.did.count(("open",)) == 2)
    assert ("release", True) not in board.did
    task.cancel()


async def test_no_energy_while_the_cable_is_being_freed():
    board = Board()
    k, _events, task = await opened(board)
    board.freeing = asyncio.Event()
    k.accept_order(Unlock(1, "r1"))
    await until(lambda: ("unlock",) in board.did)
    k.accept_order(SetRelease(1, True))
    await until(lambda: board.did.count(("beat",)) > 3)
    assert ("release", True) not in board.did
    board.freeing.set()
    await until(lambda: ("release", True) in board.did)
    task.cancel()


async def test_an_unlock_that_a_session_has_overtaken_is_no_fault_of_the_lock():
    board = Board()
    k, events, task = await opened(board)
    board.freeing = asyncio.Event()
    k.accept_order(Unlock(1, "r1"))
    await until(lambda: ("unlock",) in board.did)
    k.accept_order(Unlock(1, "r2"))
    k.accept_order(SetRelease(1, True))
    board.freeing.set()
    await until(lambda: UnlockTried(1, "r2", False) in events)
    assert board.did.count(("unlock",)) == 1
    assert FaultRaised(1, Fault.UNLOCK_FAILURE) not in events
    k.accept_order(SetRelease(1, False))
    k.accept_order(Unlock(1, "r3"))
    await until(lambda: UnlockTried(1, "r3", True) in events)
    task.cancel()


async def test_nonsense_from_a_meter_becomes_a_fault_and_is_opened_again():
    meter = Meter()
    k, events = meter_keeper(meter)
    task = asyncio.create_task(k.run())
    await until(lambda: k.open)
    meter.fail = Garbled("ran backwards")
    for n in range(3):
        k.accept_order(ReadMeter(1, begin_reading(n), billing=True))
    await until(lambda: FaultRaised(1, Fault.METER_IMPLAUSIBLE) in events)
    meter.fail = None
    k.accept_order(ReadMeter(1, begin_reading(9), billing=True))
    await until(lambda: FaultCleared(1, Fault.METER_IMPLAUSIBLE) in events)
    task.cancel()


async def test_every_unlock_is_answered():
    board = Board()
    k, events = keeper(board)
    task = asyncio.create_task(k.run())
    await until(lambda: ("open",) in board.did)
    k.accept_order(Unlock(1, "r1"))
    await until(lambda: UnlockTried(1, "r1", True) in events)
    board.stuck = True
    k.accept_order(Unlock(1, "r2"))
    await until(lambda: UnlockTried(1, "r2", False) in events)
    task.cancel()
    hands_events = []
    OrderDispatch(hands_events.append).dispatch_order(Unlock(7, "r3"))
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
    k.accept_order(Unlock(1, "r1"))
    await until(lambda: ("unlock",) in board.did)
    k.accept_order(SetRelease(1, False))
    await until(lambda: ("release", False) in board.did)
    assert k.has_pending_orders
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

    return MeterSupervisor(1, "meter", opening, events.append), events


async def test_billing_reads_overtake_and_live_looks_do_not_pile_up():
    meter = Meter()
    k, events = meter_keeper(meter)
    task = asyncio.create_task(k.run())
    await until(lambda: k.open)
    meter.gate.clear()
    k.accept_order(ReadMeter(1, SAMPLED))
    await until(lambda: meter.order == ["live"])
    for _ in range(5):
        k.accept_order(ReadMeter(1, LIVE))
    k.accept_order(ReadMeter(1, end_reading(1), billing=True))
    meter.gate.set()
    await until(lambda: len(events) == 4)
    assert meter.order == ["live", "billing", "live"]
    assert events[0] == MeterKnown(1, meter.identity), "who speaks is said before what it says"
    assert [e.purpose for e in events[1:]] == [SAMPLED, end_reading(1), LIVE]
    task.cancel()


async def test_garbage_is_no_reading_and_keeps_the_line_open():
    meter = Meter()
    k, events = meter_keeper(meter)
    task = asyncio.create_task(k.run())
    await until(lambda: k.open)
    meter.fail = Garbled("register ran backwards")
    k.accept_order(ReadMeter(1, begin_reading(1), billing=True))
    await until(lambda: len(events) == 2)
    assert events[1:] == [MeterFailed(1, begin_reading(1))]
    assert k.open
    meter.fail = None
    k.accept_order(ReadMeter(1, begin_reading(2), billing=True))
    await until(lambda: len(events) == 3)
    assert isinstance(events[2], RawMeterReading)
    task.cancel()


async def test_a_meter_that_is_not_there_answers_no_one_for_ever(monkeypatch):
    monkeypatch.setattr(MeterSupervisor, "WAIT_OPEN_S", 0.05)
    k, events = meter_keeper(Meter(), [Unreachable("gone")] * 100000)
    task = asyncio.create_task(k.run())
    k.accept_order(ReadMeter(1, begin_reading(1), billing=True))
    await until(lambda: MeterFailed(1, begin_reading(1)) in events)
    assert FaultRaised(1, Fault.METER_SILENT) in events
    task.cancel()


async def test_another_meter_than_configured_is_reported_at_once():
    cases = ((Exchanged("serial 9 instead of 1"), Fault.METER_EXCHANGED), (Broken("x"), Fault.METER_SILENT))
    for error, fault in cases:
        k, events = meter_keeper(Meter(), [error])
        task = asyncio.create_task(k.run())
        await until(lambda events=events: events)
        assert events[0] == FaultRaised(1, fault)
        task.cancel()


async def test_another_meter_behind_the_same_port_is_said_before_its_reading():
    meter = Meter()
    k, events = meter_keeper(meter)
    task = asyncio.create_task(k.run())
    await until(lambda: k.open)
    k.accept_order(ReadMeter(1, SAMPLED))
    await until(lambda: len(events) == 2)
    meter.identity = MeterIdentity(serial="2")
    k.accept_order(ReadMeter(1, end_reading(1), billing=True))
    await until(lambda: len(events) == 4)
    assert events[2:] == [
        MeterKnown(1, MeterIdentity(serial="2")),
        RawMeterReading(1, end_reading(1), Reading(Stamp(1, 1.0), 6)),
    ]
    task.cancel()


class Panel:
    """Keeps what it was called with: the outlets in their order, and their energy."""

    def __init__(self):
        self.shown = []

    async def show(self, first, *others):
        self.shown.append([(s.values["evse"], s.values["wh"]) for s in (first, *others)])


def _show(evse, wh, acts=0):
    return Show(evse, Screen(ScreenName.CHARGING, "fr", "", {"evse": evse, "wh": wh}, acts))


async def test_a_display_of_several_outlets_gets_the_screen_of_each_the_touched_one_first():
    """One display for two outlets showed the newest screen only: the other outlet's price and code were never seen."""
    panel = Panel()

    @asynccontextmanager
    async def opening():
        yield panel

    keeper = DisplaySupervisor(0, "display", opening, lambda event: None)
    keeper.accept_order(_show(1, 10))
    keeper.accept_order(_show(2, 20))
    running = asyncio.create_task(keeper.run())
    try:
        for order, wanted in (
            (None, [(1, 10), (2, 20)]),
            (_show(2, 21), [(1, 10), (2, 21)]),
            (_show(2, 21, acts=1), [(2, 21), (1, 10)]),
            (_show(1, 11), [(2, 21), (1, 11)]),
            (_show(1, 11, acts=1), [(1, 11), (2, 21)]),
        ):
            if order is not None:
                keeper.accept_order(order)
            await until(lambda wanted=wanted: panel.shown and panel.shown[-1] == wanted)
    finally:
        running.cancel()
