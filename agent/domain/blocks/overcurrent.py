"""Detect a vehicle that draws more than it is offered. The board watches it too; this block looks
at the meter. The vehicle has 5 s to follow a lower offer (IEC 61851-1), so a shorter excess is no
fault."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import BoardOpened, FaultCleared, FaultRaised, MeterRead, VehicleLeft
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.model.types import EvseId, Fault, Moment

MORE, MORE_A, LASTS_S = 1.10, 0.5, 7.0
"""Excess over the offer, and its duration: what open stations tolerate."""


class OverCurrent:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._since_s: dict[EvseId, float] = {}

    @handles_events(MeterRead)
    def detect_over_current(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        """Check every reading while energy may flow. One within bounds, or a pause, restarts the
        time."""
        evse = self._site.evses[event.evse]
        allowed_a = _offered_a(evse)
        over = allowed_a is not None and max(event.reading.current_a, default=0.0) > allowed_a * MORE + MORE_A
        if not over:
            self._since_s.pop(evse.number, None)
            return
        since_s = self._since_s.setdefault(evse.number, event.reading.at.t_s)
        if event.reading.at.t_s - since_s >= LASTS_S and Fault.OVER_CURRENT not in evse.faults:
            yield FaultRaised(evse.number, Fault.OVER_CURRENT)

    @handles_events(VehicleLeft, BoardOpened)
    def clear_over_current(self, event: VehicleLeft | BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Clear the fault when the vehicle leaves, unless the board reports it as well."""
        evse = self._site.evses[event.evse]
        self._since_s.pop(evse.number, None)
        if not evse.board.vehicle_connected and Fault.OVER_CURRENT in evse.faults - evse.board.faults:
            yield FaultCleared(evse.number, Fault.OVER_CURRENT)


def _offered_a(evse: EvseRecord) -> float | None:
    """Return what the vehicle is offered; None while it is offered nothing. A board that has
    lowered its offer because of heat reports it. With direct current the charger is the source: it
    cannot give more than it gives."""
    if not (evse.release_order.given and evse.board.contactor_closed) or evse.paused_by_limit or evse.config.dc:
        return None
    wanted_a = evse.charging_limit.current_a or 0.0
    return min(wanted_a, evse.board.offered_a) if evse.board.offered_a else wanted_a
