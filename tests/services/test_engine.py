"""The engine's promises: withdrawing waits for nothing, giving waits for the disk, nothing billed is dropped."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.events import (
    CablePlugged,
    CableRemoved,
    Event,
    FaultRaised,
    StopWanted,
    StoreFailed,
    StoreRecovered,
    TimeCame,
    VehicleConnected,
    VehicleLeft,
    VehiclePaused,
)
from agent.domain.functional_block import Blocks, Yielded, handles_events, handles_timer
from agent.domain.messages import StopReason, TransactionEnded, TransactionStarted, TriggerReason
from agent.domain.ocmf import Holder, OcmfBill, ocmf_payload
from agent.domain.orders import (
    Order,
    Persist,
    Reconnect,
    Response,
    Send,
    SendToMaster,
    SendToSatellite,
    SetRelease,
    Show,
    UnlockSim,
    WakeMe,
)
from agent.domain.satellite_messages import (
    BegunReport,
    EndedReport,
    EndNoted,
    GrantRefused,
    MeteredReport,
    OutletsReported,
    PaymentOutcome,
    SessionConfirmed,
    SessionStopped,
    SupplyReport,
)
from agent.domain.session_usage import Usage
from agent.domain.terminal_messages import CommitPayment
from agent.domain.timers import Timer, TimerKind
from agent.model.types import Fault, MeterIdentity, Moment, Screen, ScreenName, SignedReading, Stamp, Token
from agent.ports.store import StoreError
from agent.services import engine as module
from agent.services.engine import Engine, EngineHooks
from agent.services.event_queue import EventQueue
from agent.services.keys.ocmf_signer import OcmfSigner
from agent.services.keys.record_signing import RecordSigning
from tests.support.busy_machine import deadline, stretched


class Disk:
    def __init__(self):
        self.broken = False
        self.batches = []
        self.log = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, puts, messages=()):
        await self.gate.wait()
        if self.broken:
            raise StoreError("disk full")
        self.batches.append((list(puts), list(messages)))
        self.log.append("commit")


class Clock:
    rate = 1.0

    def now(self):
        return Moment(Stamp(1, asyncio.get_running_loop().time()))


class Link:
    def __init__(self, log):
        self.log = log

    def reconnect_if_changed(self):
        self.log.append("refresh")

    def reconnect(self):
        self.log.append("reconnect")

    def queue_changed(self):
        self.log.append("wake")

    def send(self, message):
        self.log.append("tell")

    def respond(self, order):
        self.log.append(order)


class Hands:
    def __init__(self, log):
        self.log = log

    def dispatch_order(self, order):
        self.log.append(order)

    def before_event(self, event):
        pass


STARTED = TransactionStarted("s1", 1, Token("A"), Stamp(1, 1.0), 5)


class Scripted:
    """A block that answers CablePlugged with a start and FaultRaised with a withdrawal."""

    def __init__(self):
        self.seen = []

    @handles_events(CablePlugged)
    def plug(self, event: Event, now: Moment) -> Iterator[Yielded]:
        yield Show(1, Screen(ScreenName.CHARGING))
        yield Persist("session", "s1", {"evse": 1})
        yield Send("chargy", STARTED)
        yield SetRelease(1, True)

    @handles_events(FaultRaised)
    def fault(self, event: Event, now: Moment) -> Iterator[Yielded]:
        yield Persist("session", "s1", {"evse": 1, "stop": {}})
        yield SetRelease(1, False)

    @handles_events(VehicleLeft)
    def both(self, event: Event, now: Moment) -> Iterator[Yielded]:
        yield SetRelease(1, True)
        yield SetRelease(2, False)
        yield SetRelease(1, False)
        yield SetRelease(2, True)

    @handles_events(CableRemoved)
    def promise(self, event: Event, now: Moment) -> Iterator[Yielded]:
        yield Response("chargy", "read", "Accepted")
        yield Persist("setting", "x", {"text": "1"})
        yield Response("chargy", "q1", "Accepted")
        yield Reconnect("chargy")

    @handles_events(VehiclePaused)
    def settle(self, event: Event, now: Moment) -> Iterator[Yielded]:
        yield Persist("payment", "p", {"cents": 1})
        yield CommitPayment(0, "p", 7, 1)

    @handles_timer(TimerKind.STORE_RETRY, TimerKind.DRIVER_NOTICE)
    @handles_events(StopWanted, StoreFailed, StoreRecovered)
    def see(self, event: Event, now: Moment) -> Iterator[Yielded]:
        self.seen.append(event)
        return iter(())

    @handles_events(VehicleConnected)
    def wake(self, event: Event, now: Moment) -> Iterator[Yielded]:
        base = now.t_s
        late, soon, never = (Timer(TimerKind.DRIVER_NOTICE, number) for number in (1, 2, 3))
        yield WakeMe(late, base + 0.02)
        yield WakeMe(soon, base + 0.01)
        yield WakeMe(never, base + 0.01)
        yield WakeMe(never, None)


def make():
    disk, block = Disk(), Scripted()
    return engine_of(block, disk), disk, block


def engine_of(block, disk, hooks=module.NO_HOOKS):
    links, dispatch = {"chargy": Link(disk.log)}, Hands(disk.log)
    return Engine(EventQueue(), Blocks([block]), disk, Clock(), links, dispatch, hooks)


async def test_release_is_given_after_the_commit_and_withdrawn_before_it():
    engine, disk, _ = make()
    await engine.handle_event(CablePlugged(1))
    assert disk.log[:2] == ["commit", "wake"]
    assert SetRelease(1, True) in disk.log[2:]
    disk.log.clear()
    disk.gate.clear()
    task = asyncio.create_task(engine.handle_event(FaultRaised(1, Fault.EMERGENCY_STOP)))
    await asyncio.sleep(0)
    assert disk.log == [SetRelease(1, False)]
    disk.gate.set()
    await task
    assert disk.log == [SetRelease(1, False), "commit"]


async def test_records_are_signed_after_a_withdrawal_and_stored_with_their_message():
    """A slow signer must not hold up a contactor."""
    bill = OcmfBill(
        Moment(Stamp(1, 1.0)), "1", "", MeterIdentity(), Holder(), Stamp(1, 1.0), 5, Stamp(1, 1.0), 5, True, "E"
    )
    plain = TransactionEnded("s1", 1, None, Stamp(1, 2.0), 5, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)

    class Ends:
        @handles_events(VehicleLeft)
        def end(self, event: Event, now: Moment) -> Iterator[Yielded]:
            yield Send("chargy", plain, bill)
            yield SetRelease(1, False)

    class Signer:
        def sign_payload(self, payload):
            disk.log.append("sign")
            return SignedReading(payload)

    _, disk, _ = make()
    engine = engine_of(Ends(), disk, EngineHooks(sign_records=RecordSigning(Signer(), made=6).complete_orders))
    await engine.handle_event(VehicleLeft(1))
    assert disk.log == [SetRelease(1, False), "sign", "commit", "wake"]
    [(puts, [(_, stored)])] = disk.batches
    assert puts == [module.Put("ocmf", "made", {"number": 7})]
    assert stored == replace(plain, signed=SignedReading(ocmf_payload(bill, 7)))
    no_key = RecordSigning(OcmfSigner(Path("nowhere/ocmf.key")), made=7).complete_orders
    engine = engine_of(Ends(), disk, EngineHooks(sign_records=no_key))
    await engine.handle_event(VehicleLeft(1))
    assert disk.batches[1:] == [([], [("chargy", plain)])], "the bill leaves without a record"


async def test_what_the_services_remember_costs_no_transaction_of_its_own():
    engine, disk, _ = make()
    engine.events.remember_fact("boot", "1", {"seen": 1})
    disk.broken = True
    await engine.handle_event(CablePlugged(1))
    engine.events.remember_fact("boot", "1", {"seen": 2})
    disk.broken = False
    await engine.handle_event(FaultRaised(1, Fault.EMERGENCY_STOP))
    assert [[(p.kind, p.value) for p in puts] for puts, _ in disk.batches] == [
        [("boot", {"seen": 1}), ("session", {"evse": 1})],
        [("boot", {"seen": 2}), ("session", {"evse": 1, "stop": {}})],
    ]


async def test_facts_and_billed_messages_of_one_event_are_one_transaction():
    engine, disk, _ = make()
    await engine.handle_event(CablePlugged(1))
    ((puts, messages),) = disk.batches
    assert [p.key for p in puts] == ["s1"]
    assert messages == [("chargy", STARTED)]


async def test_a_disk_that_refuses_gives_no_release_keeps_the_batch_and_goes_on_later(monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    engine, disk, block = make()
    running = asyncio.create_task(engine.run())
    disk.broken = True
    engine.events.post_event(CablePlugged(1))
    await engine.events.wait_until_handled()
    await engine.events.wait_until_handled()
    assert SetRelease(1, True) not in disk.log
    assert any(isinstance(e, StoreFailed) for e in block.seen)
    assert any(isinstance(e, StopWanted) and e.evse == 1 for e in block.seen)
    disk.broken = False
    async with deadline(30):
        while not any(isinstance(e, StoreRecovered) for e in block.seen):
            await asyncio.sleep(0.01)
    assert disk.batches == [([module.Put("session", "s1", {"evse": 1})], [("chargy", STARTED)])]
    running.cancel()


async def test_money_waits_for_the_disk():
    engine, disk, _ = make()
    disk.broken = True
    await engine.handle_event(VehiclePaused(1))
    assert disk.log == []
    disk.broken = False
    await engine.handle_event(TimeCame(Timer(TimerKind.STORE_RETRY)))
    assert [type(o) for o in disk.log if not isinstance(o, tuple | str)][-1] is CommitPayment


async def test_nothing_is_promised_that_is_not_on_disk():
    """A backend held a new password for accepted; after a power cut the station had the old one."""
    engine, disk, _ = make()
    disk.broken = True
    await engine.handle_event(CableRemoved(1))
    assert disk.log == []
    await engine.handle_event(VehicleLeft(1))  # what promises nothing durable goes on
    assert SetRelease(1, False) in disk.log
    disk.log.clear()
    disk.broken = False
    await engine.handle_event(StoreRecovered())
    assert disk.log[:4] == [
        "commit",
        Response("chargy", "read", "Accepted"),
        Response("chargy", "q1", "Accepted"),
        "refresh",
    ]
    await engine.handle_event(CableRemoved(1))
    assert disk.log[4:] == ["commit", *disk.log[1:4]]


USAGE = Usage()


@pytest.mark.parametrize(
    ("repeated", "at_once"),
    [
        (
            SendToSatellite("east", SessionConfirmed("p", "s1", 5000)),
            SendToSatellite("east", SessionStopped("p", "s1")),
        ),
        (SendToSatellite("east", EndNoted("p", "s1", 90)), SendToSatellite("east", SessionStopped("p", "s1"))),
        (SendToSatellite("east", PaymentOutcome("p", "s1", "Settled", 90)), None),
        (SendToMaster(BegunReport("p", "s1", 1, USAGE)), SendToMaster(OutletsReported(()))),
        (SendToMaster(MeteredReport("p", "s1", USAGE)), SendToMaster(GrantRefused("q", "unavailable"))),
        (SendToMaster(EndedReport("p", "s1", USAGE, SupplyReport(0, 0))), None),
    ],
)
async def test_a_repeated_message_waits_for_the_record_that_it_speaks_of(
    repeated: Order, at_once: Order | None
) -> None:
    """The master's store failed, the satellite reconnected and reported its session again: it was confirmed from
    memory. After a power cut the journal did not know the session, and its energy was not paid. What ends something
    or gives nothing waits for no disk."""

    class Repeats:
        @handles_events(CablePlugged)
        def store(self, event: Event, now: Moment) -> Iterator[Yielded]:
            yield Persist("payment", "p", {"state": "Active"})
            yield repeated

        @handles_events(VehicleConnected)
        def repeat(self, event: Event, now: Moment) -> Iterator[Yielded]:
            yield repeated
            if at_once is not None:
                yield at_once

    _, disk, _ = make()
    engine = engine_of(Repeats(), disk)
    disk.broken = True
    await engine.handle_event(CablePlugged(1))
    assert disk.log == []
    await engine.handle_event(VehicleConnected(1))
    assert disk.log == [at_once] * (at_once is not None)
    disk.log.clear()
    disk.broken = False
    await engine.handle_event(StoreRecovered())
    assert disk.log == ["commit", repeated, repeated]
    await engine.handle_event(VehicleConnected(1))
    assert disk.log[3] == repeated


async def test_a_later_batch_never_overtakes_one_that_could_not_be_saved():
    engine, disk, _ = make()
    disk.broken = True
    await engine.handle_event(CablePlugged(1))
    await engine.handle_event(FaultRaised(1, Fault.EMERGENCY_STOP))
    disk.broken = False
    await engine.handle_event(StoreRecovered())
    assert [p[0].value for p, _ in disk.batches] == [{"evse": 1}, {"evse": 1, "stop": {}}]


async def test_of_several_releases_in_one_event_the_last_counts():
    """Withdrawals are carried out first: on, off of one event used to become off, on."""
    engine, disk, _ = make()
    await engine.handle_event(VehicleLeft(1))
    assert [o for o in disk.log if isinstance(o, SetRelease)] == [SetRelease(1, False), SetRelease(2, True)]


async def test_timers_fire_in_order_and_a_cancelled_one_does_not():
    engine, _, block = make()
    running = asyncio.create_task(engine.run())
    engine.events.post_event(VehicleConnected(1))
    async with deadline(30):
        while len(block.seen) < 2:
            await asyncio.sleep(0.005)
    assert [e.timer.evse for e in block.seen] == [2, 1]
    running.cancel()


async def test_a_timer_that_is_replaced_leaves_nothing_behind():
    """However often, and however far away its time was; the others fire in their order."""
    fired: list[int] = []
    timers = module.Timers(Clock(), lambda event: fired.append(event.timer.evse))
    due_s = asyncio.get_running_loop().time()
    for n in range(1000):
        timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, 9), due_s + 3600.0 + n)
        for evse in (3, 2, 1):
            timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, evse), due_s + 7200.0 + n)
        assert len(timers._due) <= 2 * 4
    timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, 9), None)
    for evse in (3, 2, 1):
        timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, evse), due_s + 0.001 * evse)
    async with deadline(30):
        while len(fired) < 3:
            await asyncio.sleep(0.005)
    assert fired == [1, 2, 3]
    assert timers._due == []


async def test_a_timer_that_is_put_off_is_not_armed_again():
    """The handle of the loop comes too early then, and is armed for what is due next."""
    fired: list[int] = []
    timers = module.Timers(Clock(), lambda event: fired.append(event.timer.evse))
    now_s = asyncio.get_running_loop().time()
    timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, 1), now_s + 0.01)
    armed = timers._handle
    timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, 2), now_s + 0.04)
    timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, 1), now_s + 0.05)
    assert timers._handle is armed
    timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, 3), now_s + 0.005)
    assert timers._handle is not armed
    async with deadline(30):
        while len(fired) < 3:
            await asyncio.sleep(0.005)
    assert fired == [3, 2, 1]


@pytest.mark.parametrize("asleep_s", [3600.0, 1800.0])
async def test_timers_are_armed_again_after_the_machine_slept(asleep_s):
    """The domain's time goes on in a sleep and the loop's does not. The next timer that is set finds it."""

    class SleptClock(Clock):
        slept_s = 0.0

        def now(self):
            return Moment(Stamp(1, asyncio.get_running_loop().time() + self.slept_s))

    fired: list[int] = []
    clock = SleptClock()
    timers = module.Timers(clock, lambda event: fired.append(event.timer.evse))
    timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, 1), clock.now().t_s + 3000.0)
    clock.slept_s = asleep_s
    timers.set_timer(Timer(TimerKind.DRIVER_NOTICE, 2), clock.now().t_s + 9000.0)
    assert timers._handle.when() - asyncio.get_running_loop().time() <= max(0.0, 3000.0 - asleep_s)
    if asleep_s > 3000.0:
        async with deadline(30):
            while not fired:
                await asyncio.sleep(0.005)
        assert fired == [1]


async def test_a_link_is_ordered_to_connect_again():
    class Redials:
        @handles_events(VehicleConnected)
        def redial(self, event: Event, now: Moment) -> Iterator[Yielded]:
            yield Reconnect("chargy")

    _, disk, _ = make()
    engine = engine_of(Redials(), disk)
    await engine.handle_event(VehicleConnected(1))
    assert disk.log == ["refresh"]


async def test_another_bearer_reconnects_a_link_in_any_case():
    class Moves:
        @handles_events(VehicleConnected)
        def move(self, event: Event, now: Moment) -> Iterator[Yielded]:
            yield Reconnect("chargy", anyway=True)

    _, disk, _ = make()
    engine = engine_of(Moves(), disk)
    await engine.handle_event(VehicleConnected(1))
    assert disk.log == ["reconnect"]


async def test_a_pin_is_not_used_while_the_disk_has_not_noted_it():
    class Unlocks:
        @handles_events(VehicleConnected)
        def unlock(self, event: Event, now: Moment) -> Iterator[Yielded]:
            yield Persist("sim", "bearer[0]", {})
            yield UnlockSim("bearer[0]", "mark")

    _, disk, _ = make()
    engine = engine_of(Unlocks(), disk)
    disk.broken = True
    await engine.handle_event(VehicleConnected(1))
    assert disk.log == []
    disk.broken = False
    await engine.handle_event(StoreRecovered())
    assert disk.log == ["commit", UnlockSim("bearer[0]", "mark")]


async def test_who_looks_sees_nothing_half_done():
    """A reader that finds no session and an empty queue has the bill."""
    engine, disk, _ = make()
    running = asyncio.create_task(engine.run())
    disk.gate.clear()
    engine.events.post_event(CablePlugged(1))
    engine.events.post_event(FaultRaised(1, Fault.GROUND_FAILURE))
    seen = []

    async def look():
        async with engine.events.hold_still():
            seen.append(len(disk.batches))
            await asyncio.sleep(0)
            seen.append(len(disk.batches))

    looks = [asyncio.create_task(look()) for _ in range(2)]
    gone = asyncio.create_task(engine.events.wait_until_handled())
    for _ in range(20):
        await asyncio.sleep(0)
    assert seen == []
    gone.cancel()  # a caller that has left delays no other
    engine.events.post_event(FaultRaised(1, Fault.GROUND_FAILURE))
    disk.gate.set()
    await asyncio.wait_for(asyncio.gather(*looks), stretched(10))
    assert seen == [2] * 4
    await asyncio.wait_for(engine.events.wait_until_handled(), stretched(10))
    assert len(disk.batches) == 3
    running.cancel()
