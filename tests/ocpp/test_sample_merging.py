"""Samples of one transaction that wait are sent in few messages: what leaves is what was stored, in its order, whatever
is refused, lost, or killed meanwhile (decision 44)."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.domain.messages import MeterSampled, Sample, StopReason, TransactionEnded, TransactionStarted, TriggerReason
from agent.domain.variables import Settings
from agent.model.types import Reading, ReadingContext, SignedReading, Stamp, Token
from agent.ocpp.dialects.dialect import Dialect, MessageRow, RowContext
from agent.ocpp.dialects.quirks import apply_quirks
from agent.ocpp.outbound.queue_rows import QueueRows
from agent.ocpp.outbound.row_encoder import RowEncoder
from agent.ocpp.outbound.sample_merging import FIRST_OCTETS, GOOD_MESSAGES, OCTETS_MAX, SampleMerging
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ocpp.wire.rpc import encode_frame
from agent.ports.store import OutboxRow, Put
from agent.station_file.settings import Backend
from tests.ocpp.ocpp_stand_ins import IDENTITY, Central, Clock, Outbox, Room, build, desk, running, served, until
from tests.ocpp.test_crossing_rows import FATES, Station, StuckFile
from tests.support.simulated_station import CAMPAIGN

T = TypeVar("T")
ENERGY = "Energy.Active.Import.Register"
NINE = (ENERGY, "Power.Active.Import", "Current.Import", "Voltage", "Current.Offered")
CARD = Token("04A1B2C3")
DIALECTS = {"1.6": V16, "2.0.1": V201}


def started(session: str = "s1", evse: int = 1) -> TransactionStarted:
    return TransactionStarted(session, evse, CARD, Stamp(1, 0.0), 1000)


def sampled(wh: int, session: str = "s1", evse: int = 1, measurands: tuple[str, ...] = (ENERGY,)) -> MeterSampled:
    at = Stamp(1, float(wh - 1000))
    reading = Reading(at, wh, 11040.0, (230.4, 229.8, 231.1), (15.9, 16.0, 15.8), offered_a=16.0)
    return MeterSampled(session, evse, (Sample(ReadingContext.PERIODIC, reading, measurands),), at=at)


def ended(session: str = "s1", evse: int = 1) -> TransactionEnded:
    at = Stamp(1, 900.0)
    return TransactionEnded(session, evse, CARD, at, 2000, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)


# --- how long a message may be ----------------------------------------------------------------------------------------


def as_row(message: MeterSampled, seq: int, followers: tuple[OutboxRow, ...] = ()) -> OutboxRow:
    return OutboxRow(seq, "chargy", message.session, message, 0, seq, followers)


def with_record(message: MeterSampled, octets: int) -> MeterSampled:
    """A sample whose reading has a signed record of this length."""
    (sample,) = message.samples
    signed = SignedReading("x" * octets)
    return replace(message, samples=(replace(sample, reading=replace(sample.reading, signed=signed)),))


@pytest.mark.parametrize("version", DIALECTS)
async def test_samples_travel_as_long_as_there_is_room(version: str) -> None:
    dialect, most = DIALECTS[version], 12_000
    plain = [sampled(1000 + n, measurands=NINE) for n in range(30)]
    signed = [with_record(message, 100 * n) for n, message in enumerate(plain)]
    for messages in (plain, signed, [*plain[:3], *signed[3:]]):
        first, *others = [replace(message, authorized=False) for message in messages]  # 1.6: without an id
        out = dialect.message_row(MeterSampled)
        assert isinstance(out, MessageRow)
        head = as_row(first, 1, tuple(as_row(message, n) for n, message in enumerate(others, 2)))
        row, payload = await RowEncoder(desk()).encode_with_followers(head, out, dialect, most)
        assert payload is not None
        length = len(encode_frame(payload["meterValue"]))
        one_more = len(encode_frame(payload["meterValue"][-1:])) + 100
        assert most - one_more < length < most * 1.01
        assert len(payload["meterValue"]) == 1 + len(row.followers)


# --- the lines on the wire --------------------------------------------------------------------------------------------


async def delivered(dialect: Dialect, *messages: Any, central: Central | None = None, **server: Any) -> list[Any]:
    """Actions and payloads of what waits when the backend comes, without the boot."""
    async with served(central or Central(), (dialect.subprotocol,), **server) as serving:
        room = build(serving, dialects=(dialect,))
        for message in messages:
            room.outbox.put(message, message.session)
        async with running(room, up=False):
            await until(lambda: not room.outbox.rows)
    assert room.outbox.dead == []
    return [(action, payload) for _, action, payload in serving.calls if action != "BootNotification"]


def value_16(wh: int, second: int) -> dict[str, Any]:
    entry = {"value": str(wh), "context": "Sample.Periodic", "measurand": ENERGY, "unit": "Wh"}
    return {"timestamp": f"2026-11-25T10:00:{second:02d}.000Z", "sampledValue": [entry]}


def value_201(wh: int, second: int) -> dict[str, Any]:
    entry = {"value": wh, "context": "Sample.Periodic", "measurand": ENERGY, "location": "Outlet"}
    entry["unitOfMeasure"] = {"unit": "Wh"}
    return {"timestamp": f"2026-11-25T10:00:{second:02d}.000Z", "sampledValue": [entry]}


async def test_the_line_of_1_6() -> None:
    calls = await delivered(V16, started(), sampled(1001), sampled(1002), sampled(1003), ended())
    assert [action for action, _ in calls] == ["StartTransaction", "MeterValues", "StopTransaction"]
    assert calls[1][1] == {
        "connectorId": 1, "transactionId": 42,
        "meterValue": [value_16(1001, 1), value_16(1002, 2), value_16(1003, 3)],
    }  # fmt: skip


async def test_the_line_of_2_0_1_has_one_place_and_the_end_follows_it() -> None:
    calls = await delivered(V201, started(), sampled(1001), sampled(1002), sampled(1003), ended())
    assert [payload["eventType"] for _, payload in calls] == ["Started", "Updated", "Ended"]
    assert calls[1][1] == {
        "eventType": "Updated", "timestamp": "2026-11-25T10:00:01.000Z", "triggerReason": "MeterValuePeriodic",
        "seqNo": 1, "transactionInfo": {"transactionId": "s1"}, "evse": {"id": 1, "connectorId": 1},
        "meterValue": [value_201(1001, 1), value_201(1002, 2), value_201(1003, 3)],
    }  # fmt: skip
    assert calls[2][1]["seqNo"] == 2


async def test_one_sample_looks_as_ever() -> None:
    calls = await delivered(V16, started(), sampled(1001), ended())
    assert calls[1][1] == {"connectorId": 1, "transactionId": 42, "meterValue": [value_16(1001, 1)]}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_a_quirk_switches_it_off(dialect: Dialect) -> None:
    backend = Backend(url="ws://host", charge_point_id="CP-1")
    _, (alone,) = apply_quirks({"waiting_samples": "travel_alone"}, backend, (dialect,))
    calls = await delivered(alone, started(), *(sampled(1000 + n) for n in range(1, 6)), ended())
    assert [len(payload["meterValue"]) for _, payload in calls[1:-1]] == [1] * 5


async def test_samples_of_two_outlets_pass_each_other_and_no_start_or_end() -> None:
    one, other = ("s1", 1), ("s2", 2)
    calls = await delivered(
        V16,
        started(*one), started(*other), sampled(1001, *one), sampled(1002, *other), sampled(1003, *one),
        sampled(1004, *other), ended(*one), sampled(1005, *other), sampled(1006, *other), ended(*other),
    )  # fmt: skip
    said = [(a, [int(v["sampledValue"][0]["value"]) for v in p.get("meterValue", ())]) for a, p in calls]
    assert said == [
        ("StartTransaction", []), ("StartTransaction", []), ("MeterValues", [1001, 1003]),
        ("MeterValues", [1002, 1004]), ("StopTransaction", []), ("MeterValues", [1005, 1006]), ("StopTransaction", []),
    ]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_what_differs_is_not_merged(dialect: Dialect) -> None:
    """A clock-aligned one has a reason of its own in 2.x; before the driver had the right 1.6 has no transaction."""
    early = replace(sampled(1001), authorized=False)
    calls = await delivered(dialect, started(), early, sampled(1002), sampled(1003), replace(sampled(1004), late=True))
    counts = [len(p["meterValue"]) for a, p in calls if a == "MeterValues" or p.get("eventType") == "Updated"]
    assert counts == [1, 2, 1]


# --- how long a message may be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_messages_grow_to_the_limit_and_not_beyond(dialect: Dialect) -> None:
    values = [sampled(1000 + n, measurands=NINE) for n in range(1, 100)]
    calls = await delivered(dialect, started(), *values, ended())
    sizes = [len(encode_frame(payload["meterValue"])) for _, payload in calls[1:-1]]
    assert sizes[0] <= FIRST_OCTETS
    assert OCTETS_MAX * 0.8 < max(sizes) <= OCTETS_MAX
    assert len(sizes) <= 8


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_a_backend_that_closes_the_connection_at_8_kib_gets_everything(dialect: Dialect) -> None:
    """The limit of many servers. Two lost connections show it; no reading is lost."""
    central = Central()
    values = [sampled(1000 + n, measurands=NINE) for n in range(1, 60)]
    calls = await delivered(dialect, started(), *values, ended(), central=central, max_size=8192)
    assert readings(calls) == list(range(1001, 1060))
    assert len(central.connections) <= 5
    assert len(calls) < 20


class Short(Central):
    """Refuses more than three values in one message."""

    def said_to(self, payload: dict[str, Any]) -> Any:
        if len(payload.get("meterValue", ())) > 3:
            return '[4,"$ID","InternalError","",{}]'
        return None

    async def serve(self, ws: Any) -> None:
        self.connections.append(ws)
        async for text in ws:
            _, id_, action, payload = json.loads(text)
            self.calls.append((id_, action, payload))
            refusal = self.said_to(payload)
            await ws.send(refusal.replace("$ID", id_) if refusal else json.dumps([3, id_, self._said(action)]))


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_a_backend_that_refuses_merged_values_gets_them_in_shorter_messages(dialect: Dialect) -> None:
    """And no attempt is counted for what only was too long."""

    central = Short()
    values = [sampled(1000 + n, measurands=NINE) for n in range(1, 40)]
    calls = await delivered(dialect, started(), *values, ended(), central=central)
    taken = [(a, p) for a, p in calls if len(p.get("meterValue", ())) <= 3]
    assert readings(taken) == list(range(1001, 1040))
    assert len(calls) - len(taken) <= 4
    if dialect is V201:
        assert [p["seqNo"] for _, p in taken] == list(range(len(taken)))


async def test_a_refused_message_of_samples_without_a_driver_is_divided_too() -> None:
    """1.6 sends them once each, outside a transaction."""
    early = [replace(sampled(1000 + n), authorized=False) for n in range(1, 6)]
    calls = await delivered(V16, started(), *early, central=Short())
    assert readings([(a, p) for a, p in calls if len(p.get("meterValue", ())) <= 3]) == list(range(1001, 1006))


async def test_the_first_sample_of_each_session_travels_alone_after_a_start_of_the_process() -> None:
    """The process before may have sent it; a row of another session, or one that was resent, says nothing of it."""
    merging = SampleMerging("chargy")
    merging.connection_opened(V201)
    resent = OutboxRow(1, "chargy", "s0", sampled(1001, "s0"), 0, 5)
    rows = [OutboxRow(n, "chargy", "s1", sampled(1000 + n), 0, n) for n in range(2, 9)]
    merging.with_followers(resent, [resent, *rows])
    assert merging.with_followers(rows[0], rows).followers == ()
    assert len(merging.with_followers(rows[1], rows[1:]).followers) == 5


async def test_a_resent_sample_does_not_stand_for_the_first_one_of_its_session() -> None:
    outbox = Outbox()
    rows = QueueRows(RowContext("chargy", outbox, Clock(1.0), Settings(), lambda: IDENTITY, (1,)), "chargy", 60.0)
    merging = SampleMerging("chargy")
    merging.connection_opened(V201)
    for n in range(1, 8):
        outbox.put(sampled(1000 + n))
    for first in outbox.rows[:3]:
        await rows.fetch_rows()
        row = await merging.oldest_with_followers(rows, lambda head, last: head.number > 0)
        assert row is not None
        assert (row.seq, len(row.followers)) == (first.seq, 0 if first.seq < 3 else 4)
        await outbox.remove_delivered(row)
        rows.forget_rows(row)


async def test_merging_comes_back_after_a_bad_time() -> None:
    """Connections that are lost in the middle of messages may be the network's fault, not that of their length."""
    merging = SampleMerging("chargy")
    merging.connection_opened(V16)
    rows = [OutboxRow(n, "chargy", "s1", sampled(1000 + n), 0, n) for n in range(1, 9)]
    merging.with_followers(rows[0], rows[:1])
    merged = merging.with_followers(rows[1], rows[1:])
    assert len(merged.followers) == 6
    for _ in range(8):
        merging.connection_lost(merged)
    assert merging.with_followers(rows[1], rows[1:]).followers == ()
    for _ in range(GOOD_MESSAGES):
        merging.message_delivered(rows[1])
    assert len(merging.with_followers(rows[1], rows[1:]).followers) == 6
    for _ in range(6 * GOOD_MESSAGES):
        merging.message_delivered(merged)
    assert merging.octets_max == OCTETS_MAX


