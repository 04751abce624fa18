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
from agent.services.store.commit_attestation import SESSIONS
from agent.services.store.connection import RESERVE_PAGES
from agent.services.store.dead_letters import DeadLetter
from agent.services.store.migrations import MIGRATIONS, StoreRefused
from agent.services.store.store_file import StoreFile
from agent.services.store.transaction_ids import RUNNING

__all__ = ["MIGRATIONS", "RESERVE_PAGES", "Store", "StoreRefused"]


class Store(StoreFile):
    """Open with ``await Store.open(...)``, or with ``begin_opening`` and ``finish_opening``. Close with
    ``await store.close()``."""

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        """Put facts and queue messages (link, message) in one durable transaction. Raises ``StoreError``."""
        await self._run_in_thread(self._commit_records, puts, messages)
        self._ids.learn_facts(puts)

    def _commit_records(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]]) -> None:
        rows = [_outbox_row(link, message) for link, message in messages]
        gone: list[bool] = []
        for _, message in messages:
            if isinstance(message, TransactionEnded):
                self._attestation.note_session_end(message.session, message.meter_wh)
        end = any(r[2] == TransactionEnded.__name__ for r in rows) or any(map(_ends_session, puts))
        self._run_transaction(lambda: gone.append(self._insert_records(puts, rows)), end, puts)
        if any(r[2] == TransactionEnded.__name__ for r in rows) or any(
            p.kind in SESSIONS and not p.value for p in puts
        ):
            with contextlib.suppress(RuntimeError):  # the store is being closed, which merges it too
                self._thread.submit(self._attestation.merge_wal)  # behind the answer to this commit
        for link, *_ in rows:
            self._add_to_count(link, 1)
        if gone[-1]:
            self._count_queued()

    def _add_to_count(self, link: str, number: int) -> None:
        """Add to the count of a queue. It is counted in the store's thread, as ``_count_queued`` is: the two would
        overtake each other otherwise."""
        left = self._waiting.get(link, 0) + number
        if left > 0:
            self._waiting[link] = left
        else:
            self._waiting.pop(link, None)

    def _insert_records(self, puts: Sequence[Put], rows: Sequence[tuple[str, str, str, str]]) -> bool:
        """Write facts and messages. Return True if older messages were deleted to make room."""
        records.put_facts(self._db, puts)
        dead_letters.limit_facts(self._db, [p.kind for p in puts if p.value is not None])
        numbered = [(*row, self._next_number(*row[:3])) for row in rows]
        self._db.executemany("INSERT INTO outbox(link, session, kind, body, number) VALUES(?,?,?,?,?)", numbered)
        return dead_letters.limit_notifications(self._db, {link for link, *_ in rows})

    def _next_number(self, link: str, session: str, kind: str) -> int:
        """Take the next place in the session, in the transaction that queues the message."""
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

    def queued_count(self, link: str) -> int:
        return self._waiting.get(link, 0)

    async def is_queued(self, link: str, session: str) -> bool:
        return await self._run_in_thread(
            lambda: dead_letters.session_has_rows("outbox", self._db, link, encoding.escape_surrogates(session))
        )

    async def oldest_rows(self, link: str, count: int = 1) -> list[OutboxRow]:
        return await self._run_in_thread(self._select_rows, "link=?", (link,), count)

    async def rows_of_session(self, link: str, session: str) -> list[OutboxRow]:
        return await self._run_in_thread(
            self._select_rows, "link=? AND session=?", (link, encoding.escape_surrogates(session)), -1
        )

    def _select_rows(self, where: str, args: tuple[Any, ...], count: int) -> list[OutboxRow]:
        if self.disk_problem:
            self._reopen_file()
        sql = f"SELECT seq, link, session, kind, body, attempts, number FROM outbox WHERE {where} ORDER BY seq LIMIT ?"
        rows = []
        for seq, link, session, kind, body, attempts, number in self._db.execute(sql, (*args, count)):
            message = encoding.decode_message(body, link, session, kind)
            rows.append(OutboxRow(seq, link, session, message, attempts, number))
        return rows

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        if isinstance(row.message, TransactionEnded):
            facts = (*facts, *self._ids.facts_of_end(row.link, row.session))
        over = await self._run_in_thread(self._remove_delivered, row, facts)
        self._ids.learn_facts((*facts, Put(RUNNING, f"{row.link}/{row.session}", None)) if over else facts)

    def _remove_delivered(self, row: OutboxRow, facts: Sequence[Put]) -> bool:
        """Remove the row. Return True if it was resent after the end of its session, which is then forgotten."""
        gone, over = [0], [False]
        known = self._ids.running_record(row.link, row.session) or any(p.kind == RUNNING and p.value for p in facts)
        is_end = isinstance(row.message, TransactionEnded)  # its facts forget the session

        def write_changes() -> None:
            records.put_facts(self._db, facts)
            gone[0] = self._db.execute("DELETE FROM outbox WHERE seq=?", (row.seq,)).rowcount
            over[0] = bool(known and not is_end) and dead_letters.forget_transaction(
                self._db, row.link, encoding.escape_surrogates(row.session)
            )

        self._run_transaction(write_changes, reserve=True, puts=facts, counted=False)
        self._add_to_count(row.link, -gone[0])
        return over[0]

    async def put_facts(self, facts: Sequence[Put]) -> None:
        await self._run_in_thread(
            lambda: self._run_transaction(lambda: records.put_facts(self._db, facts), reserve=True, puts=facts)
        )
        self._ids.learn_facts(facts)

    async def count_attempt(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        def write_changes() -> None:
            records.put_facts(self._db, facts)
            self._db.execute("UPDATE outbox SET attempts=attempts+1 WHERE seq=?", (row.seq,))

        await self._run_in_thread(self._run_transaction, write_changes)
        self._ids.learn_facts(facts)

    async def requeue_rows(self, rows: Sequence[OutboxRow], facts: Sequence[Put] = ()) -> None:
        def write_changes() -> None:
            records.put_facts(self._db, facts)
            requeue.requeue_rows(self._db, rows, renumber=bool(facts))

        await self._run_in_thread(lambda: self._run_transaction(write_changes, reserve=True))
        await self._run_in_thread(self._count_queued)
        self._ids.learn_facts(facts)

    async def requeue_session(self, link: str, session: str, facts: Sequence[Put]) -> None:
        def write_changes() -> None:
            records.put_facts(self._db, facts)
            dead_letters.requeue_session(self._db, link, encoding.escape_surrogates(session))

        await self._run_in_thread(lambda: self._run_transaction(write_changes, reserve=True))
        await self._run_in_thread(self._count_queued)
        self._ids.learn_facts(facts)

    async def open_sessions(self, link: str) -> list[str]:
        still_open = await self._run_in_thread(lambda: requeue.open_session_keys(self._db, link))
        return [s for s in self._ids.running_records(link) if encoding.escape_surrogates(s) in still_open]

    async def dead_letter(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put] = ()) -> None:
        await self._run_in_thread(self._dead_letter, rows, encoding.escape_surrogates(reason), facts)
        self._ids.learn_facts(facts)

    def _dead_letter(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put]) -> None:
        gone: dict[int, int] = {}

        def write_changes() -> None:
            records.put_facts(self._db, facts)
            for seq in (r.seq for r in rows):
                self._db.execute(
                    "INSERT OR REPLACE INTO dead "
                    "SELECT seq, link, session, kind, body, attempts, ?, number FROM outbox WHERE seq=?",
                    (reason, seq),
                )
                gone[seq] = self._db.execute("DELETE FROM outbox WHERE seq=?", (seq,)).rowcount
            gone[0] = int(dead_letters.limit_dead_letters(self._db))  # no row has this place

        self._run_transaction(write_changes, reserve=True)
        for row in rows:
            self._add_to_count(row.link, -gone.pop(row.seq, 0))
        if gone.get(0):
            self._refresh_transaction_ids()

    async def list_dead_letters(self) -> list[DeadLetter]:
        """Return the dead-letter list, oldest first."""
        return await self._run_in_thread(lambda: dead_letters.list_dead_letters(self._db))

    async def requeue_dead_letters(self, seqs: Sequence[int]) -> list[int]:
        """Queue dead letters again (``dead_letters.requeue_dead_letters``). Return the places that were queued."""
        return await self._run_in_thread(self._change_dead_letters, dead_letters.requeue_dead_letters, seqs)

    async def drop_dead_letters(self, seqs: Sequence[int]) -> list[int]:
        """Delete dead letters for good. Returns their places."""
        return await self._run_in_thread(self._change_dead_letters, dead_letters.drop_dead_letters, seqs)

    def _change_dead_letters(
        self, sort: Callable[[sqlite3.Connection, Iterable[int]], list[int]], seqs: Sequence[int]
    ) -> list[int]:
        sorted_out: list[int] = []
        self._run_transaction(lambda: sorted_out.extend(sort(self._db, seqs)))
        self._count_queued()
        self._refresh_transaction_ids()
        return sorted_out

    def _refresh_transaction_ids(self) -> None:
        """Forget the transaction ids of sessions whose messages are deleted."""
        self._ids.keep_running({key for (key,) in self._db.execute("SELECT key FROM facts WHERE kind=?", (RUNNING,))})

    def transaction_record(self, link: str, session: str) -> Mapping[str, Any]:
        return self._ids.running_record(link, session)

    def transaction_records(self, link: str) -> Mapping[str, Mapping[str, Any]]:
        return self._ids.running_records(link)

    def transaction_id(self, link: str, session: str, version: str) -> str | None:
        return self._ids.transaction_id(link, session, version)

    def session_of(self, link: str, transaction_id: str) -> str | None:
        return self._ids.session_of(link, transaction_id)


def _outbox_row(link: str, message: Any) -> tuple[str, str, str, str]:
    """Return link, session, kind and body of a message in the queue."""
    keys = (link, encoding.escape_surrogates(getattr(message, "session", "")), type(message).__name__)
    return *keys, encoding.seal_text(encoding.to_json_text(dump_record(message)), *keys)


_OVER = ("FinalKnown", "CommitPending", "Committed", "VoidPending", "Voided", "Uncertain")


def _ends_session(put: Put) -> bool:
    """Return whether the fact ends something: a session, or a transaction that outlives it, has the reason of its end,
    or a payment's session is over."""
    if put.kind == "payment":
        return put.value is None or put.value.get("state") in _OVER
    return put.kind in SESSIONS and bool(put.value and put.value.get("stop"))
