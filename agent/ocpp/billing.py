"""The queue of what is billed: strictly first in, first out, retried, and in the end moved aside (OCPP 1.6 4.10, 9.1).

A lost connection is no attempt: the same id and payload are sent again. A refusal, an invalid answer, or silence on a
line that is alive is one; after the last permitted attempt the row is buried and the queue goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from agent.domain.messages import TransactionStarted
from agent.ocpp.dialect import Desk, Dialect, Heard, Mute, Out, Unspeakable
from agent.ports.store import OutboxRow, StoreError

log = logging.getLogger("agent.ocpp")

T = TypeVar("T")

FETCH = 10
BACKLOG = 3
"""More waiting rows than this are a backlog: statuses no longer wait for their turn in it."""
LATE_KEPT = 64


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """A connection that ends in the middle must not leave half a durable write behind: the cancellation waits."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class Billing:
    """``settled``: how many rows have left the queue so far."""

    def __init__(self, desk: Desk, store_retry_s: float = 5.0) -> None:
        self.settled = 0
        self._desk, self._store_retry_s = desk, store_retry_s
        self._rows: deque[OutboxRow] = deque()
        self._not_before_s = 0.0
        self._heard: dict[int, Heard] = {}
        self._late: OrderedDict[str, Heard] = OrderedDict()
        self._sent: tuple[str, str, dict[str, Any]] | None = None
        self._backend_numbers = True

    @property
    def waiting(self) -> int:
        return self._desk.outbox.waiting(self._desk.link)

    def barrier(self) -> int:
        """What ``settled`` has to reach before a status that is told now may go. 0: at once."""
        return 0 if self.waiting > BACKLOG or self.pausing else self.settled + self.waiting

    @property
    def pausing(self) -> bool:
        return time.monotonic() < self._not_before_s

    def passable(self) -> int:
        """``settled`` as statuses see it: a backlog or a row that is to be retried later holds nobody up."""
        return 2**62 if self.pausing or self.waiting > BACKLOG else self.settled

    def due_in_s(self) -> float | None:
        return max(0.0, self._not_before_s - time.monotonic()) if self.waiting else None

    def reconnected(self) -> None:
        """A new connection: nothing is owed to the old one's failures."""
        self._rows.clear()

    def late(self, id_: str, heard: Heard) -> None:
        """An answer after its time-out is an answer."""
        self._late[id_] = heard
        while len(self._late) > LATE_KEPT:
            self._late.popitem(last=False)
        if self._sent and self._sent[0] == id_:
            self._not_before_s = 0.0

    async def head(self) -> OutboxRow | None:
        """The oldest row, if it may be sent now."""
        if self.pausing or not self.waiting:
            return None
        if not self._rows:
            try:
                self._rows.extend(await self._desk.outbox.head(self._desk.link, FETCH))
            except StoreError as e:
                self._pause(str(e))
                return None
        if not self._rows:
            self._pause("rows are said to wait, but none is there")
            return None
        return self._rows[0]

    async def prepare(self, row: OutboxRow, dialect: Dialect) -> tuple[Out, dict[str, Any], list[Heard]] | None:
        """Row and payload to send; None if the row needs no sending (it has been dealt with). The third part holds
        what has been heard of it already: then only the store is behind."""
        known = self._heard.get(row.seq) or self._late.pop(row.id, None)
        self._backend_numbers = dialect.backend_numbers
        out = dialect.outgoing(type(row.message))
        if isinstance(out, Out):
            out = out.of(row.message)
        if known is not None and isinstance(out, Out):
            return out, {}, [known]
        if isinstance(out, Mute):
            await self.done(row, Heard())
            return None
        if out is None:
            await self.bury(row, "unreadable record")
            return None
        payload = await self._encoded(row, out, dialect)
        return None if payload is None else (out, payload, [])

    async def _encoded(self, row: OutboxRow, out: Out, dialect: Dialect) -> dict[str, Any] | None:
        if self._sent and self._sent[:2] == (row.id, dialect.name):
            return self._sent[2]
        try:
            payload = out.encode(row.message, replace(self._desk, number=row.number))
            check = dialect.schemas.request(out.action) if dialect.schemas and payload is not None else None
            broken = check(payload) if check else None
        except Unspeakable as e:
            await self.bury(row, f"cannot be said in OCPP {dialect.name}: {e}")
            return None
        except Exception as e:  # noqa: BLE001  one bad record must not stop the billing of all others
            await self.bury(row, f"cannot be encoded: {type(e).__name__}: {e}")
            return None
        if broken is not None:
            await self.bury(row, f"breaks the schema of {out.action} at {broken}")
            return None
        if payload is None:
            await self.done(row, Heard())
            return None
        self._sent = (row.id, dialect.name, payload)
        return payload

    async def done(self, row: OutboxRow, heard: Heard) -> bool:
        """Off the queue, with the facts it brought. False: the store did not take it; the row comes again, but is not
        sent again."""
        self._heard[row.seq] = heard
        if not await self._stored(self._desk.outbox.done(row, heard.facts)):
            return False
        del self._heard[row.seq]
        self._drop(row)
        return True

    async def refused(self, row: OutboxRow, why: str) -> None:
        """One attempt more; the pause grows with the attempts (domain time)."""
        settings = self._desk.settings
        attempts = row.attempts + 1
        if attempts >= max(1, settings.number("message_attempts")):
            await self.bury(row, f"refused {attempts} times, at last: {why}")
            return
        if await self._stored(self._desk.outbox.attempted(row)):
            self._rows.clear()
            pause_s = settings.number("message_retry_interval_s") * attempts / self._desk.clock.rate
            self._not_before_s = time.monotonic() + pause_s

    async def bury(self, row: OutboxRow, reason: str) -> None:
        """To the dead letters. Where the backend numbers the transactions, nothing of a session can ever be told
        without its start."""
        rows: Sequence[OutboxRow] = [row]
        link = self._desk.link
        nameless = self._backend_numbers and self._desk.outbox.transaction_id(link, row.session) is None
        if isinstance(row.message, TransactionStarted) and nameless:
            try:
                rows = await self._desk.outbox.of_session(link, row.session) or rows
            except StoreError as e:
                self._pause(str(e))
                return
        log.error("%s: %d billed message(s) moved to the dead letters: %s", link, len(rows), ascii(reason)[1:-1][:200])
        if await self._stored(self._desk.outbox.bury(rows, reason)):
            self._drop(row, len(rows))

    def _drop(self, row: OutboxRow, count: int = 1) -> None:
        self.settled += count
        self._sent = None
        if count == 1 and self._rows and self._rows[0].seq == row.seq:
            self._rows.popleft()
        else:
            self._rows.clear()

    async def _stored(self, write: Awaitable[None]) -> bool:
        try:
            await write
        except StoreError as e:
            self._pause(str(e))
            return False
        return True

    def _pause(self, why: str) -> None:
        log.error("%s: the store does not take what was told: %s", self._desk.link, why)
        self._not_before_s = time.monotonic() + self._store_retry_s
        self._rows.clear()
