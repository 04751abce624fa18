"""The dead-letter list and what is set aside, inside the store's transactions: looked at, resent, dropped, bounded.

``docs/operations.md`` names the bounds. All functions run in the store's own thread, on its connection.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from agent.domain.messages import TransactionAuthorized, TransactionEnded, TransactionStarted
from agent.domain.security_events import LOG_MAX
from agent.domain.serialization import stored_class_name
from agent.model.fastclass import frozen
from agent.ports.store import NOTES_MAX, Put, is_notes
from agent.services.store import encoding
from agent.services.store import facts as records
from agent.services.store.transaction_ids import PLACES_KEPT, RUNNING

log = logging.getLogger(__name__)

VALUES_MAX = 2_000
"""Dead meter values and updates; the bill is not made of them."""
BILLS_MAX = 10_000
"""Dead starts and stops (5,000 sessions, some 5 MB)."""
POISONED_MAX = 200
BOOTS_MAX = 500
_BOOT_OF_STAMP = re.compile(rb'"boot":(\d+)')

_START_CLASSES = (TransactionStarted, TransactionAuthorized)
_STARTS = tuple(dict.fromkeys(name for c in _START_CLASSES for name in (c.__name__, stored_class_name(c))))
"""The column ``kind`` has the name of the class at the time it was written: a class that was renamed has two."""
_BILLS = (*_STARTS, TransactionEnded.__name__)
_START_MARKS, _BILL_MARKS = (",".join("?" * len(names)) for names in (_STARTS, _BILLS))
_COLUMNS = "seq, link, session, kind, reason, attempts, number, body"


@frozen
class DeadLetter:
    """A message in the dead-letter list. ``body``: the stored text of the message."""

    seq: int
    link: str
    session: str
    kind: str
    reason: str
    attempts: int = 0
    number: int = 0
    body: str = ""

    def to_summary(self) -> dict[str, Any]:
        """Return the row of the list: without the message itself."""
        names = ("seq", "link", "session", "kind", "attempts", "number")
        return {**{name: getattr(self, name) for name in names}, "reason": self._masked_reason()}

    def _masked_reason(self) -> str:
        """Return the backend's words with the token masked, which they may repeat."""
        reason = self.reason
        for value in re.findall(r'"\$": ?"Token","value": ?"([^"]{4,})"', self.body):
            reason = re.sub(re.escape(value), "…" + value[-4:] if len(value) > 6 else "…", reason, flags=re.IGNORECASE)
        return reason

    def to_details(self) -> dict[str, Any]:
        """Return all of it for a technician: with the message, card numbers masked."""
        try:
            message = mask_tokens(json.loads(encoding.unseal_text(self.body, self.link, self.session, self.kind)))
        except ValueError:
            message = f"cannot be read ({len(self.body)} characters)"  # not repeated: a card number may be in it
        return {**self.to_summary(), "message": message}


def mask_tokens(value: Any) -> Any:
    """Return a stored message with its tokens as ``Token.masked`` shows them."""
    if isinstance(value, dict):
        if value.get("$") == "Token":
            text = str(value.get("value", ""))
            return {**value, "value": "…" + text[-4:] if len(text) > 6 else "…"}
        return {k: mask_tokens(v) for k, v in value.items()}
    return [mask_tokens(v) for v in value] if isinstance(value, list) else value


