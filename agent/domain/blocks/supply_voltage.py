"""Watch the grid voltage as the outlet's own meter sees it. If a phase is missing, or not connected
to the meter, what flows there is not counted. A broken neutral destroys what is plugged in. Boards
that measure the voltage report it themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.domain.events import FaultCleared, FaultRaised, MeterRead
from agent.domain.evse import StationState
from agent.domain.faults import LASTING_S
from agent.domain.functional_block import Yielded, handles_events
from agent.model.types import EvseId, Fault, Moment

LEAST_V, MOST_V = 150.0, 280.0
"""No grid of 230 V is that low or high for long (EN 50160 allows a tenth)."""
LASTS_S = 5.0


class SupplyVoltage:
    """``_since_s``: when the fault was first seen, or, for a raised fault, first not seen any
    more."""

    def __init__(self, site: StationState) -> None:
        self._site = site
        self._since_s: dict[tuple[EvseId, Fault], float] = {}
        self._raised: set[tuple[EvseId, Fault]] = set()

    @handles_events(MeterRead)
    def check_grid_voltage(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        volts = event.reading.voltage_v[: evse.config.phases]
        if evse.config.dc or not volts:
            return
        seen = _voltage_faults(volts)
        for fault in (Fault.UNDER_VOLTAGE, Fault.OVER_VOLTAGE):
            key = evse.number, fault
            if fault not in evse.faults:  # the board, which reported it too, has withdrawn it
                self._raised.discard(key)
            if (fault in seen) == (key in self._raised):
                self._since_s.pop(key, None)
                continue
            lasts_s = event.reading.at.t_s - self._since_s.setdefault(key, event.reading.at.t_s)
            if lasts_s < (LASTS_S if fault in seen else LASTING_S):
                continue
            self._since_s.pop(key)
            self._raised ^= {key}
            if fault in seen:
                yield FaultRaised(evse.number, fault)
            elif fault not in evse.board.faults:
                yield FaultCleared(evse.number, fault)


def _voltage_faults(volts: Sequence[float]) -> frozenset[Fault]:
    """Return the voltage faults. All phases dark is a power cut, which others report."""
    if not any(volts):
        return frozenset()
    low = {Fault.UNDER_VOLTAGE} if min(volts) < LEAST_V else set()
    return frozenset(low | ({Fault.OVER_VOLTAGE} if max(volts) > MOST_V else set()))
