"""The file of the store: its shape, how an older one becomes it, and what may be wrong with a file or its disk."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import zlib
from pathlib import Path

from agent.services.store import encoding

AHEAD = 1_000_000
"""Places of the queue that are left out: what could not be read had some of them, and a place is never given twice."""
LAST = 2**48
"""No counter reaches this: one beyond it is damaged."""
MIGRATIONS: tuple[str, ...] = (
    # 1: the first shape
    """
    CREATE TABLE facts(kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;
    CREATE TABLE outbox(seq INTEGER PRIMARY KEY AUTOINCREMENT, link TEXT NOT NULL, session TEXT NOT NULL,
                        kind TEXT NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE dead(seq INTEGER PRIMARY KEY, link TEXT NOT NULL, session TEXT NOT NULL, kind TEXT NOT NULL,
                      body TEXT NOT NULL, attempts INTEGER NOT NULL);
    """,
    # 2: why a message is in the dead-letter list, and when it got there (boot and seconds: the clock may be unknown)
    """
    ALTER TABLE dead ADD COLUMN reason TEXT NOT NULL DEFAULT '';
    CREATE INDEX outbox_link ON outbox(link, seq);
    """,
    # 3: each message's place in its session, and which place comes next (until the session's end is queued)
    """
    ALTER TABLE outbox ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE dead ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE numbers(link TEXT NOT NULL, session TEXT NOT NULL, next INTEGER NOT NULL,
                         PRIMARY KEY(link, session)) WITHOUT ROWID;
    UPDATE outbox SET number = (SELECT count(*) FROM outbox AS o WHERE o.link = outbox.link
                                AND o.session = outbox.session AND o.seq < outbox.seq);
    INSERT INTO numbers SELECT link, session, max(number) + 1 FROM outbox WHERE session <> '' GROUP BY link, session;
    """,
    # 4: thousands of dead letters are looked through by session
    """
    CREATE INDEX dead_session ON dead(link, session);
    """,
    # 5: how many commits there were (decision 31); from now on each record ends with a checksum
    """
    INSERT INTO sqlite_sequence VALUES('commits', 0);
    """,
)

LEAST_READER = 0
"""The oldest schema whose program can go on with a file of the present one; 0: no older one can. A system whose boot is
not accepted falls back to the one before it (decision 42), and the store is the same: a migration may only add tables,
indexes, and columns with a default at the end, so that this is the schema before it."""
COUNTERS, READER = "sqlite_sequence", "least_reader"
"""Table and row with it."""
SHAPE = 0xB1ABA12F
"""``schema_checksum`` of the present schema: a bit that flips in the name of a column is found before it is missed."""
PRAGMAS = ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF", "cache_size=-256")
"""256 KiB of pages in memory: a queue is used at its two ends, and a long one that is checked fills what it may."""


class StoreRefused(Exception):
    """The file is not ours to use: newer schema, or another agent has it. ``str()`` names what to do."""


def connect_store(path: Path, least: int = 0) -> sqlite3.Connection:
    """Open or create, judged and of the present shape. ``least``: the schema that its witness has seen, 0 without one.
    Raises ``StoreRefused``, ``OSError``, ``sqlite3.Error``."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # the WAL gets the mode that the file has now
    os.chmod(path, 0o600)
    db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    db.text_factory = encoding.decode_bytes
    try:
        for pragma in PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        # not quick_check: a flipped bit in an index would put the queue out of order
        check = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if check != "ok":
            raise sqlite3.DatabaseError(check)
        _check_schema_version(db, least)
        migrate_schema(db, path)
        if not (
            _is_of_readable_successor(db) if _schema_version(db) > len(MIGRATIONS) else schema_checksum(db) == SHAPE
        ):
            raise sqlite3.DatabaseError("its tables are not those that this program makes")
    except UnicodeDecodeError as e:  # the driver's, over the text of SQLite about a damaged schema
        db.close()
        raise sqlite3.DatabaseError("its first page is damaged") from e
    except BaseException:
        db.close()
        raise
    return db


def create_in_memory() -> sqlite3.Connection:
    """Create an empty store in memory."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.text_factory = encoding.decode_bytes
    migrate_schema(db, Path(":memory:"))
    return db


def schema_checksum(db: sqlite3.Connection) -> int:
    """Return a checksum over the statements that made the tables."""
    sql = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    return zlib.crc32("\n".join(text for (text,) in db.execute(sql)).encode())


def _schema_version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _is_left_readable(db: sqlite3.Connection) -> bool:
    """Return whether a newer program has written that this one can go on with the file."""
    if _schema_version(db) <= len(MIGRATIONS) or not db.execute(f"PRAGMA table_info({COUNTERS})").fetchall():
        return False
    row = db.execute(f"SELECT seq FROM {COUNTERS} WHERE name=?", (READER,)).fetchone()
    return row is not None and isinstance(row[0], int) and 0 < row[0] <= len(MIGRATIONS)


def _is_of_readable_successor(db: sqlite3.Connection) -> bool:
    """Return whether the tables begin with all columns that this program knows."""
    known = create_in_memory()
    tables = [name for (name,) in known.execute("SELECT name FROM sqlite_master WHERE type='table'")]
    columns = [[[c[1] for c in d.execute(f"PRAGMA table_info({t})")] for t in tables] for d in (known, db)]
    known.close()
    return all(there[: len(ours)] == ours for ours, there in zip(*columns, strict=True))


def _check_schema_version(db: sqlite3.Connection, least: int) -> None:
    """Refuse a version that the witness knows to be wrong: a bit that has flipped is damage, no other program."""
    version = _schema_version(db)
    empty = db.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    is_known = least <= version <= len(MIGRATIONS) or _is_left_readable(db)
    if not empty and 0 < least <= len(MIGRATIONS) and not is_known:
        raise sqlite3.DatabaseError(f"its version is damaged ({version}, it was {least})")


def migrate_schema(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file to the present schema. One that a newer program has left readable stays as it is."""
    version = _schema_version(db)
    if version == len(MIGRATIONS) or _is_left_readable(db):
        return
    if version > len(MIGRATIONS):
        raise StoreRefused(
            f"{path}: was written by a newer program (schema {version}, this one knows {len(MIGRATIONS)}); "
            "install that version again, or move the file away after saving it"
        )
    db.execute("BEGIN IMMEDIATE")
    for statement in ";".join(MIGRATIONS[version:]).split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
    db.execute(f"DELETE FROM {COUNTERS} WHERE name=?", (READER,))
    db.execute(f"INSERT INTO {COUNTERS} VALUES(?, ?)", (READER, LEAST_READER))
    db.execute("COMMIT")


def salvaged_path(path: Path) -> Path:
    """Return where a new file lies that is whole and has not yet taken the place of the corrupt one."""
    return path.with_suffix(".salvaged")


def wal_path(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def wal_frames(path: Path) -> tuple[int, str]:
    """Return how many frames the WAL of this store has since it was begun again, up to the last one that ends a commit,
    and the salts of its header, which each of these frames has and no other beginning ("WAL File Format" of SQLite)."""
    count, committed, head = 0, 0, b""
    with contextlib.suppress(OSError), wal_path(path).open("rb") as file:
        head = file.read(32)
        page_bytes = int.from_bytes(head[8:12], "big")
        while page_bytes and (frame := file.read(24))[8:16] == head[16:24]:
            file.seek(page_bytes, os.SEEK_CUR)
            count += 1
            if any(frame[4:8]):
                committed = count
    return committed, head[16:24].hex()


def is_disk_problem(e: OSError | sqlite3.Error) -> bool:
    """Return whether the disk may recover without a change of the file or its rights."""
    if isinstance(e, OSError):
        return e.errno in (errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT)
    return isinstance(e, sqlite3.OperationalError) and any(w in str(e) for w in ("disk", "readonly"))


def describe_refusal(path: Path, e: sqlite3.OperationalError) -> str:
    if "locked" in str(e):
        return f"{path}: another agent is running on this file; stop it first"
    return f"{path}: cannot be opened: {e}; check that the folder exists and is writable"
