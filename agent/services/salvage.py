"""What can still be read of a corrupt store is carried over into a new one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

from agent.services import forms, schema

Saved: TypeAlias = dict[str, list[tuple[Any, ...]]]

TABLES: dict[str, tuple[str, ...]] = {
    "facts": ("kind", "key"), "outbox": ("seq",), "dead": ("seq",), "numbers": ("link", "session"),
    "sqlite_sequence": ("name",),
}  # fmt: skip
"""With the columns of their keys, which are the first ones."""
AHEAD = 1_000_000
"""Places of the queue that are left out: what could not be read had some of them, and a place is never given twice."""
LAST = 2**48
"""Nobody gets there: a counter beyond is damaged."""

NUMBER_ANEW = """
    UPDATE outbox SET number = (SELECT count(*) FROM outbox AS o WHERE o.link = outbox.link
                                AND o.session = outbox.session AND o.seq < outbox.seq);
    INSERT OR REPLACE INTO numbers SELECT link, session, max(number) + 1 FROM outbox WHERE session <> ''
                                   GROUP BY link, session;
"""
"""Each message's place in its session, for a queue that was written without (schema 1 and 2)."""
NUMBERED_COLUMNS = 7


def replace(path: Path) -> Path:
    """A new file with what can be read takes the place of the corrupt one; returns where that is now. The new one is
    whole and on disk before the old one moves: a power cut or a full disk in between loses nothing.

    Raises ``OSError`` and ``sqlite3.Error``; then everything is as it was."""
    making = path.with_suffix(".salvaging")
    for old in (making, _wal(making)):
        old.unlink(missing_ok=True)
    db = schema.connect(making)
    try:
        write(db, read(path))
    finally:
        db.close()  # merges the -wal, durably
    making.rename(schema.salvaged(path))
    aside = finish(path)
    assert aside is not None
    return aside


def finish(path: Path) -> Path | None:
    """The rest of ``replace``, also after a power cut in the middle of it: None where there is nothing to finish."""
    new = schema.salvaged(path)
    if not new.exists():
        return None
    number = 1
    while (aside := path.with_suffix(f".corrupt-{number}")).exists():
        number += 1
    if _wal(path).exists():
        _wal(path).rename(_wal(aside))
    if path.exists():
        path.rename(aside)
    new.rename(path)
    return aside


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def in_memory(path: Path) -> sqlite3.Connection:
    """What can be read, in a store that nothing can be written to for good."""
    db = schema.fresh()
    write(db, read(path))
    return db


def read(path: Path) -> Saved:
    """Table by table, from both ends until it breaks off, so that one bad page costs what is on it. Newest first: what
    has been committed but not yet merged into the file (its ``-wal``) counts."""
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix="store-", dir=_room()) as folder:
        for file in (path, _wal(path)):
            if file.exists():
                shutil.copyfile(file, Path(folder) / file.name)
        saved = _tables(f"file:{folder}/{path.name}")
        if any(saved.values()):
            return saved
    return _tables(f"file:{path}?mode=ro&immutable=1")


def _room() -> str | None:
    """For a copy: systemd's runtime directory lies in memory."""
    return os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or None


def _tables(uri: str) -> Saved:
    saved: Saved = {table: [] for table in TABLES}
    try:
        db = sqlite3.connect(uri, uri=True)
        db.text_factory = forms.decoded
    except sqlite3.Error:
        return saved
    for table, key in TABLES.items():
        rows: dict[Any, tuple[Any, ...]] = {}
        for way in ("ASC", "DESC"):
            with contextlib.suppress(sqlite3.Error):
                for row in db.execute(f"SELECT * FROM {table} ORDER BY {', '.join(f'{c} {way}' for c in key)}"):
                    if row[: len(key)] in rows:
                        break
                    rows[row[: len(key)]] = row
        saved[table] = list(rows.values())
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


_PLACES = "SELECT seq FROM outbox UNION ALL SELECT seq FROM dead UNION ALL SELECT seq FROM sqlite_sequence"
_OPENINGS = "SELECT body FROM facts WHERE kind='transaction'"


def _go_ahead(db: sqlite3.Connection) -> None:
    """From the last place that is known of: the counter's, a row's, or that of a message that may come back."""
    places = [seq for (seq,) in db.execute(_PLACES) if isinstance(seq, int) and seq < LAST]
    for (body,) in db.execute(_OPENINGS):
        places += map(int, re.findall(r'"seq":(\d{1,15})\b', body))
    db.execute("DELETE FROM sqlite_sequence")
    db.execute("INSERT INTO sqlite_sequence VALUES('outbox', ?)", (max(places, default=0) + AHEAD,))
