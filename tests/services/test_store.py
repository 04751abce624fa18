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
from agent.domain.serialization import UnreadableRecord
from agent.model.fastclass import replace
from agent.model.types import Reading, ReadingContext, Stamp, Token
from agent.ports.store import Put, StoreError
from agent.services.store import store as module
from agent.services.store.store import MIGRATIONS, Store, StoreRefused
from agent.services.store.transaction_ids import ENDED_KEPT
from agent.services.store.witness import Witness

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
    first = await store.oldest_rows("chargy", 10)
    await store.close()

    store = await Store.open(tmp_path / "agent.db")
    assert (await store.read_facts())["setting"] == {"x": {"text": "1"}}
    assert "session" not in await store.read_facts()
    rows = await store.oldest_rows("chargy", 10)
    assert rows == first
    assert [r.message for r in rows] == [started(), ended()]
    assert len({r.seq for r in rows}) == 2
    assert store.queued_count("chargy") == 2
    await store.close()


async def test_done_brings_the_transaction_id_and_keeps_it_for_a_while_after_the_end(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([], [("chargy", started()), ("chargy", ended())])
    start, end = await store.oldest_rows("chargy", 2)
    await store.remove_delivered(start, [Put("transaction", "chargy/s1", {"id": "42"})])
    assert store.transaction_id("chargy", "s1", "1.6") == "42"
    assert store.session_of("chargy", "42") == "s1"
    await store.close()

    store = await Store.open(tmp_path / "agent.db")
    assert store.transaction_id("chargy", "s1", "1.6") == "42"
    await store.remove_delivered(end)
    assert store.queued_count("chargy") == 0
    assert (await store.read_facts()).get("transaction") is None
    await store.close()

    store = await Store.open(tmp_path / "agent.db")  # what the place costs may still be sent
    assert (store.transaction_id("chargy", "s1", "1.6"), store.session_of("chargy", "42")) == ("42", "s1")
    assert store.session_of("owner", "42") is None
    await store.close()


async def test_the_ids_of_the_latest_sessions_only(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db")
    for n in range(ENDED_KEPT + 2):
        await store.commit([Put("transaction", f"chargy/s{n}", {"id": str(n % 65)})], [("chargy", ended(f"s{n}"))])
        await store.remove_delivered((await store.oldest_rows("chargy"))[0])
    assert len((await store.read_facts())["ended"]) == ENDED_KEPT
    assert [store.transaction_id("chargy", s, "1.6") for s in ("s0", "s1", "s2")] == [None, None, "2"]
    assert store.session_of("chargy", "0") == "s65"  # the backend has begun to count again
    await store.close()


async def test_dead_letters_are_kept_shown_and_revived_in_their_place(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([], [("chargy", started()), ("chargy", sampled()), ("chargy", ended())])
    rows = await store.oldest_rows("chargy", 3)
    await store.count_attempt(rows[0])
    await store.count_attempt(rows[0])
    assert (await store.oldest_rows("chargy"))[0].attempts == 2
    await store.dead_letter(rows[:2], "refused three times")
    assert [r.message for r in await store.oldest_rows("chargy", 9)] == [ended()]
    letters = await store.list_dead_letters()
    assert [(x.kind, x.reason) for x in letters] == [
        ("TransactionStarted", "refused three times"),
        ("MeterSampled", "refused three times"),
    ]
    await store.requeue_dead_letters([x.seq for x in letters])
    assert [r.seq for r in await store.oldest_rows("chargy", 9)] == [r.seq for r in rows]
    assert await store.list_dead_letters() == []
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
    body = json.dumps(module.dump_record(started()))
    db.execute("INSERT INTO outbox(link, session, kind, body) VALUES('chargy', 's1', 'TransactionStarted', ?)", (body,))
    db.execute("INSERT INTO dead VALUES(9, 'chargy', 's0', 'TransactionEnded', '{}', 3)")
    db.commit()
    db.close()
    store = await Store.open(path)
    assert (await store.read_facts())["setting"]["x"] == {"text": "7"}
    assert (await store.oldest_rows("chargy"))[0].message == started()
    assert (await store.list_dead_letters())[0].session == "s0"
    await store.close()
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


async def test_a_newer_schema_is_refused_with_advice(tmp_path: Path):
    path = tmp_path / "agent.db"
    await (await Store.open(path)).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    _witness_of_a_newer_program(path)
    with pytest.raises(StoreRefused, match="newer program"):
        await Store.open(path)


def _witness_of_a_newer_program(path: Path):
    witness = Witness(path)
    witness.write_state(replace(witness.read_last(), schema=99))
    witness.close()


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
    assert isinstance((await store.oldest_rows("chargy"))[0].message, UnreadableRecord)
    await store.close()


async def test_a_read_only_folder_is_reported_with_the_path(tmp_path: Path):
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
    assert (await store.read_facts())["setting"]["new"] == {"text": "1"}
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
from agent.services.store.store import Store
from agent.ports.store import Put
from agent.domain.messages import TransactionStarted
from agent.model.types import Stamp, Token

async def main():
    store = await Store.open(Path(sys.argv[1]))
    first = int((await store.read_facts()).get("n", {}).get("n", {"n": 0})["n"]) + 1
    print("from", first, flush=True)
    for n in range(first, 100000):
        message = TransactionStarted(f"s{n}", 1, Token("A"), Stamp(1, float(n)), n)
        await store.commit([Put("n", "n", {"n": n})], [("chargy", message)])
        print(n, flush=True)

asyncio.run(main())
"""


@pytest.mark.campaign
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
    facts, rows = await store.read_facts(), await store.oldest_rows("chargy", -1)
    await store.close()
    return facts["n"]["n"]["n"], rows


async def test_thinning_takes_as_much_of_each_session_of_each_link(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db")
    for n in range(20):
        await store.commit([], [("a", sampled(n)), ("b", sampled(n)), ("a", sampled(n, "s2"))])
    assert await store._file.run_in_thread(store._file.thin_queue)
    for link, session in (("a", "s1"), ("a", "s2"), ("b", "s1")):
        assert [r.number for r in await store.rows_of_session(link, session)] == [0, 4, 8, 12, 16]
    assert (store.queued_count("a"), store.queued_count("b")) == (10, 5)
    await store._file.run_in_thread(lambda: store._file.db.execute("DELETE FROM outbox WHERE link='b'"))
    await store._file.run_in_thread(store._file.thin_queue)
    assert store.queued_count("b") == 0  # a link that loses its last row is not said to have one
    assert await store.oldest_rows("b") == []
    await store.close()


@pytest.mark.parametrize("how", ["done", "bury"])
async def test_rows_that_thinning_took_from_under_the_link_are_not_counted_twice(tmp_path: Path, how: str):
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([], [*(("chargy", sampled(n)) for n in range(20)), ("chargy", ended())])
    cached = await store.oldest_rows("chargy", 10)
    await store._file.run_in_thread(store._file.thin_queue)
    for row in cached:
        await (store.remove_delivered(row) if how == "done" else store.dead_letter([row], "no"))
    left = await store.oldest_rows("chargy", 99)
    assert type(left[-1].message) is TransactionEnded
    assert store.queued_count("chargy") == len(left)
    await store.close()


async def test_half_a_character_is_stored_and_leaves_no_transaction_open(tmp_path: Path):
    """``"\\ud800"`` is valid JSON, so a backend can say it; SQLite cannot."""
    odd = "x\ud800"
    store = await Store.open(tmp_path / "agent.db")
    await store.commit([Put("cache", odd, {"text": odd, odd: 1})], [("chargy", started(odd))])
    row = (await store.oldest_rows("chargy"))[0]
    assert row.message.session == odd
    await store.remove_delivered(row, [Put("transaction", f"chargy/{odd}", {"id": odd})])
    await store.commit([], [("chargy", ended(odd))])
    await store.dead_letter(await store.oldest_rows("chargy"), odd)
    assert store.queued_count("chargy") == 0
    await store.commit([Put("cache", odd, {"text": "2"})])
    assert [list(v.values()) for v in (await store.read_facts())["cache"].values()] == [["2"]]
    await store.commit([Put("cache", odd, None)])
    assert "cache" not in await store.read_facts()
    await store.close()


async def test_whatever_breaks_a_commit_is_rolled_back(tmp_path: Path):
    store = await Store.open(tmp_path / "agent.db")
    loop: dict = {}
    loop["loop"] = loop  # json: ValueError
    with pytest.raises(StoreError):
        await store.commit([Put("a", "kept", {"n": 1}), Put("a", "b", loop)])
    with pytest.raises(TypeError):
        await store.commit([Put("a", "kept", {"n": 1}), Put("a", "b", {"n": object()})])
    await store.commit([Put("a", "c", {"n": 2})])
    assert (await store.read_facts())["a"] == {"c": {"n": 2}}
    await store.close()


BAD = {
    "not JSON": "'{garb'",
    "no object": "'[1]'",
    "not UTF-8": "CAST(x'7b2261223a22ff227d' AS TEXT)",
    "without its content": "'{}'",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [("transaction", "chargy/s1"), ("setting", "x")])
async def test_one_bad_record_is_set_aside_and_the_rest_lives(tmp_path: Path, body: str, place: tuple[str, str]):
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    await store.commit(
        [
            Put("setting", "x", {"text": "1"}),
            Put("setting", "y", {"text": "2"}),
            Put("transaction", "chargy/s1", {"id": "1"}),
        ],
        [("chargy", started("s2"))],
    )
    await store.close()
    db = sqlite3.connect(path)
    db.execute(f"UPDATE facts SET body={body} WHERE kind=? AND key=?", place)
    db.commit()
    db.close()
    store = await Store.open(path)
    facts = await store.read_facts()
    assert facts["setting"]["y"] == {"text": "2"}
    if place[0] != "setting" or body != "'{}'":  # what a setting must hold is not the store's to judge
        aside = facts["poisoned"]["/".join(place)]
        assert aside["why"]
        assert "record" in aside
        assert place[1] not in facts.get(place[0], {})
        assert place[1] == "s1" or place[0] != "transaction" or store.transaction_id("chargy", "s1", "1.6") is None
    row = (await store.oldest_rows("chargy"))[0]
    assert row.message == started("s2")
    await store.close()


async def test_a_key_that_is_no_text_is_set_aside_too(tmp_path: Path):
    path = tmp_path / "agent.db"
    store = await Store.open(path)
    await store.commit([Put("setting", "y", {"text": "2"})])
    await store._file.run_in_thread(
        lambda: store._file.db.execute("INSERT INTO facts VALUES('setting', CAST(x'ff' AS TEXT), '{\"a\":1}')")
    )
    row = "INSERT INTO outbox(link, session, kind, body) VALUES('chargy', 's', 'X', CAST(x'ff' AS TEXT))"
    await store._file.run_in_thread(lambda: store._file.db.execute(row))
    await store.close()
    store = await Store.open(path)
    facts = await store.read_facts()
    assert facts["setting"] == {"y": {"text": "2"}}
    assert list(facts["poisoned"]) == ["setting/\\xff"]
    assert isinstance((await store.oldest_rows("chargy"))[0].message, UnreadableRecord)
    await store.close()


async def test_no_other_can_read_the_store(tmp_path: Path):
    before = os.umask(0o022)
    try:
        store = await Store.open(tmp_path / "state" / "agent.db")
        await store.commit([Put("setting", "authorization_key", {"text": "secret"})])
        modes = {p.name: p.stat().st_mode & 0o077 for p in [tmp_path / "state", *(tmp_path / "state").iterdir()]}
    finally:
        os.umask(before)
    assert {"state", "agent.db", "agent.db-wal"} <= set(modes)
    assert set(modes.values()) == {0}
    await store.close()


async def test_what_is_added_to_a_running_session_makes_it_no_newer(tmp_path: Path):
    """A backend that has begun to count again means the latest start, not what a charging state was kept of last."""
    store = await Store.open(tmp_path / "agent.db")
    for session in ("s1", "s2"):
        await store.commit([Put("transaction", f"chargy/{session}", {"id": "7", "ids": {"1.6": "7"}})])
    await store.commit([Put("transaction", "chargy/s1", {"id": "7", "ids": {"1.6": "7"}, "ending": "1.6"})])
    assert store.session_of("chargy", "7") == "s2"
    await store.commit([Put("transaction", "chargy/s1", {"id": "7", "ids": {"1.6": ["7"], "2.0.1": "s1"}})])
    assert store.session_of("chargy", "s1") == "s1"
    await store.close()
