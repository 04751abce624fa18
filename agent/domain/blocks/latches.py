"""Faults that somebody has to look at before anybody charges again (``latched`` in the catalogue): on disk, so that
neither a crash nor a power cut forgets them. A hard reset, or one of the EVSE, acknowledges them; they are gone when
the board, some time after that, does not show them any more."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.block import Yielded, on
from agent.domain.events import FaultRaised, SituationChanged, Started
from agent.domain.evse import Evse, Site
from agent.domain.faults import KEPT
from agent.domain.orders import Remember
from agent.kinds import STATION, EvseId, Fault, Moment


class Latches:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._acknowledged: set[EvseId] = set()

    @on(Started)
    def started(self, event: Started, now: Moment) -> Iterator[Yielded]:
        for key, record in event.remembered.get("latched", {}).items():
            evse = self._site.evses.get(int(key)) if key.isdecimal() else None
            if evse is not None:
                evse.faults |= {f for f in KEPT if f.value in record.get("faults", ())}
        yield from ()

    @on(FaultRaised)
    def raised(self, event: FaultRaised, now: Moment) -> Iterator[Yielded]:
        """After the availability, which keeps what is wrong."""
        for evse in self._site.evses.values():
            if event.fault in KEPT and event.evse in (STATION, evse.number):
                yield self._record(evse)

    def acknowledge(self, number: EvseId) -> None:
        self._acknowledged.add(number)

    def waits(self, number: EvseId) -> bool:
        return number in self._acknowledged

    def lapse(self, evse: Evse) -> None:
        """The reset did not help: what goes by itself later on was looked at by nobody. A board that was not there yet
        has not been asked."""
        if _there(evse):
            self._acknowledged.discard(evse.number)

    def prove(self, evse: Evse) -> Iterator[Yielded]:
        """Asked a while after the acknowledgement: what does the board show now?"""
        gone = {f for f in evse.faults & KEPT if f not in evse.board_faults}
        if not (gone and _there(evse) and evse.number in self._acknowledged):
            return
        evse.faults -= gone
        yield self._record(evse)
        yield SituationChanged(evse.number)

    def _record(self, evse: Evse) -> Remember:
        names = sorted(f.value for f in evse.faults & KEPT)
        return Remember("latched", str(evse.number), {"faults": names} if names else None)


def _there(evse: Evse) -> bool:
    return evse.known and Fault.BOARD_SILENT not in evse.faults
