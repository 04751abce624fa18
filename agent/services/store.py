"""The durable store: SQLite, one file, one connection, one thread.

WAL with ``synchronous=FULL``: a commit that returned survives a power cut (SQLite, "Write-Ahead Logging" and PRAGMA
docs). ``locking_mode=EXCLUSIVE``: a second agent on the same file is refused, and there is no shared-memory file. Facts
are JSON by kind and key; the outbox is the first-in-first-out queue of what is billed; ``dead`` keeps what could not be
delivered. Several facts and messages of one event are one transaction.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from agent.domain.messages import TransactionEnded
from agent.domain.record import dump
from agent.ports.store import OutboxRow, Put, StoreError
from agent.services import forms, letters, records, returns, schema, thinning
from agent.services.ids import ENDED, RUNNING, Ids
from agent.services.letters import Letter
from agent.services.records import Facts
from agent.services.schema import MIGRATIONS, StoreRefused

__all__ = ["MIGRATIONS", "Store", "StoreRefused"]

log = logging.getLogger(__name__)

T = TypeVar("T")

RESERVE_PAGES = 64
"""Of a full file: for the ends of the sessions that run, and for the few bytes that delivering takes (256 KiB)."""


class Store:
    """Open with ``await Store.open(...)``, or ``begun`` and ``opened``; close with ``await store.close()``."""

    def __init__(self, path: Path, max_mb: int) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self._max_mb = max_mb
        self._thread = ThreadPoolExecutor(1, "store")
        self._waiting: dict[str, int] = {}
        self._ids = Ids()
        self._pages = 0
        self._ailing = ""
        self._db: sqlite3.Connection
        self._opening: Future[None] | None = None

    @classmethod
    def begun(cls, path: Path, max_mb: int = 32) -> Store:
        """Opening from now on, in its own thread: a large file is checked while the program is still being loaded."""
        store = cls(path, max_mb)
        store._opening = store._thread.submit(store._open)
        return store

    @classmethod
    async def open(cls, path: Path, max_mb: int = 32) -> Store:
        """``begun`` and ``opened``."""
        return await cls.begun(path, max_mb).opened()

    async def opened(self) -> Store:
        """Opened or created. A corrupt file is set aside (``set_aside``), what can be read of it goes into a new one. A
        disk that takes nothing (full, read-only, dying) is waited for: see ``_ail``.

        Raises ``StoreRefused`` (newer schema, in use by another agent), ``StoreError`` (no such folder, not ours)."""
        assert self._opening is not None
        try:
            await self._result(self._opening)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def _call(self, work: Callable[..., T], *args: Any) -> T:
        return await self._result(self._thread.submit(work, *args))

    async def _result(self, work: Future[T]) -> T:
        try:
            return await asyncio.wrap_future(work)
        except (sqlite3.Error, OSError, ValueError) as e:
            raise StoreError(f"{self.path}: {e}; check disk space and permissions") from e

    # --- opening -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._take()
        except (OSError, sqlite3.Error) as e:
            if schema.is_of_the_disk(e):
                self._ail(e)
            elif isinstance(e, sqlite3.OperationalError):
                raise StoreRefused(schema.refusal(self.path, e)) from e
            else:
                raise
        self._look()

    def _take(self) -> None:
        """The file, or a new one with what could be read of it. Raises ``StoreRefused``, ``OSError``,
        ``sqlite3.Error``."""
        if schema.salvaged(self.path).exists():
            from agent.services import salvage

            self.set_aside = salvage.finish(self.path)
        try:
            self._connect()
        except sqlite3.DatabaseError as e:
            if isinstance(e, sqlite3.OperationalError):
                raise
            from agent.services import salvage

            self.set_aside = salvage.replace(self.path)
            self._connect()

    def _look(self) -> None:
        self._count()
        facts = self._read()
        for kind in (RUNNING, ENDED):
            self._ids.learn(Put(kind, key, value) for key, value in facts.get(kind, {}).items())

    def _count(self) -> None:
        """The table is the truth: a link whose last row went is not in it. From an index alone: the messages of a long
        queue are not read at the start."""
        self._waiting = dict(self._db.execute("SELECT link, count(*) FROM outbox GROUP BY link"))

    def _connect(self) -> None:
        self._db = schema.connect(self.path)
        page = self._db.execute("PRAGMA page_size").fetchone()[0]
        self._pages = self._max_mb * 1024 * 1024 // page
        self._db.execute(f"PRAGMA max_page_count={self._pages}")
        self._db.execute("PRAGMA journal_size_limit=1048576")

    def _ail(self, why: Exception) -> None:
        """The disk takes nothing: the station lives with what can be read, tells it, and starts nothing new. Nothing of
        the queue is sent either, since it could not be written down that it has been."""
        self._ailing = str(why)
        log.error(
            "%s: %s: nothing can be written, what is there is read; tried again with every record", self.path, why
        )
        from agent.services import salvage

        self._db = salvage.in_memory(self.path)

    def _heal(self) -> None:
        """Opens the file again, or raises what is wrong with it now."""
        memory = self._db
        try:
            self._take()
        except (OSError, StoreRefused) as e:
            raise sqlite3.OperationalError(str(e)) from e
        memory.close()
        self._ailing = ""
        log.warning("%s: can be written again", self.path)
        self._look()

    @property
    def ailing(self) -> str:
        """What is wrong with the disk since the start; "" when nothing is."""
        return self._ailing

    async def close(self) -> None:
        await self._call(self._db.close)
        self._thread.shutdown()

    # --- facts -------------------------------------------------------------------------------------------------

    async def facts(self) -> Facts:
        """Everything remembered: kind -> key -> value. A record that cannot be read is set aside: kind ``poisoned``,
        key ``kind/key``, value ``{"record": text, "why": text}``."""
        return await self._call(self._read)

    def _read(self) -> Facts:
        found, damaged = records.read(self._db)
        for one in damaged:  # its key may be a card
            log.error("%s: a record (%s) cannot be read, set aside: %s", self.path, one.kind, one.why)
            try:
                self._transaction(lambda one=one: records.set_aside(self._db, one))  # type: ignore[misc]
            except sqlite3.Error as e:  # it must not stop the station; until the next start
                log.error("%s: the bad record stays where it is: %s", self.path, e)
        return found

    def summary(self) -> dict[str, Any]:
        """How full it is, for diagnostics; no content."""
        file_bytes = self.path.stat().st_size if self.path.exists() else 0
        return {"file_bytes": file_bytes, "waiting": dict(self._waiting)}

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        """Put facts and queue messages (link, message) in one durable transaction. Raises ``StoreError``."""
        await self._call(self._commit, puts, messages)
        self._ids.learn(puts)

    def _commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]]) -> None:
        rows = [
            (link, forms.safe(getattr(m, "session", "")), type(m).__name__, forms.text(dump(m))) for link, m in messages
        ]
        gone: list[bool] = []
        end = any(r[2] == TransactionEnded.__name__ for r in rows) or any(map(_ends, puts))
        self._transaction(lambda: gone.append(self._insert(puts, rows)), end)
        for link, *_ in rows:
            self._add(link, 1)
        if gone[-1]:
            self._count()

    def _add(self, link: str, number: int) -> None:
        """Counted in the store's thread, as ``_count`` is: the two would overtake each other otherwise."""
        left = self._waiting.get(link, 0) + number
        if left > 0:
            self._waiting[link] = left
        else:
            self._waiting.pop(link, None)

    def _insert(self, puts: Sequence[Put], rows: Sequence[tuple[str, str, str, str]]) -> bool:
        """True: something else made room."""
        records.put(self._db, puts)
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
        if self._ailing:
            self._heal()
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
        if self._ailing:
            return False
        gone = thinning.thin(self._db)
        if gone:
            log.warning("%s is full: %d values between starts and ends of sessions are given up", self.path, gone)
        self._count()
        return gone > 0

    # --- the queue ---------------------------------------------------------------------------------------------

    def waiting(self, link: str) -> int:
        return self._waiting.get(link, 0)

    async def is_waiting(self, link: str, session: str) -> bool:
        return await self._call(lambda: letters.is_in("outbox", self._db, link, forms.safe(session)))

    async def head(self, link: str, count: int = 1) -> list[OutboxRow]:
        return await self._call(self._select, "link=?", (link,), count)

    async def of_session(self, link: str, session: str) -> list[OutboxRow]:
        return await self._call(self._select, "link=? AND session=?", (link, forms.safe(session)), -1)

    def _select(self, where: str, args: tuple[Any, ...], count: int) -> list[OutboxRow]:
        if self._ailing:
            self._heal()
        sql = f"SELECT seq, link, session, body, attempts, number FROM outbox WHERE {where} ORDER BY seq LIMIT ?"
        return [
            OutboxRow(seq, link, session, forms.message(body), attempts, number)
            for seq, link, session, body, attempts, number in self._db.execute(sql, (*args, count))
        ]

    async def done(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        if isinstance(row.message, TransactionEnded):
            facts = (*facts, *self._ids.over(row.link, row.session))
        over = await self._call(self._done, row, facts)
        self._ids.learn((*facts, Put(RUNNING, f"{row.link}/{row.session}", None)) if over else facts)

    def _done(self, row: OutboxRow, facts: Sequence[Put]) -> bool:
        """True: it was resent after the end; nothing of its session is remembered."""
        gone, over = [0], [False]
        known = self._ids.known(row.link, row.session) or any(p.kind == RUNNING and p.value for p in facts)
        is_end = isinstance(row.message, TransactionEnded)  # its facts forget the session

        def work() -> None:
            records.put(self._db, facts)
            gone[0] = self._db.execute("DELETE FROM outbox WHERE seq=?", (row.seq,)).rowcount
            over[0] = bool(known and not is_end) and letters.forget(self._db, row.link, forms.safe(row.session))

        self._transaction(work, reserve=True)
        self._add(row.link, -gone[0])
        return over[0]

    async def noted(self, facts: Sequence[Put]) -> None:
        await self._call(lambda: self._transaction(lambda: records.put(self._db, facts), reserve=True))
        self._ids.learn(facts)

    async def attempted(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        def work() -> None:
            records.put(self._db, facts)
            self._db.execute("UPDATE outbox SET attempts=attempts+1 WHERE seq=?", (row.seq,))

        await self._call(self._transaction, work)
        self._ids.learn(facts)

    async def put_back(self, rows: Sequence[OutboxRow], facts: Sequence[Put] = ()) -> None:
        def work() -> None:
            records.put(self._db, facts)
            returns.put_back(self._db, rows, anew=bool(facts))

        await self._call(lambda: self._transaction(work, reserve=True))
        await self._call(self._count)
        self._ids.learn(facts)

    async def call_back(self, link: str, session: str, facts: Sequence[Put]) -> None:
        def work() -> None:
            records.put(self._db, facts)
            letters.call_back(self._db, link, forms.safe(session))

        await self._call(lambda: self._transaction(work, reserve=True))
        await self._call(self._count)
        self._ids.learn(facts)

    async def going_on(self, link: str) -> list[str]:
        still_open = await self._call(lambda: returns.still_open(self._db, link))
        return [s for s in self._ids.running(link) if forms.safe(s) in still_open]

    async def bury(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put] = ()) -> None:
        await self._call(self._bury, rows, forms.safe(reason), facts)
        self._ids.learn(facts)

    def _bury(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put]) -> None:
        gone: dict[int, int] = {}

        def work() -> None:
            records.put(self._db, facts)
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
            self._add(row.link, -gone.pop(row.seq, 0))
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

    def transaction(self, link: str, session: str) -> Mapping[str, Any]:
        return self._ids.known(link, session)

    def transactions(self, link: str) -> Mapping[str, Mapping[str, Any]]:
        return self._ids.running(link)

    def transaction_id(self, link: str, session: str, version: str) -> str | None:
        return self._ids.of(link, session, version)

    def session_of(self, link: str, transaction_id: str) -> str | None:
        return self._ids.session_of(link, transaction_id)


_OVER = ("FinalKnown", "CommitPending", "Committed", "VoidPending", "Voided", "Uncertain")


def _ends(put: Put) -> bool:
    """A session, or a transaction that outlives it, with the reason of its end; a payment whose session is over."""
    if put.kind == "payment":
        return put.value is None or put.value.get("state") in _OVER
    return put.kind in ("session", "tx") and bool(put.value and put.value.get("stop"))
