"""What the link needs of the durable store; ``services/store/store.py`` is the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.model.fastclass import frozen


@frozen
class OutboxRow:
    """One billed message waiting for its backend. ``seq`` orders and names it, and is never given again; ``message`` is
    neutral (``domain/messages.py``); ``attempts`` so far. ``number``: the place of the message in its session, 0, 1, 2
    ..., given when it was queued and never given again (2.x ``seqNo``: what is lost on the way leaves a gap that the
    backend can see). ``followers``: later rows of the same session whose samples travel in its message; never
    stored."""

    seq: int
    link: str
    session: str
    message: Any
    attempts: int
    number: int = 0
    followers: tuple[OutboxRow, ...] = ()


@frozen
class Put:
    """A durable fact: ``value`` None deletes it."""

    kind: str
    key: str
    value: Mapping[str, Any] | None


_NOTES, _READINGS = "/security", "/readings"
NOTES_MAX = 500
"""Security events and statuses of files that wait for one backend."""


def notes_of(link: str) -> str:
    """The name of the queue beside what this link is billed: security events, statuses of files. Neither waits for the
    other."""
    return link + _NOTES


def readings_of(link: str) -> str:
    """The name of the queue of meter values outside a transaction."""
    return link + _READINGS


def is_notes(queue: str) -> bool:
    return queue.endswith(_NOTES)


def link_of(queue: str) -> str:
    """Whose queue it is."""
    return queue.removesuffix(_NOTES).removesuffix(_READINGS)


class OutboxPort(Protocol):
    """The queues of one station's messages, by the link's name, ``notes_of`` or ``readings_of``. Every method but
    ``remove_with_next_commit`` is durable when it returns.

    Raises ``StoreError`` when the disk does not take it; the row then stays where it was.
    """

    def queued_count(self, link: str) -> int:
        """How many rows wait (kept in memory)."""
        ...

    async def is_queued(self, link: str, session: str) -> bool:
        """Does a row of this session wait?"""
        ...

    async def oldest_rows(self, link: str, count: int = 1, after: int = 0) -> list[OutboxRow]:
        """The oldest rows behind a place, oldest first."""
        ...

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        """The backend has it: remove the row with its followers and put facts (the transaction id it brought) in one
        transaction."""
        ...

    async def remove_with_next_commit(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        """The backend has it, or needs no message of it, and no bill is made of it: the row with its followers waits no
        more. It leaves the disk, and the facts are put, with the next commit that does more than renew the register of
        a session or another figure; at once if other rows of its queue wait or its session is over. After a kill or a
        power cut before that commit it waits again, without the facts."""
        ...

    async def put_facts(self, facts: Sequence[Put]) -> None:
        """Put facts about what is sent."""
        ...

    async def count_attempt(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        """Count one refused attempt."""
        ...

    async def dead_letter(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put] = ()) -> None:
        """Move rows to the dead-letter list: kept with their ``number``, shown, re-sendable; the queue goes on."""
        ...

    async def requeue_rows(self, rows: Sequence[OutboxRow], facts: Sequence[Put] = ()) -> None:
        """Rows of one session that have left already wait again at their old places. With ``facts`` they have new
        numbers, because where they go now nothing of the session is known: the others of it follow them."""
        ...

    async def requeue_session(self, link: str, session: str, facts: Sequence[Put]) -> None:
        """Start and end of this session are no dead letters any more: they wait at their old places."""
        ...

    async def open_sessions(self, link: str) -> list[str]:
        """The open sessions that the backend has heard of: their end neither waits nor is a dead letter."""
        ...

    def requeued_count(self) -> int:
        """How often rows were queued again so far (kept in memory): they may stand before rows that were read."""
        ...

    async def rows_of_session(self, link: str, session: str) -> list[OutboxRow]:
        """All waiting rows of a session, oldest first."""
        ...

    def transaction_record(self, link: str, session: str) -> Mapping[str, Any]:
        """What is known of this session at the backend as long as it has not heard of its end (kept in memory, durable
        through facts: kind ``transaction``, key ``link/session``; ``ocpp/outbound/transaction_openings.py`` says what
        is in it)."""
        ...

    def transaction_records(self, link: str) -> Mapping[str, Mapping[str, Any]]:
        """All of them, by session."""
        ...

    def transaction_id(self, link: str, session: str, version: str) -> str | None:
        """What the backend calls this session in this version of OCPP, also for a while after its end; in whichever
        one it was where an older release wrote the fact."""
        ...

    def session_of(self, link: str, transaction_id: str) -> str | None:
        """The reverse of ``transaction_id``, in whichever version."""
        ...


class StoreError(Exception):
    """The store did not take it (disk full, read-only, broken). ``str()`` is one line for a technician."""
