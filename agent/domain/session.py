"""The session region of an AC EVSE as a table: state x event -> rule. ``docs/states/session.svg`` is drawn from it.

A rule is a generator ``(s, evse, event, now)`` that yields orders and facts and may change ``evse.state`` to one of the
states it declares with ``@to``. The table is total: a missing entry is an ``IllegalEvent``, never a silent surprise.

Three things hold whatever comes (tests/domain/test_session_properties.py): release is given only after the session
is on disk and only with a grant; every start told has exactly one end told; release is withdrawn before the lock opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from agent.domain.block import Yielded
from agent.domain.events import (
    BoardOpened,
    CablePlugged,
    CableRemoved,
    ContactorClosed,
    ContactorOpened,
    Event,
    EvseEvent,
    GrantDropped,
    MeterFailed,
    MeterRead,
    OfferChanged,
    SessionClosed,
    SessionOpened,
    SituationChanged,
    StopWanted,
    TimeCame,
    TokenAccepted,
    VehicleConnected,
    VehicleLeft,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.evse import Evse, Grant, Service, Session, Site, State, Stop
from agent.domain.faults import GRACE_S, blocks, ends_session
from agent.domain.messages import (
    ChargingState,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.orders import ReadMeter, Remember, SetLimit, SetRelease, Tell, Unlock, WakeMe
from agent.kinds import Fault, Moment, Reading

Rule: TypeAlias = Callable[[Site, Evse, Any, Moment], Iterator[Yielded]]

SETTLE_S = 5.0
"""How long after the start a vehicle may take before its silence is told as suspended (decision table, row 4)."""
CONTACTOR_S = 10.0
"""IEC 61851-1 lets a board open under load 6 s after the pilot's PWM is gone; then the end is read in any case."""
END_TRIES = 3
RETRY_S = 5.0
RECOVER_S = 300.0


class IllegalEvent(Exception):
    """The table has no rule for this event in this state: a defect of ours."""


def to(*states: State) -> Callable[[Rule], Rule]:
    """Declare which states a rule may lead to (besides staying)."""

    def mark(rule: Rule) -> Rule:
        rule.targets = states  # type: ignore[attr-defined]
        return rule

    return mark


def timer(kind: str, evse: Evse) -> str:
    return f"{kind}:{evse.number}"


# --- small words of the rules ---------------------------------------------------------------------------------------


def _changed(evse: Evse) -> SituationChanged:
    return SituationChanged(evse.number)


def _release(s: Site, evse: Evse, on: bool) -> Iterator[Yielded]:
    if evse.release != on and not (on and s.stopping):
        evse.release = on
        yield SetRelease(evse.number, on)


def _rest(evse: Evse) -> State:
    """Where an EVSE without a session and without a grant belongs."""
    return State.OCCUPIED if evse.cable or evse.vehicle else State.FREE


def state_of_charge_session(evse: Evse) -> ChargingState:
    """The decision table of a running session (IEC 61851-1 pilot to OCPP charging state). The station's own pause
    wins over the vehicle's; between release and the first sign of the vehicle the old word stays for ``SETTLE_S``."""
    if not evse.release:
        return ChargingState.SUSPENDED_EVSE
    if not evse.vehicle:
        return ChargingState.SUSPENDED_EV
    if evse.asks and evse.contactor:
        return ChargingState.CHARGING
    if not evse.settled:  # row 4
        return evse.charging
    if evse.asks or not evse.offering:
        return ChargingState.SUSPENDED_EVSE
    return ChargingState.SUSPENDED_EV


