"""The session region of an AC EVSE as a table: state x event -> rule. ``docs/states/session.svg`` is drawn from it.

A rule is a generator ``(s, evse, event, now)`` that yields orders and facts and may change ``evse.state`` to one of the
states it declares with ``@to``; they are in ``rules/``, a module per part of a session's life. The table is total: a
missing entry is an ``IllegalEvent``, never a silent surprise.

Three things hold whatever comes (tests/domain/test_session_properties.py): release is given only
after the session is on disk and only with an authorization; every reported start has exactly one
reported end; release is withdrawn before the lock opens.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    BoardOpened,
    CablePlugged,
    CableRemoved,
    ContactorClosed,
    ContactorOpened,
    Event,
    LimitChanged,
    MeterFailed,
    MeterRead,
    OfferChanged,
    ReleaseRefused,
    ReleaseWithdrawn,
    StopWanted,
    TimeCame,
    TokenAccepted,
    VehicleConnected,
    VehicleLeft,
    VehiclePaused,
    VehicleReady,
    VehicleSessionUsed,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded
from agent.domain.session.active import (
    active_timer_expired,
    apply_changed_limit,
    cable_removed,
    current_offer_changed,
    energy_possible,
    release_refused,
    update_charging_state,
    update_register,
    vehicle_left,
    vehicle_returned,
    vehicle_session_used,
)
from agent.domain.session.begin import (
    accept_authorization,
    begin_register_failed,
    begin_session,
    begin_session_again,
    connection_timed_out,
    drop_authorization,
    occupy_evse,
    open_session,
    vacate_evse,
    vehicle_left_before_session,
)
from agent.domain.session.common import Rule, ignore_event, report_situation
from agent.domain.session.end import (
    end_condition_met,
    end_register_failed,
    end_session,
    end_timer_expired,
    finish_session,
    vehicle_changed_during_end,
)
from agent.domain.session.resume import recover_session, recovery_timed_out, resume_ending, stop_during_recovery
from agent.model.types import Moment


class IllegalEvent(Exception):
    """The table has no rule for this event in this state: a defect of ours."""


EVENTS: tuple[type[Event], ...] = (
    BoardOpened,
    CablePlugged,
    CableRemoved,
    VehicleConnected,
    VehicleLeft,
    VehicleReady,
    VehiclePaused,
    VehicleSessionUsed,
    OfferChanged,
    LimitChanged,
    ReleaseRefused,
    ReleaseWithdrawn,
    ContactorClosed,
    ContactorOpened,
    TokenAccepted,
    StopWanted,
    MeterRead,
    MeterFailed,
    TimeCame,
)

_NOTHING: dict[type[Event], Rule] = dict.fromkeys(EVENTS, ignore_event)

TABLE: dict[SessionState, dict[type[Event], Rule]] = {
    SessionState.FREE: {
        **_NOTHING,
        BoardOpened: occupy_evse,
        CablePlugged: occupy_evse,
        VehicleConnected: occupy_evse,
        TokenAccepted: accept_authorization,
    },
    SessionState.OCCUPIED: {
        **_NOTHING,
        BoardOpened: vacate_evse,
        CablePlugged: report_situation,
        CableRemoved: vacate_evse,
        VehicleConnected: report_situation,
        VehicleLeft: vacate_evse,
        VehicleSessionUsed: report_situation,
        TokenAccepted: accept_authorization,
    },
    SessionState.AUTHORIZED: {
        **_NOTHING,
        BoardOpened: begin_session_again,
        CablePlugged: report_situation,
        CableRemoved: report_situation,
        VehicleConnected: begin_session,
        VehicleLeft: report_situation,
        TokenAccepted: ignore_event,
        StopWanted: drop_authorization,
        TimeCame: connection_timed_out,
    },
    SessionState.BEGINNING: {
        **_NOTHING,
        BoardOpened: begin_session_again,
        CableRemoved: vehicle_left_before_session,
        VehicleLeft: vehicle_left_before_session,
        StopWanted: drop_authorization,
        MeterRead: open_session,
        MeterFailed: begin_register_failed,
    },
    SessionState.ACTIVE: {
        **_NOTHING,
        BoardOpened: recover_session,
        CableRemoved: cable_removed,
        VehicleConnected: vehicle_returned,
        VehicleLeft: vehicle_left,
        VehicleReady: energy_possible,
        VehicleSessionUsed: vehicle_session_used,
        VehiclePaused: update_charging_state,
        OfferChanged: current_offer_changed,
        LimitChanged: apply_changed_limit,
        ReleaseRefused: release_refused,
        ContactorClosed: update_charging_state,
        ContactorOpened: update_charging_state,
        StopWanted: end_session,
        MeterRead: update_register,
        TimeCame: active_timer_expired,
    },
    SessionState.ENDING: {
        **_NOTHING,
        BoardOpened: resume_ending,
        VehicleConnected: vehicle_changed_during_end,
        VehicleLeft: vehicle_changed_during_end,
        ContactorOpened: end_condition_met,
        ReleaseWithdrawn: end_condition_met,
        VehiclePaused: end_condition_met,
        MeterRead: finish_session,
        MeterFailed: end_register_failed,
        TimeCame: end_timer_expired,
    },
    SessionState.ENDED: {
        **_NOTHING,
        BoardOpened: vacate_evse,
        CableRemoved: vacate_evse,
        VehicleConnected: occupy_evse,
        VehicleLeft: vacate_evse,
        VehicleSessionUsed: report_situation,
        TokenAccepted: accept_authorization,
    },
    SessionState.RECOVERING: {
        **_NOTHING,
        BoardOpened: recover_session,
        StopWanted: stop_during_recovery,
        MeterRead: update_register,
        TimeCame: recovery_timed_out,
    },
}


def apply_session_event(s: StationState, evse: EvseRecord, event: Event, now: Moment) -> Iterator[Yielded]:
    """One event on one EVSE. Raises ``IllegalEvent`` for what the table does not know."""
    before = evse.state
    try:
        rule = TABLE[before][type(event)]
    except KeyError:
        raise IllegalEvent(f"EVSE {evse.number}: {type(event).__name__} in state {before}") from None
    yield from rule(s, evse, event, now)
    allowed = (before, *getattr(rule, "targets", ()))
    if evse.state not in allowed:
        raise IllegalEvent(f"EVSE {evse.number}: {rule.__name__} led from {before} to {evse.state}, undeclared")
