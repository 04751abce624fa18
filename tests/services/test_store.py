"""The durable store: what was acknowledged is there, whatever happens to the process or the file."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.domain.messages import MeterSampled, Sample, StopReason, TransactionEnded, TransactionStarted, TriggerReason
from agent.domain.record import Poisoned
from agent.kinds import Reading, ReadingContext, Stamp, Token
from agent.ports.store import Put, StoreError
from agent.services import store as module
from agent.services.store import MIGRATIONS, Store, StoreRefused

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"


def started(session="s1", wh=1000):
    return TransactionStarted(session, 1, Token("04A1B2C3"), Stamp(1, 5.0), wh)


def ended(session="s1", wh=2000):
    return TransactionEnded(session, 1, None, Stamp(1, 9.0), wh, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)


def sampled(n=0, session="s1"):
    reading = Reading(Stamp(1, float(n)), 1000 + n, voltage_v=(230.0, 231.0, 229.5))
    return MeterSampled(session, 1, (Sample(ReadingContext.PERIODIC, reading, ("Energy.Active.Import.Register",)),))


async def test_facts_and_queue_survive_a_reopening(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([Put("session", "s1", {"evse": 1})], [("chargy", started()), ("chargy", ended())])
    await store.commit([Put("session", "s1", None), Put("setting", "x", {"text": "1"})])
    first = await store.head("chargy", 10)
    await store.close()

    store = await Store.open(tmp_path / "agent.db")
    assert (await store.facts())["setting"] == {"x": {"text": "1"}}
    assert "session" not in await store.facts()
    rows = await store.head("chargy", 10)
    assert rows == first
    assert [r.message for r in rows] == [started(), ended()]
    assert len({r.id for r in rows}) == 2
    assert store.waiting("chargy") == 2
    await store.close()


async def test_done_brings_the_transaction_id_and_forgets_it_with_the_end(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([], [("chargy", started()), ("chargy", ended())])
    start, end = await store.head("chargy", 2)
    await store.done(start, [Put("transaction", "chargy/s1", {"id": "42"})])
    assert store.transaction_id("chargy", "s1") == "42"
    assert store.session_of("chargy", "42") == "s1"
    await store.close()

    store = await Store.open(tmp_path / "agent.db")
    assert store.transaction_id("chargy", "s1") == "42"
    await store.done(end)
    assert store.transaction_id("chargy", "s1") is None
    assert store.waiting("chargy") == 0
    assert (await store.facts()).get("transaction") is None
    await store.close()


async def test_dead_letters_are_kept_shown_and_revived_in_their_place(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([], [("chargy", started()), ("chargy", sampled()), ("chargy", ended())])
    rows = await store.head("chargy", 3)
    await store.attempted(rows[0])
    await store.attempted(rows[0])
    assert (await store.head("chargy"))[0].attempts == 2
    await store.bury(rows[:2], "refused three times")
    assert [r.message for r in await store.head("chargy", 9)] == [ended()]
    letters = await store.dead()
    assert [(x.kind, x.reason) for x in letters] == [
        ("TransactionStarted", "refused three times"),
        ("MeterSampled", "refused three times"),
    ]
    await store.revive([x.seq for x in letters])
    assert [r.id for r in await store.head("chargy", 9)] == [r.id for r in rows]
    assert await store.dead() == []
    await store.close()


async def test_a_second_agent_on_the_same_file_is_refused(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db")
    with pytest.raises(StoreRefused, match="another agent"):
        await Store.open(tmp_path / "agent.db")
    await store.close()
    await (await Store.open(tmp_path / "agent.db")).close()


async def test_an_old_schema_is_migrated_with_its_content(tmp_path: Path):
    path = tmp_path / "agent.db"
    db = sqlite3.connect(path)
    db.executescript(MIGRATIONS[0] + "PRAGMA user_version=1;")
    db.execute("INSERT INTO facts VALUES('setting', 'x', '{\"text\":\"7\"}')")
    body = json.dumps(module.dump(started()))
    db.execute("INSERT INTO outbox(link, session, kind, body) VALUES('chargy', 's1', 'TransactionStarted', ?)", (body,))
    db.execute("INSERT INTO dead VALUES(9, 'chargy', 's0', 'TransactionEnded', '{}', 3)")
    db.commit()
    db.close()
    store = await Store.open(path)
    assert (await store.facts())["setting"]["x"] == {"text": "7"}
    assert (await store.head("chargy"))[0].message == started()
    assert (await store.dead())[0].session == "s0"
    await store.close()
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


async def test_a_newer_schema_is_refused_with_advice(tmp_path: Path):
    path = tmp_path / "agent.db"
    await (await Store.open(path)).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreRefused, match="newer program"):
        await Store.open(path)


async def test_an_unreadable_message_travels_as_what_it_is(tmp_path: Path):
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    await store.commit([], [("chargy", started())])
    await store.close()
    db = sqlite3.connect(path)
    db.execute('UPDATE outbox SET body=\'{"$":"FromTheFuture"}\'')
    db.commit()
    db.close()
    store = await Store.open(path)
    assert isinstance((await store.head("chargy"))[0].message, Poisoned)
    await store.close()


async def test_a_full_store_thins_meter_values_and_never_a_start_or_a_stop(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db", max_mb=1)
    await store.commit([], [("chargy", started())])
    n = 0
    with pytest.raises(StoreError):
        for n in range(200_000):
            await store.commit([], [("chargy", sampled(n))] * 50 if n % 40 else [("chargy", ended(f"e{n}", n))])
    rows = await store.head("chargy", -1)
    kinds = [type(r.message).__name__ for r in rows]
    assert kinds[0] == "TransactionStarted"
    assert kinds.count("TransactionEnded") >= n // 40
    assert store.waiting("chargy") == len(rows)
    await store.close()


async def test_a_read_only_folder_is_told_with_the_path(tmp_path: Path):
    path = tmp_path / "file-not-folder"
    path.write_text("x")
    with pytest.raises((StoreError, StoreRefused), match="file-not-folder"):
        await Store.open(path / "agent.db")


async def test_a_damaged_file_is_set_aside_and_what_can_be_read_is_saved(tmp_path: Path):
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    await store.commit([Put("setting", f"k{i}", {"text": "v" * 200}) for i in range(200)], [("chargy", started())])
    await store.close()
    data = bytearray(path.read_bytes())
    data[-4096:] = b"\xff" * 4096
    data[4096 * 6 : 4096 * 7] = b"\x5a" * 4096
    path.write_bytes(data)
    store = await Store.open(path)
    assert store.set_aside is not None
    assert store.set_aside.exists()
    await store.commit([Put("setting", "new", {"text": "1"})])
    assert (await store.facts())["setting"]["new"] == {"text": "1"}
    await store.close()


async def test_no_database_at_all_is_set_aside_too(tmp_path: Path):
    path = tmp_path / "agent.db"
    path.write_bytes(b"this was never a database, " * 400)
    store = await Store.open(path)
    assert store.set_aside is not None
    await store.close()


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, "tests/services")
from agent.services.store import Store
from agent.ports.store import Put
from agent.domain.messages import TransactionStarted
from agent.kinds import Stamp, Token

async def main():
    store = await Store.open(Path(sys.argv[1]))
    first = int((await store.facts()).get("n", {}).get("n", {"n": 0})["n"]) + 1
    print("from", first, flush=True)
    for n in range(first, 100000):
        message = TransactionStarted(f"s{n}", 1, Token("A"), Stamp(1, float(n)), n)
        await store.commit([Put("n", "n", {"n": n})], [("chargy", message)])
        print(n, flush=True)

asyncio.run(main())
"""


def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path):
    """kill -9 at a random moment: fact and message of one event are both there or both not; all acknowledged are."""
    path, acknowledged = tmp_path / "agent.db", 0
    for round_ in range(60 if FULL else 8):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline().startswith("from")
        for _ in range(5 + round_ * 3):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in child.stdout.read().split("\n")[:-1] if line)])
        child.wait()
        kept, rows = asyncio.run(_look(path))
        assert kept >= acknowledged
        assert [r.message.meter_wh for r in rows] == list(range(1, kept + 1))


async def _look(path: Path):
    store = await Store.open(path)
    assert store.set_aside is None
    facts, rows = await store.facts(), await store.head("chargy", -1)
    await store.close()
    return facts["n"]["n"]["n"], rows
