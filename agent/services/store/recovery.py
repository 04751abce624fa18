"""What can still be read of a corrupt store is carried over into a new one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from agent.services.store import encoding, first_page, migrations
from agent.services.store.migrations import AHEAD, LAST, wal_path

Saved: TypeAlias = dict[str, list[tuple[Any, ...]]]

TABLES: dict[str, tuple[str, ...]] = {
    "facts": ("kind", "key"), "outbox": ("seq",), "dead": ("seq",), "numbers": ("link", "session"),
    "sqlite_sequence": ("name",),
}  # fmt: skip
"""With the columns of their keys, which are the first ones."""
_TYPES: dict[str, tuple[type, ...]] = {
    "facts": (str, str, str), "outbox": (int, str, str, str, str, int), "dead": (int, str, str, str, str, int),
    "numbers": (str, str, int), "sqlite_sequence": (str, int),
}  # fmt: skip
NO_ROOTS: Mapping[str, int] = {}

NUMBER_ANEW = """
    UPDATE outbox SET number = (SELECT count(*) FROM outbox AS o WHERE o.link = outbox.link
                                AND o.session = outbox.session AND o.seq < outbox.seq);
    INSERT OR REPLACE INTO numbers(link, session, next)
        SELECT link, session, max(number) + 1 FROM outbox WHERE session <> '' GROUP BY link, session;
"""
"""Each message's place in its session, for a queue that was written without (schema 1 and 2)."""
NUMBERED_COLUMNS = 7


def replace_corrupt_file(path: Path, roots: Mapping[str, int] = NO_ROOTS) -> Path:
    """Put a new file with what can be read in the place of the corrupt one. Return where the corrupt one is now. The
    new one is whole and on disk before the old one moves: a power cut or a full disk in between loses nothing. Raises
    ``OSError`` and ``sqlite3.Error``; then everything is as it was."""
    making = path.with_suffix(".salvaging")
    for old in (making, wal_path(making)):
        old.unlink(missing_ok=True)
    db = migrations.connect_store(making)
    try:
        write_tables(db, salvage_tables(path, roots))
    finally:
        db.close()  # merges the -wal, durably
    making.rename(migrations.salvaged_path(path))
    aside = finish_replacement(path)
    assert aside is not None
    return aside


def finish_replacement(path: Path) -> Path | None:
    """Finish ``replace_corrupt_file``, also after a power cut in the middle of it. Returns where the corrupt file is
    now, or None if there was none or nothing is left to finish."""
    new = migrations.salvaged_path(path)
    if not new.exists():
        return None
    number = 1
    while (aside := path.with_suffix(f".corrupt-{number}")).exists():
        number += 1
    if wal_path(path).exists():
        wal_path(path).rename(wal_path(aside))
    if path.exists():
        path.rename(aside)
    new.rename(path)
    return aside if aside.exists() else None


def copy_open_store(path: Path, db: sqlite3.Connection) -> None:
    """Copy the open store ``db``, whose file is no longer under its name, into a whole new file.
    ``finish_replacement`` puts it in its place."""
    making = path.with_suffix(".salvaging")
    making.unlink(missing_ok=True)
    db.execute("VACUUM INTO ?", (str(making),))
    making.chmod(0o600)
    with making.open("rb") as file:
        os.fsync(file.fileno())
    making.rename(migrations.salvaged_path(path))


def salvage_in_memory(path: Path, roots: Mapping[str, int] = NO_ROOTS) -> sqlite3.Connection:
    """Return a store in memory with what can be read. Nothing that is written to it lasts."""
    db = migrations.create_in_memory()
    write_tables(db, salvage_tables(path, roots))
    return db


def salvage_tables(path: Path, roots: Mapping[str, int] = NO_ROOTS) -> Saved:
    """Read table by table, from both ends until the reading breaks off, so that one bad page costs what is on it.
    Newest first: what has been committed but not yet merged into the file (its ``-wal``) counts. ``roots``: where the
    tables begin, as the witness has it, for a file whose first page no longer shows it."""
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix="store-", dir=_copy_folder()) as folder:
        for file in (path, wal_path(path)):
            if file.exists():
                shutil.copyfile(file, Path(folder) / file.name)
        file = Path(folder) / path.name
        saved = _read_tables(f"file:{file}")
        if first_page.restore_first_page(file, roots):
            again = _read_tables(f"file:{file}")
            saved = {table: max(rows, again[table], key=len) for table, rows in saved.items()}
        if any(saved.values()):
            return saved
    return _read_tables(f"file:{path}?mode=ro&immutable=1")


