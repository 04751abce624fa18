"""Report a weak signal of a modem (``WeakSignal``), so that it never chatters: it must have been weak, or good again,
for a minute, and between the two lies a range in which nothing changes."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import BearerReported, FaultCleared, FaultRaised, TimeCame
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.bearer import GOOD_SIGNAL_DBM, WEAK_SIGNAL_DBM
from agent.model.types import STATION, Fault, Moment

SETTLED_S = 60.0


class RadioSignal:
    def __init__(self) -> None:
        self._weak: set[str] = set()
        self._doubtful: set[str] = set()
        """Those whose signal has changed sides, and not yet for long."""

    @handles_events(BearerReported)
    def follow_signal(self, event: BearerReported, now: Moment) -> Iterator[Yielded]:
        name, signal_dbm = event.bearer, event.status.signal_dbm
        changes_side = signal_dbm is not None and (
            signal_dbm >= GOOD_SIGNAL_DBM if name in self._weak else signal_dbm <= WEAK_SIGNAL_DBM
        )
        if changes_side and name not in self._doubtful:
            self._doubtful.add(name)
            yield WakeMe(_signal_timer(name), now.t_s + SETTLED_S)
        elif not changes_side and name in self._doubtful:
            self._doubtful.remove(name)
            yield WakeMe(_signal_timer(name), None)

    @handles_timer(TimerKind.RADIO_SIGNAL)
    def settle_signal(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        name = event.timer.detail
        self._doubtful.discard(name)
        if name not in self._weak:
            self._weak.add(name)
            yield FaultRaised(STATION, Fault.WEAK_SIGNAL)
            return
        self._weak.remove(name)
        if not self._weak:
            yield FaultCleared(STATION, Fault.WEAK_SIGNAL)


def _signal_timer(bearer: str) -> Timer:
    return Timer(TimerKind.RADIO_SIGNAL, detail=bearer)
