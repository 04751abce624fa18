"""Delivered samples are removed from the store while the next message is on its way (decision 44), or with the next
commit where no message waits (decision 54): no bill is made of them, so they may arrive twice after a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.domain.messages import MeterSampled
from agent.ocpp.outbound.delivery import start_eagerly
from agent.ocpp.outbound.queue_rows import QueueRows
from agent.ports.store import OutboxPort, OutboxRow


class SampleRemoval:
    """At most one removal is under way. ``removed(row)``: the store has accepted it. Where it has not, the queue pauses
    and the rows come again."""

    def __init__(self, outbox: OutboxPort, rows: QueueRows, removed: Callable[[OutboxRow], None]) -> None:
        self._outbox, self._rows, self._removed = outbox, rows, removed
        self._task: asyncio.Task[None] | None = None

    async def begin_removal(self, row: OutboxRow) -> None:
        """Begin to remove the row with its followers. Wait for the removal before it."""
        await self.wait_until_removed()
        self._rows.hide_rows(row)
        self._task = start_eagerly(self._remove_row(row))

    async def _remove_row(self, row: OutboxRow) -> None:
        if await self._rows.try_store(self._outbox.remove_with_next_commit(row)):
            self._removed(row)

    async def wait_until_removed(self) -> None:
        """Wait for the removal that is under way. It goes on where the waiting is cancelled."""
        if self._task is not None:
            await asyncio.wait([self._task])
            task, self._task = self._task, None
            if task is not None:
                task.result()

    async def may_leave_now(self, row: OutboxRow) -> bool:
        """Return whether all that was delivered before this row is removed. Only samples do not wait for that: after a
        kill a start would be sent twice."""
        if isinstance(row.message, MeterSampled):
            return True
        await self.wait_until_removed()
        return bool(self._rows.fetched) and not self._rows.is_pausing
