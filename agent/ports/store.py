"""What the link needs of the durable store; ``services/store.py`` is the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.frozen import frozen


@frozen
class OutboxRow:
    """One billed message waiting for its backend. ``seq`` orders; ``id`` is the message id on the wire, the same for
    every attempt, also after a restart; ``message`` is neutral (``domain/messages.py``); ``attempts`` so far.
    ``number``: the place of the message in its session, 0, 1, 2 ..., given when it was queued and never given again
    (2.x ``seqNo``: what is lost on the way leaves a gap that the backend can see)."""

    seq: int
    id: str
    link: str
    session: str
    message: Any
    attempts: int
    number: int = 0


@frozen
class Put:
    """A durable fact: ``value`` None deletes it."""

    kind: str
    key: str
    value: Mapping[str, Any] | None


_NOTES = "/security"


def notes_of(link: str) -> str:
    """The name of the queue beside what this link is billed: security events, statuses of files. Neither waits for the
    other."""
    return link + _NOTES


def link_of(queue: str) -> str:
    """Whose queue it is."""
    return queue.removesuffix(_NOTES)


class OutboxPort(Protocol):
    """The queues of one station's messages, by the link's name or ``notes_of``. Every method is durable when it
    returns.

    Raises ``StoreError`` when the disk does not take it; the row then stays where it was.
    """

    def waiting(self, link: str) -> int:
        """How many rows wait (kept in memory)."""
        ...

    def waiting_of(self, link: str, session: str) -> int:
        """How many of them belong to this session."""
        ...

    async def head(self, link: str, count: int = 1) -> list[OutboxRow]:
        """The oldest rows, oldest first."""
        ...

    async def done(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        """The backend has it: remove the row and put facts (the transaction id it brought) in one transaction."""
        ...

    async def attempted(self, row: OutboxRow) -> None:
        """Count one refused attempt."""
        ...

    async def bury(self, rows: Sequence[OutboxRow], reason: str) -> None:
        """Move rows to the dead-letter list: kept, shown, re-sendable; the queue goes on."""
        ...

    async def of_session(self, link: str, session: str) -> list[OutboxRow]:
        """All waiting rows of a session, oldest first."""
        ...

    def transaction_id(self, link: str, session: str) -> str | None:
        """What the backend calls this session (kept in memory, durable through ``done``'s facts: kind
        ``transaction``, key ``link/session``, value ``{"id": ...}``)."""
        ...

    def session_of(self, link: str, transaction_id: str) -> str | None:
        """The reverse of ``transaction_id``."""
        ...


class StoreError(Exception):
    """The store did not take it (disk full, read-only, broken). ``str()`` is one line for a technician."""
