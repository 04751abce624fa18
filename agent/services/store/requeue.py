"""Messages that have left the queue wait in it again, because the backend goes on in another version of OCPP that knows
nothing of their session (decision 8). All functions run in the store's own thread, on its connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from agent.domain.serialization import dump_record
from agent.ports.store import OutboxRow
from agent.services.store import encoding

_OTHERS = "link=? AND session=? AND seq NOT IN ({})"


def requeue_rows(db: sqlite3.Connection, rows: Sequence[OutboxRow], renumber: bool) -> None:
    """Queue the rows again at their old places. One that waits already stays as it is. A dead letter is queued again
    too. ``renumber``: these rows become the first of their session."""
    for row in rows:
        db.execute("DELETE FROM dead WHERE seq=?", (row.seq,))
        keys = (row.link, encoding.escape_surrogates(row.session), type(row.message).__name__)
        body = encoding.seal_text(encoding.to_json_text(dump_record(row.message)), *keys)
        db.execute(
            "INSERT OR IGNORE INTO outbox(seq, link, session, kind, body, number) VALUES(?,?,?,?,?,?)",
            (row.seq, *keys, body, row.number),
        )
    if renumber and rows:
        _renumber_session(db, rows)


def _renumber_session(db: sqlite3.Connection, rows: Sequence[OutboxRow]) -> None:
    """Number these rows first, as they are numbered, then the others of the session without a gap. A place is given
    once, dead letters included."""
    for row in rows:
        db.execute("UPDATE outbox SET number=? WHERE seq=?", (row.number, row.seq))
    where = (rows[0].link, encoding.escape_surrogates(rows[0].session))
    others = _OTHERS.format(",".join(str(row.seq) for row in rows))
    first = db.execute(
        f"SELECT min(number) FROM (SELECT number FROM outbox WHERE {others} UNION ALL "
        f"SELECT number FROM dead WHERE {others} UNION ALL SELECT next FROM numbers WHERE link=? AND session=?)",
        (*where, *where, *where),
    ).fetchone()[0]
    if first is None:
        return
    less = first - len(rows)
    for table in ("outbox", "dead"):
        db.execute(f"UPDATE {table} SET number=number-? WHERE {others}", (less, *where))
    db.execute("UPDATE numbers SET next=next-? WHERE link=? AND session=?", (less, *where))


def open_session_keys(db: sqlite3.Connection, link: str) -> set[str]:
    """Return the sessions (as ``encoding.escape_surrogates`` writes them) that are not over: neither here nor in what
    this backend has or is to receive."""
    keys = {key for (key,) in db.execute("SELECT key FROM facts WHERE kind IN ('session', 'tx')")}
    ends = "SELECT 1 FROM {} WHERE link=? AND session=? AND kind='TransactionEnded'"
    both = f"{ends.format('outbox')} UNION ALL {ends.format('dead')}"
    return {key for key in keys if not db.execute(both, (link, key) * 2).fetchone()}
