"""How a store is opened: beside the loading of the program, and without a look at what waits in a long queue."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from agent.domain.messages import MeterSampled, Sample, TransactionStarted
from agent.model.types import Reading, ReadingContext, Stamp, Token
from agent.ports.store import Put
from agent.services.store import migrations
from agent.services.store.store import MIGRATIONS, Store, StoreRefused
from agent.services.store.store_file import StoreFile

RUNNING = Put("transaction", "chargy/s1", {"id": "42"})


def started(session: str = "s1") -> TransactionStarted:
    return TransactionStarted(session, 1, Token("04A1B2C3"), Stamp(1, 5.0), 1000)


def sampled(session: str = "s1") -> MeterSampled:
    return MeterSampled(session, 1, (Sample(ReadingContext.PERIODIC, Reading(Stamp(1, 6.0), 1001), ()),))


def test_it_opens_while_no_one_waits_for_it(tmp_path: Path) -> None:
    """Not even an event loop is there yet."""
    opened = threading.Event()

    class Noting(StoreFile):
        def _open_file(self) -> None:
            super()._open_file()
            opened.set()

    store = Store(Noting.begin_opening(tmp_path / "agent.db", 32))
    assert opened.wait(30.0)

    async def use() -> int:
        await (await store.finish_opening()).commit([], [("chargy", started())])
        waiting = store.queued_count("chargy")
        await store.close()
        return waiting

    assert asyncio.run(use()) == 1


async def test_what_is_wrong_with_it_is_said_to_who_waits(tmp_path: Path) -> None:
    first = await Store.open(tmp_path / "agent.db")
    second = Store.begin_opening(tmp_path / "agent.db")
    with pytest.raises(StoreRefused, match="another agent"):
        await second.finish_opening()
    await first.close()


async def test_a_long_queue_is_counted_without_being_read(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([], [("chargy", sampled(f"s{n}")) for n in range(300)])
    await store.commit([], [("other", started())])
    said: list[str] = []
    await store._file.run_in_thread(lambda: store._file.db.set_trace_callback(said.append))
    await store._file.run_in_thread(store._file.count_queued)
    await store._file.run_in_thread(lambda: store._file.db.set_trace_callback(None))
    (plan,) = await store._file.run_in_thread(
        lambda: store._file.db.execute(f"EXPLAIN QUERY PLAN {said[0]}").fetchall()
    )
    assert "USING COVERING INDEX" in plan[3]
    assert (store.queued_count("chargy"), store.queued_count("other"), store.queued_count("none")) == (300, 1, 0)
    assert store.usage_summary()["waiting"] == {"chargy": 300, "other": 1}
    await store.close()


async def test_what_is_known_of_a_session_goes_with_its_last_message(tmp_path: Path) -> None:
    """The end was given up, then what was sent before it is sent again: nothing of it is remembered after that."""
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([Put("session", "s1", {"evse": 1})], [("chargy", started()), ("chargy", sampled())])
    start, value = await store.oldest_rows("chargy", 2)
    await store.remove_delivered(start, [RUNNING])
    await store.remove_delivered(value)
    assert store.transaction_record("chargy", "s1") == {"id": "42"}  # it goes on
    await store.commit([Put("session", "s1", None)], [("chargy", sampled()), ("chargy", sampled())])
    one, other = await store.oldest_rows("chargy", 2)
    await store.remove_delivered(one)
    assert store.transaction_record("chargy", "s1") == {"id": "42"}  # the other one gets it
    await store.remove_delivered(other)
    assert store.transaction_record("chargy", "s1") == {}
    assert "transaction" not in await store.read_facts()
    await store.close()


def test_a_file_of_any_age_is_becomes_of_the_present_shape(tmp_path: Path) -> None:
    new = migrations.create_in_memory()
    want = new.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    for version in range(len(MIGRATIONS)):
        path = tmp_path / f"{version}.db"
        old = sqlite3.connect(path)
        for number in range(version):
            old.executescript(MIGRATIONS[number])
        old.execute(f"PRAGMA user_version={version}")
        old.close()
        db = migrations.connect_store(path)
        assert db.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall() == want
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        db.close()


def test_the_shape_is_that_of_the_migrations() -> None:
    """After a new migration, put the new value into ``schema.SHAPE``."""
    assert migrations.schema_checksum(migrations.create_in_memory()) == migrations.SHAPE


def test_a_program_that_comes_back_can_go_on_with_the_file_of_a_newer_one() -> None:
    """After a new migration: it only adds, and ``LEAST_READER`` is the schema before it (decision 42)."""
    assert len(MIGRATIONS) == 5 or len(MIGRATIONS) > migrations.LEAST_READER


NEWER = """
    CREATE TABLE meters(serial TEXT PRIMARY KEY) WITHOUT ROWID;
    ALTER TABLE facts ADD COLUMN made INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN made INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE numbers ADD COLUMN made INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX outbox_made ON outbox(made);
"""


def _install_newer_program(monkeypatch: pytest.MonkeyPatch, least_reader: int) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, NEWER))
    monkeypatch.setattr(migrations, "LEAST_READER", least_reader)
    monkeypatch.setattr(migrations, "SHAPE", migrations.schema_checksum(migrations.create_in_memory()))


async def test_a_system_that_falls_back_goes_on_with_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The update migrated the store and its boot was not accepted. Then the update comes once more."""
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    await store.commit([Put("note", "1", {"by": "the old system"})], [("chargy", started("s1"))])
    await store.close()
    with monkeypatch.context() as newer:
        _install_newer_program(newer, len(MIGRATIONS))
        store = await Store.open(path)
        await store.commit([Put("note", "2", {"by": "the new system"})], [("chargy", started("s2"))])
        await store.close()
    for n in (3, 4):  # its witness is that of the newer program, then its own
        store = await Store.open(path)
        assert (store.set_aside, store.lost) == (None, "")
        await store.commit([Put("note", str(n), {"by": "the old system"})], [("chargy", started(f"s{n}"))])
        assert sorted((await store.read_facts())["note"]) == [str(i) for i in range(1, n + 1)]
        await store.close()
    with monkeypatch.context() as newer:
        _install_newer_program(newer, len(MIGRATIONS))
        store = await Store.open(path)
        assert sorted((await store.read_facts())["note"]) == ["1", "2", "3", "4"]
        assert [row.session for row in await store.oldest_rows("chargy", 9)] == ["s1", "s2", "s3", "s4"]
        await store.close()


async def test_a_store_that_a_newer_program_has_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.db"
    with monkeypatch.context() as newer:
        _install_newer_program(newer, 0)
        await (await Store.open(path)).close()
    with pytest.raises(StoreRefused, match="newer program"):
        await Store.open(path)
