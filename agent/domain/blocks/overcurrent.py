"""Detect a vehicle that draws more than it is offered. The board watches it too; this block looks
at the meter. The vehicle has 5 s to follow each lower offer (IEC 61851-1), also where the offer
falls for minutes in small steps, so a shorter excess is no fault."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    FaultCleared,
    FaultRaised,
    LimitChanged,
    MeterRead,
    VehicleLeft,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.model.types import EvseId, Fault, Moment

MORE, MORE_A, LASTS_S = 1.10, 0.5, 7.0
"""Excess over the offer, and its duration: what open stations tolerate. The 5 s of the vehicle are in it, and what an
order needs to the board and a current to the meter."""


class OverCurrent:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._excesses: dict[EvseId, Excess] = {}

    @handles_events(LimitChanged, BoardChanged)
    def note_changed_offer(self, event: LimitChanged | BoardChanged, now: Moment) -> Iterator[Yielded]:
        """Note the offers between two readings too: an idle meter is read every 10 s."""
        evse = self._site.evses[event.evse]
        offered_a = _offered_a(evse)
        if offered_a is not None:
            self._excesses.setdefault(evse.number, Excess()).note_offered_current(offered_a, now.t_s)
        return iter(())

    @handles_events(MeterRead)
    def detect_over_current(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        """Check every reading while energy may flow. One within bounds, or a pause, restarts the
        time."""
        evse, at_s = self._site.evses[event.evse], event.reading.at.t_s
        offered_a = _offered_a(evse)
        if offered_a is None:
            self._excesses.pop(evse.number, None)
            return
        excess = self._excesses.setdefault(evse.number, Excess())
        excess.note_offered_current(offered_a, at_s)
        excess.note_drawn_current(max(event.reading.current_a, default=0.0), at_s)
        if excess.lasts_long_enough(at_s) and Fault.OVER_CURRENT not in evse.faults:
            yield FaultRaised(evse.number, Fault.OVER_CURRENT)

    @handles_events(VehicleLeft, BoardOpened)
    def clear_over_current(self, event: VehicleLeft | BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Clear the fault when the vehicle leaves, unless the board reports it as well."""
        evse = self._site.evses[event.evse]
        self._excesses.pop(evse.number, None)
        if not evse.board.vehicle_connected and Fault.OVER_CURRENT in evse.faults - evse.board.faults:
            yield FaultCleared(evse.number, Fault.OVER_CURRENT)


class Excess:
    """What a vehicle was offered in the last ``LASTS_S``, and what it has drawn above the offer of that moment."""

    def __init__(self) -> None:
        self._offers: deque[tuple[float, float]] = deque()
        """Since when (s), and amperes. Each holds until the next."""
        self._currents: deque[tuple[float, float]] = deque()
        """When read (s), and amperes, without a reading within bounds between. The first one may be older than
        ``LASTS_S``."""

    def note_offered_current(self, offered_a: float, at_s: float) -> None:
        if not self._offers or self._offers[-1][1] != offered_a:
            self._offers.append((at_s, offered_a))
        while len(self._offers) > 1 and self._offers[1][0] <= at_s - LASTS_S:
            self._offers.popleft()

    def note_drawn_current(self, current_a: float, at_s: float) -> None:
        if current_a <= _most_tolerated_a(self._offers[-1][1]):
            self._currents.clear()
            return
        self._currents.append((at_s, current_a))
        while len(self._currents) > 1 and self._currents[1][0] <= at_s - LASTS_S:
            self._currents.popleft()

    def lasts_long_enough(self, at_s: float) -> bool:
        """Return whether every current of the last ``LASTS_S`` was above every offer of this time. A vehicle that
        follows each offer in its 5 s draws no more than one of them."""
        if not self._currents or self._currents[0][0] > at_s - LASTS_S:
            return False
        most_a = _most_tolerated_a(max(offered_a for _, offered_a in self._offers))
        return min(current_a for _, current_a in self._currents) > most_a


def _most_tolerated_a(offered_a: float) -> float:
    return offered_a * MORE + MORE_A


def _offered_a(evse: EvseRecord) -> float | None:
    """Return what the vehicle is offered; None while it is offered nothing. A board that has
    lowered its offer because of heat reports it. With direct current the charger is the source: it
    cannot give more than it gives."""
    if not (evse.release_order.given and evse.board.contactor_closed) or evse.paused_by_limit or evse.config.dc:
        return None
    wanted_a = evse.charging_limit.current_a or 0.0
    return min(wanted_a, evse.board.offered_a) if evse.board.offered_a else wanted_a
