"""What has no commit, or no write of the witness, of its own (decision 54): a sample that was delivered, and a register
that is renewed. What a kill or a damaged disk makes of them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from agent.model.fastclass import replace
from agent.ports.store import OutboxRow, Put, StoreError
from agent.services.store.store import Store
from agent.services.store.witness import Witness
from tests.services.test_store import ended, sampled, started

LINK = "chargy"
FILES = ("agent.db", "agent.db-wal", "agent.witness")


def session(wh: int = 1000, **more: object) -> Put:
    return Put("session", "s1", {"evse": 1, "last_wh": wh, "alive_at": {"boot": 1, "t_s": float(wh)}, **more})


async def charging(path: Path) -> Store:
    """A store with an open session whose start is delivered."""
    path.parent.mkdir(exist_ok=True)
    store = await Store.open(path)
    await store.commit([session(), Put("boot", "1", {"id": "x"})], [(LINK, started())])
    (start,) = await store.oldest_rows(LINK)
    await store.remove_delivered(start, [Put("transaction", "chargy/s1", {"id": "7"})])
    return store


async def sample_row(store: Store, n: int = 1) -> OutboxRow:
    await store.commit([session(1000 + n)], [(LINK, sampled(n))])
    return (await store.oldest_rows(LINK, -1))[-1]


def killed(path: Path, to: Path) -> Path:
    """As a kill leaves it, now."""
    to.mkdir()
    for name in FILES:
        if (path.parent / name).exists():
            shutil.copyfile(path.parent / name, to / name)
    return to / path.name


def rows_on_disk(path: Path, folder: Path) -> list[int]:
    db = sqlite3.connect(killed(path, folder))
    found = [seq for (seq,) in db.execute("SELECT seq FROM outbox ORDER BY seq")]
    db.close()
    return found


# --- a sample that was delivered ------------------------------------------------------------------------------------


async def test_a_delivered_sample_leaves_the_disk_with_the_next_commit(tmp_path: Path) -> None:
    path = tmp_path / "live" / "agent.db"
    store = await charging(path)
    row = await sample_row(store)
    frames = path.with_name("agent.db-wal").stat().st_size
    await store.remove_with_next_commit(row)
    assert store.queued_count(LINK) == 0
    assert path.with_name("agent.db-wal").stat().st_size == frames, "it has a commit of its own"
    assert rows_on_disk(path, tmp_path / "before") == [row.seq]
    await store.commit([session(1400)])
    assert rows_on_disk(path, tmp_path / "renewed") == [row.seq], "the witness does not see this commit"
    await store.commit([session(1500, held=True)])
    assert rows_on_disk(path, tmp_path / "after") == []
    assert (store.queued_count(LINK), await store.oldest_rows(LINK, -1)) == (0, [])
    await store.close()


async def test_after_a_kill_it_waits_again_and_nothing_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "live" / "agent.db"
    store = await charging(path)
    row = await sample_row(store)
    await store.remove_with_next_commit(row)
    cut = killed(path, tmp_path / "cut")
    await store.close()
    store = await Store.open(cut)
    assert (store.lost, store.queued_count(LINK)) == ("", 1)
    assert await store.oldest_rows(LINK, -1) == [row]
    await store.close()


@pytest.mark.parametrize("look", ["oldest_rows", "rows_of_session", "is_queued", "open_sessions", "list_undelivered"])
async def test_no_look_at_the_queue_sees_it(tmp_path: Path, look: str) -> None:
    store = await charging(tmp_path / "agent.db")
    await store.remove_with_next_commit(await sample_row(store))
    found = await {
        "oldest_rows": lambda: store.oldest_rows(LINK, 9),
        "rows_of_session": lambda: store.rows_of_session(LINK, "s1"),
        "is_queued": lambda: store.is_queued(LINK, "s1"),
        "open_sessions": lambda: store.open_sessions(LINK),
        "list_undelivered": lambda: store.list_undelivered(),
    }[look]()
    assert found in ([], False, ["s1"]) or [one.what for one in found] == ["open session"]
    await store.close()


async def test_the_end_of_the_process_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = await charging(path)
    await store.remove_with_next_commit(await sample_row(store))
    await store.close()
    store = await Store.open(path)
    assert (store.lost, store.queued_count(LINK)) == ("", 0)
    await store.close()


async def test_it_leaves_at_once_where_others_wait(tmp_path: Path) -> None:
    """They are sent before anything is stored: after a kill many would be sent twice."""
    path = tmp_path / "live" / "agent.db"
    store = await charging(path)
    row = await sample_row(store)
    other = await sample_row(store, 2)
    await store.remove_with_next_commit(row)
    assert rows_on_disk(path, tmp_path / "cut") == [other.seq]
    assert store.queued_count(LINK) == 1
    await store.close()


async def test_it_leaves_at_once_after_the_end_with_what_is_known_of_the_session(tmp_path: Path) -> None:
    """Dead letters that were resent: the record of the transaction goes with the last one."""
    path = tmp_path / "live" / "agent.db"
    store = await charging(path)
    row = await sample_row(store)
    await store.dead_letter([row], "no answer")
    await store.commit([Put("session", "s1", None)], [(LINK, ended())])
    (end,) = await store.oldest_rows(LINK)
    await store.requeue_dead_letters([row.seq])
    await store.remove_delivered(end)
    await store.remove_with_next_commit(row)
    assert rows_on_disk(path, tmp_path / "cut") == []
    assert "transaction" not in await store.read_facts()
    await store.close()


async def test_what_is_stored_of_it_is_known_at_once_and_is_on_disk_with_the_removal(tmp_path: Path) -> None:
    """A charging state, which 1.6 does not send: a kill before that leaves the row, and what was known before."""
    path = tmp_path / "live" / "agent.db"
    store = await charging(path)
    row = await sample_row(store)
    await store.remove_with_next_commit(row, [Put("transaction", "chargy/s1", {"id": "8"})])
    assert store.transaction_id(LINK, "s1", "1.6") == "8"
    cut = killed(path, tmp_path / "cut")
    assert (await store.read_facts())["transaction"]["chargy/s1"] == {"id": "8"}
    later = killed(path, tmp_path / "later")
    await store.close()
    for file, id_, waiting in ((cut, "7", 1), (later, "8", 0)):
        store = await Store.open(file)
        assert (store.transaction_id(LINK, "s1", "1.6"), store.queued_count(LINK), store.lost) == (id_, waiting, "")
        await store.close()


async def test_its_followers_leave_with_it(tmp_path: Path) -> None:
    store = await charging(tmp_path / "agent.db")
    first, second = await sample_row(store), await sample_row(store, 2)
    await store.remove_with_next_commit(replace(first, followers=(second,)))
    assert store.queued_count(LINK) == 0
    await store.commit([session(1500)], [(LINK, sampled(5))])
    assert [r.message for r in await store.oldest_rows(LINK, 9)] == [sampled(5)]
    assert store.queued_count(LINK) == 1
    await store.close()


async def test_a_commit_that_the_disk_does_not_take_leaves_it_for_the_next(tmp_path: Path) -> None:
    """A store that is full: the count stays right, and the row leaves when there is room."""
    path = tmp_path / "live" / "agent.db"
    store = await charging(path)
    row = await sample_row(store)
    await store.remove_with_next_commit(row)
    with pytest.raises(StoreError, match="full"):
        await store.commit([Put("setting", "long", {"text": "x" * 40_000_000})])
    assert store.queued_count(LINK) == 0
    await store.commit([Put("setting", "short", {"text": "x"})])
    assert rows_on_disk(path, tmp_path / "after") == []
    await store.close()


# --- a register that is renewed -------------------------------------------------------------------------------------


async def test_a_renewed_register_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "live" / "agent.db"
    store = await charging(path)
    await store.commit([session(4321), Put("boot", "1", {"id": "x", "last_utc_s": 5.0})])
    cut = killed(path, tmp_path / "cut")
    await store.close()
    store = await Store.open(cut)
    facts = await store.read_facts()
    assert (store.lost, facts["session"]["s1"]["last_wh"]) == ("", 4321)
    await store.close()


@pytest.mark.parametrize(
    ("puts", "is_witnessed"),
    [
        ([session(2000)], False),
        ([session(2000), Put("boot", "1", {"id": "x", "last_utc_s": 9.0})], False),
        ([session(2000), Put("boot", "1", {"id": "x", "offset_s": 9.0})], True),
        ([Put("boot", "1", {"id": "x", "last_utc_s": 9.0})], False),
        ([Put("boot", "1", {"id": "y"})], True),
        ([Put("traffic", "2026-11", {"level": "within", "days": {"wifi": {}}})], False),
        ([Put("traffic", "2026-11", {"level": "above", "days": {}})], True),
        ([Put("traffic", "2026-12", {"level": "within", "days": {}})], True),
        ([], True),
        ([session(2000), Put("boot", "2", {"id": "y"})], True),
        ([session(2000, held=True)], True),
        ([session(2000, stop={"reason": "Local"})], True),
        ([Put("session", "s1", None)], True),
        ([Put("session", "s2", {"evse": 2})], True),
        ([session(2000), Put("setting", "x", {"text": "1"})], True),
    ],
)
async def test_the_witness_need_not_know_of_a_renewed_register(
    tmp_path: Path, puts: list[Put], is_witnessed: bool
) -> None:
    path = tmp_path / "agent.db"
    store = await charging(path)
    await store.commit([Put("traffic", "2026-11", {"level": "within", "days": {}})])
    before = path.with_suffix(".witness").read_bytes()
    commits = Witness(path).read_last()
    await store.commit(puts)
    await store.oldest_rows(LINK)  # the merge behind an end is over
    after = Witness(path).read_last()
    assert (path.with_suffix(".witness").read_bytes() != before) == is_witnessed
    assert commits is not None
    assert after is not None
    assert after.commits == commits.commits + is_witnessed
    await store.close()


async def test_a_damaged_disk_that_loses_renewed_registers_only_has_the_one_before(tmp_path: Path) -> None:
    """Nothing is reported, as after a power cut a moment earlier. Where more is lost it is."""
    path = tmp_path / "live" / "agent.db"
    wal = path.with_name("agent.db-wal")
    store = await charging(path)
    await sample_row(store)
    counted = wal.stat().st_size
    for wh in (1500, 1600):
        await store.commit([session(wh)])
    for name, octets, is_reported in (("renewals", counted, False), ("more", counted - 1, True)):
        cut = killed(path, tmp_path / name)
        os.truncate(cut.with_name("agent.db-wal"), octets)
        other = await Store.open(cut)
        facts = await other.read_facts()
        assert (bool(other.lost), facts["session"]["s1"]["last_wh"]) == (is_reported, 1000 if is_reported else 1001)
        await other.close()
    await store.close()
