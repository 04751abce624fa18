"""What the witness beside the store finds, and what follows (decision 31)."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.domain.payment_receipt import KIND as RECEIPT
from agent.domain.payment_receipt import SERIES_KIND
from agent.domain.serialization import UnreadableRecord
from agent.model.fastclass import replace
from agent.ports.store import Put, StoreError, notes_of
from agent.services.store import content_loss, encoding, migrations
from agent.services.store.store import Store
from agent.services.store.witness import SAME_SLOT_S, SLOT_BYTES, Witness, WitnessedState
from tests.services.test_store import ended, sampled, started

PAGE = 4096


def session(name: str, wh: int = 1000) -> Put:
    return Put("session", name, {"evse": 1, "last_wh": wh})


def wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def copied(path: Path, to: Path) -> Path:
    """As a kill leaves it."""
    to.mkdir(exist_ok=True)
    for file in (path, wal(path), path.with_suffix(".witness")):
        if file.exists():
            shutil.copyfile(file, to / file.name)
    return to / path.name


async def life(folder: Path, deliver: bool = True) -> tuple[Path, Path]:
    """Two drivers at one outlet, one after the other. Returns the store as it was while the first one charged, and as
    it is at the end, each as a kill leaves it."""
    (folder / "live").mkdir()
    path = folder / "live" / "agent.db"
    store = await Store.open(path)
    await store.commit([session("aaaaaaaa-1"), Put("boot", "7", {"id": "x"})], [("chargy", started("aaaaaaaa-1"))])
    await store.commit([session("aaaaaaaa-1", 1400)], [("chargy", sampled(1, "aaaaaaaa-1"))])
    before = copied(path, folder / "before")
    await store.commit([Put("session", "aaaaaaaa-1", None)], [("chargy", ended("aaaaaaaa-1", 5000))])
    await store.commit([session("bbbbbbbb-2", 5000)], [("chargy", started("bbbbbbbb-2", 5000))])
    while deliver and store.queued_count("chargy"):
        await store.remove_delivered((await store.oldest_rows("chargy"))[0])
    after = copied(path, folder / "after")
    await store.close()
    return before, after


def put_back(before: Path, after: Path) -> Path:
    """The store of ``before`` with the witness of ``after``."""
    for file in (before, wal(before)):
        shutil.copyfile(file, after.parent / file.name)
    return after


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without_wal(path: Path) -> None:
    wal(path).unlink()


def wal_cut_short(path: Path) -> None:
    os.truncate(wal(path), 32 + 2 * (24 + PAGE))  # two frames; a commit has more


def with_a_damaged_wal_header(path: Path) -> None:
    data = bytearray(wal(path).read_bytes())
    data[5] ^= 4
    wal(path).write_bytes(data)


@pytest.mark.parametrize("damage", [emptied, Path.unlink, without_wal, wal_cut_short, with_a_damaged_wal_header])
async def test_lost_content_is_reported_until_the_agent_has_heard_of_it(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    _, path = await life(tmp_path, deliver=False)
    damage(path)
    for _ in range(2):  # who looks first may be another command
        store = await Store.open(path)
        assert "check the disk" in store.lost
        (fact,) = (await store.read_facts())["lost"].values()
        assert fact["text"] in store.lost
        await store.close()
    store = await Store.open(path)
    await store.put_facts([Put("lost", key, None) for key in (await store.read_facts())["lost"]])
    await store.close()
    store = await Store.open(path)
    assert store.lost == ""
    await store.close()


async def test_what_had_been_delivered_does_not_leave_again(tmp_path: Path) -> None:
    """The older store has start and meter values of the first driver in its queue, and his session as open."""
    store = await Store.open(put_back(*await life(tmp_path)))
    facts = await store.read_facts()
    assert store.queued_count("chargy") == 0
    assert [(x.kind, x.reason.split(":")[0]) for x in await store.list_dead_letters()] == [
        ("TransactionStarted", "the store was put back to an older state"),
        ("MeterSampled", "the store was put back to an older state"),
    ]
    assert "session" not in facts, "its end was delivered: another one would change the bill"
    (fact,) = facts["lost"].values()
    assert (fact["ended"], fact["registers"]) == ({}, {"aaaaaaaa-1": 5000}), "what a bank card pays"
    assert store.highest_boot == 7
    await store.close()


@pytest.mark.parametrize("since", [0, 20])
async def test_an_end_that_was_delivered_is_not_sent_again_while_others_wait(tmp_path: Path, since: int) -> None:
    """``since``: so many others have ended after it, and the witness no longer has its end."""
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.commit([session("aaaaaaaa-1")], [("chargy", started("aaaaaaaa-1"))])
    before = copied(path, tmp_path / "before")
    await store.commit([Put("session", "aaaaaaaa-1", None)], [("chargy", ended("aaaaaaaa-1"))])
    for n in range(since):
        await store.commit([], [("chargy", ended(f"{n:08x}-0"))])
    while store.queued_count("chargy"):
        await store.remove_delivered((await store.oldest_rows("chargy"))[0])
    await store.commit([session("bbbbbbbb-2")], [("chargy", started("bbbbbbbb-2"))])
    after = copied(path, tmp_path / "after")
    await store.close()
    store = await Store.open(put_back(before, after))
    facts = await store.read_facts()
    (fact,) = facts["lost"].values()
    assert (fact["ended"], "session" in facts) == ({}, False)
    await store.close()


async def test_what_had_not_been_delivered_is_ended_as_it_is_on_disk(tmp_path: Path) -> None:
    store = await Store.open(put_back(*await life(tmp_path, deliver=False)))
    facts = await store.read_facts()
    assert [r.message for r in await store.oldest_rows("chargy", 9)] == [
        started("aaaaaaaa-1"),
        sampled(1, "aaaaaaaa-1"),
    ]
    (fact,) = facts["lost"].values()
    assert fact["ended"] == {"aaaaaaaa-1": 5000}
    assert facts["session"]["aaaaaaaa-1"]["last_wh"] == 1400
    await store.close()


async def test_a_session_that_was_open_to_the_last_is_not_taken_for_ended(tmp_path: Path) -> None:
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.commit([session("aaaaaaaa-1")], [("chargy", started("aaaaaaaa-1"))])
    before = copied(path, tmp_path / "before")
    await store.commit([session("aaaaaaaa-1", 1400)], [("chargy", sampled(1, "aaaaaaaa-1"))])
    after = copied(path, tmp_path / "after")
    await store.close()
    store = await Store.open(put_back(before, after))
    assert store.lost
    (fact,) = (await store.read_facts())["lost"].values()
    assert fact["ended"] == {}
    await store.close()


async def test_the_store_of_another_board_keeps_its_bills(tmp_path: Path) -> None:
    """A technician brings it to a station that has had one of its own: places of the two cannot be compared."""
    _, after = await life(tmp_path)
    other = tmp_path / "other" / "agent.db"
    other.parent.mkdir()
    store = await Store.open(other)
    await store.commit([session("cccccccc-3", 1400)], [("chargy", started("cccccccc-3"))])
    brought = copied(other, tmp_path / "brought")
    await store.close()
    store = await Store.open(put_back(brought, after))
    assert "another one" in store.lost
    assert [r.message for r in await store.oldest_rows("chargy", 9)] == [started("cccccccc-3")]
    (fact,) = (await store.read_facts())["lost"].values()
    assert fact["ended"] == {"cccccccc-3": 0}, "as it is on disk: the register of now is not its own"
    await store.close()


async def test_a_copy_of_an_older_program_is_not_empty(tmp_path: Path) -> None:
    """It has neither count nor identity; its session has ended since."""
    before, after = await life(tmp_path, deliver=False)
    db = sqlite3.connect(before)
    db.execute("DELETE FROM facts WHERE kind='meta'")
    db.execute("UPDATE sqlite_sequence SET seq=0 WHERE name='commits'")
    db.commit()
    db.close()  # merges the WAL
    wal(after).unlink()
    shutil.copyfile(before, after)
    store = await Store.open(after)
    assert "another one" in store.lost
    (fact,) = (await store.read_facts())["lost"].values()
    assert fact["ended"] == {"aaaaaaaa-1": 5000}
    await store.close()


async def test_no_place_is_given_twice(tmp_path: Path) -> None:
    before, after = await life(tmp_path, deliver=False)
    last = (await Store.open(copied(after, tmp_path / "whole")),)[0]
    places = {r.seq for r in await last.oldest_rows("chargy", 99)}
    await last.close()
    store = await Store.open(put_back(before, after))
    await store.commit([], [("chargy", started("new"))])
    assert (await store.oldest_rows("chargy", 99))[-1].seq > max(places)
    await store.close()


async def test_notices_that_had_been_sent_are_no_dead_letters(tmp_path: Path) -> None:
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.commit([], [(notes_of("chargy"), started())])
    before = copied(path, tmp_path / "before")
    await store.remove_delivered((await store.oldest_rows(notes_of("chargy")))[0])
    after = copied(path, tmp_path / "after")
    await store.close()
    store = await Store.open(put_back(before, after))
    assert "1 messages wait again" in store.lost
    assert (store.queued_count(notes_of("chargy")), await store.list_dead_letters()) == (0, [])
    await store.close()


async def test_at_most_one_session_lives_in_the_wal_only(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    for n in range(40):
        name = f"{n:08x}"
        await store.commit([session(name)], [("chargy", started(name))])
        await store.commit([session(name)], [("chargy", sampled(n, name))] * 4)
        await store.commit([Put("session", name, None)], [("chargy", ended(name))])
    await store.oldest_rows("chargy")  # behind the checkpoint
    assert wal(path).stat().st_size < 64 * PAGE
    without = copied(path, tmp_path / "without")
    wal(without).unlink()
    await store.close()
    store = await Store.open(without)
    assert (store.lost, store.queued_count("chargy")) == ("", 40 * 6)
    await store.close()


async def test_a_wal_that_is_lost_while_it_is_merged_leaves_no_silent_mixture(tmp_path: Path) -> None:
    """Half of its pages are in the file already: table and index are old, the counts are new, and all is in order."""
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.commit([session("s0")], [("chargy", started("s0")), ("chargy", ended("s0"))])
    await store.oldest_rows("chargy")
    await store.commit([session("s1")], [("chargy", started("s1"))])
    cut = copied(path, tmp_path / "cut")
    await store.close()
    frames, salts = migrations.wal_frames(cut)
    merge_page_of_counts(cut)
    witness = Witness(cut)
    witness.write_state(replace(witness.read_last() or WitnessedState(), merging=frames, salts=salts))
    witness.close()
    wal(cut).unlink()
    store = await Store.open(cut)
    assert "while it was merged" in store.lost
    await store.close()


async def test_a_kill_at_any_write_of_the_witness_is_no_loss(tmp_path: Path) -> None:
    """The merge, the WAL that is begun again and the store that is closed included."""
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    killed: list[Path] = []
    write = store._file.witness.write_state

    def noting(seen: WitnessedState) -> None:
        killed.append(copied(path, tmp_path / f"before-{len(killed)}"))
        write(seen)
        killed.append(copied(path, tmp_path / f"behind-{len(killed)}"))

    store._file.witness.write_state = noting  # type: ignore[method-assign]
    await store.commit([session("aaaaaaaa-1")], [("chargy", started("aaaaaaaa-1"))])
    await store.commit([Put("session", "aaaaaaaa-1", None)], [("chargy", ended("aaaaaaaa-1"))])
    await store.oldest_rows("chargy")  # behind the merge
    await store.commit([session("bbbbbbbb-2")], [("chargy", started("bbbbbbbb-2"))])
    await store.close()
    for left in killed:
        store = await Store.open(left)
        assert (left.parent.name, store.lost) == (left.parent.name, "")
        await store.close()


async def test_a_kill_while_the_wal_is_begun_again_is_no_loss(tmp_path: Path) -> None:
    """Its new header is on disk, flushed, and there is no frame yet."""
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.commit([session("s1")], [("chargy", started("s1"))])
    cut: list[Path] = []
    write = store._file.witness.write_state

    def noting(seen: WitnessedState) -> None:
        if not seen.merging and Witness(path).read_last() != store._file.attestation.seen:  # after the merge
            cut.append(copied(path, tmp_path / f"cut-{len(cut)}"))
        write(seen)

    await store.oldest_rows("chargy")
    store._file.witness.write_state = noting  # type: ignore[method-assign]
    await store.commit([Put("session", "s1", None)], [("chargy", ended("s1"))])
    await store.oldest_rows("chargy")
    await store.close()
    merged = [left for left in cut if (seen := Witness(left).read_last()) is not None and seen.merging]
    assert merged
    for left in merged:
        os.truncate(wal(left), 32)
        store = await Store.open(left)
        assert (store.lost, store.queued_count("chargy")) == ("", 2)
        await store.close()


async def test_what_was_rolled_back_is_no_part_of_a_merge(tmp_path: Path) -> None:
    """A large transaction spills into the WAL before it is rolled back; then the merge is cut off."""
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path, max_mb=1)
    await store.commit([session("s1")], [("chargy", started("s1"))])
    with pytest.raises(StoreError):
        await store.commit([Put("cache", f"CARD-{n}", {"x": "y" * 3000}) for n in range(600)])
    cut: list[Path] = []
    write = store._file.witness.write_state

    def noting(seen: WitnessedState) -> None:
        write(seen)
        if seen.merging:
            cut.append(copied(path, tmp_path / f"cut-{len(cut)}"))

    store._file.witness.write_state = noting  # type: ignore[method-assign]
    await store.commit([Put("session", "s1", None)], [("chargy", ended("s1"))])
    await store.close()
    assert cut
    for left in cut:
        store = await Store.open(left)
        assert (store.lost, store.queued_count("chargy")) == ("", 2)
        await store.close()


def merge_page_of_counts(path: Path) -> None:
    """What a merge has done when it is cut off: one page is in the file."""
    root = (Witness(path).read_last() or WitnessedState()).roots["sqlite_sequence"]
    data, newest = wal(path).read_bytes(), b""
    for at in range(32, 32 + migrations.wal_frames(path)[0] * (24 + PAGE), 24 + PAGE):
        if int.from_bytes(data[at : at + 4], "big") == root:
            newest = data[at + 24 : at + 24 + PAGE]
    assert newest
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE)
        file.write(newest)


# --- while it runs ----------------------------------------------------------------------------------------------------


def deleted(path: Path) -> None:
    path.unlink()


def exchanged(path: Path) -> None:
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE other(x)").connection.close()


@pytest.mark.parametrize("deed", [deleted, exchanged, lambda p: wal(p).unlink()], ids=["deleted", "exchanged", "wal"])
async def test_a_store_that_is_taken_away_while_it_runs_is_written_again(
    tmp_path: Path, deed: Callable[[Path], None]
) -> None:
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.commit([session("s1")], [("chargy", started("s1"))])
    deed(path)
    await store.commit([session("s1", 1400)], [("chargy", sampled(1, "s1"))])
    await store.commit([], [("chargy", ended("s1"))])
    await store.oldest_rows("chargy")  # behind the merge
    assert (path.stat().st_mode & 0o777) == 0o600
    after = copied(path, tmp_path / "after")  # and killed
    await store.close()
    store = await Store.open(after)
    assert [r.message for r in await store.oldest_rows("chargy", 9)] == [started("s1"), sampled(1, "s1"), ended("s1")]
    assert (await store.read_facts())["session"]["s1"]["last_wh"] == 1400
    assert store.lost == ""
    await store.close()


# --- records and pages ------------------------------------------------------------------------------------------------


async def test_a_letter_that_flips_inside_a_record_is_found(tmp_path: Path) -> None:
    """It is good JSON, SQLite finds nothing wrong with it, and it is another bill."""
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    await store.commit([session("s1", 1400)], [("chargy", started("s1", 1000)), ("chargy", ended("s1", 2000))])
    await store.close()
    data = path.read_bytes()
    for old, new in ((b'"last_wh":1400', b'"last_wh":5400'), (b'"meter_wh":2000', b'"meter_wh":3000')):
        assert old in data
        data = data.replace(old, new)
    path.write_bytes(data)
    store = await Store.open(path)
    start, end = await store.oldest_rows("chargy", 9)
    assert start.message == started("s1", 1000)
    assert isinstance(end.message, UnreadableRecord)
    assert "checksum" in str(end.message)
    assert "checksum" in (await store.read_facts())["poisoned"]["session/s1"]["why"]
    await store.close()


def test_a_record_of_an_older_program_that_looks_like_sealed_is_read() -> None:
    """Eight characters behind a ``#`` end it, and they are no checksum: a colour."""
    text = encoding.to_json_text({"value": "green #00ff00"})
    assert encoding.unseal_text(text, "settings", "x") == text
    assert encoding.unseal_text(encoding.seal_text(text, "settings", "x"), "settings", "x") == text