def _copy_folder() -> str | None:
    """Return the folder for a copy: systemd's runtime directory lies in memory."""
    return os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or None


def _read_tables(uri: str) -> Saved:
    saved: Saved = {table: [] for table in TABLES}
    try:
        db = sqlite3.connect(uri, uri=True)
        db.text_factory = encoding.decode_bytes
    except sqlite3.Error:
        return saved
    for table, key in TABLES.items():
        rows: dict[Any, tuple[Any, ...]] = {}
        for way in ("ASC", "DESC"):
            with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
                for row in db.execute(f"SELECT * FROM {table} ORDER BY {', '.join(f'{c} {way}' for c in key)}"):
                    if row[: len(key)] in rows or not all(map(isinstance, row, _TYPES[table])):
                        break  # known from the other end; or not of this table
                    rows[row[: len(key)]] = row
        saved[table] = list(rows.values())
    db.close()
    return saved


def write_tables(db: sqlite3.Connection, saved: Saved) -> None:
    """Write the rows in one transaction into a file of the present schema. Rows of an older one have fewer columns."""
    columns = {t: [c[1] for c in db.execute(f"PRAGMA table_info({t})")] for t in saved}
    db.execute("BEGIN IMMEDIATE")
    for table, rows in saved.items():
        for row in (r[: len(columns[table])] for r in rows):  # a newer program may have added columns
            names = ",".join(columns[table][: len(row)])
            marks = ",".join("?" * len(row))
            db.execute(f"INSERT OR IGNORE INTO {table}({names}) VALUES({marks})", row)
    if any(len(row) < NUMBERED_COLUMNS for row in saved["outbox"]):
        for statement in NUMBER_ANEW.split(";"):
            db.execute(statement)
    _dead_letter_damaged(db)
    _skip_places(db)
    db.execute("COMMIT")


def _dead_letter_damaged(db: sqlite3.Connection) -> None:
    """Put messages whose text or keys are not what they were into the dead-letter list. It cannot be known whose they
    are, so a person decides."""
    for seq, *keys, body in db.execute("SELECT seq, link, session, kind, body FROM outbox").fetchall():
        try:
            encoding.unseal_text(body, *keys)
        except ValueError as e:
            columns = "seq, link, session, kind, body, attempts, number"
            why = f"damaged in the store: {e}"
            db.execute(
                f"INSERT OR REPLACE INTO dead({columns}, reason) SELECT {columns}, ? FROM outbox WHERE seq=?",
                (why, seq),
            )
            db.execute("DELETE FROM outbox WHERE seq=?", (seq,))


_PLACES = (
    "SELECT seq FROM outbox UNION ALL SELECT seq FROM dead UNION ALL "
    "SELECT seq FROM sqlite_sequence WHERE name <> 'commits'"
)
_COMMITS = "SELECT seq FROM sqlite_sequence WHERE name = 'commits'"
_OPENINGS = "SELECT body FROM facts WHERE kind='transaction'"


def _skip_places(db: sqlite3.Connection) -> None:
    """Go on beyond the last place that is known of: the counter's, a row's, or that of a message that may come back."""
    places = [seq for (seq,) in db.execute(_PLACES) if isinstance(seq, int) and seq < LAST]
    for (body,) in db.execute(_OPENINGS):
        places += map(int, re.findall(r'"seq":(\d{1,15})\b', body))
    commits = [seq for (seq,) in db.execute(_COMMITS) if isinstance(seq, int) and seq < LAST]
    db.execute("DELETE FROM sqlite_sequence")
    counts = [("outbox", max(places, default=0) + AHEAD), ("commits", max(commits, default=0))]
    db.executemany("INSERT INTO sqlite_sequence VALUES(?, ?)", counts)
