"""The durable store: SQLite, one file, one connection, one thread.

WAL with ``synchronous=FULL``: a commit that returned survives a power cut (SQLite, "Write-Ahead Logging" and PRAGMA
docs). ``locking_mode=EXCLUSIVE``: a second agent on the same file is refused, and there is no shared-memory file. Facts
are JSON by kind and key; the outbox is the first-in-first-out queue of what is billed; ``dead`` keeps what could not be
delivered. Several facts and messages of one event are one transaction.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from agent.domain.messages import MeterSampled, TransactionEnded
from agent.domain.record import Poisoned, dump, load
from agent.frozen import frozen
from agent.ports.store import OutboxRow, Put, StoreError

T = TypeVar("T")

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
)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class StoreRefused(Exception):
    """The file is not ours to use: newer schema, or another agent has it. ``str()`` says what to do."""


@frozen
class Letter:
    """A message in the dead-letter list."""

    seq: int
    link: str
    session: str
    kind: str
    reason: str


class Store:
    """Open with ``await Store.open(...)``; close with ``await store.close()``."""

    def __init__(self, path: Path, max_mb: int) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self._max_mb = max_mb
        self._thread = ThreadPoolExecutor(1, "store")
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._ids: dict[tuple[str, str], str] = {}
        self._prefix = ""
        self._db: sqlite3.Connection

    @classmethod
    async def open(cls, path: Path, max_mb: int = 32) -> Store:
        """Open or create. A corrupt file is set aside (``set_aside``), what can be read of it is saved into a new one.

        Raises ``StoreRefused`` (newer schema, in use by another agent) and ``StoreError`` (disk)."""
        store = cls(path, max_mb)
        try:
            await store._call(store._open)
        except BaseException:
            store._thread.shutdown()
            raise
        return store

    async def _call(self, work: Callable[..., T], *args: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        except (sqlite3.Error, OSError) as e:
            raise StoreError(f"{self.path}: {e}; check disk space and permissions") from e

    # --- opening -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            self._connect()
        except sqlite3.DatabaseError as e:
            if isinstance(e, sqlite3.OperationalError):
                raise StoreRefused(self._refusal(e)) from e
            self._replace_corrupt()
        self._waiting = self._count()
        for key, body in self._db.execute("SELECT key, body FROM facts WHERE kind='transaction'"):
            link, _, session = key.partition("/")
            self._ids[link, session] = json.loads(body)["id"]
        self._prefix = self._make_prefix()

    def _refusal(self, e: sqlite3.OperationalError) -> str:
        if "locked" in str(e):
            return f"{self.path}: another agent is running on this file; stop it first"
        return f"{self.path}: cannot be opened: {e}; check that the folder exists and is writable"

    def _connect(self) -> None:
        db = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF"):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("COMMIT")
            os.chmod(self.path, 0o600)
            check = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if check != "ok":
                raise sqlite3.DatabaseError(check)
            self._migrate(db)
            page = db.execute("PRAGMA page_size").fetchone()[0]
            db.execute(f"PRAGMA max_page_count={self._max_mb * 1024 * 1024 // page}")
            db.execute("PRAGMA journal_size_limit=1048576")
        except BaseException:
            db.close()
            raise
        self._db = db

    def _migrate(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreRefused(
                f"{self.path}: was written by a newer program (schema {version}, this one knows {len(MIGRATIONS)}); "
                "install that version again, or move the file away after saving it"
            )
        for number in range(version, len(MIGRATIONS)):
            db.execute("BEGIN IMMEDIATE")
            for statement in MIGRATIONS[number].split(";"):
                if statement.strip():
                    db.execute(statement)
            db.execute(f"PRAGMA user_version={number + 1}")
            db.execute("COMMIT")

    def _replace_corrupt(self) -> None:
        number = 1
        while (aside := self.path.with_suffix(f".corrupt-{number}")).exists():
            number += 1
        saved = _salvage(self.path)
        self.path.rename(aside)
        for tail in ("-wal", "-shm"):
            self.path.with_name(self.path.name + tail).unlink(missing_ok=True)
        self.set_aside = aside
        self._connect()
        columns = {t: [c[1] for c in self._db.execute(f"PRAGMA table_info({t})")] for t in saved}
        self._db.execute("BEGIN IMMEDIATE")
        for table, rows in saved.items():
            for row in rows:
                names = ",".join(columns[table][: len(row)])  # a file of an older schema has fewer of them
                marks = ",".join("?" * len(row))
                self._db.execute(f"INSERT OR IGNORE INTO {table}({names}) VALUES({marks})", row)
        self._db.execute("COMMIT")

    def _make_prefix(self) -> str:
        """Message ids are unique for ever: a random prefix of the file, then the sequence number."""
        row = self._db.execute("SELECT body FROM facts WHERE kind='meta' AND key='prefix'").fetchone()
        if row:
            return str(json.loads(row[0])["text"])
        prefix = "".join(secrets.choice(_DIGITS) for _ in range(4))
        body = json.dumps({"text": prefix})
        self._db.execute("INSERT INTO facts VALUES('meta', 'prefix', ?)", (body,))
        return prefix

    async def close(self) -> None:
        await self._call(self._db.close)
        self._thread.shutdown()

    # --- facts -------------------------------------------------------------------------------------------------

    async def facts(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Everything remembered: kind -> key -> value. An unreadable value is left out (and stays on disk)."""
        return await self._call(self._facts)

    def _facts(self) -> dict[str, dict[str, dict[str, Any]]]:
        out: dict[str, dict[str, dict[str, Any]]] = {}
        for kind, key, body in self._db.execute("SELECT kind, key, body FROM facts"):
            try:
                out.setdefault(kind, {})[key] = json.loads(body)
            except ValueError:
                continue
        return out

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        """Put facts and queue messages (link, message) in one durable transaction. Raises ``StoreError``."""
        added = await self._call(self._commit, puts, messages)
        self._waiting.update(added)
        self._learn(puts)

    def _commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
        rows = [(link, getattr(m, "session", ""), type(m).__name__, _text(dump(m))) for link, m in messages]
        self._transaction(lambda: self._insert(puts, rows))
        return [r[:2] for r in rows]

    def _insert(self, puts: Iterable[Put], rows: Sequence[tuple[str, str, str, str]]) -> None:
        self._put(puts)
        numbered = [(*row, self._number(*row[:3])) for row in rows]
        self._db.executemany("INSERT INTO outbox(link, session, kind, body, number) VALUES(?,?,?,?,?)", numbered)

    def _number(self, link: str, session: str, kind: str) -> int:
        """The next place in the session, taken in the transaction that queues the message."""
        if not session:
            return 0
        where = (link, session)
        row = self._db.execute("SELECT next FROM numbers WHERE link=? AND session=?", where).fetchone()
        number = int(row[0]) if row else 0
        if kind == TransactionEnded.__name__:
            self._db.execute("DELETE FROM numbers WHERE link=? AND session=?", where)
        else:
            self._db.execute("INSERT OR REPLACE INTO numbers VALUES(?,?,?)", (*where, number + 1))
        return number

    def _put(self, puts: Iterable[Put]) -> None:
        for put in puts:
            if put.value is None:
                self._db.execute("DELETE FROM facts WHERE kind=? AND key=?", (put.kind, put.key))
            else:
                row = (put.kind, put.key, _text(put.value))
                self._db.execute("INSERT OR REPLACE INTO facts VALUES(?,?,?)", row)

    def _transaction(self, work: Callable[[], None]) -> None:
        """All or nothing. A full file first loses meter values that are still queued, never a start or a stop."""
        for attempt in (1, 2):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                work()
                self._db.execute("COMMIT")
                return
            except sqlite3.Error as e:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if attempt == 2 or "full" not in str(e) or not self._thin():
                    raise

    def _thin(self) -> bool:
        """Drop every second queued meter value (the register goes on, the bill is made of start and stop)."""
        drop = self._db.execute(
            "DELETE FROM outbox WHERE kind=? AND seq IN (SELECT seq FROM (SELECT seq, row_number() OVER (ORDER BY seq) "
            "AS n FROM outbox WHERE kind=?) WHERE n % 2 = 0)",
            (MeterSampled.__name__, MeterSampled.__name__),
        )
        self._waiting = self._count()
        return drop.rowcount > 0

    def _count(self) -> Counter[tuple[str, str]]:
        rows = self._db.execute("SELECT link, session, count(*) FROM outbox GROUP BY link, session")
        return Counter({(link, session): count for link, session, count in rows})

    def _learn(self, puts: Iterable[Put]) -> None:
        for put in puts:
            if put.kind == "transaction":
                link, _, session = put.key.partition("/")
                if put.value is None:
                    self._ids.pop((link, session), None)
                else:
                    self._ids[link, session] = str(put.value["id"])

    # --- the queue ---------------------------------------------------------------------------------------------

    def waiting(self, link: str) -> int:
        return sum(count for (name, _), count in self._waiting.items() if name == link)

    def waiting_of(self, link: str, session: str) -> int:
        return self._waiting[link, session]

    def _gone(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            key = (row.link, row.session)
            self._waiting[key] -= 1
            if self._waiting[key] <= 0:
                del self._waiting[key]

    async def head(self, link: str, count: int = 1) -> list[OutboxRow]:
        return await self._call(self._select, "link=?", (link,), count)

    async def of_session(self, link: str, session: str) -> list[OutboxRow]:
        return await self._call(self._select, "link=? AND session=?", (link, session), -1)

    def _select(self, where: str, args: tuple[Any, ...], count: int) -> list[OutboxRow]:
        sql = f"SELECT seq, link, session, body, attempts, number FROM outbox WHERE {where} ORDER BY seq LIMIT ?"
        return [
            OutboxRow(seq, self._prefix + _base36(seq), link, session, _message(body), attempts, number)
            for seq, link, session, body, attempts, number in self._db.execute(sql, (*args, count))
        ]

    async def done(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        if isinstance(row.message, TransactionEnded):  # nothing of this session can be told or asked any more
            facts = (*facts, Put("transaction", f"{row.link}/{row.session}", None))
        await self._call(self._done, row, facts)
        self._gone([row])
        self._learn(facts)

    def _done(self, row: OutboxRow, facts: Sequence[Put]) -> None:
        def work() -> None:
            self._put(facts)
            self._db.execute("DELETE FROM outbox WHERE seq=?", (row.seq,))

        self._transaction(work)

    async def attempted(self, row: OutboxRow) -> None:
        sql = "UPDATE outbox SET attempts=attempts+1 WHERE seq=?"
        await self._call(self._transaction, lambda: self._run(sql, (row.seq,)))

    def _run(self, sql: str, args: tuple[Any, ...]) -> None:
        self._db.execute(sql, args)

    async def bury(self, rows: Sequence[OutboxRow], reason: str) -> None:
        await self._call(self._bury, [r.seq for r in rows], reason)
        self._gone(rows)

    def _bury(self, seqs: Sequence[int], reason: str) -> None:
        def work() -> None:
            for seq in seqs:
                self._db.execute(
                    "INSERT OR REPLACE INTO dead "
                    "SELECT seq, link, session, kind, body, attempts, ?, number FROM outbox WHERE seq=?",
                    (reason, seq),
                )
                self._db.execute("DELETE FROM outbox WHERE seq=?", (seq,))

        self._transaction(work)

    async def dead(self) -> list[Letter]:
        """The dead-letter list, oldest first."""
        sql = "SELECT seq, link, session, kind, reason FROM dead ORDER BY seq"
        return await self._call(lambda: [Letter(*row) for row in self._db.execute(sql)])

    async def revive(self, seqs: Sequence[int]) -> None:
        """Back into the queue, at their old place, with a fresh count of attempts."""

        def work() -> None:
            for seq in seqs:
                self._db.execute(
                    "INSERT INTO outbox(seq, link, session, kind, body, number) "
                    "SELECT seq, link, session, kind, body, number FROM dead WHERE seq=?",
                    (seq,),
                )
                self._db.execute("DELETE FROM dead WHERE seq=?", (seq,))

        await self._call(self._transaction, work)
        self._waiting = await self._call(self._count)

    def transaction_id(self, link: str, session: str) -> str | None:
        return self._ids.get((link, session))

    def session_of(self, link: str, transaction_id: str) -> str | None:
        matches = (s for (name, s), known in reversed(self._ids.items()) if name == link and known == transaction_id)
        return next(matches, None)


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _message(body: str) -> Any:
    """A stored message; one that cannot be read back travels as the ``Poisoned`` it raised, for the link to bury."""
    try:
        return load(json.loads(body))
    except ValueError as e:
        return Poisoned(str(e))
    except Poisoned as e:
        return e


def _base36(number: int) -> str:
    out = ""
    while number:
        number, digit = divmod(number, 36)
        out = _DIGITS[digit] + out
    return out or "0"


def _salvage(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What can still be read of a corrupt file, table by table, until it breaks off."""
    saved: dict[str, list[tuple[Any, ...]]] = {"facts": [], "outbox": [], "dead": [], "numbers": []}
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
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