def list_dead_letters(db: sqlite3.Connection) -> list[DeadLetter]:
    """Return the dead letters, oldest first."""
    return [DeadLetter(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM dead ORDER BY seq")]


def requeue_dead_letters(db: sqlite3.Connection, seqs: Iterable[int]) -> list[int]:
    """Move dead letters back into the queue, at their old places and with no attempts counted. The start of their
    session goes along, since nothing can be sent without it, and so does an end that was sent without a transaction
    id, accepted or not. Each keeps its place in its session: where the record of that is gone, a new one says so.
    Returns what was moved."""
    found = _existing_places(db, seqs) | _starts_of_sessions(db, seqs)
    going = sorted(found | _ends_without_number(db, found))
    for seq in going:
        _keep_record(db, *db.execute("SELECT link, session FROM dead WHERE seq=?", (seq,)).fetchone())
        db.execute(
            "INSERT INTO outbox(seq, link, session, kind, body, number) "
            "SELECT seq, link, session, kind, body, number FROM dead WHERE seq=?",
            (seq,),
        )
        db.execute("DELETE FROM dead WHERE seq=?", (seq,))
    return going


def _keep_record(db: sqlite3.Connection, link: str, session: str) -> None:
    key = f"{link}/{session}"
    if session and not db.execute("SELECT 1 FROM facts WHERE kind=? AND key=?", (RUNNING, key)).fetchone():
        records.put_facts(db, [Put(RUNNING, key, PLACES_KEPT)])


def requeue_session(db: sqlite3.Connection, link: str, session: str) -> None:
    """Move the start and end of this session, which its bill consists of, back into the queue."""
    sql = f"SELECT seq FROM dead WHERE link=? AND session=? AND kind IN ({_BILL_MARKS})"
    requeue_dead_letters(db, [seq for (seq,) in db.execute(sql, (link, session, *_BILLS)).fetchall()])


def drop_dead_letters(db: sqlite3.Connection, seqs: Iterable[int]) -> list[int]:
    """Delete dead letters for good. Returns the places of those that existed."""
    gone = sorted(_existing_places(db, seqs))
    sessions = {db.execute("SELECT link, session FROM dead WHERE seq=?", (seq,)).fetchone() for seq in gone}
    _delete_dead_letters(db, gone, sessions)
    return gone


def _delete_dead_letters(db: sqlite3.Connection, seqs: Sequence[int], sessions: Iterable[tuple[str, str]]) -> None:
    db.executemany("DELETE FROM dead WHERE seq=?", [(seq,) for seq in seqs])
    for link, session in sessions:
        forget_transaction(db, link, session)


def _existing_places(db: sqlite3.Connection, seqs: Iterable[int]) -> set[int]:
    return {s for s in seqs if db.execute("SELECT 1 FROM dead WHERE seq=?", (s,)).fetchone()}


def _starts_of_sessions(db: sqlite3.Connection, seqs: Iterable[int]) -> set[int]:
    sql = (
        "SELECT s.seq FROM dead AS d JOIN dead AS s ON s.link=d.link AND s.session=d.session AND s.seq<d.seq "
        f"WHERE d.seq=? AND s.kind IN ({_START_MARKS}) AND d.session<>''"
    )
    return {row[0] for seq in seqs for row in db.execute(sql, (seq, *_STARTS))}


def _ends_without_number(db: sqlite3.Connection, seqs: Iterable[int]) -> set[int]:
    """Return the places of ends that belong to these messages: without them a start that is sent again would be a
    transaction without an end. An end that may have arrived in another version (``ending``) is left to a person."""
    sql = (
        "SELECT e.seq FROM dead AS d JOIN dead AS e ON e.link=d.link AND e.session=d.session "
        "JOIN facts AS f ON f.kind='transaction' AND f.key=d.link||'/'||d.session "
        f"WHERE d.seq=? AND d.kind IN ({_START_MARKS}) AND e.kind='TransactionEnded' "
        "AND (f.body LIKE '%\"closed\":true%' OR (f.body LIKE '%\"refused\":%' AND f.body NOT LIKE '%\"ending\":%'))"
    )
    return {row[0] for seq in seqs for row in db.execute(sql, (seq, *_STARTS))}


def forget_transaction(db: sqlite3.Connection, link: str, session: str) -> bool:
    """Forget what the backend knows of a session, unless a message of it may still be sent, or the session or its
    transaction is open (decision 9). Returns True if nothing is kept any more."""
    if db.execute("SELECT 1 FROM facts WHERE kind IN ('session', 'tx') AND key=?", (session,)).fetchone():
        return False
    if session_has_rows("outbox", db, link, session) or session_has_rows("dead", db, link, session):
        return False
    db.execute("DELETE FROM facts WHERE kind='transaction' AND key=?", (f"{link}/{session}",))
    return True


def session_has_rows(table: str, db: sqlite3.Connection, link: str, session: str) -> bool:
    return (
        db.execute(f"SELECT 1 FROM {table} WHERE link=? AND session=? LIMIT 1", (link, session)).fetchone() is not None
    )


def limit_dead_letters(db: sqlite3.Connection) -> bool:
    """Delete the oldest dead letters beyond the bound, meter values long before a bill. Return whether something was
    deleted."""
    gone = 0
    marks = f"kind{{}} IN ({_BILL_MARKS})"
    for where, most in ((marks.format(" NOT"), VALUES_MAX), (marks.format(""), BILLS_MAX)):
        sql = f"SELECT seq, link, session, kind FROM dead WHERE {where} ORDER BY seq DESC LIMIT -1 OFFSET ?"
        rows = db.execute(sql, (*_BILLS, most)).fetchall()
        bills = [kind for *_, kind in rows if kind in _BILLS]
        if bills:
            log.error("more than %d dead letters: %d starts and ends of sessions are given up", most, len(bills))
        _delete_dead_letters(db, [seq for seq, *_ in rows], {(link, session) for _, link, session, _ in rows})
        gone += len(rows)
    return gone > 0


def limit_notifications(db: sqlite3.Connection, queues: Iterable[str]) -> bool:
    """Delete the oldest notifications beyond the bound: they are in the security log as well. ``queues``: those that
    something was just added to. Return whether something was deleted."""
    gone = 0
    for queue in queues:
        if is_notes(queue):
            old = "SELECT seq FROM outbox WHERE link=? ORDER BY seq DESC LIMIT -1 OFFSET ?"
            gone += db.execute(f"DELETE FROM outbox WHERE seq IN ({old})", (queue, NOTES_MAX)).rowcount
    if gone:
        log.warning("more than %d security events and statuses wait: the oldest are given up", NOTES_MAX)
    return gone > 0


def put_bounded_facts(db: sqlite3.Connection, puts: Sequence[Put]) -> None:
    """Put facts, and delete the oldest ones beyond the bounds."""
    has_new_boot = _begins_boot_record(db, puts)
    records.put_facts(db, puts)
    if has_new_boot:
        _limit_boot_records(db)
    _limit_facts(db, [p.kind for p in puts if p.value is not None])


def _limit_facts(db: sqlite3.Connection, kinds: Sequence[str]) -> None:
    """Delete the oldest facts beyond the bounds. ``kinds``: those that something was just put of."""
    if "poisoned" in kinds:  # of sessions and payments longest: they may hold a bill
        db.execute(
            "DELETE FROM facts WHERE kind='poisoned' AND key IN (SELECT key FROM facts WHERE kind='poisoned' "
            "ORDER BY (key LIKE '%/%' AND key NOT LIKE 'session/%' AND key NOT LIKE 'payment/%'), key "
            "LIMIT -1 OFFSET ?)",
            (POISONED_MAX,),
        )
    if "security" in kinds:
        db.execute(
            "DELETE FROM facts WHERE kind='security' AND key IN (SELECT key FROM facts WHERE kind='security' "
            "ORDER BY CAST(key AS INTEGER) DESC LIMIT -1 OFFSET ?)",
            (LOG_MAX,),
        )


def _begins_boot_record(db: sqlite3.Connection, puts: Iterable[Put]) -> bool:
    known = "SELECT 1 FROM facts WHERE kind='boot' AND key=?"
    return any(p.kind == "boot" and p.value is not None and not db.execute(known, (p.key,)).fetchone() for p in puts)


def _limit_boot_records(db: sqlite3.Connection) -> None:
    """Delete the oldest boots beyond the bound. A boot stays while something that is kept has a stamp of it, since the
    UTC of that is made of it; so do its neighbours, between which a boot without a known time lies. Reads the whole
    queue: once per boot is enough."""
    key = "CAST(key AS INTEGER)"
    numbers = [n for (n,) in db.execute(f"SELECT {key} FROM facts WHERE kind='boot' ORDER BY {key}")]
    if len(numbers) <= BOOTS_MAX:
        return
    needed = _boots_of_stamps(db)
    for place, number in enumerate(numbers[:-BOOTS_MAX]):
        if needed.isdisjoint(numbers[max(place - 1, 0) : place + 2]):
            db.execute(f"DELETE FROM facts WHERE kind='boot' AND {key}=?", (number,))


def _boots_of_stamps(db: sqlite3.Connection) -> set[int]:
    """Return the boots of all stamps in messages, and in facts but the security log and the archives."""
    others = ("boot", "security", *records.ARCHIVED)
    sql = (
        "SELECT CAST(body AS BLOB) FROM outbox UNION ALL SELECT CAST(body AS BLOB) FROM dead UNION ALL "
        f"SELECT CAST(body AS BLOB) FROM facts WHERE kind NOT IN ({','.join('?' * len(others))})"
    )
    return {int(boot) for (body,) in db.execute(sql, others) for boot in _BOOT_OF_STAMP.findall(body)}
