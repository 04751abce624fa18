"""The store of one station of a fleet: the contract of the durable store, in memory.

Everything that a link asks of ``agent.ports.store.OutboxPort`` holds, but that it survives the process:
``tests/fleet/test_volatile_store.py`` compares it with the store of a board, step by step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.domain.messages import TransactionEnded
from agent.domain.serialization import stored_class_name
from agent.model.fastclass import replace
from agent.ports.store import NOTES_MAX, OutboxRow, Put, is_notes
from agent.services.store.transaction_ids import PLACES_KEPT, RUNNING, TransactionIds

UNKEPT_KINDS = frozenset({"security"})
"""Facts that a station of a fleet forgets: its security log has no reader."""
BILLS = frozenset({"TransactionStarted", "TransactionAuthorised", "TransactionEnded"})
DEAD_MAX = 200
"""Dead letters of one station. Of more the oldest are given up, and counted all the same."""


class VolatileStore:
    """Facts and queues of one station. All methods return at once."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._queues: dict[str, list[OutboxRow]] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._dead: dict[int, tuple[OutboxRow, str]] = {}
        self._ids = TransactionIds()
        self._seq = self._requeued = 0
        self._given_up_bills = 0

    # --- facts -------------------------------------------------------------------------------------------------------

    def read_facts(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return kind -> key -> value, as text on a disk would give it back."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for (kind, key), value in self._facts.items():
            found.setdefault(kind, {})[key] = json.loads(json.dumps(value))
        return found

    def _put_facts(self, puts: Sequence[Put]) -> None:
        for put in puts:
            if put.value is None:
                self._facts.pop((put.kind, put.key), None)
            elif put.kind not in UNKEPT_KINDS:
                self._facts[put.kind, put.key] = put.value
        self._ids.learn_facts(puts)

    async def put_facts(self, facts: Sequence[Put]) -> None:
        self._put_facts(facts)

    async def commit(self, puts: Sequence[Put], messages: Sequence[tuple[str, Any]] = ()) -> None:
        """Put facts and queue messages (queue, message)."""
        self._put_facts(puts)
        for queue, message in messages:
            self._queue_message(queue, message)

    def _queue_message(self, queue: str, message: Any) -> None:
        session = getattr(message, "session", "")
        self._seq += 1
        row = OutboxRow(self._seq, queue, session, message, 0, self._take_number(queue, session, message))
        rows = self._queues.setdefault(queue, [])
        rows.append(row)
        if is_notes(queue) and len(rows) > NOTES_MAX:
            del rows[:-NOTES_MAX]

    def _take_number(self, queue: str, session: str, message: Any) -> int:
        if not session:
            return 0
        number = self._numbers.pop((queue, session), 0)
        if not isinstance(message, TransactionEnded):
            self._numbers[queue, session] = number + 1
        return number

    # --- the queues --------------------------------------------------------------------------------------------------

    @property
    def unpaid_count(self) -> int:
        """How many starts and ends of transactions the backend has refused."""
        return self._given_up_bills + sum(_is_bill(row) for row, _ in self._dead.values())

    @property
    def waiting_count(self) -> int:
        """How many messages wait in all queues."""
        return sum(map(len, self._queues.values()))

    def queued_count(self, link: str) -> int:
        return len(self._queues.get(link, ()))

    def requeued_count(self) -> int:
        return self._requeued

    async def is_queued(self, link: str, session: str) -> bool:
        return any(row.session == session for row in self._queues.get(link, ()))

    async def oldest_rows(self, link: str, count: int = 1, after: int = 0) -> list[OutboxRow]:
        return [row for row in self._queues.get(link, ()) if row.seq > after][:count]

    async def rows_of_session(self, link: str, session: str) -> list[OutboxRow]:
        return [row for row in self._queues.get(link, ()) if row.session == session]

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        is_end = isinstance(row.message, TransactionEnded)
        if is_end:
            facts = (*facts, *self._ids.facts_of_end(row.link, row.session))
        is_known = bool(self._ids.running_record(row.link, row.session)) or any(
            put.kind == RUNNING and put.value for put in facts
        )
        self._put_facts(facts)
        self._drop_rows(row.link, {one.seq for one in (row, *row.followers)})
        if is_end and await self.is_queued(row.link, row.session):
            self._put_facts([Put(RUNNING, f"{row.link}/{row.session}", PLACES_KEPT)])
        elif is_known and not is_end and not self._is_session_known(row.link, row.session):
            self._put_facts([Put(RUNNING, f"{row.link}/{row.session}", None)])

    async def remove_with_next_commit(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        await self.remove_delivered(row, facts)

    def _drop_rows(self, link: str, places: set[int]) -> None:
        left = [row for row in self._queues.get(link, ()) if row.seq not in places]
        if left:
            self._queues[link] = left
        else:
            self._queues.pop(link, None)

    def _is_session_known(self, link: str, session: str) -> bool:
        """Return whether the session is open, or a message of it may still be sent."""
        if ("session", session) in self._facts or ("tx", session) in self._facts:
            return True
        return any(row.session == session for row in self._all_rows(link))

    def _all_rows(self, link: str) -> Iterator[OutboxRow]:
        """Yield what waits and what is dead."""
        yield from self._queues.get(link, ())
        yield from (row for row, _ in self._dead.values() if row.link == link)

    async def count_attempt(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        self._put_facts(facts)
        rows = self._queues.get(row.link, [])
        rows[:] = [replace(one, attempts=one.attempts + 1) if one.seq == row.seq else one for one in rows]

    # --- what the backend has not taken, and what waits again --------------------------------------------------------

    async def dead_letter(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put] = ()) -> None:
        self._put_facts(facts)
        for row in rows:
            self._drop_rows(row.link, {row.seq})
            self._dead[row.seq] = (row, reason)
        while len(self._dead) > DEAD_MAX:
            self._given_up_bills += _is_bill(self._dead.pop(min(self._dead))[0])

    def dead_letter_reasons(self) -> list[str]:
        """Return why the backend did not take the messages that are kept."""
        return [f"{type(row.message).__name__}: {reason}" for row, reason in self._dead.values()]

    async def requeue_rows(self, rows: Sequence[OutboxRow], facts: Sequence[Put] = ()) -> None:
        self._put_facts(facts)
        for row in rows:
            self._dead.pop(row.seq, None)
            self._insert_row(row)
        if facts and rows:
            self._renumber_session(rows)
        self._requeued += 1

    def _insert_row(self, row: OutboxRow) -> None:
        queue = self._queues.setdefault(row.link, [])
        if all(one.seq != row.seq for one in queue):
            queue.append(replace(row, attempts=0, followers=()))
            queue.sort(key=lambda one: one.seq)

    def _renumber_session(self, rows: Sequence[OutboxRow]) -> None:
        """Number these rows first, as they are numbered, then the others of the session without a gap."""
        link, session = rows[0].link, rows[0].session
        first = {row.seq: row.number for row in rows}
        others = [r.number for r in self._all_rows(link) if r.session == session and r.seq not in first]
        following = self._numbers.get((link, session))
        taken = others if following is None else [*others, following]
        less = min(taken) - len(rows) if taken else 0

        def renumbered(row: OutboxRow) -> OutboxRow:
            if row.seq in first:
                return replace(row, number=first[row.seq])
            return replace(row, number=row.number - less) if row.session == session else row

        self._queues[link] = [renumbered(row) for row in self._queues.get(link, ())]
        self._dead = {
            seq: (renumbered(row) if row.link == link else row, why) for seq, (row, why) in self._dead.items()
        }
        if following is not None:
            self._numbers[link, session] = following - less

    async def requeue_session(self, link: str, session: str, facts: Sequence[Put]) -> None:
        self._put_facts(facts)
        of_session = [row for row, _ in self._dead.values() if row.link == link and row.session == session]
        going = sorted(filter(_is_bill, of_session), key=lambda row: row.seq)
        for row in going:
            if session and (RUNNING, f"{link}/{session}") not in self._facts:
                self._facts[RUNNING, f"{link}/{session}"] = PLACES_KEPT  # known by its id after the next start alone
            del self._dead[row.seq]
            self._insert_row(row)
        self._requeued += 1

    async def open_sessions(self, link: str) -> list[str]:
        open_keys = {key for kind, key in self._facts if kind in ("session", "tx")}
        over = {row.session for row in self._all_rows(link) if isinstance(row.message, TransactionEnded)}
        return [session for session in self._ids.running_records(link) if session in open_keys - over]

    # --- what the backend calls the sessions -------------------------------------------------------------------------

    def transaction_record(self, link: str, session: str) -> Mapping[str, Any]:
        return self._ids.running_record(link, session)

    def transaction_records(self, link: str) -> Mapping[str, Mapping[str, Any]]:
        return self._ids.running_records(link)

    def transaction_id(self, link: str, session: str, version: str) -> str | None:
        return self._ids.transaction_id(link, session, version)

    def session_of(self, link: str, transaction_id: str) -> str | None:
        return self._ids.session_of(link, transaction_id)


def _is_bill(row: OutboxRow) -> bool:
    return stored_class_name(type(row.message)) in BILLS
