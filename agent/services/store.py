"""The durable store: SQLite, one file, one connection, one thread.

WAL with ``synchronous=FULL``: a commit that returned survives a power cut (SQLite, "Write-Ahead Logging" and PRAGMA
docs). ``locking_mode=EXCLUSIVE``: a second agent on the same file is refused, and there is no shared-memory file. Facts
are JSON by kind and key; the outbox is the first-in-first-out queue of what is billed; ``dead`` keeps what could not be
delivered. Several facts and messages of one event are one transaction.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from agent.domain.messages import TransactionEnded
from agent.domain.record import dump
from agent.ports.store import OutboxRow, Put, StoreError
from agent.services import forms, letters, salvage, thinning
from agent.services.ids import ENDED, RUNNING, Ids
from agent.services.letters import Letter

log = logging.getLogger(__name__)

T = TypeVar("T")

RESERVE_PAGES = 64
"""Of a full file: for the ends of the sessions that run, and for the few bytes that delivering takes (256 KiB)."""

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
)


class StoreRefused(Exception):
    """The file is not ours to use: newer schema, or another agent has it. ``str()`` says what to do."""


class Store:
    """Open with ``await Store.open(...)``; close with ``await store.close()``."""

    def __init__(self, path: Path, max_mb: int) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self._max_mb = max_mb
        self._thread = ThreadPoolExecutor(1, "store")
        self._waiting: dict[tuple[str, str], int] = {}
        self._ids = Ids()
        self._prefix = ""
        self._pages = 0
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
        except (sqlite3.Error, OSError, ValueError) as e:
            raise StoreError(f"{self.path}: {e}; check disk space and permissions") from e

    # --- opening -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._connect()
        except sqlite3.DatabaseError as e:
            if isinstance(e, sqlite3.OperationalError):
                raise StoreRefused(self._refusal(e)) from e
            self._replace_corrupt()
        self._count()
        facts = self._read()
        for kind in (RUNNING, ENDED):
            self._ids.learn(Put(kind, key, value) for key, value in facts.get(kind, {}).items())
        self._prefix = str(facts.get("meta", {}).get("prefix", {}).get("text", "")) or self._make_prefix()

    def _count(self) -> None:
        """The table is the truth: a link whose last row went is not in it."""
        rows = self._db.execute("SELECT link, session, count(*) FROM outbox GROUP BY link, session")
        self._waiting = {(link, session): count for link, session, count in rows}

    def _refusal(self, e: sqlite3.OperationalError) -> str:
        if "locked" in str(e):
            return f"{self.path}: another agent is running on this file; stop it first"
        return f"{self.path}: cannot be opened: {e}; check that the folder exists and is writable"

    def _connect(self) -> None:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))  # the WAL gets the mode that the file has now
        os.chmod(self.path, 0o600)
        db = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
        db.text_factory = forms.decoded
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF"):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("COMMIT")
            check = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if check != "ok":
                raise sqlite3.DatabaseError(check)
            self._migrate(db)
            page = db.execute("PRAGMA page_size").fetchone()[0]
            self._pages = self._max_mb * 1024 * 1024 // page
            db.execute(f"PRAGMA max_page_count={self._pages}")
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
        saved = salvage.read(self.path)
        self.path.rename(aside)
        for tail in ("-wal", "-shm"):
            self.path.with_name(self.path.name + tail).unlink(missing_ok=True)
        self.set_aside = aside
        self._connect()
        salvage.write(self._db, saved)

    def _make_prefix(self) -> str:
        """Message ids are unique for ever: a random prefix of the file, then the sequence number."""
        prefix = "".join(secrets.choice(forms.DIGITS) for _ in range(4))
        try:
            self._transaction(lambda: self._put([Put("meta", "prefix", {"text": prefix})]))
        except sqlite3.Error as e:
            log.error("%s: prefix not saved: %s; message ids will be others after a restart", self.path, e)
        return prefix

    async def close(self) -> None:
        await self._call(self._db.close)
        self._thread.shutdown()

    # --- facts -------------------------------------------------------------------------------------------------

    async def facts(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Everything remembered: kind -> key -> value. A record that cannot be read is set aside: kind ``poisoned``,
        key ``kind/key``, value ``{"record": text, "why": text}``."""
        return await self._call(self._read)

    def _read(self) -> dict[str, dict[str, dict[str, Any]]]:
        out: dict[str, dict[str, dict[str, Any]]] = {}
        # as blobs: a damaged key could not be found again by the text that it is shown as
        sql = "SELECT CAST(kind AS BLOB), CAST(key AS BLOB), CAST(body AS BLOB) FROM facts"
        for raw in self._db.execute(sql).fetchall():
            kind, key, body = map(forms.decoded, raw)
            try:
                value = forms.judged(raw, kind)
            except ValueError as e:
                log.error(
                    "%s: a record (%s) cannot be read, set aside: %s", self.path, kind, e
                )  # its key may be a card
                kind, key, value = "poisoned", f"{kind}/{key}", {"record": body, "why": str(e)}
                self._set_aside(raw, Put(kind, key, value))
            out.setdefault(kind, {})[key] = value
        return out

    def _set_aside(self, raw: Sequence[bytes], poisoned: Put) -> None:
        """One bad record must not stop the station. A full disk leaves it where it is, until the next start."""

        def work() -> None:
            self._db.execute("DELETE FROM facts WHERE kind=CAST(? AS TEXT) AND key=CAST(? AS TEXT)", tuple(raw[:2]))
            self._put([poisoned])

        try:
            self._transaction(work)
        except sqlite3.Error as e:
            log.error("%s: the bad record stays where it is: %s", self.path, e)

    def summary(self) -> dict[str, Any]:
        """How full it is, for diagnostics; no content."""
        waiting: dict[str, int] = {}
        for (link, _), count in self._waiting.items():
            waiting[link] = waiting.get(link, 0) + count
        return {"file_bytes": self.path.stat().st_size if self.path.exists() else 0, "waiting": waiting}

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        """Put facts and queue messages (link, message) in one durable transaction. Raises ``StoreError``."""
        await self._call(self._commit, puts, messages)
        self._ids.learn(puts)

    def _commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]]) -> None:
        rows = [
            (link, forms.safe(getattr(m, "session", "")), type(m).__name__, forms.text(dump(m))) for link, m in messages
        ]
        gone: list[bool] = []
        end = any(r[2] == TransactionEnded.__name__ for r in rows)
        self._transaction(lambda: gone.append(self._insert(puts, rows)), end)
        for link, session, *_ in rows:
            self._add(link, session, 1)
        if gone[-1]:
            self._count()

    def _add(self, link: str, session: str, number: int) -> None:
        """Counted in the store's thread, as ``_count`` is: the two would overtake each other otherwise."""
        left = self._waiting.get((link, session), 0) + number
        if left > 0:
            self._waiting[link, session] = left
        else:
            self._waiting.pop((link, session), None)

    def _insert(self, puts: Sequence[Put], rows: Sequence[tuple[str, str, str, str]]) -> bool:
        """True: something else made room."""
        self._put(puts)
        letters.bound_facts(self._db, [p.kind for p in puts if p.value is not None])
        numbered = [(*row, self._number(*row[:3])) for row in rows]
        self._db.executemany("INSERT INTO outbox(link, session, kind, body, number) VALUES(?,?,?,?,?)", numbered)
        return letters.bound_notes(self._db, {link for link, *_ in rows})

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
                self._db.execute("DELETE FROM facts WHERE kind=? AND key=?", (put.kind, forms.safe(put.key)))
            else:
                row = (put.kind, forms.safe(put.key), forms.text(put.value))
                self._db.execute("INSERT OR REPLACE INTO facts VALUES(?,?,?)", row)

    def _transaction(self, work: Callable[[], None], reserve: bool = False) -> None:
        """All or nothing. A full file first loses what ``thinning`` says, never a start or a stop. ``reserve``: what
        ends a session or empties the queue may use the pages that are kept for it."""
        while self._is_full(work):
            if not self._thin():
                break
        else:
            return
        if not reserve:
            raise sqlite3.OperationalError("the store or its disk is full, and nothing is left in it that may go")
        with self._reserve():
            self._at_once(work)

    def _is_full(self, work: Callable[[], None]) -> bool:
        """True: it was not done."""
        try:
            self._at_once(work)
        except sqlite3.Error as e:
            if "full" not in str(e):
                raise
            return True
        return False

    def _at_once(self, work: Callable[[], None]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            work()
            self._db.execute("COMMIT")
        except BaseException:  # whatever it was, an open transaction would swallow all later ones
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _reserve(self) -> Iterator[None]:
        self._db.execute(f"PRAGMA max_page_count={self._pages + RESERVE_PAGES}")
        try:
            yield
        finally:
            self._db.execute(f"PRAGMA max_page_count={self._pages}")  # the present size, where it is more

    def _thin(self) -> bool:
        """Make room where nothing is billed."""
        gone = thinning.thin(self._db)
        if gone:
            log.warning("%s is full: %d values between starts and ends of sessions are given up", self.path, gone)
        self._count()
        return gone > 0

    # --- the queue ---------------------------------------------------------------------------------------------

    def waiting(self, link: str) -> int:
        return sum(count for (name, _), count in list(self._waiting.items()) if name == link)

    def waiting_of(self, link: str, session: str) -> int:
        return self._waiting.get((link, session), 0)

    async def head(self, link: str, count: int = 1) -> list[OutboxRow]:
        return await self._call(self._select, "link=?", (link,), count)

    async def of_session(self, link: str, session: str) -> list[OutboxRow]:
        return await self._call(self._select, "link=? AND session=?", (link, forms.safe(session)), -1)

    def _select(self, where: str, args: tuple[Any, ...], count: int) -> list[OutboxRow]:
        sql = f"SELECT seq, link, session, body, attempts, number FROM outbox WHERE {where} ORDER BY seq LIMIT ?"
        return [
            OutboxRow(seq, self._prefix + forms.base36(seq), link, session, forms.message(body), attempts, number)
            for seq, link, session, body, attempts, number in self._db.execute(sql, (*args, count))
        ]

    async def done(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        if isinstance(row.message, TransactionEnded):
            facts = (*facts, *self._ids.over(row.link, row.session))
        await self._call(self._done, row, facts)
        self._ids.learn(facts)

    def _done(self, row: OutboxRow, facts: Sequence[Put]) -> None:
        gone = [0]

        def work() -> None:
            self._put(facts)
            gone[0] = self._db.execute("DELETE FROM outbox WHERE seq=?", (row.seq,)).rowcount

        self._transaction(work, reserve=True)
        self._add(row.link, row.session, -gone[0])

    async def attempted(self, row: OutboxRow) -> None:
        sql = "UPDATE outbox SET attempts=attempts+1 WHERE seq=?"
        await self._call(self._transaction, lambda: self._run(sql, (row.seq,)))

    def _run(self, sql: str, args: tuple[Any, ...]) -> None:
        self._db.execute(sql, args)

    async def bury(self, rows: Sequence[OutboxRow], reason: str) -> None:
        await self._call(self._bury, rows, forms.safe(reason))

    def _bury(self, rows: Sequence[OutboxRow], reason: str) -> None:
        gone: dict[int, int] = {}

        def work() -> None:
            for seq in (r.seq for r in rows):
                self._db.execute(
                    "INSERT OR REPLACE INTO dead "
                    "SELECT seq, link, session, kind, body, attempts, ?, number FROM outbox WHERE seq=?",
                    (reason, seq),
                )
                gone[seq] = self._db.execute("DELETE FROM outbox WHERE seq=?", (seq,)).rowcount
            gone[0] = int(letters.bound_dead(self._db))  # no row has this place

        self._transaction(work, reserve=True)
        for row in rows:
            self._add(row.link, row.session, -gone.pop(row.seq, 0))
        if gone.get(0):
            self._know_ids()

    async def dead(self) -> list[Letter]:
        """The dead-letter list, oldest first."""
        return await self._call(lambda: letters.listed(self._db))

    async def revive(self, seqs: Sequence[int]) -> list[int]:
        """Back into the queue (``letters.revive``). Returns what went."""
        return await self._call(self._sort_letters, letters.revive, seqs)

    async def drop(self, seqs: Sequence[int]) -> list[int]:
        """Given up for good. Returns what is gone."""
        return await self._call(self._sort_letters, letters.drop, seqs)

    def _sort_letters(
        self, sort: Callable[[sqlite3.Connection, Iterable[int]], list[int]], seqs: Sequence[int]
    ) -> list[int]:
        sorted_out: list[int] = []
        self._transaction(lambda: sorted_out.extend(sort(self._db, seqs)))
        self._count()
        self._know_ids()
        return sorted_out

    def _know_ids(self) -> None:
        """Those of sessions that are given up are gone."""
        self._ids.keep({key for (key,) in self._db.execute("SELECT key FROM facts WHERE kind=?", (RUNNING,))})

    def transaction_id(self, link: str, session: str) -> str | None:
        return self._ids.of(link, session)

    def session_of(self, link: str, transaction_id: str) -> str | None:
        return self._ids.session_of(link, transaction_id)
