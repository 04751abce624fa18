"""What a full store gives up: messages between a session's start and its end, spread over its whole length, so that the
course of the energy stays visible. Meter values go before changes of the charging state; a start, an end and who had
the right never go: they are the bill (OCPP 2.0.1 E04: intermediate messages first, not all from one end).
"""

from __future__ import annotations

import sqlite3

from agent.domain.messages import MeterSampled, TransactionUpdated

GIVEN_UP = (MeterSampled.__name__, TransactionUpdated.__name__)
"""In this order; the next kind only when nothing of the one before can go."""
SHARE = 0.7
"""Of a kind that goes at once. SQLite joins neighbouring pages when a third of them is left, not when a half is: less
than this would make many holes and no room."""

_PLACES = "CASE WHEN session = '' THEN seq ELSE number END"
_SURPLUS = f"""
    SELECT seq FROM (
        SELECT seq, row_number() OVER (PARTITION BY link, session, ({_PLACES}) >> ? ORDER BY seq) AS nth
        FROM outbox WHERE kind = ?
    ) WHERE nth > 1"""
"""A session is divided into stretches of 2^n places; the first message of each stretch is kept."""
_APART = f"""
    SELECT max(apart) FROM (SELECT min(gap) AS apart FROM (
        SELECT link, session, ({_PLACES}) - lag({_PLACES}) OVER w AS gap, row_number() OVER w AS nth
        FROM outbox WHERE kind = ? WINDOW w AS (PARTITION BY link, session ORDER BY seq)
    ) WHERE nth BETWEEN 2 AND 4 GROUP BY link, session)"""
"""How far apart the oldest ones are: thinned before, they set the measure for those that have come since."""


def thin_queue(db: sqlite3.Connection) -> int:
    """Delete messages and return how many. 0: there is none that may be deleted. Dead letters are deleted last."""
    kinds = (gone for kind in GIVEN_UP if (gone := _thin_messages_of(db, kind)))
    return next(kinds, 0) or _delete_dead_values(db)


def _delete_dead_values(db: sqlite3.Connection) -> int:
    return int(db.execute(f"DELETE FROM dead WHERE kind IN ({','.join('?' * len(GIVEN_UP))})", GIVEN_UP).rowcount)


def _thin_messages_of(db: sqlite3.Connection, kind: str) -> int:
    total, last = db.execute(f"SELECT count(*), max({_PLACES}) FROM outbox WHERE kind = ?", (kind,)).fetchone()
    apart = db.execute(_APART, (kind,)).fetchone()[0]
    longest = int(last or 0).bit_length()
    for stretch in range(max(1, int(apart or 0).bit_length() - 1), longest + 1):
        surplus = db.execute(f"SELECT count(*) FROM ({_SURPLUS})", (stretch, kind)).fetchone()[0]
        if surplus >= total * SHARE or stretch == longest:
            return int(db.execute(f"DELETE FROM outbox WHERE seq IN ({_SURPLUS})", (stretch, kind)).rowcount)
    return 0
