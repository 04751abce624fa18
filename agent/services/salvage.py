"""What can still be read of a corrupt store is carried over into a new one."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, TypeAlias

from agent.services import forms

Saved: TypeAlias = dict[str, list[tuple[Any, ...]]]

TABLES = ("facts", "outbox", "dead", "numbers")
AHEAD = 1_000_000
"""Places of the queue that are left out: what could not be read had some of them, and a message id (which is made of
the place) is never given twice."""

NUMBER_ANEW = """
    UPDATE outbox SET number = (SELECT count(*) FROM outbox AS o WHERE o.link = outbox.link
                                AND o.session = outbox.session AND o.seq < outbox.seq);
    INSERT OR REPLACE INTO numbers SELECT link, session, max(number) + 1 FROM outbox WHERE session <> ''
                                   GROUP BY link, session;
"""
"""Each message's place in its session, for a queue that was written without (schema 1 and 2)."""
NUMBERED_COLUMNS = 7


def read(path: Path) -> Saved:
    """Table by table, until it breaks off."""
    saved: Saved = {table: [] for table in TABLES}
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        db.text_factory = forms.decoded
    except sqlite3.Error:
        return saved
    for table, rows in saved.items():
        try:
            for row in db.execute(f"SELECT * FROM {table}"):
                rows.append(row)
        except sqlite3.Error:
            continue
    db.close()
    return saved


def write(db: sqlite3.Connection, saved: Saved) -> None:
    """One transaction into a file of the present schema; rows of an older one have fewer columns."""
    columns = {t: [c[1] for c in db.execute(f"PRAGMA table_info({t})")] for t in saved}
    db.execute("BEGIN IMMEDIATE")
    for table, rows in saved.items():
        for row in rows:
            names = ",".join(columns[table][: len(row)])
            marks = ",".join("?" * len(row))
            db.execute(f"INSERT OR IGNORE INTO {table}({names}) VALUES({marks})", row)
    if any(len(row) < NUMBERED_COLUMNS for row in saved["outbox"]):
        for statement in NUMBER_ANEW.split(";"):
            db.execute(statement)
    _go_ahead(db)
    db.execute("COMMIT")


def _go_ahead(db: sqlite3.Connection) -> None:
    last = db.execute("SELECT max(seq) FROM (SELECT seq FROM outbox UNION ALL SELECT seq FROM dead)").fetchone()[0]
    db.execute("DELETE FROM sqlite_sequence WHERE name='outbox'")
    db.execute("INSERT INTO sqlite_sequence VALUES('outbox', ?)", ((last or 0) + AHEAD,))
