"""What is kept of thousands of sessions is what the bounds of docs/operations.md say, whatever became of them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from pathlib import Path

import pytest

from agent.domain.messages import (
    ChargingState,
    Sample,
    TransactionAuthorized,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.serialization import dump_record
from agent.model.types import Reading, ReadingContext, Stamp, Token
from agent.ocpp.outbound.transaction_openings import TransactionRecord, encode_record
from agent.ports.store import OutboxRow, Put
from agent.services.clock import BUILT_UTC_S, Clock
from agent.services.store import dead_letters, recovery
from agent.services.store.store import MIGRATIONS, Store
from agent.services.store.transaction_ids import ENDED_KEPT
from tests.services.test_store import ended, sampled, started

SESSIONS, AT_ONCE = 10_000, 250
DELIVERED = 2_000
"""Sessions of which nothing is left: thirty times as many as there are ends that are kept (``ENDED_KEPT``)."""
CHARGING = ChargingState.CHARGING


async def fast(path: Path) -> Store:
    """The real store, without waiting for the disk."""
    store = await Store.open(path)
    await store._file.run_in_thread(lambda: store._file.db.execute("PRAGMA synchronous=OFF"))
    return store


def look(path: Path) -> dict[str, int]:
    db = sqlite3.connect(path)
    counts = {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("outbox", "dead", "numbers")}
    counts |= dict(db.execute("SELECT kind, count(*) FROM facts GROUP BY kind").fetchall())
    db.close()
    return counts


async def test_delivered_sessions_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = await fast(path)
    for n in range(DELIVERED):
        name = f"{n:08d}-0000-0000-0000-000000000000"
        await store.commit([Put("session", name, {"evse": 1, "n": n})], [("chargy", started(name))])
        await store.commit([Put("session", name, None)], [("chargy", sampled(n, name)), ("chargy", ended(name))])
        start, value, end = await store.oldest_rows("chargy", 3)
        await store.remove_delivered(start, [Put("transaction", f"chargy/{name}", {"id": str(n)})])
        await store.remove_delivered(value)
        await store.remove_delivered(end)
    assert store._ids._running == {}
    await store.close()
    assert look(path) == {"outbox": 0, "dead": 0, "numbers": 0, "meta": 1, "ended": ENDED_KEPT}
    assert path.stat().st_size < 256 * 1024


async def test_refused_sessions_are_kept_up_to_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = await fast(path)
    for n in range(0, SESSIONS, AT_ONCE):
        names = [f"{k:08d}-0000-0000-0000-000000000000" for k in range(n, n + AT_ONCE)]
        puts = [Put("transaction", f"chargy/{name}", {"id": name}) for name in names]
        queued = [("chargy", m) for name in names for m in (started(name), sampled(0, name), ended(name))]
        await store.commit(puts, queued)
        await store.dead_letter(await store.oldest_rows("chargy", -1), "NotSupported: never heard of it")
    kept = len(store._ids._running)
    await store.close()
    counts = look(path)
    assert counts["dead"] == dead_letters.VALUES_MAX + dead_letters.BILLS_MAX
    assert counts["transaction"] == dead_letters.BILLS_MAX // 2 == kept
    assert counts["outbox"] == counts["numbers"] == 0
    assert path.stat().st_size < 16 * 1024 * 1024


async def test_boots_and_poisoned_records_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = await fast(path)
    for n in range(dead_letters.BOOTS_MAX + 50):
        await store.commit([Put("boot", str(n), {"id": f"b{n}"}), Put("poisoned", f"cache/{n}", {"why": "x"})])
    bills = ("session/s1", "s2", "payment/p1")
    await store.commit([Put("poisoned", key, {"why": "a bill"}) for key in bills])
    await store.commit([Put("poisoned", f"zone/{n}", {"why": "x"}) for n in range(dead_letters.POISONED_MAX)])
    facts = await store.read_facts()
    assert len(facts["boot"]) == dead_letters.BOOTS_MAX
    assert str(dead_letters.BOOTS_MAX + 49) in facts["boot"]
    assert "0" not in facts["boot"]
    assert len(facts["poisoned"]) == dead_letters.POISONED_MAX
    assert set(bills) <= facts["poisoned"].keys(), "what may hold a bill outlives the rest"
    await store.close()


@pytest.mark.parametrize("kept_in", ["queue", "dead letters", "open session"])
@pytest.mark.parametrize("is_known", [True, False], ids=["time known", "time never known"])
async def test_a_boot_of_which_a_bill_has_its_time_is_kept(tmp_path: Path, kept_in: str, is_known: bool) -> None:
    """A board that boots again and again while it is off line: the bill had the day on which the program was built."""
    path, at = tmp_path / "agent.db", Stamp(3, 50.0)
    store = await fast(path)
    for n in range(1, 6):
        known = {"offset_s": BUILT_UTC_S + n * 1e6} if n != at.boot or is_known else {}
        await store.commit([Put("boot", str(n), {"id": f"b{n}", **known, "last_utc_s": BUILT_UTC_S + n * 1e6 + 100.0})])
    if kept_in == "open session":
        await store.commit([Put("session", "s1", {"evse": 1, "started": dump_record(at)})])
    else:
        start = TransactionStarted("s1", 1, Token("04A1B2C3"), at, 1000)
        await store.commit([], [("chargy", start)])
    if kept_in == "dead letters":
        await store.dead_letter(await store.oldest_rows("chargy", 1), "refused")
    before_s = Clock((await store.read_facts())["boot"], boot_id="x").utc_s(at)
    for n in range(6, dead_letters.BOOTS_MAX + 6):
        await store.commit([Put("boot", str(n), {"id": f"b{n}"}), Put("cache", str(n), {"at": n})])
    await store.close()
    store = await fast(path)
    boots = (await store.read_facts())["boot"]
    await store.close()
    assert Clock(boots, boot_id="x").utc_s(at) == before_s > BUILT_UTC_S + 2e6
    assert sorted(map(int, boots))[:4] == [2, 3, 4, 6], "and no more than are needed"


# --- old and damaged files -------------------------------------------------------------------------------------------


def old_file(path: Path, schema: int) -> None:
    """A store as the program of that time wrote it, with an unreadable page."""
    db = sqlite3.connect(path)
    for script in MIGRATIONS[:schema]:
        db.executescript(script)
    db.execute(f"PRAGMA user_version={schema}")
    facts = [("setting", f"k{n:04}", json.dumps({"text": "v" * 200})) for n in range(200)]
    db.executemany("INSERT INTO facts VALUES(?,?,?)", facts)
    for message in (started(), sampled(), ended()):
        row = ("chargy", "s1", type(message).__name__, json.dumps(dump_record(message)))
        db.execute("INSERT INTO outbox(link, session, kind, body) VALUES(?,?,?,?)", row)
    dead = (9, "chargy", "s0", "TransactionEnded", json.dumps(dump_record(ended("s0"))), 3)
    db.execute("INSERT INTO dead(seq, link, session, kind, body, attempts) VALUES(?,?,?,?,?,?)", dead)
    db.commit()
    db.close()
    data = bytearray(path.read_bytes())
    data[-4096:] = b"\x5a" * 4096
    path.write_bytes(data)


@pytest.mark.parametrize("schema", range(1, len(MIGRATIONS) + 1))
async def test_a_damaged_file_of_every_schema_keeps_queue_dead_letters_and_numbers(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "agent.db"
    old_file(path, schema)
    store = await Store.open(path)
    assert store.set_aside is not None
    rows = await store.oldest_rows("chargy", 9)
    assert [r.message for r in rows] == [started(), sampled(), ended()]
    if schema < 3:
        assert [r.number for r in rows] == [0, 1, 2]
        await store.commit([], [("chargy", sampled(1))])
        assert (await store.oldest_rows("chargy", 9))[-1].number == 3
    assert [(x.seq, x.attempts) for x in await store.list_dead_letters()] == [(9, 3)]
    assert len((await store.read_facts())["setting"]) > 100
    await store.close()


@pytest.mark.parametrize("counter", ["whole", 0, 2**62, "damaged"])
async def test_no_message_id_is_given_twice_after_one_salvage_more(tmp_path: Path, counter: bool) -> None:
    """Nothing waits, but a session runs whose start has left: its place is taken, whether the file's counter can be
    read or only what is kept of the start (decision 8)."""
    path = tmp_path / "agent.db"
    store, before = await Store.open(path), 0
    for n in range(3):
        await store.commit([Put("session", f"s{n}", {"open": True})], [("chargy", started(f"s{n}"))])
        (row,) = await store.oldest_rows("chargy", 9)
        assert before + (recovery.AHEAD if n else 1) <= row.seq < 2**32
        before = row.seq
        kept = TransactionRecord(f"s{n}").with_message_left(row, "2.0.1")
        await store.remove_delivered(row, [encode_record("chargy", f"s{n}", kept)])
        await store.close()
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            if counter != "whole":
                db.execute("UPDATE sqlite_sequence SET seq=?", (counter,))
        recovery.replace_corrupt_file(path)
        store = await Store.open(path)
    await store.close()


async def test_no_place_is_given_twice_after_a_salvage(tmp_path: Path) -> None:
    """The rows with the highest places may be what could not be read."""
    path = tmp_path / "agent.db"
    old_file(path, 3)
    store = await Store.open(path)
    await store.commit([], [("chargy", started("s2"))])
    new = (await store.oldest_rows("chargy", 9))[-1]
    assert new.seq > 9 + recovery.AHEAD - 1
    await store.close()


async def test_an_undamaged_file_of_the_first_schema_gets_its_numbers_too(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "whole.db")
    db.executescript(MIGRATIONS[0] + "PRAGMA user_version=1;")
    for session in ("s1", "s2", "s1"):
        row = ("chargy", session, "MeterSampled", "{}")
        db.execute("INSERT INTO outbox(link, session, kind, body) VALUES(?,?,?,?)", row)
    db.commit()
    db.close()
    store = await Store.open(tmp_path / "whole.db")
    assert store.set_aside is None
    assert [r.number for r in await store.oldest_rows("chargy", 9)] == [0, 0, 1]
    await store.close()


async def test_what_is_kept_of_openings_fills_neither_the_store_nor_the_memory(tmp_path: Path) -> None:
    """The ends of 10,000 sessions (here a tenth) are dead letters: their openings wait for an operator to resend them
    (decision 8). A fact of more than a quarter of a page takes a page more."""
    at = Stamp(12, 123456.789)
    reading = Reading(at, 123456, 10987.6, (229.8, 230.4, 231.9), (15.9, 15.7, 16.1), (3650.0, 3601.5, 3736.1), 50.02)
    sample = Sample(ReadingContext.BEGIN, reading, ("Energy.Active.Import.Register", "Voltage", "Current.Import"))
    store = await fast(tmp_path / "agent.db")
    for first in range(0, SESSIONS // 10, AT_ONCE):
        puts = []
        for n in range(first, first + AT_ONCE):
            known, session = TransactionRecord(), str(uuid.UUID(int=n << 64))
            for number, message in enumerate((
                TransactionStarted(session, 1, None, at, n, samples=(sample,), reading=reading),
                TransactionAuthorized(
                    session, 1, Token(f"04A1B2C3{n:06X}"), at, n, TriggerReason.AUTHORIZED, CHARGING,
                    remote_id="12345",
                ),
                TransactionUpdated(session, 1, at, TriggerReason.CHARGING_STATE_CHANGED, CHARGING),
            )):  # fmt: skip
                known = known.with_message_left(
                    OutboxRow(5 * n + number, "chargy", session, message, 0, number), "2.0.1"
                )
            puts.append(encode_record("chargy", session, known.with_transaction_id(session, "2.0.1")))
            assert len(json.dumps(puts[-1].value)) < 1000
        await store.commit(puts, [("chargy", ended(str(n))) for n in range(AT_ONCE)])
    await store.close()
    assert (tmp_path / "agent.db").stat().st_size < 1600 * 1024, "of all of them 16 MB, where the store may have 32"
