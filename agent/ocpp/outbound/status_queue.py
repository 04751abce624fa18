"""Statuses that wait to be sent: in order per EVSE, without repetitions, and merged while the
backend is away.

Times are domain seconds. ``barrier``: how many billed messages must be settled before this
status may be sent, so that Charging follows the StartTransaction that caused it."""

from __future__ import annotations

from collections.abc import Callable

from agent.domain.messages import StatusChanged
from agent.model.fastclass import frozen, replace
from agent.ocpp.dialects.dialect import StatusProjection

KEPT_MAX = 200
ALL_SETTLED = 2**62
"""Of the billed messages, for the comparison with ``barrier``: a status waits for none of them."""


@frozen
class QueuedStatus:
    """A status that waits to be sent. ``projection``: its words in the present version."""

    message: StatusChanged
    projection: StatusProjection
    due_s: float
    barrier: int
    forced: bool

    @property
    def evse(self) -> int:
        return self.message.evse


class StatusQueue:
    def __init__(self) -> None:
        self.last_sent: dict[int, StatusProjection] = {}
        self._latest: dict[int, StatusChanged] = {}
        self._queue: list[QueuedStatus] = []

    def add_status(
        self,
        message: StatusChanged,
        projection: StatusProjection,
        now_s: float,
        settle_s: float,
        barrier: int,
        live: bool,
    ) -> None:
        """Queue a status. ``settle_s``: how long it must last before it is sent
        (MinimumStatusDuration). ``live`` False: only the newest status of an EVSE is kept."""
        self._latest[message.evse] = message
        own = [w for w in self._queue if w.evse == message.evse]
        overtaken = own if not live else [w for w in own if w.due_s > now_s]
        forced = message.forced or any(w.forced for w in overtaken)
        self._queue = [w for w in self._queue if w not in overtaken]
        last = next(
            (w.projection for w in reversed(self._queue) if w.evse == message.evse), self.last_sent.get(message.evse)
        )
        if forced or projection != last:
            due_s = now_s if message.forced else now_s + settle_s
            self._queue.append(QueuedStatus(message, projection, due_s, barrier, forced))
        if len(self._queue) > KEPT_MAX:
            self._drop_superseded()

    def _drop_superseded(self) -> None:
        """Drop the oldest status that a newer one of the same EVSE replaces."""
        for i, waiting in enumerate(self._queue):
            if any(w.evse == waiting.evse for w in self._queue[i + 1 :]):
                del self._queue[i]
                return

    def take_due(self, now_s: float, settled: int, forced_only: bool = False) -> QueuedStatus | None:
        """Return the next status that may be sent. It counts as sent from now on."""
        blocked: set[int] = set()
        for waiting in self._queue:
            ready = now_s >= waiting.due_s and settled >= waiting.barrier and (waiting.forced or not forced_only)
            if ready and waiting.evse not in blocked:
                self._queue.remove(waiting)
                self.last_sent[waiting.evse] = waiting.projection
                return waiting
            blocked.add(waiting.evse)
        return None

    def requeue_failed(self, waiting: QueuedStatus, due_s: float = 0.0) -> None:
        """Queue a failed status again, due at ``due_s``. It is sent even if it equals the last
        one, because the status at the backend is unknown. A newer status of the EVSE replaces
        it."""
        self.last_sent.pop(waiting.evse, None)
        if not any(w.evse == waiting.evse for w in self._queue):
            self._queue.insert(0, replace(waiting, forced=True, barrier=0, due_s=max(due_s, waiting.due_s)))

    def next_due_s(self, now_s: float) -> float | None:
        """Return when the next status has lasted long enough."""
        return min((w.due_s for w in self._queue if w.due_s > now_s), default=None)

    def requeue_all(self, project: Callable[[StatusChanged], StatusProjection], now_s: float) -> None:
        """Queue the present status of every EVSE, also where nothing has changed."""
        waiting = {w.evse for w in self._queue}
        for evse, message in self._latest.items():
            if evse not in waiting:
                self._queue.append(QueuedStatus(message, project(message), now_s, 0, True))

    def reproject_all(self, project: Callable[[StatusChanged], StatusProjection]) -> None:
        """Translate the queued statuses into the words of another version. The words that were
        sent before no longer count."""
        self.last_sent.clear()
        self._queue = [replace(w, projection=project(w.message)) for w in self._queue]