@pytest.mark.parametrize("witness", [True, False])
@pytest.mark.parametrize("damage", [bytes(PAGE), b"\x5a" * 100, b"not a database"])
async def test_a_damaged_first_page_costs_nothing(tmp_path: Path, witness: bool, damage: bytes) -> None:
    """It has the names of the tables, no record."""
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    for n in range(50):
        await store.commit(
            [Put("cache", f"CARD-{n}", {"n": n})], [("chargy", started(f"s{n}")), ("chargy", ended(f"s{n}"))]
        )
    await store.close()
    data = path.read_bytes()
    path.write_bytes(damage + data[len(damage) :])
    if not witness:
        path.with_suffix(".witness").unlink()
    store = await Store.open(path)
    assert store.set_aside is not None
    assert store.queued_count("chargy") == 100
    assert len((await store.read_facts())["cache"]) == 50
    await store.close()


# --- the witness itself -----------------------------------------------------------------------------------------------


def slot_places(path: Path) -> list[int]:
    """The place that each slot of this witness has, -1 for none."""
    data = path.with_suffix(".witness").read_bytes().ljust(2 * SLOT_BYTES)
    found = [re.search(rb'"place":(\d+)', data[at : at + SLOT_BYTES]) for at in (0, SLOT_BYTES)]
    return [int(one[1]) if one else -1 for one in found]


