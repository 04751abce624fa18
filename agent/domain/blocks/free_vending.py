"""Let any vehicle charge without a card, once per plug (free vending). Where an EVSE is not in
order yet, or its meter does not answer, the waiting vehicle begins as soon as it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.domain.events import (
    AuthorizationDropped,
    SituationChanged,
    TimeCame,
    TokenAccepted,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.messages import TriggerReason
from agent.domain.orders import WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.types import FREE_TOKEN, STATION, AuthorizationStatus, EvseId, Moment, Verdict

AGAIN_S = 5.0
"""Pause after a failed begin (real seconds)."""
_SAID_NO = (TriggerReason.REMOTE_STOP, TriggerReason.UNLOCK_COMMAND, TriggerReason.RESET_COMMAND)


class FreeVending:
    """``closed``: True if no session may begin there."""

    def __init__(self, site: StationState, closed: Callable[[EvseRecord], bool]) -> None:
        self._site, self._is_closed = site, closed
        self._stopped_evses: set[EvseId] = set()
        """EVSEs whose present vehicle was stopped by an operator or the backend."""
        self._paused_evses: set[EvseId] = set()

    @handles_events(VehicleConnected, VehicleLeft)
    def forget_stopped_vehicle(self, event: VehicleConnected | VehicleLeft, now: Moment) -> Iterator[Yielded]:
        self._stopped_evses.discard(event.evse)
        yield from ()

    @handles_events(AuthorizationDropped)
    def pause_after_failed_begin(self, event: AuthorizationDropped, now: Moment) -> Iterator[Yielded]:
        if not self._site.config.free_vending:
            return
        if event.trigger in _SAID_NO:
            self._stopped_evses.add(event.evse)
            return
        self._paused_evses.add(event.evse)
        evse = self._site.evses[event.evse]
        yield WakeMe(Timer(TimerKind.FREE_VENDING_PAUSE, evse.number), now.t_s + AGAIN_S * self._site.config.io_s)

    @handles_timer(TimerKind.FREE_VENDING_PAUSE)
    def end_pause_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        self._paused_evses.discard(event.timer.evse)
        yield SituationChanged(event.timer.evse)

    @handles_events(SituationChanged)
    def authorize_waiting_vehicles(self, event: SituationChanged, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values() if self._site.config.free_vending else ():
            if event.evse in (STATION, evse.number) and self._is_vehicle_waiting(evse) and not self._is_closed(evse):
                yield TokenAccepted(evse.number, FREE_TOKEN, Verdict(AuthorizationStatus.ACCEPTED))

    def _is_vehicle_waiting(self, evse: EvseRecord) -> bool:
        here = evse.board.vehicle_connected and not evse.board.session_used and evse.state is SessionState.OCCUPIED
        return here and evse.number not in self._stopped_evses | self._paused_evses
