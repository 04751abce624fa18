"""Turn the board's state into single facts: first those that take energy away, then those that give
it. The cause comes before its effect, since each fact may be reported: a vehicle that leaves opens
the contactor, not the other way round."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    BayChanged,
    BoardChanged,
    BoardGivenUp,
    BoardOpened,
    CablePlugged,
    CableRemoved,
    ContactorClosed,
    ContactorOpened,
    FaultGone,
    FaultRaised,
    OfferChanged,
    ReleaseWithdrawn,
    SituationChanged,
    VehicleConnected,
    VehicleLeft,
    VehiclePaused,
    VehicleReady,
    VehicleSessionUsed,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.session.release import begin_without_release, confirm_withdrawal
from agent.model.board import EvseState
from agent.model.types import Fault, Moment, Stamp


class BoardStateBlock:
    def __init__(self, site: StationState) -> None:
        self._site = site

    @handles_events(BoardOpened)
    def take_first_board_state(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Take the first state of the board. The fields are set without single facts: those would
        claim a time for what happened while the board was not watched."""
        evse, state = self._site.evses[event.evse], event.state
        board = evse.board
        if not state.vehicle_connected:
            board.plugged_at = None
        elif board.plugged_at is None or event.traits.counts_plugged:
            board.plugged_at = _estimate_plugged_at(state, event.answered_at or now.stamp)
        board.known, evse.traits = True, event.traits  # before the cable is looked at
        board.unheard = board.lost = board.given_up = False
        board.session_used = state.spent
        board.cable_plugged = _is_cable_present(evse, state)
        board.vehicle_connected, board.requests_energy = state.vehicle_connected, state.requests_energy
        board.locked, board.released, board.bay_occupied = state.locked, state.released, state.bay_occupied
        begin_without_release(evse, state.released)
        board.max_a = event.traits.max_w / evse.watts_per_a if event.traits.dc else event.traits.max_a
        self._take_board_currents(evse, state)
        board.contactor_closed, board.offering = _is_contactor_closed(evse, state), state.pwm is not False
        yield from self._report_board_faults(evse, state)
        yield SituationChanged(event.evse)

    @handles_events(BoardChanged)
    def report_board_changes(self, event: BoardChanged, now: Moment) -> Iterator[Yielded]:
        evse, state, n = self._site.evses[event.evse], event.state, event.evse
        evse.board.locked, evse.board.released = state.locked, state.released
        newly_spent = state.spent and not evse.board.session_used
        evse.board.session_used = state.spent
        self._take_board_currents(evse, state)
        cable, contactor = _is_cable_present(evse, state), _is_contactor_closed(evse, state)
        yield from self._report_board_faults(evse, state)
        if evse.board.vehicle_connected and not state.vehicle_connected:
            yield VehicleLeft(n)
        if state.pwm is False and evse.board.offering:
            yield OfferChanged(n, False)
        if evse.board.requests_energy and state.vehicle_connected and not state.requests_energy:
            yield VehiclePaused(n)
        if evse.board.cable_plugged and not cable:
            yield CableRemoved(n)
        if evse.board.contactor_closed and not contactor:
            yield ContactorOpened(n)
        if newly_spent:
            yield VehicleSessionUsed(n, by_itself=state.released is not False)
        if cable and not evse.board.cable_plugged:
            yield CablePlugged(n)
        if state.vehicle_connected and not evse.board.vehicle_connected:
            yield VehicleConnected(n)
        if state.pwm and not evse.board.offering:
            yield OfferChanged(n, True)
        if state.requests_energy and not evse.board.requests_energy:
            yield VehicleReady(n)
        if contactor and not evse.board.contactor_closed:
            yield ContactorClosed(n)
        if state.bay_occupied is not None and state.bay_occupied != evse.board.bay_occupied:
            yield BayChanged(n, state.bay_occupied)

    def _take_board_currents(self, evse: EvseRecord, state: EvseState) -> None:
        """Take the currents of the board. A board without a cable rating reports None; 0 is a plug
        that it could not read, or no plug. The rating that was read stays while the cable is in: a
        failed reading does not make the cable thicker."""
        board = evse.board
        if state.cable_a or not _is_cable_present(evse, state):
            board.cable_a = float(state.cable_a) if state.cable_a else None
        board.offered_a, board.offered_w, board.soc_percent = state.offered_a, state.offered_w, state.soc_percent

    def _report_board_faults(self, evse: EvseRecord, state: EvseState) -> Iterator[Yielded]:
        """Report faults that came and went. A board state clears only faults that board states have
        raised. A loss of mains that the power-fail input reported stays, even if the board does not
        see it yet or any more."""
        for fault in sorted(state.faults - evse.faults):
            yield FaultRaised(evse.number, fault)
        elsewhere = {Fault.POWER_LOSS} if self._site.dark else set()
        for fault in sorted(evse.board.faults - state.faults - elsewhere):
            yield FaultGone(evse.number, fault)
        evse.board.faults = state.faults

    @handles_events(FaultRaised)
    def note_silent_board(self, event: FaultRaised, now: Moment) -> Iterator[Yielded]:
        """Note that what is known of the board is old from now on, also when it answers: until it was opened. Whether
        its vehicle could draw is decided now: an end of the session that is ordered later changes nothing there."""
        evse = self._site.evses.get(event.evse)
        if event.fault is Fault.BOARD_SILENT and evse is not None and not evse.board.unheard:
            board, order = evse.board, evse.release_order
            could_draw = board.contactor_closed or order.given or not order.withdrawal_confirmed
            board.unheard, board.lost = True, board.known and could_draw
        return iter(())

    @handles_events(BoardGivenUp)
    def note_given_up_board(self, event: BoardGivenUp, now: Moment) -> Iterator[Yielded]:
        board = self._site.evses[event.evse].board
        board.lost, board.given_up = False, True
        return iter(())

    # The facts themselves keep the state, so that a playbook can report them without a board.

    @handles_events(ReleaseWithdrawn)
    def note_release_withdrawn(self, event: ReleaseWithdrawn, now: Moment) -> Iterator[Yielded]:
        confirm_withdrawal(self._site.evses[event.evse])
        return iter(())

    @handles_events(CablePlugged, CableRemoved)
    def note_cable_presence(self, event: CablePlugged | CableRemoved, now: Moment) -> Iterator[Yielded]:
        self._site.evses[event.evse].board.cable_plugged = isinstance(event, CablePlugged)
        return iter(())

    @handles_events(VehicleConnected, VehicleLeft)
    def note_vehicle_presence(self, event: VehicleConnected | VehicleLeft, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        evse.board.vehicle_connected = isinstance(event, VehicleConnected)
        evse.board.plugged_at = now.stamp if evse.board.vehicle_connected else None
        if not evse.board.vehicle_connected:
            evse.board.requests_energy = False
        if evse.traits.tethered:
            evse.board.cable_plugged = evse.board.vehicle_connected
        return iter(())

    @handles_events(VehicleReady, VehiclePaused)
    def note_energy_request(self, event: VehicleReady | VehiclePaused, now: Moment) -> Iterator[Yielded]:
        self._site.evses[event.evse].board.requests_energy = isinstance(event, VehicleReady)
        return iter(())

    @handles_events(ContactorClosed, ContactorOpened)
    def note_contactor_state(self, event: ContactorClosed | ContactorOpened, now: Moment) -> Iterator[Yielded]:
        self._site.evses[event.evse].board.contactor_closed = isinstance(event, ContactorClosed)
        return iter(())

    @handles_events(OfferChanged)
    def note_current_offer(self, event: OfferChanged, now: Moment) -> Iterator[Yielded]:
        self._site.evses[event.evse].board.offering = event.on
        return iter(())

    @handles_events(BayChanged)
    def note_bay_occupancy(self, event: BayChanged, now: Moment) -> Iterator[Yielded]:
        self._site.evses[event.evse].board.bay_occupied = event.occupied
        return iter(())


def _is_cable_present(evse: EvseRecord, state: EvseState) -> bool:
    return state.vehicle_connected if evse.traits.tethered else state.cable or state.vehicle_connected


def _is_contactor_closed(evse: EvseRecord, state: EvseState) -> bool:
    """True if the contactor is closed. A board without feedback closes it when release is given and
    the vehicle asks for energy."""
    if state.contactor is not None:
        return state.contactor
    return state.requests_energy and (evse.release_order.given if state.released is None else state.released)


def _estimate_plugged_at(state: EvseState, seen_at: Stamp) -> Stamp:
    """Return when the vehicle was plugged in, by the board's own count; without a count, when it was seen."""
    return Stamp(seen_at.boot, seen_at.t_s - (state.plugged_s or 0.0))
