"""The file of the store: opened, judged against its witness, kept in its place, and one transaction at a time.

WAL with ``synchronous=FULL``: a commit that returned survives a power cut (SQLite, "Write-Ahead Logging" and PRAGMA
docs). ``locking_mode=EXCLUSIVE``: a second agent on the same file is refused, and there is no shared-memory file. All
functions with a leading underscore that do not await run in the store's own thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from agent.model.fastclass import replace
from agent.ports.store import Put, StoreError
from agent.services.store import content_loss, migrations, thinning
from agent.services.store import facts as records
from agent.services.store.facts import Facts
from agent.services.store.migrations import StoreRefused, wal_path
from agent.services.store.transaction_ids import ENDED, RUNNING, TransactionIds
from agent.services.store.witness import ENDS, ID_DIGITS, Witness, WitnessedState

log = logging.getLogger(__name__)

T = TypeVar("T")

SESSIONS = ("session", "tx")
"""Kinds of facts: what is going on at an outlet."""
WAL_BYTES = 4 * 1024 * 1024
"""Where no session ends for long the WAL is merged when it is as large."""
RESERVE_PAGES = 64
"""Of a full file: for the ends of the sessions that run, and for the few bytes that delivering takes (256 KiB)."""


class StoreFile:
    """``set_aside``: the file that was damaged, or that had taken the place of this one. ``lost``: what of the content
    was missing when it was opened, "" for nothing."""

    def __init__(self, path: Path, max_mb: int) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self.lost = ""
        self._max_mb = max_mb
        self._thread = ThreadPoolExecutor(1, "store")
        self._waiting: dict[str, int] = {}
        self._ids = TransactionIds()
        self._identity = ""
        self._pages = 0
        self._ailing = ""
        self._db: sqlite3.Connection
        self._opening: Future[None] | None = None
        self._witness = Witness(path)
        self._before: WitnessedState | None = None
        self._seen = WitnessedState()
        self._boots = 0
        self._open_sessions: set[str] = set()
        self._ends: dict[str, Sequence[int]] = {}
        self._roots: dict[str, int] = {}
        self._names = str(path), str(wal_path(path))
        self._places: tuple[tuple[int, ...] | None, ...] = ()
        self._wal_bytes = 0

    @classmethod
    def begin_opening(cls, path: Path, max_mb: int = 32) -> Self:
        """Begin to open the file in the store's own thread: a large file is checked while the program loads."""
        store = cls(path, max_mb)
        store._opening = store._thread.submit(store._open_file)
        return store

    @classmethod
    async def open(cls, path: Path, max_mb: int = 32) -> Self:
        """``begin_opening`` and ``finish_opening``."""
        return await cls.begin_opening(path, max_mb).finish_opening()

    async def finish_opening(self) -> Self:
        """Opened or created. A corrupt file is set aside (``set_aside``), what can be read of it goes into a new one. A
        disk that takes nothing (full, read-only, dying) is waited for: see ``_fall_back_to_memory``.

        Raises ``StoreRefused`` (newer schema, in use by another agent), ``StoreError`` (no such folder, not ours)."""
        assert self._opening is not None
        try:
            await self._await_result(self._opening)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def _run_in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await self._await_result(self._thread.submit(work, *args))

    async def _await_result(self, work: Future[T]) -> T:
        try:
            return await asyncio.wrap_future(work)
        except (sqlite3.Error, OSError, ValueError) as e:
            raise StoreError(f"{self.path}: {e}; check disk space and permissions") from e

    # --- opening -----------------------------------------------------------------------------------------------

    def _open_file(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._open_or_recover()
        except (OSError, sqlite3.Error) as e:
            if migrations.is_disk_problem(e):
                self._fall_back_to_memory(e)
                self._compare_with_witness()  # in memory: what has ended in a lost part is not resumed
            elif isinstance(e, sqlite3.OperationalError):
                raise StoreRefused(migrations.describe_refusal(self.path, e)) from e
            else:
                raise
        self._load_state()

    def _open_or_recover(self) -> None:
        """The file, or a new one with what could be read of it. Raises ``StoreRefused``, ``OSError``,
        ``sqlite3.Error``."""
        self._before = self._witness.read_last()
        if migrations.salvaged_path(self.path).exists():
            from agent.services.store import recovery

            self.set_aside = recovery.finish_replacement(self.path) or self.set_aside
        try:
            self._connect_file()
        except sqlite3.DatabaseError as e:
            if isinstance(e, sqlite3.OperationalError):
                raise
            from agent.services.store import recovery

            self.set_aside = recovery.replace_corrupt_file(self.path, self._before.roots if self._before else {})
            self._connect_file()
        try:
            self._compare_with_witness()
        except BaseException:
            self._db.close()  # open, it would lock the next attempt out
            raise

    def _compare_with_witness(self) -> None:
        """Is all there that the witness has seen? What is not is kept as a fact (kind ``lost``) until the agent has
        reported it; the store goes on behind what is missing."""
        before = self._before
        lost = content_loss.detect_loss(self._db, before) if before is not None else None
        if before is None and content_loss.commit_count(self._db):
            log.warning("%s: its witness is gone: whether anything is missing cannot be said", self.path)
        if before is None or lost is None:
            return
        log.error("%s: %s", self.path, lost.text)
        with _one_transaction(self._db):
            ended = content_loss.settle_loss(self._db, before, lost.ended)
            fact = {"text": lost.text, "ended": ended, "registers": lost.ended}
            records.put_facts(self._db, [Put("lost", str(before.commits), fact)])
            records.put_facts(self._db, [Put("meta", "boots", {"text": str(before.boots)})])

    def _load_state(self) -> None:
        self._count_queued()
        facts = self._read_facts()
        self._open_sessions = {key for kind in SESSIONS for key in facts.get(kind, {})}
        self.lost = "; ".join(str(value.get("text", "")) for value in facts.get("lost", {}).values())
        numbers = [int(n) for n in (*facts.get("boot", {}), self._meta_text(facts, "boots")) if n.isdecimal()]
        self._boots = max(numbers, default=0)
        self._ends = dict(self._before.ends) if self._before else {}
        for kind in (RUNNING, ENDED):
            self._ids.learn_facts(Put(kind, key, value) for key, value in facts.get(kind, {}).items())
        self._identity = self._meta_text(facts, "identity") or self._make_identity()
        self._attest_commit(())

    def _meta_text(self, facts: Facts, key: str) -> str:
        return str(facts.get("meta", {}).get(key, {}).get("text", ""))

    @property
    def highest_boot(self) -> int:
        """The highest boot number that the store or its witness knows."""
        return self._boots

    def _count_queued(self) -> None:
        """The table is the truth: a link whose last row went is not in it. From an index alone: the messages of a long
        queue are not read at the start."""
        self._waiting = dict(self._db.execute("SELECT link, count(*) FROM outbox GROUP BY link"))

    def _connect_file(self) -> None:
        self._db = migrations.connect_store(self.path, self._before.schema if self._before else 0)
        page = self._db.execute("PRAGMA page_size").fetchone()[0]
        self._pages = self._max_mb * 1024 * 1024 // page
        self._db.execute(f"PRAGMA max_page_count={self._pages}")
        self._db.execute("PRAGMA journal_size_limit=1048576")
        self._db.execute("PRAGMA wal_autocheckpoint=0")  # ``_merge_wal`` does it, and the witness knows of it
        self._roots = content_loss.root_pages(self._db)
        self._places = ()

    def _fall_back_to_memory(self, why: Exception) -> None:
        """The disk takes nothing: the station uses what can be read, reports the problem and starts nothing new.
        Nothing of the queue is sent either, since its delivery could not be recorded."""
        self._ailing = str(why)
        log.error(
            "%s: %s: nothing can be written, what is there is read; tried again with every record", self.path, why
        )
        from agent.services.store import recovery

        self._db = recovery.salvage_in_memory(self.path, self._before.roots if self._before else {})

    def _reopen_file(self) -> None:
        """Open the file again, or raise what is wrong with it now."""
        memory = self._db
        try:
            self._open_or_recover()
        except (OSError, StoreRefused, sqlite3.Error) as e:
            self._db = memory
            if isinstance(e, sqlite3.Error):
                raise
            raise sqlite3.OperationalError(str(e)) from e
        memory.close()
        self._ailing = ""
        log.warning("%s: can be written again", self.path)
        self._load_state()

    def _make_identity(self) -> str:
        """Make the identity that distinguishes this store from another one put in its place."""
        identity = secrets.token_hex(6)
        try:
            self._run_transaction(lambda: records.put_facts(self._db, [Put("meta", "identity", {"text": identity})]))
        except sqlite3.Error as e:
            log.error("%s: its identity is not saved: %s; a loss of it would not be seen", self.path, e)
            return ""
        return identity

    @property
    def disk_problem(self) -> str:
        """What is wrong with the disk since the start; "" when nothing is."""
        return self._ailing

    async def close(self) -> None:
        await self._run_in_thread(self._close_file)
        self._thread.shutdown()

    def _close_file(self) -> None:
        """SQLite merges the WAL when its last connection is closed, and deletes it. After ``_merge_wal`` it has one
        page:
        no kill leaves a file that is half old."""
        self._merge_wal()
        if self._identity and not self._ailing:
            self._witness.write_state(
                self._seen
            )  # in both slots: the other one says that the WAL, soon gone, is needed
        self._db.close()
        self._witness.close()

    # --- facts -------------------------------------------------------------------------------------------------

    async def read_facts(self) -> Facts:
        """Everything remembered: kind -> key -> value. A record that cannot be read is set aside: kind ``poisoned``,
        key ``kind/key``, value ``{"record": text, "why": text}``."""
        return await self._run_in_thread(self._read_facts)

    def _read_facts(self) -> Facts:
        found, damaged = records.read_facts(self._db)
        for one in damaged:  # its key may be a card
            log.error("%s: a record (%s) cannot be read, set aside: %s", self.path, one.kind, one.why)
            try:
                self._run_transaction(lambda one=one: records.set_aside_damaged(self._db, one))  # type: ignore[misc]
            except sqlite3.Error as e:  # it must not stop the station; until the next start
                log.error("%s: the bad record stays where it is: %s", self.path, e)
        return found

    def usage_summary(self) -> dict[str, Any]:
        """Return how full the store is, for diagnostics. It contains no records."""
        file_bytes = self.path.stat().st_size if self.path.exists() else 0
        return {"file_bytes": file_bytes, "waiting": dict(self._waiting)}

    # --- transactions ---------------------------------------------------------------------------------------------

    def _run_transaction(
        self, work: Callable[[], None], reserve: bool = False, puts: Iterable[Put] = (), counted: bool = True
    ) -> None:
        """All or nothing. A full file first loses what ``thinning`` says, never a start or a stop. ``reserve``: what
        ends a session or empties the queue may use the pages that are kept for it. ``puts``: the facts that it puts.
        ``counted`` False: it takes a message from the queue, and that one would show that it was lost."""

        def counted_work() -> None:
            work()
            if counted:
                content_loss.count_commit(self._db)

        self._ensure_in_place()
        self._make_room_and_run(counted_work, reserve)
        self._attest_commit(puts)
        if self._wal_bytes > WAL_BYTES:
            self._merge_wal()

    def _make_room_and_run(self, work: Callable[[], None], reserve: bool) -> None:
        while self._store_is_full(work):
            if not self._thin_queue():
                break
        else:
            return
        if not reserve:
            raise sqlite3.OperationalError("the store or its disk is full, and nothing is left in it that may go")
        with self._open_reserve():
            self._run_at_once(work)

    def _store_is_full(self, work: Callable[[], None]) -> bool:
        """True: it was not done."""
        try:
            self._run_at_once(work)
        except sqlite3.Error as e:
            if "full" not in str(e):
                raise
            return True
        return False

    def _run_at_once(self, work: Callable[[], None]) -> None:
        if self._ailing:
            self._reopen_file()
        with _one_transaction(self._db):
            work()

    @contextmanager
    def _open_reserve(self) -> Iterator[None]:
        self._db.execute(f"PRAGMA max_page_count={self._pages + RESERVE_PAGES}")
        try:
            yield
        finally:
            self._db.execute(f"PRAGMA max_page_count={self._pages}")  # the present size, where it is more

    def _thin_queue(self) -> bool:
        """Make room: delete queued messages that no bill needs."""
        if self._ailing:
            return False
        gone = thinning.thin_queue(self._db)
        if gone:
            log.warning("%s is full: %d values between starts and ends of sessions are given up", self.path, gone)
        self._count_queued()
        return gone > 0

    # --- the witness and the place ------------------------------------------------------------------------------

    def _note_session_end(self, session: str, register_wh: int) -> None:
        """Note the end of a session for the witness, which gets it with the commit that queues the end."""
        self._ends.pop(session[:ID_DIGITS], None)  # the latest is the last one here
        self._ends[session[:ID_DIGITS]] = register_wh, 0
        while len(self._ends) > ENDS:
            del self._ends[next(iter(self._ends))]

    def _attest_commit(self, puts: Iterable[Put]) -> None:
        """The witness has seen this commit. Raises nothing: a commit that was made and is reported as not made would be
        made again."""
        for put in puts:
            if put.kind in SESSIONS:
                (self._open_sessions.discard if put.value is None else self._open_sessions.add)(put.key)
            elif put.kind == "boot" and put.key.isdecimal():
                self._boots = max(self._boots, int(put.key))
        if not self._identity or self._ailing:
            return
        try:
            seen = content_loss.describe_state(self._db, self._identity, self._boots, self._open_sessions, self._roots)
        except sqlite3.Error as e:
            log.error("%s: cannot be read after a commit: %s", self.path, e)
            return
        self._ends = {name: (wh, place or seen.place) for name, (wh, place) in self._ends.items()}
        self._seen = replace(seen, ends=self._ends)
        self._witness.write_state(self._seen)

    def _merge_wal(self) -> None:
        """A session has ended: the WAL is merged into the file, so that a loss of it costs one session at most. Then it
        is begun again at once: of a merged one that is cut short SQLite would put older pages over newer ones."""
        if self._ailing:
            return
        try:
            with self._announce_merge():
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
                with _one_transaction(self._db):
                    content_loss.restart_wal(self._db)
        except sqlite3.Error as e:
            log.warning("%s: the WAL is not merged yet: %s", self.path, e)
        self._witness.flush_to_disk()

    @contextmanager
    def _announce_merge(self) -> Iterator[None]:
        """Meanwhile the file is half old and half new: the witness says how much of the WAL is needed to read it."""
        said = bool(self._identity and not self._ailing)
        if said:
            frames, salts = migrations.wal_frames(self.path)
            self._witness.write_state(replace(self._seen, merging=frames, salts=salts))
        yield
        if said:
            self._witness.write_state(self._seen)

    def _ensure_in_place(self) -> None:
        """Is the file that is open still the one under its name, and its WAL? Otherwise all that would be written from
        now on is gone with the next start: the store goes into a new file, the other one is set aside."""
        if self._ailing:
            return
        places = tuple(map(_file_place, self._names))
        file, wal = (p and p[:2] for p in places)
        if self._places and (file != self._places[0] or (self._places[1] and wal != self._places[1])):
            log.error("%s: was deleted or exchanged while it was in use: it is written again", self.path)
            self._rewrite_file()
            places = tuple(map(_file_place, self._names))
        self._places, self._wal_bytes = tuple(p and p[:2] for p in places), places[1][2] if places[1] else 0

    def _rewrite_file(self) -> None:
        from agent.services.store import recovery

        recovery.copy_open_store(self.path, self._db)
        self._db.close()
        try:
            self.set_aside = recovery.finish_replacement(self.path) or self.set_aside
            self._connect_file()
        except (OSError, sqlite3.Error) as e:
            self._fall_back_to_memory(e)  # what was copied takes its place when the disk is well


def _file_place(path: str) -> tuple[int, int, int] | None:
    """Device, inode and size."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size


@contextmanager
def _one_transaction(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:  # whatever it was, an open transaction would swallow all later ones
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