def _recompute(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    """Tell a changed charging state."""
    session = evse.session
    new = state_of_charge_session(evse)
    if session is None or new is evse.charging:
        return
    evse.charging = new
    evse.settled = evse.settled or new is ChargingState.CHARGING
    update = TransactionUpdated(
        session.id, evse.number, now.stamp, TriggerReason.CHARGING_STATE_CHANGED, new, offline=not s.online
    )
    for link in s.links:
        yield Tell(link, update)
    yield _changed(evse)


# --- rules without a session ----------------------------------------------------------------------------------------


def stay(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    """This event changes nothing here."""
    return iter(())


@to(State.OCCUPIED, State.FREE)
def occupy(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    evse.state = _rest(evse)
    yield _changed(evse)


def _await_vehicle(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    assert evse.grant is not None
    evse.state = State.AUTHORISED
    evse.grant.until_s = now.t_s + s.settings.number("connection_timeout_s")
    yield WakeMe(timer("connect", evse), evse.grant.until_s)
    yield _changed(evse)


@to(State.AUTHORISED, State.BEGINNING)
def grant(s: Site, evse: Evse, event: TokenAccepted, now: Moment) -> Iterator[Yielded]:
    evse.grant = Grant(event.token, event.verdict, event.remote_id, event.offline, event.movable)
    if evse.vehicle:
        yield from begin(s, evse, event, now)
        return
    yield from _await_vehicle(s, evse, now)


@to(State.BEGINNING)
def begin(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    """Vehicle and right are there: take the register before anything else."""
    evse.state = State.BEGINNING
    evse.begin_try += 1
    yield WakeMe(timer("connect", evse), None)
    yield ReadMeter(evse.number, f"begin:{evse.begin_try}", billing=True)
    yield _changed(evse)


@to(State.BEGINNING, State.AUTHORISED)
def begin_again(s: Site, evse: Evse, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
    """The board was away for a moment; nothing is on disk yet, the right is seconds old."""
    if evse.vehicle:
        yield from begin(s, evse, event, now)
    elif evse.state is State.BEGINNING:
        yield from vehicle_gone_again(s, evse, event, now)


@to(State.FREE, State.OCCUPIED)
def drop_grant(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    evse.grant = None
    evse.state = _rest(evse)
    yield WakeMe(timer("connect", evse), None)
    yield GrantDropped(evse.number, _why(event))
    yield _changed(evse)


def _why(event: Event) -> str:
    if isinstance(event, TimeCame):
        return "timeout"
    if isinstance(event, MeterFailed):
        return "unavailable"
    return "stopped"


@to(State.FREE, State.OCCUPIED)
def connect_timeout(s: Site, evse: Evse, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.key == timer("connect", evse) and evse.grant and now.t_s >= evse.grant.until_s:
        yield from drop_grant(s, evse, event, now)


@to(State.AUTHORISED)
def vehicle_gone_again(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    """Pulled before the session was on disk: the right stays for another connection time-out."""
    yield from _await_vehicle(s, evse, now)


@to(State.ACTIVE, State.FREE, State.OCCUPIED)
def start(s: Site, evse: Evse, event: MeterRead, now: Moment) -> Iterator[Yielded]:
    """The register is known: session on disk, then told, then release."""
    if event.purpose != f"begin:{evse.begin_try}":
        return
    if s.stopping or s.service(evse) is Service.FAULTED:
        yield from drop_grant(s, evse, event, now)
        return
    right, reading = evse.grant, event.reading
    assert right is not None  # the only ways into BEGINNING set it
    session = Session(
        id=s.new_id(),
        evse=evse.number,
        token=right.token,
        started=reading.at,
        start_wh=reading.energy_wh,
        last_wh=reading.energy_wh,
        plugged_at=evse.plugged_at or now.stamp,
        alive_at=now.stamp,
        group=right.verdict.group if right.verdict else None,
        remote_id=right.remote_id,
        offline=right.offline or not s.online,
    )
    evse.session, evse.grant, evse.reading = session, None, reading
    evse.state, evse.charging = State.ACTIVE, ChargingState.EV_CONNECTED
    trigger = TriggerReason.REMOTE_START if right.remote_id else TriggerReason.AUTHORIZED
    yield Remember("session", session.id, session.record())
    told = TransactionStarted(
        session.id, evse.number, session.token, reading.at, reading.energy_wh, trigger, offline=session.offline,
        remote_id=right.remote_id, reading=reading,
    )  # fmt: skip
    for link in s.links:
        yield Tell(link, told)
    yield SetLimit(evse.number, evse.limit)
    yield from _release(s, evse, True)
    yield from _unsettle(s, evse, now)
    yield SessionOpened(evse.number, session.id, trigger)
    yield _changed(evse)


@to(State.FREE, State.OCCUPIED)
def no_register(s: Site, evse: Evse, event: MeterFailed, now: Moment) -> Iterator[Yielded]:
    """Without a register there is no transaction (and no energy)."""
    if event.purpose == f"begin:{evse.begin_try}":
        yield from drop_grant(s, evse, event, now)


# --- rules of a running session -------------------------------------------------------------------------------------


def recompute(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    yield from _recompute(s, evse, now)


def ready(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    """Vehicle or board is ready for energy: the contactor has ``SETTLE_S`` before its silence is told."""
    if not evse.contactor:
        yield from _unsettle(s, evse, now)
    yield from _recompute(s, evse, now)


def offer(s: Site, evse: Evse, event: OfferChanged, now: Moment) -> Iterator[Yielded]:
    yield from (ready if event.on else recompute)(s, evse, event, now)


def _unsettle(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    evse.settled = False
    yield WakeMe(timer("settle", evse), now.t_s + max(SETTLE_S, 3 * s.io_s))


def settle(s: Site, evse: Evse, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.key == timer("settle", evse):
        evse.settled = True
        yield from _recompute(s, evse, now)


@to(State.ENDING)
def cable_gone(s: Site, evse: Evse, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
    yield from end(s, evse, _disconnected(evse), now)


@to(State.ENDING)
def vehicle_gone(s: Site, evse: Evse, event: VehicleLeft, now: Moment) -> Iterator[Yielded]:
    """The driver pulled at the car: ends the session, unless the backend wants it to survive (1.6 test case 005_3);
    then nobody gets energy until the vehicle is back."""
    if s.settings.flag("stop_on_ev_disconnect") or evse.tethered:
        yield from end(s, evse, _disconnected(evse), now)
        return
    yield from _release(s, evse, False)
    yield from _recompute(s, evse, now)


def _disconnected(evse: Evse) -> StopWanted:
    return StopWanted(evse.number, StopReason.EV_DISCONNECTED, TriggerReason.EV_COMMUNICATION_LOST)


def vehicle_back(s: Site, evse: Evse, event: VehicleConnected, now: Moment) -> Iterator[Yielded]:
    yield from _unsettle(s, evse, now)
    if evse.session and not evse.session.held:
        yield from _release(s, evse, True)
    yield from _recompute(s, evse, now)


@to(State.ENDING)
def end(s: Site, evse: Evse, event: StopWanted, now: Moment) -> Iterator[Yielded]:
    """Withdraw release at once, put the reason on disk, and wait for the contactor before the register is read."""
    session = evse.session
    assert session is not None
    yield from _release(s, evse, False)
    session.stop = Stop(event.reason, event.trigger, now.stamp, event.token, event.note)
    session.alive_at = now.stamp
    evse.state, evse.end_try = State.ENDING, 0
    yield Remember("session", session.id, session.record())
    yield WakeMe(timer("settle", evse), None)
    yield from _read_end_when_open(s, evse, now)
    yield _changed(evse)


def _read_end_when_open(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    if evse.contactor:
        yield WakeMe(timer("end", evse), now.t_s + max(CONTACTOR_S, 8 * s.io_s))
    else:
        yield from _read_end(evse)


def _read_end(evse: Evse) -> Iterator[Yielded]:
    evse.end_try += 1
    yield ReadMeter(evse.number, f"end:{evse.end_try}", billing=True)


def contactor_open(s: Site, evse: Evse, event: ContactorOpened, now: Moment) -> Iterator[Yielded]:
    if evse.end_try == 0:  # otherwise the timer is that of the next try
        yield WakeMe(timer("end", evse), None)
        yield from _read_end(evse)


def end_time(s: Site, evse: Evse, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.key == timer("end", evse):
        yield from _read_end(evse)


@to(State.ENDED, State.FREE)
def finish(s: Site, evse: Evse, event: MeterRead, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    if event.purpose != f"end:{evse.end_try}":
        session.last_wh = max(session.last_wh, event.reading.energy_wh)
        return
    evse.reading = event.reading
    yield from _close(s, evse, max(event.reading.energy_wh, session.last_wh), now, event.reading)


@to(State.ENDED, State.FREE)
def end_unread(s: Site, evse: Evse, event: MeterFailed, now: Moment) -> Iterator[Yielded]:
    """Try again; after that the last good register is billed: never zero, never invented."""
    session = evse.session
    assert session is not None
    if event.purpose != f"end:{evse.end_try}":
        return
    if evse.end_try < END_TRIES:
        yield WakeMe(timer("end", evse), now.t_s + max(RETRY_S, 2 * s.io_s))
        return
    yield from _close(s, evse, session.last_wh, now)


def _close(s: Site, evse: Evse, meter_wh: int, now: Moment, reading: Reading | None = None) -> Iterator[Yielded]:
    """The stop is on disk (the told message and the forgotten session are one transaction), then told."""
    session = evse.session
    assert session is not None
    assert session.stop is not None
    stop = session.stop
    at = stop.at if stop.at > session.started else session.started
    told = TransactionEnded(
        session.id, evse.number, stop.token, at, meter_wh, StopReason(stop.reason), TriggerReason(stop.trigger),
        offline=not s.online, note=stop.note, samples=session.samples, reading=reading,
    )  # fmt: skip
    yield Remember("session", session.id, None)
    for link in s.links:
        yield Tell(link, told)
    evse.session, evse.charging = None, ChargingState.IDLE
    yield WakeMe(timer("end", evse), None)
    evse.state = State.ENDED if evse.cable or evse.vehicle else State.FREE
    if evse.cable and not evse.tethered and (evse.vehicle or s.settings.flag("unlock_on_ev_disconnect")):
        yield Unlock(evse.number)
    yield SessionClosed(evse.number, session.id, stop.reason)
    yield _changed(evse)


def newer_register(s: Site, evse: Evse, event: MeterRead, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    session.last_wh = max(session.last_wh, event.reading.energy_wh)
    if evse.state is State.ACTIVE and Fault.BOARD_SILENT not in evse.faults:
        session.alive_at = now.stamp  # the board was there: a register alone proves nothing of the plug
    return iter(())


@to(State.FREE, State.OCCUPIED)
def leave_ended(s: Site, evse: Evse, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
    """Finishing lasts until cable and vehicle are both gone."""
    if not (evse.cable or evse.vehicle):
        evse.state = State.FREE
    yield _changed(evse)


# --- resume with proof ----------------------------------------------------------------------------------------------


def uninterrupted(s: Site, evse: Evse, session: Session, plugged_s: float | None, now: Moment) -> bool:
    """Is the vehicle on the cable the one that the session began with?

    With a board that counts the seconds since the plug: the count must cover the whole time since we saw the plug (it
    is floored to a second, and we saw the plug after it happened, so one second is all the benefit of the doubt).
    Without a counter: the time away must be short. A kernel that was booted anew proves nothing."""
    if not evse.vehicle:
        return False
    same_boot = session.plugged_at.boot == now.stamp.boot
    if evse.counts_plugged and plugged_s is not None and same_boot:
        return plugged_s + s.io_s >= now.t_s - session.plugged_at.t_s
    if session.alive_at.boot != now.stamp.boot:
        return False
    return not evse.counts_plugged and now.t_s - session.alive_at.t_s <= s.resume_within_s


@to(State.ACTIVE, State.ENDING)
def recover(s: Site, evse: Evse, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
    """The board is there (again): go on with proof, otherwise close with the register of now."""
    session = evse.session
    assert session is not None
    yield WakeMe(timer("recover", evse), None)
    if session.stop is not None:
        evse.state, evse.end_try = State.ENDING, 0
        yield from _read_end_when_open(s, evse, now)
    elif not _broken(evse, event) and uninterrupted(s, evse, session, event.state.plugged_s, now):
        yield from _resume(s, evse, now)
    else:
        stop = StopWanted(evse.number, StopReason.POWER_LOSS, TriggerReason.ABNORMAL_CONDITION)
        yield from end(s, evse, stop, now)


def _broken(evse: Evse, event: BoardOpened) -> bool:
    """A fault in the new picture that ends sessions, or a blocking one from elsewhere and without grace."""
    lasting = {f for f in evse.faults if blocks(f) and f not in GRACE_S}
    return bool(lasting) or any(ends_session(f) for f in event.state.faults)


def _resume(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    evse.state, evse.charging = State.ACTIVE, ChargingState.EV_CONNECTED
    session.alive_at = now.stamp
    yield Remember("session", session.id, session.record())
    if not session.held:
        yield SetLimit(evse.number, evse.limit)
        yield from _release(s, evse, True)
    yield from _unsettle(s, evse, now)
    yield SessionOpened(evse.number, session.id, TriggerReason.TX_RESUMED)
    yield _changed(evse)


@to(State.ENDING)
def recover_timeout(s: Site, evse: Evse, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.key == timer("recover", evse):
        yield from _give_up(s, evse, now)


def hold(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    """The token turned out to be bad and the session is to stay open without energy (StopTransactionOnInvalidId
    false): release withdrawn until somebody ends it."""
    session = evse.session
    if session is None or session.held or evse.state not in (State.ACTIVE, State.RECOVERING):
        return
    session.held = True
    yield from _release(s, evse, False)
    yield Remember("session", session.id, session.record())
    if evse.state is State.ACTIVE:
        yield from _recompute(s, evse, now)


@to(State.ENDING)
def recover_stop(s: Site, evse: Evse, event: StopWanted, now: Moment) -> Iterator[Yielded]:
    yield from end(s, evse, event, now)


def _give_up(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    if session.stop is None:
        session.stop = Stop(StopReason.POWER_LOSS, TriggerReason.ABNORMAL_CONDITION, now.stamp)
    evse.state, evse.end_try = State.ENDING, 0
    yield Remember("session", session.id, session.record())
    yield from _read_end(evse)
    yield _changed(evse)


# --- the table ------------------------------------------------------------------------------------------------------

EVENTS: tuple[type[Event], ...] = (
    BoardOpened,
    CablePlugged,
    CableRemoved,
    VehicleConnected,
    VehicleLeft,
    VehicleReady,
    VehiclePaused,
    OfferChanged,
    ContactorClosed,
    ContactorOpened,
    TokenAccepted,
    StopWanted,
    MeterRead,
    MeterFailed,
    TimeCame,
)

_NOTHING: dict[type[Event], Rule] = dict.fromkeys(EVENTS, stay)
_EMPTY: dict[type[Event], Rule] = {
    **_NOTHING,
    BoardOpened: occupy,
    CablePlugged: occupy,
    CableRemoved: occupy,
    VehicleConnected: occupy,
    VehicleLeft: occupy,
    TokenAccepted: grant,
}

TABLE: dict[State, dict[type[Event], Rule]] = {
    State.FREE: _EMPTY,
    State.OCCUPIED: _EMPTY,
    State.AUTHORISED: {
        **_NOTHING,
        BoardOpened: begin_again,
        VehicleConnected: begin,
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
        VehiclePaused: recompute,
        OfferChanged: offer,
        ContactorClosed: recompute,
        ContactorOpened: recompute,
        StopWanted: end,
        MeterRead: newer_register,
        TimeCame: settle,
    },
    State.ENDING: {
        **_NOTHING,
        BoardOpened: recover,
        ContactorOpened: contactor_open,
        MeterRead: finish,
        MeterFailed: end_unread,
        TimeCame: end_time,
    },
    State.ENDED: {
        **_NOTHING,
        BoardOpened: leave_ended,
        CableRemoved: leave_ended,
        VehicleConnected: occupy,
        VehicleLeft: leave_ended,
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
