"""What the store holds that a backend or a person still has to get: nothing of it may be deleted with the station.

All functions run in the store's own thread, on its connection.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from agent.domain.payment import FINISHED, PayState
from agent.model.fastclass import frozen
from agent.ports.store import link_of
from agent.services.store.commit_attestation import SESSIONS
from agent.services.store.facts import Facts

OPEN, QUEUED, DEAD, PAYMENT, UNREADABLE = "open session", "queued", "dead letters", "payment", "unreadable"
_MESSAGES = "SELECT link, session, count(*) FROM {} WHERE session<>'' GROUP BY link, session ORDER BY min(seq)"


@frozen
class Undelivered:
    """``what`` waits (one of the words above), for which backend (``link``, "" for none), and under which name: that of
    a session, a payment or a record. ``count``: of messages or records."""

    what: str
    link: str
    name: str
    count: int

    def to_entry(self) -> dict[str, Any]:
        """Return the row as the status socket sends it."""
        return {"what": self.what, "link": self.link, "name": self.name, "count": self.count}


def list_undelivered(db: sqlite3.Connection, facts: Facts) -> list[Undelivered]:
    """Return the sessions that are open, the messages of sessions that wait or are dead letters, the payments that are
    neither settled nor reviewed, and the records that cannot be read."""
    sessions = sorted({key for kind in SESSIONS for key in facts.get(kind, {})})
    payments = [key for key, record in facts.get("payment", {}).items() if not _is_settled(record)]
    unreadable = [key for key, record in facts.get("poisoned", {}).items() if _may_hold_bill(key, record)]
    return [
        *(Undelivered(OPEN, "", session, 1) for session in sessions),
        *_message_rows(db, QUEUED, "outbox"),
        *_message_rows(db, DEAD, "dead"),
        *(Undelivered(PAYMENT, "", key, 1) for key in payments),
        *(Undelivered(UNREADABLE, "", key, 1) for key in unreadable),
    ]


def _message_rows(db: sqlite3.Connection, what: str, table: str) -> list[Undelivered]:
    """Return a row for each session. Statuses and readings outside of sessions are not billed: they do not count."""
    rows = db.execute(_MESSAGES.format(table)).fetchall()
    return [Undelivered(what, link_of(link), session, count) for link, session, count in rows]


def _is_settled(record: dict[str, Any]) -> bool:
    state = record.get("state")
    return state in FINISHED and (state != PayState.UNCERTAIN or bool(record.get("reviewed")))


def _may_hold_bill(key: str, record: dict[str, Any]) -> bool:
    """Return whether a damaged record may be one of a session or a payment. ``key``: ``kind/key``, as far as it could
    be read."""
    kind, slash, _ = key.partition("/")
    return not record.get("reviewed") and (not slash or kind in (*SESSIONS, "payment"))
