"""Statuses that wait to be told: never out of order per EVSE, never twice the same, merged while nobody listens.

Times are domain seconds. ``barrier``: how many billed messages have to be settled before this status may go, so that
Charging follows the StartTransaction that caused it.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.domain.messages import StatusChanged
from agent.model.fastclass import frozen, replace
from agent.ocpp.dialects.dialect import Told

KEPT_MAX = 200


@frozen
class Waiting:
    message: StatusChanged
    told: Told
    due_s: float
    barrier: int
    forced: bool

    @property
    def evse(self) -> int:
        return self.message.evse


class Statuses:
    def __init__(self) -> None:
        self.told: dict[int, Told] = {}
        self._latest: dict[int, StatusChanged] = {}
        self._queue: list[Waiting] = []

    def add(self, message: StatusChanged, told: Told, now_s: float, settle_s: float, barrier: int, live: bool) -> None:
        """``settle_s``: how long a status must last before it is told (MinimumStatusDuration). ``live`` False: only
        the newest of an EVSE is kept."""
        self._latest[message.evse] = message
        own = [w for w in self._queue if w.evse == message.evse]
        overtaken = own if not live else [w for w in own if w.due_s > now_s]
        forced = message.forced or any(w.forced for w in overtaken)
        self._queue = [w for w in self._queue if w not in overtaken]
        last = next((w.told for w in reversed(self._queue) if w.evse == message.evse), self.told.get(message.evse))
        if forced or told != last:
            due_s = now_s if message.forced else now_s + settle_s
            self._queue.append(Waiting(message, told, due_s, barrier, forced))
        if len(self._queue) > KEPT_MAX:
            self._thin()

    def _thin(self) -> None:
        """The oldest status that a newer one of the same EVSE makes pointless."""
        for i, waiting in enumerate(self._queue):
            if any(w.evse == waiting.evse for w in self._queue[i + 1 :]):
                del self._queue[i]
                return

    def take(self, now_s: float, settled: int, forced_only: bool = False) -> Waiting | None:
        """The next one that may go; it counts as told from now on."""
        blocked: set[int] = set()
        for waiting in self._queue:
            ready = now_s >= waiting.due_s and settled >= waiting.barrier and (waiting.forced or not forced_only)
            if ready and waiting.evse not in blocked:
                self._queue.remove(waiting)
                self.told[waiting.evse] = waiting.told
                return waiting
            blocked.add(waiting.evse)
        return None

    def give_back(self, waiting: Waiting, due_s: float = 0.0) -> None:
        """It did not get through: it is told again from ``due_s`` on even if it looks like the last one, or whatever is
        newer by then in its place: what the backend believes now is not known."""
        self.told.pop(waiting.evse, None)
        if not any(w.evse == waiting.evse for w in self._queue):
            self._queue.insert(0, replace(waiting, forced=True, barrier=0, due_s=max(due_s, waiting.due_s)))

    def next_due_s(self, now_s: float) -> float | None:
        """When the next status has lasted long enough."""
        return min((w.due_s for w in self._queue if w.due_s > now_s), default=None)

    def retell(self, project: Callable[[StatusChanged], Told], now_s: float) -> None:
        """The situation of every EVSE is told again, also where nothing has changed."""
        waiting = {w.evse for w in self._queue}
        for evse, message in self._latest.items():
            if evse not in waiting:
                self._queue.append(Waiting(message, project(message), now_s, 0, True))

    def respell(self, project: Callable[[StatusChanged], Told]) -> None:
        """Another version is spoken from now on: what was told was told in other words."""
        self.told.clear()
        self._queue = [replace(w, told=project(w.message)) for w in self._queue]
