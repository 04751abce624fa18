"""Keep station, EVSE and connector operative or not (durable), with the faults and what they end.
SVG: ``docs/states/service.svg``."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    AuthorizationDropped,
    BoardOpened,
    CableRemoved,
    FaultCleared,
    FaultRaised,
    SessionClosed,
    SituationChanged,
    Started,
    StopWanted,
    StoreFailed,
    StoreRecovered,
    TimeCame,
    VehicleLeft,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.faults import CATALOGUE, GRACE_S, ends_session
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import Persist, SetService, WakeMe
from agent.domain.requests import ChangeAvailabilityRequest
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, Fault, Moment


class Availability:
    def __init__(self, site: StationState) -> None:
        self._site = site

    @handles_events(Started)
    def restore_availability(self, event: Started, now: Moment) -> Iterator[Yielded]:
        for key, record in event.remembered.get("availability", {}).items():
            operative = bool(record.get("operative", True))
            if key == str(STATION):
                self._site.operative = operative
            elif key.isdigit() and int(key) in self._site.evses:
                evse = self._site.evses[int(key)]
                evse.operative, evse.connector_operative = operative, bool(record.get("connector", True))
        return iter(())

    @answers_requests(ChangeAvailabilityRequest)
    def answer_change_availability(
        self, request: ChangeAvailabilityRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Store the change before it is accepted. A running session finishes first
        (``Scheduled``)."""
        if request.evse != STATION and request.evse not in self._site.evses:
            yield reply("Rejected")
            return
        touched = list(self._site.evses.values()) if request.evse == STATION else [self._site.evses[request.evse]]
        if request.evse == STATION:
            self._site.operative = request.operative
            yield Persist("availability", str(STATION), {"operative": request.operative})
        if request.evse != STATION or request.every:  # 1.6 5.2: connector 0 stands for all connectors
            for evse in touched:
                yield self._set_operative(evse, request)
        busy = any(e.session is not None or e.tx is not None for e in touched)
        yield reply("Scheduled" if busy and not request.operative else "Accepted")
        for evse in touched:
            if evse.state in (SessionState.AUTHORIZED, SessionState.BEGINNING) and not request.operative:
                yield StopWanted(evse.number, StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION, note="unavailable")
            yield from self._switch_board_service(evse)
        yield SituationChanged(STATION)

    def _set_operative(self, evse: EvseRecord, request: ChangeAvailabilityRequest) -> Persist:
        """Set an EVSE or its connector operative or not. An EVSE that becomes operative leaves its
        connector as it is, and the other way round (2.0.1 G03). 1.x has one state for both."""
        if request.every or not request.connector:
            evse.operative = request.operative
        if request.every or request.connector:
            evse.connector_operative = request.operative
        record = {"operative": evse.operative, "connector": evse.connector_operative}
        return Persist("availability", str(evse.number), record)

    @handles_events(BoardOpened, CableRemoved, VehicleLeft)
    def refresh_service_on_board_event(
        self, event: BoardOpened | CableRemoved | VehicleLeft, now: Moment
    ) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if isinstance(event, BoardOpened):
            evse.service_on = True  # sent even if it is on already: a board may open in any state
            yield SetService(evse.number, True)
        yield from self._switch_board_service(evse)

    @handles_events(SessionClosed, AuthorizationDropped)
    def refresh_service_after_session(
        self, event: SessionClosed | AuthorizationDropped, now: Moment
    ) -> Iterator[Yielded]:
        yield from self._switch_board_service(self._site.evses[event.evse])

    def _switch_board_service(self, evse: EvseRecord) -> Iterator[Yielded]:
        """Switch the board's service on or off. Pilot F is set only on an empty socket: with a
        cable in, it would hide the vehicle that is still there."""
        wanted = self._site.is_operative(evse)
        if not evse.board.known or (not wanted and evse.state is not SessionState.FREE):
            return
        if wanted != evse.service_on:
            evse.service_on = wanted
            yield SetService(evse.number, wanted)
            yield SituationChanged(evse.number)

    # --- faults ------------------------------------------------------------------------------------------------

    @handles_events(FaultRaised)
    def add_raised_fault(self, event: FaultRaised, now: Moment) -> Iterator[Yielded]:
        for evse in self._affected_evses(event.evse):
            if event.fault in evse.faults:
                continue
            evse.faults.add(event.fault)
            yield SituationChanged(evse.number)
            grace = self._grace_s(event.fault)
            if not ends_session(event.fault):
                continue
            if grace and evse.state in (SessionState.ACTIVE, SessionState.RECOVERING):
                yield WakeMe(Timer(TimerKind.FAULT_GRACE, evse.number, event.fault), now.t_s + grace)
            else:
                yield from self._end_session_by_fault(evse, event.fault)

    def _grace_s(self, fault: Fault) -> float:
        if fault in (Fault.METER_SILENT, Fault.METER_IMPLAUSIBLE):
            return float(self._site.settings.int_value("meter_grace_s"))
        return GRACE_S.get(fault, 0.0)

    def _affected_evses(self, number: int) -> list[EvseRecord]:
        return list(self._site.evses.values()) if number == STATION else [self._site.evses[number]]

    def _end_session_by_fault(self, evse: EvseRecord, fault: Fault) -> Iterator[Yielded]:
        running = evse.state is SessionState.ACTIVE or (
            evse.state is SessionState.RECOVERING and fault is not Fault.BOARD_SILENT
        )
        if running or evse.state in (SessionState.AUTHORIZED, SessionState.BEGINNING):
            yield StopWanted(evse.number, CATALOGUE[fault].reason, TriggerReason.ABNORMAL_CONDITION, note="fault")

    @handles_timer(TimerKind.FAULT_GRACE)
    def end_session_after_grace(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse, fault = self._site.evses[event.timer.evse], Fault(event.timer.detail)
        if fault in evse.faults:
            yield from self._end_session_by_fault(evse, fault)

    @handles_events(FaultCleared)
    def remove_cleared_fault(self, event: FaultCleared, now: Moment) -> Iterator[Yielded]:
        """Remove the fault. A latched fault stays (``fault_latching.py``)."""
        for evse in self._affected_evses(event.evse):
            if event.fault in evse.faults and event.fault not in evse.latched:
                evse.faults.discard(event.fault)
                yield WakeMe(Timer(TimerKind.FAULT_GRACE, evse.number, event.fault), None)
                yield SituationChanged(evse.number)

    @handles_events(StoreFailed)
    def refuse_starts_on_store_failure(self, event: StoreFailed, now: Moment) -> Iterator[Yielded]:
        """Start nothing that could not be billed. Running sessions go on: their begin is on
        disk."""
        self._site.store_ok = False
        yield SituationChanged(STATION)
        for evse in self._site.evses.values():
            if evse.state in (SessionState.AUTHORIZED, SessionState.BEGINNING):
                yield StopWanted(evse.number, StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION, note="fault")

    @handles_events(StoreRecovered)
    def allow_starts_on_store_recovery(self, event: StoreRecovered, now: Moment) -> Iterator[Yielded]:
        self._site.store_ok = True
        yield SituationChanged(STATION)
