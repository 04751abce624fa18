"""The durable store: SQLite, one file, one connection, one thread (``store_file.py``).

Facts are JSON by kind and key; the outbox is the first-in-first-out queue of what is billed; ``dead`` keeps what could
not be delivered. Several facts and messages of one event are one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agent.domain.messages import ConnectorUnplugged, MeterSampled, TransactionEnded
from agent.domain.serialization import dump_record
from agent.ports.store import OutboxRow, Put
from agent.services.store import dead_letters, encoding, requeue
from agent.services.store import facts as records
from agent.services.store.commit_attestation import SESSIONS
from agent.services.store.connection import RESERVE_PAGES
from agent.services.store.dead_letters import DeadLetter
from agent.services.store.facts import Facts
from agent.services.store.migrations import MIGRATIONS, StoreRefused
from agent.services.store.store_file import StoreFile
from agent.services.store.transaction_ids import PLACES_KEPT, RUNNING

if TYPE_CHECKING:
    from agent.services.store.undelivered import Undelivered

__all__ = ["MIGRATIONS", "RESERVE_PAGES", "Store", "StoreRefused"]


class Store:
    """Open with ``await Store.open(...)``, or with ``begin_opening`` and ``finish_opening``. Close with
    ``await store.close()``."""

    def __init__(self, file: StoreFile) -> None:
        self._file, self._ids, self._requeued = file, file.transaction_ids, 0

    @classmethod
    def begin_opening(cls, path: Path, max_mb: int = 32) -> Self:
        """Begin to open the file in the store's own thread: a large file is checked while the program loads."""
        return cls(StoreFile.begin_opening(path, max_mb))

    @classmethod
    async def open(cls, path: Path, max_mb: int = 32) -> Self:
        """Open the file: ``begin_opening`` and ``finish_opening``."""
        return await cls.begin_opening(path, max_mb).finish_opening()

    async def finish_opening(self) -> Self:
        """Wait until the file is opened or created. See ``StoreFile.finish_opening``. Raises ``StoreRefused``,
        ``StoreError``."""
        await self._file.finish_opening()
        return self

    async def close(self) -> None:
        await self._file.close()

    # --- what is known of the file --------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def lost(self) -> str:
        """What was missing of the content when the file was opened, "" for nothing."""
        return self._file.lost

    @property
    def set_aside(self) -> Path | None:
        """The file that was damaged, or that had taken the place of this one."""
        return self._file.set_aside

    @property
    def disk_problem(self) -> str:
        """What is wrong with the disk since the start; "" when nothing is."""
        return self._file.disk_problem

    @property
    def highest_boot(self) -> int:
        """The highest boot number that the store or its witness knows."""
        return self._file.attestation.boots

    def usage_summary(self) -> dict[str, Any]:
        """Return how full the store is, for diagnostics. It contains no records."""
        return self._file.usage_summary()

    async def used_share(self) -> float:
        """Return how much of ``max_mb`` is in use, from 0 to 1. Raises ``StoreError``."""
        return await self._file.run_in_thread(self._file.used_share)

    # --- facts ----------------------------------------------------------------------------------------------------

    async def read_facts(self) -> Facts:
        """Return everything remembered: kind -> key -> value. A record that cannot be read is set aside: kind
        ``poisoned``, key ``kind/key``, value ``{"record": text, "why": text}``."""
        return await self._file.look_at_queue(self._file.read_facts)

    async def read_fact(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return one fact from the disk; None: there is none. Raises ``StoreError``."""
        return await self._file.run_in_thread(lambda: records.read_fact(self._file.db, kind, key))

    async def read_fact_page(
        self, kind: str, after: str, count: int, damaged: dict[str, str] | None = None
    ) -> tuple[dict[str, dict[str, Any]], str]:
        """Return a page of the facts of a kind (``facts.read_fact_page``). Raises ``StoreError``."""
        page = kind, after, count, damaged
        return await self._file.run_in_thread(lambda: records.read_fact_page(self._file.db, *page))

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        """Put facts and queue messages (link, message) in one durable transaction. Raises ``StoreError``."""
        await self._file.run_in_thread(self._commit_records, puts, messages)
        self._ids.learn_facts(puts)

    def _commit_records(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]]) -> None:
        rows = [(message, _outbox_row(link, message)) for link, message in messages]
        gone: list[bool] = []
        ended = [message for _, message in messages if isinstance(message, TransactionEnded)]
        for message in ended:
            self._file.attestation.note_session_end(message.session, message.meter_wh)
        end = bool(ended) or any(map(_ends_session, puts))
        renewed = not rows and self._file.attestation.renews_records(puts)
        self._file.run_transaction(
            lambda: gone.append(self._insert_records(puts, rows)), end, puts, counted=not renewed, witnessed=not renewed
        )
        if ended or any(p.kind in SESSIONS and not p.value for p in puts):
            self._file.merge_wal_soon()
        for link, _ in messages:
            self._file.add_to_count(link, 1)
        if gone[-1]:
            self._file.count_queued()

    def _insert_records(self, puts: Sequence[Put], rows: Sequence[tuple[Any, tuple[str, str, str, str]]]) -> bool:
        """Write facts, and messages with their rows. Return True if older messages were deleted to make room."""
        db = self._file.db
        dead_letters.put_bounded_facts(db, puts)
        for message, row in rows:
            numbered = (*row, _take_number(db, *row[:2], message))
            db.execute("INSERT INTO outbox(link, session, kind, body, number) VALUES(?,?,?,?,?)", numbered)
        return dead_letters.limit_notifications(db, {link for _, (link, *_) in rows})

    # --- the queue ---------------------------------------------------------------------------------------------

    def queued_count(self, link: str) -> int:
        return self._file.queue_counts.get(link, 0)

    def requeued_count(self) -> int:
        return self._requeued

    async def is_queued(self, link: str, session: str) -> bool:
        return await self._file.look_at_queue(
            lambda: dead_letters.session_has_rows("outbox", self._file.db, link, encoding.escape_surrogates(session))
        )

    async def oldest_rows(self, link: str, count: int = 1, after: int = 0) -> list[OutboxRow]:
        return await self._file.run_in_thread(self._select_rows, "link=? AND seq>?", (link, after), count)

    async def rows_of_session(self, link: str, session: str) -> list[OutboxRow]:
        return await self._file.run_in_thread(
            self._select_rows, "link=? AND session=?", (link, encoding.escape_surrogates(session)), -1
        )

    def _select_rows(self, where: str, args: tuple[Any, ...], count: int) -> list[OutboxRow]:
        self._file.ensure_on_disk()
        self._file.remove_pending_rows()
        sql = f"SELECT seq, link, session, kind, body, attempts, number FROM outbox WHERE {where} ORDER BY seq LIMIT ?"
        rows = []
        for seq, link, session, kind, body, attempts, number in self._file.db.execute(sql, (*args, count)):
            message = encoding.decode_message(body, link, session, kind)
            rows.append(OutboxRow(seq, link, session, message, attempts, number))
        return rows

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        if isinstance(row.message, TransactionEnded):
            facts = (*facts, *self._ids.facts_of_end(row.link, row.session))
        self._ids.learn_facts((*facts, *await self._file.run_in_thread(self._remove_delivered, row, facts)))

    def _remove_delivered(self, row: OutboxRow, facts: Sequence[Put]) -> list[Put]:
        """Remove the row with its followers. Return what becomes of the record of its session. With the last row that
        was resent after the end the record goes. An end whose session has other rows, which were resent while it was
        on its way, leaves a record that lets them keep their places."""
        gone, over = [0], list[Put]()
        key, session = f"{row.link}/{row.session}", encoding.escape_surrogates(row.session)
        known = self._ids.running_record(row.link, row.session) or any(p.kind == RUNNING and p.value for p in facts)
        is_end = isinstance(row.message, TransactionEnded)  # its facts forget the session

        def write_changes() -> None:
            records.put_facts(self._file.db, facts)
            places = [(one.seq,) for one in (row, *row.followers)]
            gone[0] = self._file.db.executemany("DELETE FROM outbox WHERE seq=?", places).rowcount
            over.clear()
            if is_end and dead_letters.session_has_rows("outbox", self._file.db, row.link, session):
                over.append(Put(RUNNING, key, PLACES_KEPT))
                records.put_facts(self._file.db, over)
            elif known and not is_end and dead_letters.forget_transaction(self._file.db, row.link, session):
                over.append(Put(RUNNING, key, None))

        self._file.run_transaction(write_changes, reserve=True, puts=facts, counted=False)
        self._file.add_to_count(row.link, -gone[0])
        return over

    async def remove_with_next_commit(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        if await self._file.run_in_thread(self._file.take_from_queue, row, facts):
            self._ids.learn_facts(facts)
        else:
            await self.remove_delivered(row, facts)

    async def put_facts(self, facts: Sequence[Put]) -> None:
        await self._file.run_in_thread(
            lambda: self._file.run_transaction(
                lambda: records.put_facts(self._file.db, facts), reserve=True, puts=facts
            )
        )
        self._ids.learn_facts(facts)

    async def count_attempt(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        def write_changes() -> None:
            records.put_facts(self._file.db, facts)
            self._file.db.execute("UPDATE outbox SET attempts=attempts+1 WHERE seq=?", (row.seq,))

        await self._file.run_in_thread(self._file.run_transaction, write_changes)
        self._ids.learn_facts(facts)

    async def requeue_rows(self, rows: Sequence[OutboxRow], facts: Sequence[Put] = ()) -> None:
        def write_changes() -> None:
            records.put_facts(self._file.db, facts)
            requeue.requeue_rows(self._file.db, rows, renumber=bool(facts))

        await self._file.run_in_thread(lambda: self._file.run_transaction(write_changes, reserve=True))
        await self._file.run_in_thread(self._file.count_queued)
        self._requeued += 1
        self._ids.learn_facts(facts)

    async def requeue_session(self, link: str, session: str, facts: Sequence[Put]) -> None:
        def write_changes() -> None:
            records.put_facts(self._file.db, facts)
            dead_letters.requeue_session(self._file.db, link, encoding.escape_surrogates(session))

        await self._file.run_in_thread(lambda: self._file.run_transaction(write_changes, reserve=True))
        await self._file.run_in_thread(self._file.count_queued)
        self._requeued += 1
        self._ids.learn_facts(facts)

    async def open_sessions(self, link: str) -> list[str]:
        still_open = await self._file.look_at_queue(lambda: requeue.open_session_keys(self._file.db, link))
        return [s for s in self._ids.running_records(link) if encoding.escape_surrogates(s) in still_open]

    async def dead_letter(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put] = ()) -> None:
        await self._file.run_in_thread(self._dead_letter, rows, encoding.escape_surrogates(reason), facts)
        self._ids.learn_facts(facts)

    def _dead_letter(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put]) -> None:
        gone: dict[int, int] = {}

        def write_changes() -> None:
            records.put_facts(self._file.db, facts)
            for seq, number in ((r.seq, r.number) for r in rows):
                self._file.db.execute(
                    "INSERT OR REPLACE INTO dead "
                    "SELECT seq, link, session, kind, body, attempts, ?, ? FROM outbox WHERE seq=?",
                    (reason, number, seq),
                )
                gone[seq] = self._file.db.execute("DELETE FROM outbox WHERE seq=?", (seq,)).rowcount
            gone[0] = int(dead_letters.limit_dead_letters(self._file.db))  # no row has this place

        self._file.run_transaction(write_changes, reserve=True)
        for row in rows:
            self._file.add_to_count(row.link, -gone.pop(row.seq, 0))
        if gone.get(0):
            self._refresh_transaction_ids()

    async def list_dead_letters(self) -> list[DeadLetter]:
        """Return the dead-letter list, oldest first."""
        return await self._file.run_in_thread(lambda: dead_letters.list_dead_letters(self._file.db))

    async def list_undelivered(self) -> list[Undelivered]:
        """Return what a backend or a person still has to get."""
        from agent.services.store import undelivered

        return await self._file.look_at_queue(
            lambda: undelivered.list_undelivered(self._file.db, self._file.read_facts())
        )

    async def requeue_dead_letters(self, seqs: Sequence[int]) -> list[int]:
        """Queue dead letters again (``dead_letters.requeue_dead_letters``). Return the places that were queued."""
        return await self._file.run_in_thread(self._change_dead_letters, dead_letters.requeue_dead_letters, seqs)

    async def drop_dead_letters(self, seqs: Sequence[int]) -> list[int]:
        """Delete dead letters for good. Returns their places."""
        return await self._file.run_in_thread(self._change_dead_letters, dead_letters.drop_dead_letters, seqs)

    def _change_dead_letters(
        self, sort: Callable[[sqlite3.Connection, Iterable[int]], list[int]], seqs: Sequence[int]
    ) -> list[int]:
        sorted_out: list[int] = []
        self._file.run_transaction(lambda: sorted_out.extend(sort(self._file.db, seqs)))
        self._file.count_queued()
        self._refresh_transaction_ids()
        self._requeued += 1
        return sorted_out

    def _refresh_transaction_ids(self) -> None:
        """Forget the transaction ids of sessions whose messages are deleted, and learn the records that dead letters
        have got with their return."""
        self._ids.keep_running(
            {key for (key,) in self._file.db.execute("SELECT key FROM facts WHERE kind=?", (RUNNING,))}
        )

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


_PLACE = "FROM {} WHERE link=? AND session=?"
_LAST_NUMBER = (
    f"SELECT max(number) FROM (SELECT number {_PLACE.format('outbox')} UNION ALL "
    f"SELECT number {_PLACE.format('dead')} UNION ALL SELECT next - 1 {_PLACE.format('numbers')})"
)


def _take_number(db: sqlite3.Connection, link: str, session: str, message: Any) -> int:
    """Take the next place in the session, in the transaction that queues the message. What comes after the end of its
    transaction is no event of it (2.x ``seqNo``): it takes no place, and has that of the message before it."""
    if not session:
        return 0
    where = (link, session)
    if isinstance(message, ConnectorUnplugged) or (isinstance(message, MeterSampled) and message.late):
        return int(db.execute(_LAST_NUMBER, where * 3).fetchone()[0] or 0)
    row = db.execute(f"SELECT next {_PLACE.format('numbers')}", where).fetchone()
    number = int(row[0]) if row else 0
    if isinstance(message, TransactionEnded):
        db.execute(f"DELETE {_PLACE.format('numbers')}", where)
    else:
        db.execute("INSERT OR REPLACE INTO numbers(link, session, next) VALUES(?,?,?)", (*where, number + 1))
    return number


_OVER = ("FinalKnown", "CommitPending", "Committed", "VoidPending", "Voided", "Uncertain")


def _ends_session(put: Put) -> bool:
    """Return whether the fact ends something: a session, or a transaction that outlives it, has the reason of its end,
    or a payment's session is over."""
    if put.kind == "payment":
        return put.value is None or put.value.get("state") in _OVER
    return put.kind in SESSIONS and bool(put.value and put.value.get("stop"))