def readings(calls: Sequence[Any]) -> list[int]:
    """The registers between start and end."""
    samples = (p for a, p in calls if a == "MeterValues" or p.get("triggerReason") == "MeterValuePeriodic")
    return [int(v["sampledValue"][0]["value"]) for p in samples for v in p["meterValue"]]


# --- whatever happens -------------------------------------------------------------------------------------------------

CALM = ("card", "sample", "sample", "sample", "sample", "state", "end", "answered", "answered")
STORMS = (*CALM, *FATES, "kill", "stuck", "many", "many", "unremoved", "unremoved", "resend")
LATE = ("many", "unremoved", *["answered"] * 6)
TROUBLES = ("lost", "silent", "nonsense", "kill", "stuck", "unremoved")


class UnwillingFile(StuckFile):
    """``unremoved``: how many of the next removals the disk does not take. Each takes its time in the thread of the
    store, and what is read or written meanwhile waits behind it."""

    unremoved = 0

    async def run_in_thread(self, work: Callable[..., T], *args: Any) -> T:
        if work.__name__ in ("_remove_delivered", "take_from_queue") and self.unremoved:
            self.unremoved -= 1
            return await super().run_in_thread(refuse_slowly)
        return await super().run_in_thread(work, *args)


def refuse_slowly() -> Any:
    time.sleep(0.003)
    raise OSError("the disk is full")