def test_the_writes_of_half_a_minute_are_one_page_of_the_disk(tmp_path: Path) -> None:
    """The kernel writes it once for all of them. The other slot has what was before."""
    path, now_s = tmp_path / "agent.db", 100.0
    witness = Witness(path, lambda: now_s)
    places: list[set[int]] = []
    for place in range(5):
        witness.write_state(WitnessedState("abcd", 3, place))
        places.append(set(slot_places(path)))
        now_s += SAME_SLOT_S / 2
    assert places == [{0, -1}, {1, -1}, {1, 2}, {1, 3}, {3, 4}]
    witness.change_slot()
    witness.write_state(WitnessedState("abcd", 3, 5))
    assert set(slot_places(path)) == {4, 5}
    witness.close()


def test_the_first_write_of_a_process_leaves_the_newest_one_of_the_last(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    for place in range(4):
        witness = Witness(path, lambda: 100.0)
        last = witness.read_last()
        assert (last.place if last else -1) == place - 1
        witness.write_state(WitnessedState("abcd", 3, place))
        assert set(slot_places(path)) == {place - 1, place}
        witness.close()


def test_a_write_that_was_cut_off_leaves_the_one_before(tmp_path: Path) -> None:
    times = itertools.count(0.0, SAME_SLOT_S)
    witness = Witness(tmp_path / "agent.db", lambda: next(times))
    assert witness.read_last() is None
    for n in range(5):
        witness.write_state(WitnessedState("abcd", 3, n))
    witness.close()
    data = bytearray(witness.path.read_bytes())
    assert Witness(tmp_path / "agent.db").read_last() == WitnessedState("abcd", 3, 4)
    newest = max((0, SLOT_BYTES), key=lambda at: b'"place":4' in data[at : at + SLOT_BYTES])
    data[newest + 20] ^= 1
    witness.path.write_bytes(data)
    assert Witness(tmp_path / "agent.db").read_last() == WitnessedState("abcd", 3, 3)
    witness.path.write_bytes(b"\xff" * 9000)
    assert Witness(tmp_path / "agent.db").read_last() is None


async def test_a_witness_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "agent.witness").mkdir()
    store = await Store.open(tmp_path / "agent.db")
    for n in range(3):
        await store.commit([], [("chargy", started(f"s{n}"))])
    assert store.queued_count("chargy") == 3
    await store.close()
    assert caplog.text.count("cannot be written") == 1


