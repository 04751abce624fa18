"""A contactor that the board says is closed although nobody has release: welded, held by a board that does not obey, or
never told to open since the agent was away. Some boards call it welded themselves; a current is a matter of
``leaking.py``."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.block import Yielded, on
from agent.domain.events import EvseEvent, FaultCleared, FaultGone, FaultRaised, TimeCame
from agent.domain.evse import Evse, Site
from agent.domain.orders import WakeMe
from agent.domain.rules.end import CONTACTOR_S
from agent.domain.rules.words import timer
from agent.domain.session import EVENTS
from agent.kinds import EvseId, Fault, Moment

STUCK = Fault.CONTACTOR_STUCK_CLOSED
_WELDED = {Fault.CONTACTOR_WELDED, Fault.MREC17}
_SEEN = (*(e for e in EVENTS if issubclass(e, EvseEvent)), FaultCleared)
"""What may close a contactor, give release or take it: all that the session table hears of."""


class Contactors:
    """After the sessions, which give release."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._waiting: set[EvseId] = set()
        self._told: set[EvseId] = set()

    @on(*_SEEN)
    def look(self, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses.get(event.evse)
        if evse is None:
            return
        n, stuck = evse.number, _is_stuck(evse)
        if stuck and n not in self._told | self._waiting:
            self._waiting.add(n)
            yield WakeMe(timer("contactor", evse), now.t_s + max(CONTACTOR_S, 8 * self._site.io_s))
        elif not stuck and n in self._waiting:
            self._waiting.discard(n)
            yield WakeMe(timer("contactor", evse), None)
        if not stuck and n in self._told and _seen(evse):
            self._told.discard(n)
            yield FaultGone(n, STUCK)

    @on(TimeCame)
    def time(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = next((e for e in self._site.evses.values() if event.key == timer("contactor", e)), None)
        if evse is None or evse.number not in self._waiting:
            return
        self._waiting.discard(evse.number)
        if _is_stuck(evse):
            self._told.add(evse.number)
            yield FaultRaised(evse.number, STUCK)


def _seen(evse: Evse) -> bool:
    return evse.known and Fault.BOARD_SILENT not in evse.faults


def _is_stuck(evse: Evse) -> bool:
    return _seen(evse) and evse.contactor and not evse.release and not _WELDED & evse.faults