class Recorder(Station):
    """``stored``: what was queued, as registers of samples."""

    file_class = UnwillingFile

    def __init__(self, path: Path, version: str) -> None:
        super().__init__(path)
        self.version, self.stored = version, list[int]()

    async def tell(self, message: Any, open_: bool = True) -> None:
        await super().tell(message, open_)
        if isinstance(message, MeterSampled):
            self.stored.append(message.samples[0].reading.energy_wh)

    async def many(self) -> None:
        """More than one look at the queue shows, in a few deeds."""
        for _ in range(20):
            await self.sample()

    async def unremoved(self) -> None:
        self.file.unremoved = 1  # type: ignore[attr-defined]

    async def send(self, fate: str) -> bool:
        """Let a removal that has begun reach the store before the next message does."""
        found = await super().send(fate)
        await asyncio.sleep(0)
        return found


async def _play(deeds: Sequence[str], version: str) -> Recorder:
    with tempfile.TemporaryDirectory() as folder:
        station = Recorder(Path(folder) / "agent.db", version)
        await station.start()
        for deed in deeds:
            await station.do(deed)
        await station.settle()
        station.check()
        assert station.store.queued_count("chargy") == 0
        await station.store.close()
        return station


@pytest.mark.parametrize("version", DIALECTS)
@settings(max_examples=2000 if CAMPAIGN else 60, deadline=None)
@given(deeds=st.lists(st.sampled_from(CALM), min_size=5, max_size=60))
def test_without_a_crash_each_reading_arrives_once_and_in_order(version: str, deeds: list[str]) -> None:
    station = asyncio.run(_play(deeds, version))
    assert station.books.readings == station.stored
    assert [n for events in station.books.named.values() for n in (e["seqNo"] for e in events)] == [
        n for events in station.books.named.values() for n in range(len(events))
    ]


