"""Decide when a fault is over. A blocking fault is over when the board has not shown it for
``LASTING_S``, also across a restart, so that nothing starts between two looks at a loose wire. A
latched fault (in the catalogue, or a lock that has jammed again and again) is over when it was
acknowledged. Both are on disk, so that neither a crash nor a power cut forgets them. A hard reset
of the station or of the EVSE acknowledges what is latched. The fault is gone when the board, some
time later, does not show it any more."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from agent.domain.energized import draws_current
from agent.domain.events import (
    BoardOpened,
    ContactorClosed,
    FaultCleared,
    FaultGone,
    FaultRaised,
    SituationChanged,
    Started,
    TimeCame,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import CATALOGUE, GRACE_S, JAMS, JAMS_MOST, KEPT, LASTING_S, blocks_charging
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import Persist, WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, EvseId, Fault, Moment

_KEPT = KEPT | JAMS
_LASTING = frozenset(f for f in CATALOGUE if blocks_charging(f)) - KEPT - GRACE_S.keys()
"""Faults that block only while the board shows them."""


class FaultLatching:
    """Runs before the availability, which adds new faults to ``Evse.faults``."""

    def __init__(self, site: StationState) -> None:
        self._site = site
        self._jam_counts: Counter[EvseId] = Counter()
        self._faults_going: set[tuple[EvseId, Fault]] = set()
        self._stored_faults: dict[EvseId, set[Fault]] = defaultdict(set)
        """Blocking faults that are not over, as stored on disk."""

    @handles_events(Started)
    def restore_latched_faults(self, event: Started, now: Moment) -> Iterator[Yielded]:
        for key, record in event.remembered.get("latched", {}).items():
            evse = self._site.evses.get(int(key)) if key.isdecimal() else None
            if evse is not None:
                evse.latched |= {f for f in _KEPT if f.value in record.get("faults", ())}
                evse.faults |= evse.latched
        for key, record in event.remembered.get("shown", {}).items():
            evse = self._site.evses.get(int(key)) if key.isdecimal() else None
            if evse is not None:
                self._stored_faults[evse.number] = {f for f in _LASTING if f.value in record.get("faults", ())}
                evse.faults |= self._stored_faults[evse.number]
        yield from ()

    @handles_events(FaultRaised)
    def latch_raised_fault(self, event: FaultRaised, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            if (
                event.evse in (STATION, evse.number)
                and event.fault not in evse.faults
                and self._is_latching_fault(evse, event)
            ):
                evse.latched.add(event.fault)
                evse.acknowledged = False
                if event.fault in _KEPT:
                    yield self._record_latched(evse)
            if event.evse in (STATION, evse.number) and (evse.number, event.fault) in self._faults_going:
                self._faults_going.discard((evse.number, event.fault))
                yield WakeMe(Timer(TimerKind.FAULT_DISAPPEARANCE, evse.number, event.fault), None)
            if event.fault in (_LASTING & evse.board.faults) - evse.latched - self._stored_faults[evse.number]:
                self._stored_faults[evse.number].add(event.fault)
                yield self._record_shown(evse.number)

    def _is_latching_fault(self, evse: EvseRecord, event: FaultRaised) -> bool:
        if event.fault in JAMS:
            self._jam_counts[evse.number] += 1
            return self._jam_counts[evse.number] >= JAMS_MOST
        return CATALOGUE[event.fault].latched

    @handles_events(ContactorClosed)
    def forget_lock_jams(self, event: ContactorClosed, now: Moment) -> Iterator[Yielded]:
        """Forget the jams: the board locks before it gives power."""
        self._jam_counts.pop(event.evse, None)
        yield from ()

    def _record_shown(self, number: EvseId) -> Persist:
        names = sorted(f.value for f in self._stored_faults[number])
        return Persist("shown", str(number), {"faults": names} if names else None)

    # --- end of a fault ------------------------------------------------------------------------------------------

    @handles_events(FaultGone)
    def clear_fault_after_delay(self, event: FaultGone, now: Moment) -> Iterator[Yielded]:
        if blocks_charging(event.fault):
            self._faults_going.add((event.evse, event.fault))
            yield WakeMe(Timer(TimerKind.FAULT_DISAPPEARANCE, event.evse, event.fault), now.t_s + LASTING_S)
        else:
            yield FaultCleared(event.evse, event.fault)

    @handles_events(BoardOpened)
    def check_faults_of_last_run(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Start the delay for faults that were there when the agent stopped and are not any more:
        it is unknown since when."""
        for fault in sorted(self._stored_faults[event.evse] - self._site.evses[event.evse].board.faults):
            yield FaultGone(event.evse, fault)

    @handles_events(FaultCleared)
    def forget_cleared_fault(self, event: FaultCleared, now: Moment) -> Iterator[Yielded]:
        for number in self._site.evses if event.evse == STATION else (event.evse,):
            if event.fault in self._stored_faults[number]:
                self._stored_faults[number].discard(event.fault)
                yield self._record_shown(number)

    @handles_timer(TimerKind.FAULT_DISAPPEARANCE)
    def clear_fault_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse, fault = self._site.evses[event.timer.evse], Fault(event.timer.detail)
        if fault in self.disappearing_faults(evse):
            yield FaultCleared(evse.number, fault)
        self._faults_going.discard((evse.number, fault))

    def disappearing_faults(self, evse: EvseRecord) -> frozenset[Fault]:
        """Return the faults that the board has stopped showing a moment ago."""
        elsewhere = {Fault.POWER_LOSS} if self._site.dark else set()
        gone = {fault for number, fault in self._faults_going if number == evse.number}
        return frozenset((gone & evse.faults) - evse.board.faults - evse.latched - elsewhere)

    # --- acknowledgement -----------------------------------------------------------------------------------------

    def set_acknowledged(self, number: EvseId, acknowledged: bool) -> None:
        """Note whether a person has acknowledged the latched faults of this EVSE."""
        self._site.evses[number].acknowledged = acknowledged

    def lapse_acknowledgement(self, evse: EvseRecord) -> None:
        """Drop the acknowledgement. A fault that comes or goes later was not part of it. A board
        that was not there yet was not asked and keeps it."""
        evse.acknowledged = evse.acknowledged and not _is_board_present(evse)

    def clear_acknowledged_faults(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Clear acknowledged faults that are gone. A while after the acknowledgement, look at what
        the board shows now, and at the meter, which ``unreleased_current.py`` relies on."""
        is_live = not evse.release_order.given and draws_current(self._site, evse, now)
        live = {Fault.CONTACTOR_WELDED} if is_live else set()
        gone = evse.latched & _KEPT - evse.board.faults - live
        if not (gone and _is_board_present(evse) and evse.acknowledged):
            return
        evse.faults -= gone
        evse.latched -= gone
        self._jam_counts.pop(evse.number, None)
        yield self._record_latched(evse)
        yield SituationChanged(evse.number)

    def _record_latched(self, evse: EvseRecord) -> Persist:
        names = sorted(f.value for f in evse.latched & _KEPT)
        return Persist("latched", str(evse.number), {"faults": names} if names else None)


def _is_board_present(evse: EvseRecord) -> bool:
    return evse.board.known and Fault.BOARD_SILENT not in evse.faults
