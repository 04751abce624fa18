"""A store whose file is damaged: it opens, and what was not on the damaged page is there."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from agent.domain.serialization import dump_record
from agent.ports.store import Put, StoreError
from agent.services.store import encoding, migrations, recovery
from agent.services.store.migrations import MIGRATIONS, StoreRefused
from agent.services.store.store import Store
from tests.services.test_store import ended, sampled, started

SESSIONS = 60
PAGE = 4096


async def filled(path: Path) -> None:
    store = await Store.open(path)
    for n in range(SESSIONS):
        queued = [started(f"s{n}", n), *(sampled(k, f"s{n}") for k in range(4)), ended(f"s{n}", n)]
        await store.commit([Put("cache", f"CARD-{n:06d}", {"status": "Accepted"})], [("chargy", m) for m in queued])
    await store.dead_letter((await store.oldest_rows("chargy", 60)), "refused for good")
    await store.close()


async def content(path: Path) -> tuple[int, int, int]:
    """How many rows wait, are dead, and how many facts there are. The store works."""
    store = await Store.open(path)
    rows, letters, facts = (
        await store.oldest_rows("chargy", -1),
        await store.list_dead_letters(),
        await store.read_facts(),
    )
    assert [r.seq for r in rows] == sorted({r.seq for r in rows})
    await store.commit([Put("setting", "x", {"text": "1"})], [("chargy", started("new"))])
    await store.close()
    return len(rows), len(letters), len(facts.get("cache", {}))


async def test_one_damaged_page_costs_what_is_on_it(tmp_path: Path) -> None:
    """Every page but the first in turn: a run of random bytes in it."""
    whole = tmp_path / "whole.db"
    await filled(whole)
    pages, dice = whole.stat().st_size // PAGE, random.Random(4)
    before = (SESSIONS * 6 - 60, 60, SESSIONS)
    lost, roots = [], 0
    for page in range(1, pages):
        path = tmp_path / f"p{page}" / "agent.db"
        path.parent.mkdir()
        data = bytearray(whole.read_bytes())
        at = page * PAGE
        data[at : at + 64] = dice.randbytes(64)
        path.write_bytes(data)
        after = await content(path)
        gone = [b - a for b, a in zip(before, after, strict=True)]
        roots += max(gone) >= 50
        lost.append(sum(g for g in gone if g < 50))
    assert roots <= 8, "a damaged root costs its table, a leaf never"
    assert max(lost) <= 30
    assert pages > 20


async def test_single_bits_never_stop_a_station(tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    await filled(whole)
    dice = random.Random(7)
    for n in range(30):
        path = tmp_path / str(n) / "agent.db"
        path.parent.mkdir()
        data = bytearray(whole.read_bytes())
        for _ in range(dice.choice((1, 1, 8))):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(data)
        with contextlib.suppress(StoreRefused):  # a bit of the version: not ours to guess
            assert (await content(path))[0] >= 0


async def test_what_was_committed_and_not_yet_merged_is_saved_too(tmp_path: Path) -> None:
    """The newest bills are in the -wal while the file itself is damaged."""
    path, live = tmp_path / "agent.db", tmp_path / "live" / "agent.db"
    live.parent.mkdir()
    await filled(live)
    store = await Store.open(live)
    await store.commit([], [("chargy", started("newest", 77))])
    for tail in ("", "-wal"):
        shutil.copyfile(f"{live}{tail}", f"{path}{tail}")  # as after a power cut
    await store.close()
    data = bytearray(path.read_bytes())
    data[-PAGE:] = b"\x5a" * PAGE
    path.write_bytes(data)
    store = await Store.open(path)
    assert store.set_aside is not None
    assert (await store.oldest_rows("chargy", -1))[-1].session == "newest"
    await store.close()


@pytest.mark.parametrize("moved", [False, True])
async def test_a_power_cut_in_the_middle_of_a_salvage_is_finished(tmp_path: Path, moved: bool) -> None:
    path, corrupt = tmp_path / "agent.db", b"\x00 no database" * 3000
    await filled(migrations.salvaged_path(path))
    if not moved:
        path.write_bytes(corrupt)
    else:
        path.with_suffix(".corrupt-1").write_bytes(corrupt)
    assert (await content(path))[0] == SESSIONS * 6 - 60
    assert not migrations.salvaged_path(path).exists()
    assert path.with_suffix(".corrupt-1").read_bytes() == corrupt


async def test_half_a_salvage_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    await filled(path)
    data = bytearray(path.read_bytes())
    data[-PAGE:] = b"\x5a" * PAGE
    path.write_bytes(data)
    half = path.with_suffix(".salvaging")
    half.write_bytes(b"")  # made, and the power went
    half.with_name(half.name + "-wal").write_bytes(b"of it")
    assert (await content(path))[0] > 200
    assert path.with_suffix(".corrupt-1").exists()


# --- every schema that was ever shipped ------------------------------------------------------------------------------


def of_schema(path: Path, version: int) -> None:
    """A file as a program of that schema has left it: made by its own statements, filled with what it knew."""
    db = sqlite3.connect(path, isolation_level=None)
    for statements in MIGRATIONS[:version]:
        db.executescript(statements)
    db.execute(f"PRAGMA user_version={version}")
    db.execute("INSERT INTO facts VALUES('setting', 'x', '{\"text\":\"7\"}')")
    db.execute("INSERT INTO facts VALUES('session', 's1', '{\"evse\":1}')")
    place = ", number" if version >= 3 else ""
    for n, message in enumerate((started(), sampled(1), ended())):
        row = (
            "chargy",
            "s1",
            type(message).__name__,
            encoding.to_json_text(dump_record(message)),
            *([n] if place else []),
        )
        marks = ",".join("?" * len(row))
        db.execute(f"INSERT INTO outbox(link, session, kind, body{place}) VALUES({marks})", row)
    columns, row = "seq, link, session, kind, body, attempts", "90, 'chargy', 's0', 'TransactionEnded', '{}', 3"
    db.execute(f"INSERT INTO dead({columns}) VALUES({row})")
    db.close()


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
async def test_every_older_schema_is_brought_forward_with_its_content(tmp_path: Path, version: int) -> None:
    path = tmp_path / "agent.db"
    if version:
        of_schema(path, version)
    store = await Store.open(path)
    if version:
        facts = await store.read_facts()
        assert (facts["setting"], facts["session"]) == ({"x": {"text": "7"}}, {"s1": {"evse": 1}})
        rows = await store.oldest_rows("chargy", 9)
        assert [r.message for r in rows] == [started(), sampled(1), ended()]
        assert [r.number for r in rows] == [0, 1, 2]
        assert [x.seq for x in await store.list_dead_letters()] == [90]
    await store.commit([], [("chargy", started("s2"))])
    assert (await store.oldest_rows("chargy", 9))[-1].number == 0
    await store.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    shape = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    assert db.execute(shape).fetchall() == recovery.salvage_in_memory(tmp_path / "none").execute(shape).fetchall()
    db.close()


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
async def test_a_power_cut_in_a_migration_changes_nothing(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is one transaction: the next start finds the step before it, or the whole of it."""
    path = tmp_path / "agent.db"
    if version:
        of_schema(path, version)
    broken = (*MIGRATIONS[:version], MIGRATIONS[version] + "; CREATE TABLE facts(again)", *MIGRATIONS[version + 1 :])
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    with pytest.raises((StoreError, StoreRefused)):
        await Store.open(path)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (version,)
    db.close()
    monkeypatch.undo()
    store = await Store.open(path)
    assert store.queued_count("chargy") == (3 if version else 0)
    await store.close()