@pytest.mark.campaign
@pytest.mark.parametrize("version", DIALECTS)
@settings(max_examples=4000 if CAMPAIGN else 80, deadline=None)
@given(deeds=st.lists(st.sampled_from(STORMS), min_size=10, max_size=60))
@example(deeds=["card", "answered", "sample", "sample", "lost", "kill", "sample", "answered", "sample", "end"])
@example(deeds=["card", "answered", "sample", "silent", "sample", "sample", "answered", "end"])
@example(deeds=["card", "answered", *["sample"] * 4, "stuck", "answered", "kill", *["sample"] * 4, "answered", "end"])
@example(deeds=["card", "answered", *["sample"] * 4, *["refused"] * 4, "sample", "sample", "answered", "end"])
@example(
    deeds=["card", "answered", *["sample"] * 3, "answered", "state", "answered", "sample", "sample", "lost", "end"]
)
@example(deeds=["card", "answered", "kill", "many", "many", "end", "card", "many", "sample", "sample", "end", *LATE])
def test_no_reading_is_lost_and_few_are_doubled(version: str, deeds: list[str]) -> None:
    """A backend of 2.0.1 that knows an event by its number, and looks at no other content of it, has every reading.
    Where nothing is refused, no message is given up, and each arrives first in the order of the queue."""
    station = asyncio.run(_play(deeds, version))
    assert set(station.books.readings) == set(station.stored)
    if not {"refused", "nonsense", "silent"} & set(deeds):
        assert station.dead == set()
        assert list(dict.fromkeys(station.books.readings)) == station.stored
    troubles = sum(deed in TROUBLES for deed in deeds)
    most = max(Counter(station.books.readings).values(), default=0)
    assert most <= 1 + troubles


