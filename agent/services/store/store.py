"""The durable store: SQLite, one file, one connection, one thread (``store_file.py``).

Facts are JSON by kind and key; the outbox is the first-in-first-out queue of what is billed; ``dead`` keeps what could
not be delivered. Several facts and messages of one event are one transaction.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agent.domain.messages import TransactionEnded
from agent.domain.serialization import dump_record
from agent.ports.store import OutboxRow, Put
from agent.services.store import dead_letters, encoding, requeue
from agent.services.store import facts as records
from agent.services.store.dead_letters import Letter
from agent.services.store.migrations import MIGRATIONS, StoreRefused
from agent.services.store.store_file import RESERVE_PAGES, SESSIONS, StoreFile
from agent.services.store.transaction_ids import RUNNING

__all__ = ["MIGRATIONS", "RESERVE_PAGES", "Store", "StoreRefused"]


class Store(StoreFile):
    """Open with ``await Store.open(...)``, or ``begun`` and ``opened``; close with ``await store.close()``."""

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        """Put facts and queue messages (link, message) in one durable transaction. Raises ``StoreError``."""
        await self._call(self._commit, puts, messages)
        self._ids.learn(puts)

    def _commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]]) -> None:
        rows = [_row(link, message) for link, message in messages]
        gone: list[bool] = []
        for _, message in messages:
            if isinstance(message, TransactionEnded):
                self._ended(message.session, message.meter_wh)
        end = any(r[2] == TransactionEnded.__name__ for r in rows) or any(map(_ends, puts))
        self._transaction(lambda: gone.append(self._insert(puts, rows)), end, puts)
        if any(r[2] == TransactionEnded.__name__ for r in rows) or any(
            p.kind in SESSIONS and not p.value for p in puts
        ):
            with contextlib.suppress(RuntimeError):  # the store is being closed, which merges it too
                self._thread.submit(self._merge)  # behind the answer to this commit
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
        dead_letters.bound_facts(self._db, [p.kind for p in puts if p.value is not None])
        numbered = [(*row, self._number(*row[:3])) for row in rows]
        self._db.executemany("INSERT INTO outbox(link, session, kind, body, number) VALUES(?,?,?,?,?)", numbered)
        return dead_letters.bound_notes(self._db, {link for link, *_ in rows})

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

    # --- the queue ---------------------------------------------------------------------------------------------

    def waiting(self, link: str) -> int:
        return self._waiting.get(link, 0)

    async def is_waiting(self, link: str, session: str) -> bool:
        return await self._call(lambda: dead_letters.is_in("outbox", self._db, link, encoding.safe(session)))

    async def head(self, link: str, count: int = 1) -> list[OutboxRow]:
        return await self._call(self._select, "link=?", (link,), count)

    async def of_session(self, link: str, session: str) -> list[OutboxRow]:
        return await self._call(self._select, "link=? AND session=?", (link, encoding.safe(session)), -1)

    def _select(self, where: str, args: tuple[Any, ...], count: int) -> list[OutboxRow]:
        if self._ailing:
            self._heal()
        sql = f"SELECT seq, link, session, kind, body, attempts, number FROM outbox WHERE {where} ORDER BY seq LIMIT ?"
        rows = []
        for seq, link, session, kind, body, attempts, number in self._db.execute(sql, (*args, count)):
            message = encoding.message(body, link, session, kind)
            rows.append(OutboxRow(seq, link, session, message, attempts, number))
        return rows

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
            over[0] = bool(known and not is_end) and dead_letters.forget(self._db, row.link, encoding.safe(row.session))

        self._transaction(work, reserve=True, puts=facts, counted=False)
        self._add(row.link, -gone[0])
        return over[0]

    async def noted(self, facts: Sequence[Put]) -> None:
        await self._call(lambda: self._transaction(lambda: records.put(self._db, facts), reserve=True, puts=facts))
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
            requeue.put_back(self._db, rows, anew=bool(facts))

        await self._call(lambda: self._transaction(work, reserve=True))
        await self._call(self._count)
        self._ids.learn(facts)

    async def call_back(self, link: str, session: str, facts: Sequence[Put]) -> None:
        def work() -> None:
            records.put(self._db, facts)
            dead_letters.call_back(self._db, link, encoding.safe(session))

        await self._call(lambda: self._transaction(work, reserve=True))
        await self._call(self._count)
        self._ids.learn(facts)

    async def going_on(self, link: str) -> list[str]:
        still_open = await self._call(lambda: requeue.still_open(self._db, link))
        return [s for s in self._ids.running(link) if encoding.safe(s) in still_open]

    async def bury(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put] = ()) -> None:
        await self._call(self._bury, rows, encoding.safe(reason), facts)
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
            gone[0] = int(dead_letters.bound_dead(self._db))  # no row has this place

        self._transaction(work, reserve=True)
        for row in rows:
            self._add(row.link, -gone.pop(row.seq, 0))
        if gone.get(0):
            self._know_ids()

    async def dead(self) -> list[Letter]:
        """The dead-letter list, oldest first."""
        return await self._call(lambda: dead_letters.listed(self._db))

    async def revive(self, seqs: Sequence[int]) -> list[int]:
        """Back into the queue (``letters.revive``). Returns what went."""
        return await self._call(self._sort_letters, dead_letters.revive, seqs)

    async def drop(self, seqs: Sequence[int]) -> list[int]:
        """Given up for good. Returns what is gone."""
        return await self._call(self._sort_letters, dead_letters.drop, seqs)

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


def _row(link: str, message: Any) -> tuple[str, str, str, str]:
    """Link, session, kind and body of a message in the queue."""
    keys = (link, encoding.safe(getattr(message, "session", "")), type(message).__name__)
    return *keys, encoding.sealed(encoding.text(dump_record(message)), *keys)


_OVER = ("FinalKnown", "CommitPending", "Committed", "VoidPending", "Voided", "Uncertain")


def _ends(put: Put) -> bool:
    """A session, or a transaction that outlives it, with the reason of its end; a payment whose session is over."""
    if put.kind == "payment":
        return put.value is None or put.value.get("state") in _OVER
    return put.kind in ("session", "tx") and bool(put.value and put.value.get("stop"))