async def test_a_store_without_a_witness_is_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    await store.commit([], [("chargy", started())])
    await store.close()
    path.with_suffix(".witness").unlink()
    store = await Store.open(path)
    assert (store.lost, store.queued_count("chargy")) == ("", 1)
    assert "witness is gone" in caplog.text
    await store.close()


async def test_the_loop_is_not_held_by_what_is_new(tmp_path: Path) -> None:
    """Witness, checkpoint and the look at the inode are work of the store's thread."""
    store = await Store.open(tmp_path / "agent.db")
    threads: set[str] = set()

    def noting(*args: object) -> None:
        threads.add(threading.current_thread().name)

    store._file.witness.write_state = noting  # type: ignore[method-assign]
    store._file.attestation.merge_wal = noting  # type: ignore[method-assign]
    await store.commit([], [("chargy", ended())])
    await asyncio.sleep(0)
    await store.oldest_rows("chargy")
    assert all(name.startswith("store") for name in threads)
    assert threads
    await store.close()


async def test_letters_that_are_sent_again_are_no_loss(tmp_path: Path) -> None:
    """Killed between the commit that puts them back and the witness."""
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    await store.commit([], [("chargy", started("s1")), ("chargy", started("s2"))])
    await store.dead_letter((await store.oldest_rows("chargy")), "refused for good")
    before = Witness(path).read_last()
    await store.requeue_dead_letters([1])
    await store.close()
    assert before is not None
    witness = Witness(path)
    witness.read_last()
    witness.write_state(before)  # the newest write counts
    witness.close()
    store = await Store.open(path)
    assert (store.lost, store.queued_count("chargy"), await store.list_dead_letters()) == ("", 2, [])
    await store.close()


