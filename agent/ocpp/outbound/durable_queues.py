"""The queues of one backend that outlive a connection and a restart, and whose turn it is.

What is billed and what else must be known take turns. Meter values outside a transaction go when neither of the two has
anything to send: what is not billed never stands before what is billed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from agent.domain.events import Event
from agent.ocpp.dialects.dialect import Desk, Dialect, Heard
from agent.ocpp.outbound.notification_queue import MeterReadings, Notices
from agent.ocpp.outbound.transaction_queue import Billing
from agent.ports.store import OutboxRow


class DurableQueues:
    def __init__(self, desk: Desk, store_retry_s: float) -> None:
        self.billing = Billing(desk, store_retry_s)
        self.notices = Notices(desk, store_retry_s)
        self.readings = MeterReadings(desk, store_retry_s)
        self._turns: deque[Billing] = deque((self.notices, self.billing))

    def __iter__(self) -> Iterator[Billing]:
        return iter((*self._turns, self.readings))

    async def next_row(self) -> tuple[OutboxRow, Billing] | None:
        """Return the row to send now and its queue. The other queue is first next time."""
        for queue in tuple(self):
            if row := await queue.head():
                if queue is not self.readings:
                    self._turns.remove(queue)
                    self._turns.append(queue)
                return row, queue
        return None

    def late(self, row: OutboxRow, heard: Heard | None) -> tuple[Event, ...]:
        """Take an answer to a CALL that has timed out."""
        return next(queue for queue in self if queue.queue == row.link).late(row.seq, heard)

    def reconnected(self, dialect: Dialect) -> None:
        for queue in self:
            queue.reconnected(dialect)

    @property
    def moving(self) -> bool:
        """Something waits that may be sent now."""
        return any(queue.waiting and not queue.pausing for queue in self)

    def dues_s(self) -> list[float]:
        """In how many real seconds each queue that waits may send again."""
        return [due_s for queue in self if (due_s := queue.due_in_s()) is not None]
