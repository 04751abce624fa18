"""The connection to the file of the store: it is opened, recovered, kept in its place and opened again.

WAL with ``synchronous=FULL``: a commit that returned survives a power cut (SQLite, "Write-Ahead Logging" and PRAGMA
docs). ``locking_mode=EXCLUSIVE``: a second agent on the same file is refused, and there is no shared-memory file. All
functions run in the store's own thread.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.ports.store import Put
from agent.services.store import content_loss, migrations
from agent.services.store import facts as records
from agent.services.store.migrations import StoreRefused, wal_path
from agent.services.store.witness import Witness, WitnessedState

log = logging.getLogger(__name__)

RESERVE_PAGES = 64
"""Of a full file: for the ends of the sessions that run, and for the few bytes that delivering takes (256 KiB)."""


class StoreConnection:
    """``db``: the connection to the file, or to a copy in memory while the disk takes nothing. ``disk_problem``: what
    is wrong with the disk since the start, "" for nothing. ``before``: what the witness had seen when the file was
    opened. ``roots``: where its tables begin. ``set_aside``: the file that was damaged, or that had taken the place of
    this one. ``wal_bytes``: the size of the WAL at the last look."""

    def __init__(self, path: Path, max_mb: int, witness: Witness) -> None:
        self.path = path
        self.db: sqlite3.Connection
        self.disk_problem = ""
        self.before: WitnessedState | None = None
        self.roots: dict[str, int] = {}
        self.set_aside: Path | None = None
        self.wal_bytes = 0
        self._max_mb = max_mb
        self.pages_max = 0
        self._witness = witness
        self._names = str(path), str(wal_path(path))
        self._places: tuple[tuple[int, ...] | None, ...] = ()

    # --- opening ------------------------------------------------------------------------------------------------

    def open_file(self) -> None:
        """Open or create the file, or use what can be read of it in memory. Raises ``StoreRefused``, ``OSError``,
        ``sqlite3.Error``."""
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

    def reopen_file(self) -> None:
        """Open the file again after a disk problem, or raise what is wrong with it now."""
        memory = self.db
        try:
            self._open_or_recover()
        except (OSError, StoreRefused, sqlite3.Error) as e:
            self.db = memory
            if isinstance(e, sqlite3.Error):
                raise
            raise sqlite3.OperationalError(str(e)) from e
        memory.close()
        self.disk_problem = ""
        log.warning("%s: can be written again", self.path)

    def _open_or_recover(self) -> None:
        """Open the file, or a new one with what could be read of it. Raises ``StoreRefused``, ``OSError``,
        ``sqlite3.Error``."""
        self.before = self._witness.read_last()
        if migrations.salvaged_path(self.path).exists():
            from agent.services.store import recovery

            self.set_aside = recovery.finish_replacement(self.path) or self.set_aside
        try:
            self._connect_file()
        except sqlite3.DatabaseError as e:
            if isinstance(e, sqlite3.OperationalError):
                raise
            from agent.services.store import recovery

            self.set_aside = recovery.replace_corrupt_file(self.path, self._witnessed_roots)
            self._connect_file()
        try:
            self._compare_with_witness()
        except BaseException:
            self.db.close()  # open, it would lock the next attempt out
            raise

    def _connect_file(self) -> None:
        self.db = migrations.connect_store(self.path, self.before.schema if self.before else 0)
        page = self.db.execute("PRAGMA page_size").fetchone()[0]
        self.pages_max = self._max_mb * 1024 * 1024 // page
        self.db.execute(f"PRAGMA max_page_count={self.pages_max}")
        self.db.execute("PRAGMA journal_size_limit=1048576")
        self.db.execute("PRAGMA wal_autocheckpoint=0")  # ``CommitAttestation.merge_wal`` does it: the witness knows
        self.roots = content_loss.root_pages(self.db)
        self._places = ()

    def _fall_back_to_memory(self, why: Exception) -> None:
        """Use a copy in memory, since the disk takes nothing. The station uses what can be read, reports the problem
        and starts nothing new. Nothing of the queue is sent either, since its delivery could not be recorded."""
        self.disk_problem = str(why)
        log.error(
            "%s: %s: nothing can be written, what is there is read; tried again with every record", self.path, why
        )
        from agent.services.store import recovery

        self.db = recovery.salvage_in_memory(self.path, self._witnessed_roots)

    @property
    def _witnessed_roots(self) -> Mapping[str, int]:
        return self.before.roots if self.before else {}

    def _compare_with_witness(self) -> None:
        """Check that everything is there that the witness has seen. What is missing is kept as a fact (kind ``lost``)
        until the agent has reported it; the store goes on behind what is missing."""
        before = self.before
        lost = content_loss.detect_loss(self.db, before) if before is not None else None
        if before is None and content_loss.commit_count(self.db):
            log.warning("%s: its witness is gone: it cannot be known whether anything is missing", self.path)
            with one_transaction(self.db):
                content_loss.forget_receipt_series(self.db)
        if before is None or lost is None:
            return
        log.error("%s: %s", self.path, lost.text)
        with one_transaction(self.db):
            content_loss.forget_receipt_series(self.db)
            ended = content_loss.settle_loss(self.db, before, lost.ended)
            fact = {"text": lost.text, "ended": ended, "registers": lost.ended}
            records.put_facts(self.db, [Put("lost", str(before.commits), fact)])
            records.put_facts(self.db, [Put("meta", "boots", {"text": str(before.boots)})])

    # --- the place of the file ----------------------------------------------------------------------------------

    def ensure_in_place(self) -> None:
        """Check that the open file is still the one under its name, and its WAL too. Otherwise all that would be
        written from now on is gone with the next start: the store goes into a new file, the other one is set aside."""
        if self.disk_problem:
            return
        places = tuple(map(_file_place, self._names))
        file, wal = (p and p[:2] for p in places)
        if self._places and (file != self._places[0] or (self._places[1] and wal != self._places[1])):
            log.error("%s: was deleted or exchanged while it was in use: it is written again", self.path)
            self._rewrite_file()
            places = tuple(map(_file_place, self._names))
        self._places, self.wal_bytes = tuple(p and p[:2] for p in places), places[1][2] if places[1] else 0

    def _rewrite_file(self) -> None:
        from agent.services.store import recovery

        recovery.copy_open_store(self.path, self.db)
        self.db.close()
        try:
            self.set_aside = recovery.finish_replacement(self.path) or self.set_aside
            self._connect_file()
        except (OSError, sqlite3.Error) as e:
            self._fall_back_to_memory(e)  # what was copied takes its place when the disk is well

    @contextmanager
    def open_reserve(self) -> Iterator[None]:
        """Allow the pages that are kept for the ends of sessions, for the length of the block."""
        self.db.execute(f"PRAGMA max_page_count={self.pages_max + RESERVE_PAGES}")
        try:
            yield
        finally:
            self.db.execute(f"PRAGMA max_page_count={self.pages_max}")  # the present size, where it is more


def _file_place(path: str) -> tuple[int, int, int] | None:
    """Return device, inode and size."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size


@contextmanager
def one_transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one transaction: all or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:  # whatever it was, an open transaction would swallow all later ones
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