async def test_what_is_committed_is_committed_whatever_the_witness_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error after the commit would have it said again: a second bill."""
    store = await Store.open(tmp_path / "agent.db")

    def broken(*args: object) -> WitnessedState:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("agent.services.store.content_loss.describe_state", broken)
    await store.commit([], [("chargy", started())])
    assert store.queued_count("chargy") == 1
    await store.close()


@pytest.mark.parametrize("closed", [True, False])
async def test_the_older_slot_of_the_witness_is_no_alarm(tmp_path: Path, closed: bool) -> None:
    """It may be of a merge that is done long since: after a power cut, or where the newer one is damaged."""
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.commit([], [("chargy", started("s1")), ("chargy", ended("s1"))])
    await store.oldest_rows("chargy")
    if not closed:
        cut = copied(path, tmp_path / "cut")
    await store.close()
    cut = path if closed else cut
    witness = cut.with_suffix(".witness")
    data = bytearray(witness.read_bytes())
    numbers = {at: int(data[at + 8 :].split(b":")[1].split(b",")[0]) for at in (0, SLOT_BYTES)}
    data[max(numbers, key=lambda at: numbers[at]) + 20] ^= 1
    witness.write_bytes(data)
    store = await Store.open(cut)
    assert (store.lost, store.queued_count("chargy")) == ("", 2)
    await store.close()


async def test_no_place_in_a_session_is_given_twice(tmp_path: Path) -> None:
    """A 2.x backend takes what comes with an old seqNo for what it has already."""
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.commit([session("aaaaaaaa-1")], [("chargy", started("aaaaaaaa-1"))])
    before = copied(path, tmp_path / "before")
    numbers = {0}
    for n in range(3):
        await store.commit([session("aaaaaaaa-1", 1400 + n)], [("chargy", sampled(n, "aaaaaaaa-1"))])
    while store.queued_count("chargy"):
        (row,) = await store.oldest_rows("chargy")
        numbers.add(row.number)
        await store.remove_delivered(row)
    after = copied(path, tmp_path / "after")
    await store.close()
    store = await Store.open(put_back(before, after))
    await store.commit([], [("chargy", ended("aaaaaaaa-1"))])
    (row,) = await store.oldest_rows("chargy", 9)
    assert row.number > max(numbers)
    await store.close()


async def test_a_witness_that_is_deleted_while_the_store_is_in_use_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    await store.commit([session("s1")], [("chargy", started("s1"))])
    path.with_suffix(".witness").unlink()
    await store.commit([], [("chargy", ended("s1"))])
    last = Witness(path).read_last()
    assert last is not None
    assert last.heads == {"chargy": 1}
    await store.close()


@pytest.mark.parametrize("merging", [0, 5])
async def test_a_loss_is_seen_on_a_disk_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merging: int
) -> None:
    """The card that loses a WAL is the one that is read-only then: the session that has ended since is not resumed."""
    path = put_back(*await life(tmp_path, deliver=False))
    witness = Witness(path)
    witness.write_state(replace(witness.read_last() or WitnessedState(), merging=merging))
    witness.close()
    connect = migrations.connect_store

    def refused(*args: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(migrations, "connect_store", refused)
    store = await Store.open(path)
    assert store.disk_problem
    (fact,) = (await store.read_facts())["lost"].values()
    assert fact["ended"] == {"aaaaaaaa-1": 5000}
    monkeypatch.setattr(migrations, "connect_store", connect)
    await store.commit([Put("lost", key, None) for key in (await store.read_facts())["lost"]])
    assert (store.disk_problem, (await store.read_facts()).get("lost", {})) == ("", {})
    assert [r.message for r in await store.oldest_rows("chargy", 9)] == [
        started("aaaaaaaa-1"),
        sampled(1, "aaaaaaaa-1"),
    ]
    await store.close()


async def test_a_disk_that_is_full_when_a_loss_is_written_down_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_back(*await life(tmp_path, deliver=False))
    settle, full = content_loss.settle_loss, True

    def settled(db: sqlite3.Connection, *args: Any) -> dict[str, int]:
        if full and db.execute("PRAGMA database_list").fetchone()[2]:
            raise sqlite3.OperationalError("database or disk is full")
        return settle(db, *args)

    monkeypatch.setattr(content_loss, "settle_loss", settled)
    store = await Store.open(path)
    for _ in range(3):
        with pytest.raises(StoreError, match="is full"):
            await store.commit([], [("chargy", started("new"))])
    assert store.lost
    full = False
    await store.commit([], [("chargy", started("new"))])
    assert (store.disk_problem, store.queued_count("chargy")) == ("", 3)
    await store.close()


# --- the numbers of receipts ------------------------------------------------------------------------------------------


def without_witness(before: Path, after: Path) -> Path:
    """The store of ``before``, without any witness: as a person puts it back from a copy."""
    put_back(before, after).with_suffix(".witness").unlink()
    return after


def not_put_back(before: Path, after: Path) -> Path:
    return after


@pytest.mark.parametrize(
    ("restore", "is_series_kept"), [(not_put_back, True), (put_back, False), (without_witness, False)]
)
async def test_a_store_that_may_have_lost_a_receipt_forgets_the_last_number(
    tmp_path: Path, restore: Callable[[Path, Path], Path], is_series_kept: bool
) -> None:
    """Otherwise the numbers of the receipts that are missing would be given again, to others."""
    path = tmp_path / "live" / "agent.db"
    path.parent.mkdir()
    store = await Store.open(path)
    await store.commit([Put(SERIES_KIND, "made", {"tag": "7KQ2", "number": 17})])
    before = copied(path, tmp_path / "before")
    await store.commit([Put(SERIES_KIND, "made", {"tag": "7KQ2", "number": 18}), Put(RECEIPT, "PY1", {})])
    after = copied(path, tmp_path / "after")
    await store.close()
    for _ in range(2):  # who looks first may be another command
        store = await Store.open(restore(before, after))
        facts = await store.read_facts()
        assert facts.get(SERIES_KIND) == ({"made": {"tag": "7KQ2", "number": 18}} if is_series_kept else None)
        assert content_loss.RECEIPT_SERIES == SERIES_KIND
        await store.close()
