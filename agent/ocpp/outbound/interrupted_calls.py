"""Rows that get no answer while others do: connections end at them, or they are ignored (decision 44)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agent.domain.messages import Message, TransactionEnded
from agent.model.fastclass import replace
from agent.ocpp.outbound.queue_rows import LEAST_PAUSE_S, QueueRows
from agent.ocpp.transport.backoff import growing_pause_s
from agent.ports.store import OutboxRow

log = logging.getLogger("agent.ocpp")

LOSSES_LEAST = 2
"""Counted losses of a row, until they are taken for the doing of its message."""


class InterruptedCalls:
    """How often the connection ended while a row waited for its answer. The network ends connections too: a loss counts
    only if the backend has answered another CALL since the one before. ``_losses``: by row those that count, and when
    the latest one was. ``_repeated_s``: when a row was lost again, until that is taken. ``_shortened``: the rows whose
    messages are shortened. Times are seconds of the monotonic clock. ``interval_s``: returns by how many domain seconds
    the pauses between such losses grow."""

    def __init__(self, link: str, rows: QueueRows, interval_s: Callable[[], float]) -> None:
        self._link, self._rows, self._interval_s = link, rows, interval_s
        self._losses: dict[int, tuple[int, float]] = {}
        self._repeated_s: float | None = None
        self._shortened: set[int] = set()

    def call_interrupted(self, row: OutboxRow, answered_s: float, is_skippable: bool) -> None:
        """Count a loss. If it is taken for the doing of the message, shorten that, or let the queue wait.
        ``answered_s``: when the backend last answered a CALL. ``is_skippable``: the row may be given up."""
        count = self._count_loss(row, answered_s)
        if count < LOSSES_LEAST or (not is_skippable and self.shorten_or_report(row, _describe_losses(count))):
            return
        least_s = 0.0 if is_skippable else LEAST_PAUSE_S
        self._rows.pause_sending(growing_pause_s(self._interval_s(), count - 1, least_s))

    def shorten_or_report(self, row: OutboxRow, what: str) -> bool:
        """Note that a row has no answer and must not be given up. Return whether its message is shorter from now on: an
        end goes without the readings between start and end. They make it long, and no bill is made of them; its
        register and its signed record stay. ``what``: what is wrong with the row, for the log."""
        message = row.message
        if isinstance(message, TransactionEnded) and message.samples and row.seq not in self._shortened:
            self._shortened.add(row.seq)
            shown, left_out = ascii(what)[1:-1][:200], "sent without the readings between start and end"
            log.error("%s: the end of session %s %s: %s", self._link, row.session, shown, left_out)
            return True
        self._rows.log_row_once(row, f"{what}: sent again without limit, and what is behind it waits")
        return False

    def _count_loss(self, row: OutboxRow, answered_s: float) -> int:
        now_s, (count, latest_s) = time.monotonic(), self._losses.get(row.seq, (0, -1.0))
        if count:
            self._repeated_s = now_s
        if answered_s > latest_s:
            count += 1
        self._losses[row.seq] = count, now_s
        return count

    def take_repeated_loss(self, answered_s: float) -> bool:
        """Return, once, whether a row was lost again, and the backend has answered nothing since."""
        lost_s, self._repeated_s = self._repeated_s, None
        return lost_s is not None and answered_s <= lost_s

    def message_to_send(self, row: OutboxRow) -> Message:
        """Return the message of the row, shortened if it must be."""
        message: Message = row.message
        if isinstance(message, TransactionEnded) and row.seq in self._shortened:
            return replace(message, samples=())
        return message

    def reason_to_give_up(self, row: OutboxRow, attempts: int) -> str:
        """Return why the row may be given up; "": so many losses have not been counted."""
        count, _ = self._losses.get(row.seq, (0, 0.0))
        return "it " + _describe_losses(count) if count >= max(LOSSES_LEAST, attempts) else ""

    def forget_losses(self, row: OutboxRow) -> None:
        self._losses.pop(row.seq, None)
        self._shortened.discard(row.seq)


def _describe_losses(count: int) -> str:
    return f"has ended {count} connections, and other CALLs were answered between them"
