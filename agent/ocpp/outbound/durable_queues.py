"""The queues of one backend that outlive a connection and a restart, and the order between them.

Billed messages and other notifications take turns. Meter values outside a transaction are sent
when both other queues have nothing to send: what is not billed never delays what is billed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.domain.events import Event
from agent.ocpp.dialects.dialect import Dialect, ResponseEffects, RowContext
from agent.ocpp.outbound.notification_queue import meter_value_queue, notification_queue
from agent.ocpp.outbound.transaction_queue import TransactionQueue
from agent.ports.store import OutboxRow

if TYPE_CHECKING:
    from agent.ocpp.outbound.queue_protocol import DurableQueue


class DurableQueues:
    def __init__(self, ctx: RowContext, store_retry_s: float) -> None:
        self.transactions = TransactionQueue(ctx, store_retry_s)
        self.notifications = notification_queue(ctx, store_retry_s)
        self.meter_values = meter_value_queue(ctx, store_retry_s)
        self._turns: list[DurableQueue] = [self.notifications, self.transactions]

    def __iter__(self) -> Iterator[DurableQueue]:
        return iter((*self._turns, self.meter_values))

    async def next_row(self) -> tuple[OutboxRow, DurableQueue] | None:
        """Return the next row to send and its queue. The other queue has the next turn."""
        for queue in tuple(self):
            if row := await queue.next_row():
                if queue is not self.meter_values:
                    self._turns.remove(queue)
                    self._turns.append(queue)
                return row, queue
        return None

    def take_late_answer(self, row: OutboxRow, effects: ResponseEffects | None) -> tuple[Event, ...]:
        """Take an answer to a CALL that has timed out."""
        return next(queue for queue in self if queue.rows.queue == row.link).take_late_answer(row.seq, effects)

    def connection_opened(self, dialect: Dialect, is_doubted: bool = False) -> None:
        """Begin with a connection. ``is_doubted``: the one before has ended because nothing was processed on it."""
        for queue in self:
            queue.connection_opened(dialect, is_doubted)

    def take_repeated_loss(self, answered_s: float) -> bool:
        """Return, once, whether connections have ended at a row repeatedly, and nothing was answered since."""
        return True in [queue.losses.take_repeated_loss(answered_s) for queue in self]

    @property
    def has_sendable_row(self) -> bool:
        """Whether a row waits that may be sent now."""
        return any(queue.rows.waiting_count and not queue.is_pausing for queue in self)

    def dues_s(self) -> list[float]:
        """Return for each queue with rows in how many real seconds it may send again."""
        return [due_s for queue in self if (due_s := queue.due_in_s()) is not None]
