"""Report a fault when it begins and when it is over (OCPP 2.x G05, NotifyEvent; 1.x reports it with
the status), and note in the log when an outlet becomes Faulted and when it is in service again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.domain.events import LinkChanged, SituationChanged
from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import CATALOGUE, LOCKING, blocks_charging, most_severe_first
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.messages import FaultNoted
from agent.domain.orders import LogNote, Send
from agent.model.types import STATION, EvseId, Fault, Moment

LOCK_SEVERITY = 4
"""Of the hard-wired monitor of a lock (2.x): 4 is an error."""


class FaultReports:
    """Nothing is queued for a backend that cannot be reached. It gets what has changed when it is
    back. ``is_muted``: no report is sent now; what has changed meanwhile is reported later. ``numbers``: of the events
    of this process."""

    def __init__(self, site: StationState, is_muted: Callable[[], bool], numbers: Iterator[int]) -> None:
        self._site, self._is_muted, self._numbers = site, is_muted, numbers
        self._reported: dict[tuple[str, EvseId], frozenset[Fault]] = {}
        self._blocking: dict[EvseId, frozenset[Fault]] = {}
        """The faults of each outlet that is Faulted, as the log has them."""

    @handles_events(LinkChanged)
    def report_faults_on_connect(self, event: LinkChanged, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            yield from self._report_fault_changes(event.link, evse, now)

    @handles_events(SituationChanged)
    def note_faulted_outlets(self, event: SituationChanged, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            if event.evse in (STATION, evse.number):
                yield from self._note_blocking_faults(evse)

    def _note_blocking_faults(self, evse: EvseRecord) -> Iterator[Yielded]:
        """Write one line when faults begin to block the outlet, and one when none does any more."""
        old = self._blocking.get(evse.number, frozenset())
        if not (evse.faults or old) and self._site.store_ok:
            return
        new = frozenset(f for f in evse.faults if blocks_charging(f))
        if not self._site.store_ok:
            new |= {Fault.STORE_FAILED}
        if added := most_severe_first(new - old):
            yield LogNote(evse.number, f"Faulted: {', '.join(f.value for f in added)}", "outlet")
        elif old and not new:
            yield LogNote(
                evse.number, f"not Faulted any more: {', '.join(f.value for f in most_severe_first(old))}", "outlet"
            )
        self._blocking[evse.number] = new

    @handles_events(SituationChanged)
    def report_changed_faults(self, event: SituationChanged, now: Moment) -> Iterator[Yielded]:
        for link in self._site.config.links:
            for evse in self._site.evses.values():
                if event.evse in (STATION, evse.number):
                    yield from self._report_fault_changes(link, evse, now)

    def _report_fault_changes(self, link: str, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        old = self._reported.get((link, evse.number), frozenset())
        present = frozenset(f for f in evse.faults if CATALOGUE[f].alert)
        new = frozenset(f for f in present if f in old or not self._is_below_level(f))
        if new == old or not self._site.link_up.get(link) or self._is_muted():
            return
        self._reported[link, evse.number] = new
        for fault in most_severe_first(frozenset(f for f in new ^ old if not self._is_below_level(f))):
            number = next(self._numbers)
            noted = FaultNoted(evse.number, fault, fault in new, most_severe_first(new), now.stamp, number)
            yield Send(link, noted)

    def _is_below_level(self, fault: Fault) -> bool:
        """Return whether the backend wants no events of this severity (2.x N05.FR.03). A fault of the lock is one of a
        monitor; other faults are notifications, which the level is not about."""
        return fault in LOCKING and self._site.settings.int_value("monitoring_level") < LOCK_SEVERITY
