"""The durable queue of what must be heard of, on the real store: its order, its bounds, and kill -9 at any moment."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from agent.domain.messages import (
    FirmwareStatus,
    LogStatus,
    MeterSampled,
    Sample,
    SecurityHappened,
    StopReason,
    TransactionEnded,
    TriggerReason,
)
from agent.domain.security_events import LOG_MAX, Noted
from agent.domain.serialization import dump_record
from agent.model.types import Reading, ReadingContext, Stamp
from agent.ports.store import NOTES_MAX, Put, link_of, notes_of, readings_of
from agent.services import engine
from agent.services.store.store import Store
from tests.services.test_retention import fast
from tests.support.busy_machine import deadline

NOTES = notes_of("chargy")


def event(n: int) -> SecurityHappened:
    return SecurityHappened("FirmwareUpdated", Stamp(1, float(n)), str(n))


def bill(n: int) -> TransactionEnded:
    return TransactionEnded(f"s{n}", 1, None, Stamp(1, 9.0), n, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)


STEPS = st.lists(st.tuples(st.sampled_from(["event", "status", "bill", "done", "paid", "again"]), st.integers(0, 3)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_two_queues_that_know_nothing_of_each_other(tmp_path: Path, steps: list[tuple[str, int]]) -> None:
    """Against two lists: what is put in comes out, in order, whatever the other queue does, also after a restart."""
    path = Path(tempfile.mkdtemp(dir=tmp_path)) / "agent.db"

    async def play() -> None:
        store = await fast(path)
        wanted: dict[str, list[object]] = {"chargy": [], NOTES: []}
        for n, (what, count) in enumerate(steps):
            if what == "again":
                await store.close()
                store = await fast(path)
            elif what in ("done", "paid"):
                queue = NOTES if what == "done" else "chargy"
                for row in await store.oldest_rows(queue, count):
                    await store.remove_delivered(row)
                wanted[queue] = wanted[queue][count:]
            else:
                queue = "chargy" if what == "bill" else NOTES
                made = {"bill": bill(n), "event": event(n), "status": LogStatus("Uploading", n, True)}[what]
                await store.commit([], [(queue, made)])
                wanted[queue].append(made)
            for queue, messages in wanted.items():
                assert [r.message for r in await store.oldest_rows(queue, -1)] == messages
                assert store.queued_count(queue) == len(messages)
        await store.close()

    asyncio.run(play())


async def test_a_month_off_line_leaves_the_newest_and_no_bill_is_touched(tmp_path: Path) -> None:
    store = await fast(tmp_path / "agent.db")
    most = NOTES_MAX
    await store.commit([], [("chargy", bill(1))])
    for first in range(0, most + 100, 50):
        events = [event(n) for n in range(first, first + 50)]
        puts = [
            Put("security", str(n), dump_record(Noted("FirmwareUpdated", Stamp(1, n))))
            for n in range(first, first + 50)
        ]
        await store.commit(puts, [(NOTES, e) for e in events])
    assert [r.message.info for r in await store.oldest_rows(NOTES, -1)] == [str(n) for n in range(100, most + 100)]
    assert (store.queued_count(NOTES), store.queued_count("chargy")) == (most, 1)
    kept = (await store.read_facts())["security"]
    assert sorted(map(int, kept)) == list(range(most + 100 - LOG_MAX, most + 100))
    await store.close()


def sampled(session: str = "") -> MeterSampled:
    reading = Reading(Stamp(1, 30.0), 1200)
    return MeterSampled(session, 1, (Sample(ReadingContext.CLOCK, reading, ("Energy.Active.Import.Register",)),))


def test_each_message_travels_in_the_queue_of_its_kind() -> None:
    readings = readings_of("chargy")
    queues = [(bill(1), "chargy"), (sampled("s1"), "chargy"), (sampled(), readings), (event(1), NOTES)]
    assert [engine._durable_queue_of("chargy", message) for message, _ in queues] == [queue for _, queue in queues]
    assert {link_of(queue) for _, queue in queues} == {"chargy"}


async def test_a_month_of_meter_values_outside_a_transaction_is_kept(tmp_path: Path) -> None:
    """Where the store has room: they are no notes, of which the oldest may go."""
    store = await fast(tmp_path / "agent.db")
    for _ in range(12):
        await store.commit([], [(readings_of("chargy"), sampled())] * 50)
    assert store.queued_count(readings_of("chargy")) == 600 > NOTES_MAX
    assert store.queued_count("chargy") == 0
    await store.close()


async def test_dead_letters_know_nothing_of_it(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([], [(NOTES, event(1)), (NOTES, FirmwareStatus("Installed", 1, True))])
    assert [type(r.message) for r in await store.oldest_rows(NOTES, 9)] == [SecurityHappened, FirmwareStatus]
    assert store.usage_summary()["waiting"] == {NOTES: 2}
    assert await store.list_dead_letters() == []
    await store.close()


# --- kill -9 ---------------------------------------------------------------------------------------------------------

STATION = """
[station]
id = "CP-1"
state_dir = "state"
[backend]
url = "ws://127.0.0.1:{port}"
reconnect_s = 0.05
[[evse]]
number = 1
"""


class Central:
    """Accepts a boot when it may, and writes down what is sent."""

    def __init__(self) -> None:
        self.accepts = False
        self.sent_events: list[tuple[str, str]] = []
        self.boots = 0

    async def serve(self, ws: ServerConnection) -> None:
        async for text in ws:
            _, id_, action, payload = json.loads(text)
            answer: dict[str, object] = {}
            if action == "BootNotification":
                self.boots += 1
                status = "Accepted" if self.accepts else "Pending"
                answer = {"status": status, "currentTime": "2026-11-26T10:00:00Z", "interval": 1}
            elif action == "Heartbeat":
                answer = {"currentTime": "2026-11-26T10:00:00Z"}
            elif action == "SecurityEventNotification":
                self.sent_events.append((id_, payload["type"]))
            await ws.send(json.dumps([3, id_, answer]))


async def begun(folder: Path) -> asyncio.subprocess.Process:
    args = (sys.executable, "-m", "agent", "run", "station.toml")
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(*args, cwd=folder, stdout=quiet, stderr=quiet)


def waiting(folder: Path) -> int:
    """How many rows a dead agent has left; -1: no table yet."""
    path = folder / "state" / "agent.db"
    if not path.exists():
        return -1
    db = sqlite3.connect(path)
    try:
        return int(db.execute("SELECT count(*) FROM outbox WHERE link=?", (NOTES,)).fetchone()[0])
    except sqlite3.OperationalError:
        return -1
    finally:
        db.close()


async def until(true: Callable[[], bool]) -> None:
    async with deadline(30):
        while not true():
            await asyncio.sleep(0.005)


async def test_every_start_is_reported_once_however_they_were_killed(tmp_path: Path) -> None:
    """Agents that are killed while no backend accepts them; the last one reports each start that got to the disk."""
    central = Central()
    async with serve(central.serve, "127.0.0.1", 0, subprotocols=["ocpp1.6"]) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        (tmp_path / "station.toml").write_text(STATION.format(port=port))
        for boots, delay_s in ((1, random.Random(5).uniform(0.0, 0.1)), (3, 0.0)):  # in the middle; long after
            agent = await begun(tmp_path)
            await until(lambda boots=boots: central.boots >= boots)
            await asyncio.sleep(delay_s)
            agent.send_signal(signal.SIGKILL)
            await agent.wait()
        left = max(0, waiting(tmp_path))
        central.accepts = True
        agent = await begun(tmp_path)
        await until(lambda: len(central.sent_events) > left)
        agent.send_signal(signal.SIGTERM)
        await agent.wait()
    assert left
    assert len({id_ for id_, _ in central.sent_events}) == len(central.sent_events) == left + 1
    assert {kind for _, kind in central.sent_events} == {"StartupOfTheDevice"}
    assert waiting(tmp_path) == 0
