"""A store that has less than its witness has seen: what is missing, and what follows for what is left (decision 31).
All functions run in the store's own thread, on its connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path

from agent.domain.messages import MeterSampled
from agent.model.fastclass import frozen
from agent.ports.store import Put, link_of
from agent.services.store import dead_letters, encoding, migrations, witness
from agent.services.store import facts as records
from agent.services.store.migrations import AHEAD, LAST
from agent.services.store.transaction_ids import RUNNING, without_saved_places
from agent.services.store.witness import WitnessedState

COMMITS, QUEUE = "commits", "outbox"
"""Rows of ``sqlite_sequence``."""
TABLES = ("facts", "outbox", "dead", "numbers", "outbox_link", "dead_session", "sqlite_sequence")
RECEIPT_SERIES = "receipts"
"""Kind of the fact with the last number of a receipt (``domain/payment_receipt.py``, which no start should import)."""
GONE = "the store was put back to an older state: this had left the queue before"


@frozen
class Loss:
    """``text``: for a technician. ``ended``: sessions that are open in the store and have ended in what is lost, with
    the register (Wh) that their bill ends with, as far as it is known."""

    text: str
    ended: dict[str, int] = field(default_factory=dict)


def describe_state(
    db: sqlite3.Connection, identity: str, boots: int, open_: Iterable[str], roots: Mapping[str, int]
) -> WitnessedState:
    """Return the present state, for the witness."""
    counts = _read_counters(db)
    ids = tuple(sorted(session[: witness.ID_DIGITS] for session in open_))
    return WitnessedState(
        identity,
        counts.get(COMMITS, 0),
        counts.get(QUEUE, 0),
        boots,
        _queue_heads(db),
        ids,
        roots=roots,
        schema=len(migrations.MIGRATIONS),
    )


def _read_counters(db: sqlite3.Connection) -> dict[str, int]:
    return {
        name: seq
        for name, seq in db.execute("SELECT name, seq FROM sqlite_sequence")
        if isinstance(seq, int) and seq < LAST
    }


def commit_count(db: sqlite3.Connection) -> int:
    return _read_counters(db).get(COMMITS, 0)


def restart_wal(db: sqlite3.Connection) -> None:
    """Write one page, of which nothing hangs on what is changed: an equal one would not be written."""
    number = db.execute("PRAGMA application_id").fetchone()[0]
    db.execute(f"PRAGMA application_id={(number + 1) % 2**31}")


def count_commit(db: sqlite3.Connection) -> None:
    """Count one more commit, in its transaction."""
    db.execute("UPDATE sqlite_sequence SET seq=seq+1 WHERE name=?", (COMMITS,))


def root_pages(db: sqlite3.Connection) -> dict[str, int]:
    names = ",".join("?" * len(TABLES))
    return dict(db.execute(f"SELECT name, rootpage FROM sqlite_master WHERE name IN ({names})", TABLES))


def _queue_heads(db: sqlite3.Connection) -> dict[str, int]:
    """Return the first waiting place of each queue: one step in the index per queue, however long they are."""
    heads: dict[str, int] = {}
    sql = "SELECT link, seq FROM outbox INDEXED BY outbox_link WHERE link > ? ORDER BY link, seq LIMIT 1"
    row = db.execute(sql, ("",)).fetchone()
    while row is not None:
        heads[row[0]] = row[1]
        row = db.execute(sql, row[:1]).fetchone()
    return heads


def detect_loss(db: sqlite3.Connection, before: WitnessedState) -> Loss | None:
    """Return what is missing, or None if everything is there that the witness has seen."""
    if before.merging and _is_half_merged(db, before):
        text = "a part of the WAL was lost while it was merged: some records may be older than others"
        return Loss(f"{text}; sessions, bills and settings may be lost: check the disk", _ended_sessions(db, before))
    identity = _read_identity(db)
    made = commit_count(db)
    returned = (
        _returned_messages(db, before) if made <= before.commits else []
    )  # a newer store may have put letters back
    if identity == before.identity and made >= before.commits and not returned:
        return None
    if identity == before.identity and made:
        missing = max(before.commits - made, 0)
        text = (
            f"it is in an older state: {missing} of {before.commits} commits are missing, and {len(returned)} messages "
            "wait again that had left the queue"
        )
    elif identity or db.execute("SELECT 1 FROM facts UNION ALL SELECT 1 FROM outbox LIMIT 1").fetchone():
        text = f"it is another one, or what could be saved of it; {before.commits} commits had been made"
    else:
        text = f"it is empty; {before.commits} commits had been made"
    return Loss(f"{text}; sessions, bills and settings may be lost: check the disk", _ended_sessions(db, before))


def _is_half_merged(db: sqlite3.Connection, before: WitnessedState) -> bool:
    """Return whether a merge was cut off and its WAL is lost. A WAL with other salts was begun after the merge was
    done, if it can be read at all."""
    name = db.execute("PRAGMA database_list").fetchone()[2]
    if not name:
        return False  # in memory: read with the WAL that was there
    _, salts = migrations.wal_frames(Path(name))
    if _is_next_wal(salts, before.salts):
        return False  # begun again, though nothing may be in it yet
    frames = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    return bool(frames < (before.merging if salts == before.salts else 1))


def _is_next_wal(salts: str, before: str) -> bool:
    """Return whether the WAL with these salts was begun after the merge. SQLite begins a WAL again, when all of it is
    merged, with the next first salt and another second one."""
    if not salts or not before:
        return False
    first, second = int(salts[:8], 16), salts[8:]
    return first == (int(before[:8], 16) + 1) % 2**32 and second != before[8:]


def _returned_messages(db: sqlite3.Connection, before: WitnessedState) -> list[tuple[int, str]]:
    """Place and queue of what waits and had left: per queue, what stands before the first one that waited."""
    found: list[tuple[int, str]] = []
    for queue in _queue_heads(db):
        head = before.heads.get(queue, before.place + 1)
        found += db.execute("SELECT seq, link FROM outbox WHERE link=? AND seq<?", (queue, head)).fetchall()
    return found


def _read_identity(db: sqlite3.Connection) -> str:
    facts, _ = records.read_facts(db, "meta")
    return str(facts.get("meta", {}).get("identity", {}).get("text", ""))


def _ended_sessions(db: sqlite3.Connection, before: WitnessedState) -> dict[str, int]:
    keys = [key for (key,) in db.execute("SELECT key FROM facts WHERE kind IN ('session', 'tx')")]
    return {
        k: before.end_of_session(k)[0] or _highest_queued_register(db, k) for k in keys if not before.is_session_open(k)
    }


def _highest_queued_register(db: sqlite3.Connection, session: str) -> int:
    """Return the highest register in its queued messages: the end of a bill is not below its meter values."""
    sql = "SELECT link, session, kind, body FROM outbox WHERE session=? AND kind=?"
    rows = db.execute(sql, (session, MeterSampled.__name__)).fetchall()
    messages = [m for *keys, body in rows if isinstance(m := encoding.decode_message(body, *keys), MeterSampled)]
    return max((sample.reading.energy_wh for m in messages for sample in m.samples), default=0)


def settle_loss(db: sqlite3.Connection, before: WitnessedState, ended: dict[str, int]) -> dict[str, int]:
    """Settle the loss, in the transaction of the caller. Places and counts go on beyond what was seen. What had left
    the queue does not leave it again. What had ended, and was delivered, is forgotten. Return the sessions of ``ended``
    that are left."""
    _advance_counters(db, before)
    if _read_identity(db) not in ("", before.identity):
        return ended  # of another station: its places show nothing of what was delivered
    returned = _returned_messages(db, before)
    _keep_places(db, [place for place, _ in returned])
    for place, queue in returned:
        if queue == link_of(queue):  # a notice that had been sent is in the security log
            db.execute(
                "INSERT OR REPLACE INTO dead "
                "SELECT seq, link, session, kind, body, attempts, ?, number FROM outbox WHERE seq=?",
                (GONE, place),
            )
        db.execute("DELETE FROM outbox WHERE seq=?", (place,))
    dead_letters.limit_dead_letters(db)
    waiting = min((place for queue, place in before.heads.items() if queue == link_of(queue)), default=LAST)
    delivered = [session for session in ended if waiting == LAST or 0 < before.end_of_session(session)[1] < waiting]
    for session in map(encoding.escape_surrogates, delivered):
        db.execute("DELETE FROM facts WHERE kind IN ('session', 'tx') AND key=?", (session,))
        db.execute(
            "DELETE FROM facts WHERE kind='transaction' AND substr(key, -?)=?", (len(session) + 1, f"/{session}")
        )
    return {session: wh for session, wh in ended.items() if session not in delivered}


def forget_receipt_series(db: sqlite3.Connection) -> None:
    """Forget the last number of a receipt, in the transaction of the caller: a store that may have lost something may
    not know it. A new series begins, so that no number is given twice (decision 67)."""
    db.execute("DELETE FROM facts WHERE kind=?", (RECEIPT_SERIES,))


def _keep_places(db: sqlite3.Connection, returned: Iterable[int]) -> None:
    """Let the sessions of these messages save no places any more: how many were saved in what is lost is not known."""
    sql = "SELECT link || '/' || session FROM outbox WHERE seq=? AND session<>''"
    keys = {key for place in returned for (key,) in db.execute(sql, (place,))}
    found, _ = records.read_facts(db, RUNNING)
    known = found.get(RUNNING, {})
    records.put_facts(db, [Put(RUNNING, key, without_saved_places(known[key])) for key in sorted(keys & known.keys())])


def _advance_counters(db: sqlite3.Connection, before: WitnessedState) -> None:
    """Leave out as many places in each session as messages may be missing: a backend takes a message with a place that
    it knows for the one that it has."""
    counts = _read_counters(db)
    place = counts.get(QUEUE, 0)
    places = max(before.place, place) + AHEAD
    made = max(before.commits, counts.get(COMMITS, 0))
    db.execute("UPDATE numbers SET next=next+?", (max(before.place - place, before.merging),))
    db.execute("DELETE FROM sqlite_sequence WHERE name IN (?, ?)", (QUEUE, COMMITS))
    db.executemany("INSERT INTO sqlite_sequence VALUES(?, ?)", [(QUEUE, places), (COMMITS, made)])
