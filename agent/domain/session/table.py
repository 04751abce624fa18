"""The session region of an AC EVSE as a table: state x event -> rule. ``docs/states/session.svg`` is drawn from it.

A rule is a generator ``(s, evse, event, now)`` that yields orders and facts and may change ``evse.state`` to one of the
states it declares with ``@to``; they are in ``rules/``, a module per part of a session's life. The table is total: a
missing entry is an ``IllegalEvent``, never a silent surprise.

Three things hold whatever comes (tests/domain/test_session_properties.py): release is given only after the session
is on disk and only with a grant; every start told has exactly one end told; release is withdrawn before the lock opens.
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
    VehicleSpent,
)
from agent.domain.evse import Evse, Site, State
from agent.domain.functional_block import Yielded
from agent.domain.session.active import (
    cable_gone,
    limited,
    newer_register,
    offer,
    ready,
    recompute,
    refused,
    settle,
    vehicle_back,
    vehicle_gone,
    vehicle_spent,
)
from agent.domain.session.begin import (
    begin,
    begin_again,
    connect_timeout,
    drop_grant,
    grant,
    no_register,
    occupy,
    start,
    vacate,
    vehicle_gone_again,
)
from agent.domain.session.common import Rule, look, stay
from agent.domain.session.end import end, end_open, end_time, end_unread, finish, other_vehicle
from agent.domain.session.resume import end_again, recover, recover_stop, recover_timeout
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
    VehicleSpent,
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

_NOTHING: dict[type[Event], Rule] = dict.fromkeys(EVENTS, stay)

TABLE: dict[State, dict[type[Event], Rule]] = {
    State.FREE: {
        **_NOTHING,
        BoardOpened: occupy,
        CablePlugged: occupy,
        VehicleConnected: occupy,
        TokenAccepted: grant,
    },
    State.OCCUPIED: {
        **_NOTHING,
        BoardOpened: vacate,
        CablePlugged: look,
        CableRemoved: vacate,
        VehicleConnected: look,
        VehicleLeft: vacate,
        VehicleSpent: look,
        TokenAccepted: grant,
    },
    State.AUTHORISED: {
        **_NOTHING,
        BoardOpened: begin_again,
        CablePlugged: look,
        CableRemoved: look,
        VehicleConnected: begin,
        VehicleLeft: look,
        TokenAccepted: stay,
        StopWanted: drop_grant,
        TimeCame: connect_timeout,
    },
    State.BEGINNING: {
        **_NOTHING,
        BoardOpened: begin_again,
        CableRemoved: vehicle_gone_again,
        VehicleLeft: vehicle_gone_again,
        StopWanted: drop_grant,
        MeterRead: start,
        MeterFailed: no_register,
    },
    State.ACTIVE: {
        **_NOTHING,
        BoardOpened: recover,
        CableRemoved: cable_gone,
        VehicleConnected: vehicle_back,
        VehicleLeft: vehicle_gone,
        VehicleReady: ready,
        VehicleSpent: vehicle_spent,
        VehiclePaused: recompute,
        OfferChanged: offer,
        LimitChanged: limited,
        ReleaseRefused: refused,
        ContactorClosed: recompute,
        ContactorOpened: recompute,
        StopWanted: end,
        MeterRead: newer_register,
        TimeCame: settle,
    },
    State.ENDING: {
        **_NOTHING,
        BoardOpened: end_again,
        VehicleConnected: other_vehicle,
        VehicleLeft: other_vehicle,
        ContactorOpened: end_open,
        ReleaseWithdrawn: end_open,
        VehiclePaused: end_open,
        MeterRead: finish,
        MeterFailed: end_unread,
        TimeCame: end_time,
    },
    State.ENDED: {
        **_NOTHING,
        BoardOpened: vacate,
        CableRemoved: vacate,
        VehicleConnected: occupy,
        VehicleLeft: vacate,
        VehicleSpent: look,
        TokenAccepted: grant,
    },
    State.RECOVERING: {
        **_NOTHING,
        BoardOpened: recover,
        StopWanted: recover_stop,
        MeterRead: newer_register,
        TimeCame: recover_timeout,
    },
}


def step(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
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
