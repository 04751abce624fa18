"""Clear faults after a reset. The boards get the order to acknowledge them, and again if that did
not help (``ResetRetries``; OCPP 1.6 9.1, 2.x OCPPCommCtrlr.ResetRetries). Then ResetFailure is
reported until the outlet is in order."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.blocks.fault_latching import FaultLatching
from agent.domain.events import (
    BoardGivenUp,
    BoardOpened,
    FaultCleared,
    FaultRaised,
    FaultsAcknowledged,
    Started,
    TimeCame,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import blocks_charging
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import ClearFaults, ReadMeter, WakeMe
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.domain.timers import Timer, TimerKind
from agent.model.types import Fault, Moment

LOOK_S = 5.0
"""After this time the board is not about to drop the fault any more."""


class FaultReset:
    def __init__(self, site: StationState, latching: FaultLatching) -> None:
        self._site, self._latching = site, latching
        self._retries_left: dict[int, int] = {}
        """Tries left after a reset."""

    @handles_events(Started)
    def resume_station_reset(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Resume a reset of the station, which ended the process. The boards' states show whether
        it helped."""
        ordered = event.remembered.get("restart", {}).get("ordered") or {}
        if "Reset" in str(ordered.get("reason", "")):
            for number in self._site.evses:
                self._retries_left[number] = 1 + self._site.settings.int_value("reset_retries")
                self._latching.set_acknowledged(number, bool(ordered.get("hard")))
                yield self._schedule_look(number, now)

    def reset_evse_faults(self, number: int, now: Moment) -> Iterator[Yielded]:
        """Reset the faults of one EVSE. Its session, if there was one, is closed."""
        self._retries_left[number] = self._site.settings.int_value("reset_retries")
        self._latching.set_acknowledged(number, True)
        yield ClearFaults(number)
        yield from self._give_up_unseen_board(number)
        yield from self._schedule_fault_check(self._site.evses[number], now)

    def _schedule_fault_check(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Look again after a while. A weld shows in the meter."""
        if Fault.CONTACTOR_WELDED in evse.latched:
            yield ReadMeter(evse.number, ReadingPurpose(ReadingKind.FAULT_RESET))
        yield self._schedule_look(evse.number, now)

    def _schedule_look(self, number: int, now: Moment) -> WakeMe:
        """A board that is polled takes real time to show that a fault is gone."""
        return WakeMe(Timer(TimerKind.FAULT_RESET, number), now.t_s + max(LOOK_S, 2 * self._site.config.io_s))

    @handles_events(FaultsAcknowledged)
    def reset_on_acknowledgement(self, event: FaultsAcknowledged, now: Moment) -> Iterator[Yielded]:
        """Reset at once."""
        if self._site.evses[event.evse].latched:
            yield from self.reset_evse_faults(event.evse, now)
        else:
            yield from self._give_up_unseen_board(event.evse)

    def _give_up_unseen_board(self, number: int) -> Iterator[Yielded]:
        """A board that cannot be reached, and whose session is over, keeps nothing for its vehicle any more."""
        evse = self._site.evses[number]
        if evse.session is None and evse.may_supply_unseen:
            yield BoardGivenUp(number)

    @handles_timer(TimerKind.FAULT_RESET)
    def check_reset_outcome(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.timer.evse]
        yield from self._latching.clear_acknowledged_faults(evse, now)
        going = self._latching.disappearing_faults(evse)
        if not _is_blocked(evse, going):
            self._latching.lapse_acknowledgement(evse)
            yield from self._clear_reset_failure(evse)
            return
        if self._retries_left.get(evse.number, 0) > 0:
            self._retries_left[evse.number] -= 1
            yield ClearFaults(evse.number)
            yield self._schedule_look(evse.number, now)
        else:
            self._latching.lapse_acknowledgement(evse)
            yield FaultRaised(evse.number, Fault.RESET_FAILURE)

    @handles_events(BoardOpened)
    def check_slow_board(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Check a board that was slow to open, too."""
        evse = self._site.evses[event.evse]
        if evse.acknowledged:
            yield from self._schedule_fault_check(evse, now)

    @handles_events(FaultCleared)
    def end_reset_failure(self, event: FaultCleared, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            if not _is_blocked(evse):
                yield from self._clear_reset_failure(evse)

    def _clear_reset_failure(self, evse: EvseRecord) -> Iterator[Yielded]:
        if Fault.RESET_FAILURE in evse.faults:
            yield FaultCleared(evse.number, Fault.RESET_FAILURE)


def _is_blocked(evse: EvseRecord, going: frozenset[Fault] = frozenset()) -> bool:
    return any(map(blocks_charging, evse.faults - going))
