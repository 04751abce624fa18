"""Run the file of the store in its own thread: open it while the program loads, then do one transaction at a time.

What reads or writes the file runs in that thread: callers hand it to ``run_in_thread``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from agent.ports.store import OutboxRow, Put, StoreError
from agent.services.store import content_loss, thinning
from agent.services.store import facts as records
from agent.services.store.commit_attestation import CommitAttestation
from agent.services.store.connection import StoreConnection, one_transaction
from agent.services.store.facts import Facts
from agent.services.store.transaction_ids import ENDED, RUNNING, TransactionIds
from agent.services.store.witness import Witness

log = logging.getLogger(__name__)

T = TypeVar("T")

WAL_BYTES = 4 * 1024 * 1024
"""If no session ends for a long time, the WAL is merged when it is this large."""


class StoreFile:
    """The file at ``path``, and the thread that works on it.

    ``lost``: what was missing of the content when the file was opened, "" for nothing. ``queue_counts``: how many
    messages wait for each link. ``transaction_ids``: a copy in memory of what each backend calls the sessions.
    ``_pending_rows``: places of the queue that have left it in memory, and leave the disk with the next commit that the
    witness sees; ``_pending_facts``: what is stored then of them.
    """

    def __init__(self, path: Path, max_mb: int) -> None:
        self.path = path
        self.lost = ""
        self._thread = ThreadPoolExecutor(1, "store")
        self.queue_counts: dict[str, int] = {}
        self._pending_rows: set[int] = set()
        self._pending_facts: list[Put] = []
        self.transaction_ids = TransactionIds()
        self._opening: Future[None] | None = None
        self.witness = Witness(path)
        self._connection = StoreConnection(path, max_mb, self.witness)
        self.attestation = CommitAttestation(self._connection, self.witness)

    @property
    def set_aside(self) -> Path | None:
        """The file that was damaged, or that had taken the place of this one."""
        return self._connection.set_aside

    @property
    def disk_problem(self) -> str:
        """What has been wrong with the disk since the start, "" for nothing."""
        return self._connection.disk_problem

    @property
    def db(self) -> sqlite3.Connection:
        return self._connection.db

    @classmethod
    def begin_opening(cls, path: Path, max_mb: int = 32) -> Self:
        """Begin to open the file in the store's own thread: a large file is checked while the program loads."""
        store = cls(path, max_mb)
        store._opening = store._thread.submit(store._open_file)
        return store

    async def finish_opening(self) -> Self:
        """Wait until the file is opened or created.

        A corrupt file is set aside (``set_aside``), and what can be read of it goes into a new one. If the disk takes
        nothing (full, read-only, dying), the store waits for it: see ``disk_problem``.

        Raise ``StoreRefused`` if the schema is newer or another agent uses the file, and ``StoreError`` if there is no
        such folder or the file is no store.
        """
        assert self._opening is not None
        try:
            await self._await_result(self._opening)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def close(self) -> None:
        await self.run_in_thread(self._close_file)
        self._thread.shutdown()

    async def run_in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await self._await_result(self._thread.submit(work, *args))

    async def _await_result(self, work: Future[T]) -> T:
        try:
            return await asyncio.wrap_future(work)
        except (sqlite3.Error, OSError, ValueError) as e:
            raise StoreError(f"{self.path}: {e}; check disk space and permissions") from e

    def _close_file(self) -> None:
        try:
            self.remove_pending_rows()
        except sqlite3.Error as e:  # they wait again at the next start
            log.warning("%s: delivered samples are still in the queue: %s", self.path, e)
        self.attestation.close_store()

    def merge_wal_soon(self) -> None:
        """Merge the WAL behind the answer to the present commit."""
        with contextlib.suppress(RuntimeError):  # the store is being closed, which merges it too
            self._thread.submit(self.attestation.merge_wal)

    # --- opening -----------------------------------------------------------------------------------------------

    def _open_file(self) -> None:
        self._connection.open_file()
        self._load_state()

    def ensure_on_disk(self) -> None:
        """Open the file again after a disk problem, or raise what is wrong with it now."""
        if self.disk_problem:
            self._connection.reopen_file()
            self._load_state()

    def _load_state(self) -> None:
        self.count_queued()
        facts = self.read_facts()
        self.lost = "; ".join(str(value.get("text", "")) for value in facts.get("lost", {}).values())
        self.attestation.learn_stored(facts)
        for kind in (RUNNING, ENDED):
            self.transaction_ids.learn_facts(Put(kind, key, value) for key, value in facts.get(kind, {}).items())
        self.transaction_ids.learn_facts(self._pending_facts)
        self.attestation.identity = records.meta_text(facts, "identity") or self._make_identity()
        self.attestation.attest_commit(())

    def count_queued(self) -> None:
        """Count what waits in the queue of each link.

        The table decides: a link whose last row is gone is not in it. An index is enough for the count, so that the
        messages of a long queue are not read at the start.
        """
        pending = ",".join(map(str, sorted(self._pending_rows)))
        where = f"WHERE seq NOT IN ({pending})" if pending else ""
        self.queue_counts = dict(self.db.execute(f"SELECT link, count(*) FROM outbox {where} GROUP BY link"))

    def add_to_count(self, link: str, number: int) -> None:
        """Add to the count of a queue, in the store's thread as ``count_queued`` is: the two would overtake each other
        otherwise."""
        left = self.queue_counts.get(link, 0) + number
        if left > 0:
            self.queue_counts[link] = left
        else:
            self.queue_counts.pop(link, None)

    # --- rows that leave later ---------------------------------------------------------------------------------

    def take_from_queue(self, row: OutboxRow, facts: Sequence[Put]) -> bool:
        """Take this row and its followers, of which nothing is to be sent any more, from the queue in memory; they
        leave the disk, and the facts are stored, with the next commit. Return False if they must leave it at once:
        others wait, which are sent before anything is stored, or the session is over and need not have a next
        commit; or if room was made of them meanwhile."""
        self.ensure_on_disk()
        sql = "SELECT 1 FROM outbox WHERE seq=?"
        places = [r.seq for r in (row, *row.followers) if self.db.execute(sql, (r.seq,)).fetchone()]
        others_wait = self.queue_counts.get(row.link, 0) > len(places)
        if not places or others_wait or not self.attestation.is_session_open(row.session):
            return False
        self._pending_rows.update(places)
        self._pending_facts += facts
        self.add_to_count(row.link, -len(places))
        return True

    async def look_at_queue(self, look: Callable[[], T]) -> T:
        """Return what there is to see in the file, without the rows that have left the queue in memory."""

        def look_behind_removals() -> T:
            self.remove_pending_rows()
            return look()

        return await self.run_in_thread(look_behind_removals)

    def remove_pending_rows(self) -> None:
        """Remove what has left the queue in memory also from the disk, before the table is read. A disk that takes
        nothing keeps it."""
        if self._pending_rows and not self.disk_problem:
            self.run_transaction(lambda: None, reserve=True, counted=False)

    def _delete_pending_rows(self) -> None:
        if self._pending_rows:
            self.db.executemany("DELETE FROM outbox WHERE seq=?", [(place,) for place in sorted(self._pending_rows)])
            records.put_facts(self.db, self._pending_facts)

    def _make_identity(self) -> str:
        """Make the identity that distinguishes this store from another one put in its place."""
        identity = secrets.token_hex(6)
        try:
            self.run_transaction(lambda: records.put_facts(self.db, [Put("meta", "identity", {"text": identity})]))
        except sqlite3.Error as e:
            log.error("%s: its identity is not saved: %s; a loss of it would not be seen", self.path, e)
            return ""
        return identity

    # --- facts -------------------------------------------------------------------------------------------------

    def read_facts(self) -> Facts:
        found, damaged = records.read_facts(self.db)
        for one in damaged:  # its key may be the number of a card
            log.error("%s: a record (%s) cannot be read, set aside: %s", self.path, one.kind, one.why)
            try:
                self.run_transaction(lambda one=one: records.set_aside_damaged(self.db, one))  # type: ignore[misc]
            except sqlite3.Error as e:  # it must not stop the station, and is tried again at the next start
                log.error("%s: the bad record stays where it is: %s", self.path, e)
        return found

    def usage_summary(self) -> dict[str, Any]:
        """Return how full the store is, for diagnostics. The summary contains no records."""
        file_bytes = self.path.stat().st_size if self.path.exists() else 0
        return {"file_bytes": file_bytes, "waiting": dict(self.queue_counts)}

    def used_share(self) -> float:
        """Return how much of the permitted pages hold something, from 0 to 1."""
        pages, free = (self.db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        return float(pages - free) / self._connection.pages_max

    # --- transactions ---------------------------------------------------------------------------------------------

    def run_transaction(
        self,
        work: Callable[[], None],
        reserve: bool = False,
        puts: Iterable[Put] = (),
        counted: bool = True,
        witnessed: bool = True,
    ) -> None:
        """Do all of the work or nothing.

        If the file is full, the messages go that ``thinning`` names, never a start or a stop.
        ``reserve``: the work ends a session or empties the queue, and may use the pages that are kept for that.
        ``puts``: the facts that the work stores.
        ``counted`` False: the work takes a message from the queue. If its commit were lost, that message would show it.
        ``witnessed`` False: the witness need not know (``CommitAttestation.renews_records``). Nothing leaves the
        queue with it: the witness would take what comes back after a loss for something that waits.
        """

        def counted_work() -> None:
            if witnessed:
                self._delete_pending_rows()
            work()
            if counted:
                content_loss.count_commit(self.db)

        self._connection.ensure_in_place()
        self._make_room_and_run(counted_work, reserve)
        if witnessed:
            self._pending_rows.clear()
            self._pending_facts.clear()
            self.attestation.attest_commit(puts)
        if self._connection.wal_bytes > WAL_BYTES:
            self.attestation.merge_wal()

    def _make_room_and_run(self, work: Callable[[], None], reserve: bool) -> None:
        while self._store_is_full(work):
            if not self.thin_queue():
                break
        else:
            return
        if not reserve:
            raise sqlite3.OperationalError("the store or its disk is full, and nothing is left in it that may go")
        with self._connection.open_reserve():
            self._run_at_once(work)

    def _store_is_full(self, work: Callable[[], None]) -> bool:
        """Try the work. Return True if it was not done because the store is full."""
        try:
            self._run_at_once(work)
        except sqlite3.Error as e:
            if "full" not in str(e):
                raise
            return True
        return False

    def _run_at_once(self, work: Callable[[], None]) -> None:
        self.ensure_on_disk()
        with one_transaction(self.db):
            work()

    def thin_queue(self) -> bool:
        """Make room: delete queued messages that no bill needs."""
        if self.disk_problem:
            return False
        gone = thinning.thin_queue(self.db)
        if gone:
            log.warning("%s is full: %d values between starts and ends of sessions are given up", self.path, gone)
        self.count_queued()
        return gone > 0