# --- what leaves the store meanwhile ----------------------------------------------------------------------------------


class SlowOutbox(Outbox):
    """``gate``: closed, the store is busy with each removal until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.removals = asyncio.Event(), 0
        self.gate.set()

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        self.removals += 1
        await self.gate.wait()
        await super().remove_delivered(row, facts)


def slow_room(central: Central, dialect: Dialect = V16) -> tuple[Room, SlowOutbox]:
    outbox = SlowOutbox()
    return build(central, dialects=(dialect,), outbox=outbox), outbox


async def test_the_next_message_does_not_wait_for_the_removal_of_samples() -> None:
    """One removal at a time is under way: the third message waits for the first."""
    async with served(Central()) as central:
        room, outbox = slow_room(central)
        outbox.put(started())
        async with running(room):
            await until(lambda: not outbox.rows)
            outbox.gate.clear()
            for n in range(1, 4):
                outbox.put(replace(sampled(1000 + n), authorized=n != 2))  # not merged
            room.link.queue_changed()
            await until(lambda: len(central.of("MeterValues")) == 2)
            await asyncio.sleep(0.1)
            assert len(central.of("MeterValues")) == 2
            assert outbox.removals == 2  # of the start, and the first sample
            outbox.gate.set()
            await until(lambda: not outbox.rows)
    assert len(central.of("MeterValues")) == 3


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_the_next_message_waits_for_the_removal_of_a_start(dialect: Dialect) -> None:
    async with served(Central(), (dialect.subprotocol,)) as central:
        room, outbox = slow_room(central, dialect)
        outbox.gate.clear()
        outbox.put(started())
        outbox.put(sampled(1001))
        async with running(room):
            await until(lambda: outbox.removals == 1)
            await asyncio.sleep(0.1)
            assert len([a for a in central.actions() if a in ("MeterValues", "TransactionEvent")]) == (dialect is V201)
            outbox.gate.set()
            await until(lambda: not outbox.rows)


async def test_a_sample_that_the_store_keeps_is_not_sent_again() -> None:
    async with served(Central()) as central:
        room, outbox = slow_room(central)
        outbox.put(started())
        async with running(room):
            await until(lambda: not outbox.rows)
            outbox.broken = 2
            for message in (*(sampled(1000 + n) for n in range(1, 6)), ended()):
                outbox.put(message)
            room.link.queue_changed()
            await until(lambda: not outbox.rows)
    assert outbox.broken == 0
    assert readings([("MeterValues", p) for p in central.of("MeterValues")]) == list(range(1001, 1006))
    assert len(central.of("StopTransaction")) == 1
