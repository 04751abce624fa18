"""What the witness is given: the state of the store after each commit, and how much of the WAL a merge needs.

All functions run in the store's own thread.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from agent.model.fastclass import replace
from agent.ports.store import Put
from agent.services.store import content_loss, migrations
from agent.services.store.connection import StoreConnection, one_transaction
from agent.services.store.facts import Facts, meta_text
from agent.services.store.witness import ENDS, ID_DIGITS, Witness, WitnessedState

log = logging.getLogger(__name__)

SESSIONS = ("session", "tx")
"""Kinds of facts: what is going on at an outlet."""
_RENEWED: Mapping[str, Sequence[str]] = {
    "session": ("last_wh", "alive_at"), "boot": ("last_utc_s",), "traffic": ("actions", "days"),
}  # fmt: skip
"""Fields that each record of these kinds renews: the register of a session, until when a boot has lived, the volume of
a month."""


class CommitAttestation:
    """``identity`` distinguishes this store from another one put in its place; "" while it is not known. ``boots``: the
    highest boot number that the store or its witness knows. ``seen``: what the witness was given last."""

    def __init__(self, connection: StoreConnection, witness: Witness) -> None:
        self.identity = ""
        self.boots = 0
        self.seen = WitnessedState()
        self._connection = connection
        self._witness = witness
        self._open_sessions: set[str] = set()
        self._known: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._ends: dict[str, Sequence[int]] = {}

    def learn_stored(self, facts: Facts) -> None:
        """Take over what the opened store knows, and from its witness the ends of the latest sessions."""
        self._open_sessions = {key for kind in SESSIONS for key in facts.get(kind, {})}
        self._known = {
            (kind, key): _without_renewed(kind, record)
            for kind in _RENEWED
            for key, record in facts.get(kind, {}).items()
        }
        numbers = [int(n) for n in (*facts.get("boot", {}), meta_text(facts, "boots")) if n.isdecimal()]
        self.boots = max(numbers, default=0)
        before = self._connection.before
        self._ends = dict(before.ends) if before else {}

    def note_session_end(self, session: str, register_wh: int) -> None:
        """Note the end of a session for the witness, which gets it with the commit that queues the end."""
        self._ends.pop(session[:ID_DIGITS], None)  # the latest is the last one here
        self._ends[session[:ID_DIGITS]] = register_wh, 0
        while len(self._ends) > ENDS:
            del self._ends[next(iter(self._ends))]

    def attest_commit(self, puts: Iterable[Put]) -> None:
        """Let the witness see this commit. Raises nothing: a commit that was made and is reported as not made would be
        made again."""
        for put in puts:
            if put.kind in SESSIONS:
                (self._open_sessions.discard if put.value is None else self._open_sessions.add)(put.key)
            elif put.kind == "boot" and put.key.isdecimal():
                self.boots = max(self.boots, int(put.key))
            if put.kind in _RENEWED:
                self._learn_record(put)
        if self._may_write:
            self._witness_state()

    def _learn_record(self, put: Put) -> None:
        if put.value is None:
            self._known.pop((put.kind, put.key), None)
        else:
            self._known[put.kind, put.key] = _without_renewed(put.kind, put.value)

    def renews_records(self, puts: Sequence[Put]) -> bool:
        """Return whether these facts only renew what is known: the registers of open sessions, the time of this boot,
        the volume of the month. Without such a commit the store is as it was, with the figures before: it is neither
        counted nor witnessed."""
        return bool(puts) and all(map(self._renews_record, puts))

    def _renews_record(self, put: Put) -> bool:
        known = self._known.get((put.kind, put.key))
        return known is not None and put.value is not None and _without_renewed(put.kind, put.value) == known

    def is_session_open(self, session: str) -> bool:
        return session in self._open_sessions

    def _witness_state(self) -> None:
        store = self._connection
        try:
            seen = content_loss.describe_state(store.db, self.identity, self.boots, self._open_sessions, store.roots)
        except sqlite3.Error as e:
            log.error("%s: cannot be read after a commit: %s", store.path, e)
            return
        self._ends = {name: (wh, place or seen.place) for name, (wh, place) in self._ends.items()}
        self.seen = replace(seen, ends=self._ends)
        self._witness.write_state(self.seen)

    @property
    def _may_write(self) -> bool:
        """A store without an identity, or one that is in memory only, is no business of the witness."""
        return bool(self.identity and not self._connection.disk_problem)

    def merge_wal(self) -> None:
        """Merge the WAL into the file after the end of a session, so that a loss of it costs one session at most. Then
        begin it again at once: of a merged one that is cut short SQLite would put older pages over newer ones."""
        store = self._connection
        if store.disk_problem:
            return
        try:
            with self._announce_merge():
                store.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
                with one_transaction(store.db):
                    content_loss.restart_wal(store.db)
        except sqlite3.Error as e:
            log.warning("%s: the WAL is not merged yet: %s", store.path, e)
        self._witness.flush_to_disk()

    @contextmanager
    def _announce_merge(self) -> Iterator[None]:
        """Let the witness show, for the length of the block, how much of the WAL is needed to read the file: it is half
        old and half new meanwhile."""
        announced = self._may_write
        if announced:
            frames, salts = migrations.wal_frames(self._connection.path)
            self._witness.write_state(replace(self.seen, merging=frames, salts=salts))
        yield
        if announced:
            self._witness.write_state(self.seen)

    def close_store(self) -> None:
        """Close the store and its witness. SQLite merges the WAL when its last connection is closed, and deletes it.
        After ``merge_wal`` it has one page: no kill leaves a file that is half old."""
        self.merge_wal()
        if self._may_write:  # in both slots: none of them shows that the WAL, soon gone, is needed
            self._witness.write_state(self.seen)
            self._witness.change_slot()
            self._witness.write_state(self.seen)
        self._connection.db.close()
        self._witness.close()


def _without_renewed(kind: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in record.items() if name not in _RENEWED[kind]}
