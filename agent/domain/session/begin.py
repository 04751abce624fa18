"""From an empty socket to a session on disk: authorization, the wait for a vehicle, the register of
the begin."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    AuthorizationDropped,
    BoardOpened,
    Event,
    EvseEvent,
    MeterFailed,
    MeterRead,
    SessionOpened,
    StopWanted,
    TimeCame,
    TokenAccepted,
)
from agent.domain.evse import EvseRecord, ServiceState, SessionState, StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import ChargingState, StopReason, TransactionStarted, TriggerReason
from agent.domain.orders import Persist, ReadMeter, WakeMe
from agent.domain.reading_purposes import begin_reading
from agent.domain.reservation_claims import claim_reservation
from agent.domain.session.common import (
    leads_to_states,
    restart_settle_timer,
    set_limit_before_release,
    situation_changed,
    state_without_session,
)
from agent.domain.session.release import set_release
from agent.domain.session.signed_readings import (
    agreed_price_text,
    bill_of_reading,
    signing_at_begin,
    take_owed_record,
)
from agent.domain.session.tx_points import (
    authorization_trigger,
    session_begun,
    session_start_trigger,
    transaction_starts_late,
)
from agent.domain.session_records import Authorization, EnergyHolder, Session
from agent.domain.timers import Timer, TimerKind
from agent.model.types import Moment


@leads_to_states(SessionState.OCCUPIED)
def occupy_evse(s: StationState, evse: EvseRecord, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
    """Mark the EVSE as occupied: a cable is in the socket, or a new vehicle on the cable that was
    left there."""
    evse.state = state_without_session(evse)
    yield situation_changed(evse)


@leads_to_states(SessionState.FREE)
def vacate_evse(s: StationState, evse: EvseRecord, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
    """Mark the EVSE as free when neither cable nor vehicle is there; until then everything stays
    (Finishing as well)."""
    if not (evse.board.cable_plugged or evse.board.vehicle_connected):
        evse.state = SessionState.FREE
    yield situation_changed(evse)


def _await_vehicle(s: StationState, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
    assert evse.authorization is not None
    evse.state = SessionState.AUTHORIZED
    wait_s = evse.authorization.wait_s
    evse.authorization.until_s = now.t_s + (s.settings.int_value("connection_timeout_s") if wait_s is None else wait_s)
    yield WakeMe(Timer(TimerKind.CONNECTION_TIMEOUT, evse.number), evse.authorization.until_s)
    yield situation_changed(evse)


@leads_to_states(SessionState.AUTHORIZED, SessionState.BEGINNING)
def accept_authorization(s: StationState, evse: EvseRecord, event: TokenAccepted, now: Moment) -> Iterator[Yielded]:
    group = event.verdict.group if event.verdict else None
    used = claim_reservation(s, evse, event.token, group) or ""
    web = bool(event.remote_id) and evse.payer_until_s is not None
    evse.authorization = Authorization(
        event.token, event.verdict, event.remote_id, event.offline, event.movable_by_cable, event.movable_by_badge,
        profile=event.profile, reservation=used, wait_s=event.wait_s, web=web,
        tariff=evse.payer_tariff if web else event.tariff,
        payment=event.payment, judged_by=event.judged_by, needs_confirmation=event.needs_confirmation,
    )  # fmt: skip
    if evse.board.vehicle_connected:
        yield from begin_session(s, evse, event, now)
        return
    yield from _await_vehicle(s, evse, now)


@leads_to_states(SessionState.BEGINNING)
def begin_session(s: StationState, evse: EvseRecord, event: Event, now: Moment) -> Iterator[Yielded]:
    """Read the register before anything else: vehicle and authorization are there."""
    evse.state = SessionState.BEGINNING
    evse.progress.begin_try += 1
    yield WakeMe(Timer(TimerKind.CONNECTION_TIMEOUT, evse.number), None)
    purpose = begin_reading(evse.progress.begin_try)
    yield ReadMeter(evse.number, purpose, billing=True, signing=signing_at_begin(s, evse, now))
    yield situation_changed(evse)


@leads_to_states(SessionState.BEGINNING, SessionState.AUTHORIZED)
def begin_session_again(s: StationState, evse: EvseRecord, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
    """Begin again after the board was away for a moment. Nothing is on disk yet, the authorization
    is seconds old."""
    if evse.board.vehicle_connected and not evse.board.session_used:
        yield from begin_session(s, evse, event, now)
    elif evse.state is SessionState.BEGINNING:
        yield from vehicle_left_before_session(s, evse, event, now)


@leads_to_states(SessionState.FREE, SessionState.OCCUPIED)
def drop_authorization(s: StationState, evse: EvseRecord, event: Event, now: Moment) -> Iterator[Yielded]:
    evse.authorization = None
    evse.state = state_without_session(evse)
    yield WakeMe(Timer(TimerKind.CONNECTION_TIMEOUT, evse.number), None)
    yield _authorization_dropped(evse, event)
    yield situation_changed(evse)


def _authorization_dropped(evse: EvseRecord, event: Event) -> AuthorizationDropped:
    if isinstance(event, TimeCame):
        return AuthorizationDropped(evse.number, "timeout", StopReason.TIMEOUT, TriggerReason.EV_CONNECT_TIMEOUT)
    if isinstance(event, StopWanted):
        return AuthorizationDropped(evse.number, "stopped", event.reason, event.trigger)
    no_session = isinstance(event, MeterFailed | MeterRead)
    return AuthorizationDropped(evse.number, "unavailable" if no_session else "stopped")


@leads_to_states(SessionState.FREE, SessionState.OCCUPIED)
def connection_timed_out(s: StationState, evse: EvseRecord, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if (
        event.timer.kind is TimerKind.CONNECTION_TIMEOUT
        and evse.authorization
        and now.t_s >= evse.authorization.until_s
    ):
        yield from drop_authorization(s, evse, event, now)


@leads_to_states(SessionState.AUTHORIZED)
def vehicle_left_before_session(s: StationState, evse: EvseRecord, event: Event, now: Moment) -> Iterator[Yielded]:
    """Wait for the vehicle again: it was unplugged before the session was on disk. The
    authorization stays for another connection time-out."""
    yield from _await_vehicle(s, evse, now)


def _is_beginning_refused(s: StationState, evse: EvseRecord) -> bool:
    """Return whether no session may begin now. A contactor that is closed although no session has release may be stuck:
    its guard has not decided yet, and with release it could not see that any more."""
    is_live = evse.board.contactor_closed and not evse.release_order.given
    return is_live or s.stopping or s.service_state(evse) is ServiceState.FAULTED


def _withhold_at_begin(s: StationState, session: Session, right: Authorization) -> None:
    """Withhold energy from a session that the payment master has not confirmed yet, or whose token was refused while it
    waited for its vehicle. The latter gets what MaxEnergyOnInvalidId allows (2.x E05.FR.02, FR.03)."""
    holders = {EnergyHolder.MASTER} if right.needs_confirmation else set()
    if right.is_refused:
        more_wh = s.settings.int_value("max_energy_on_invalid_wh")
        if more_wh:
            session.until_wh = session.last_wh + more_wh
        else:
            holders.add(EnergyHolder.TOKEN)
    session.withheld_by, session.held = frozenset(holders), bool(holders)


@leads_to_states(SessionState.ACTIVE, SessionState.AUTHORIZED, SessionState.FREE, SessionState.OCCUPIED)
def open_session(s: StationState, evse: EvseRecord, event: MeterRead, now: Moment) -> Iterator[Yielded]:
    """Put the session on disk, then report it, then give release: the register is known."""
    if event.purpose != begin_reading(evse.progress.begin_try):
        return
    if _is_beginning_refused(s, evse):
        yield from drop_authorization(s, evse, event, now)
        return
    if evse.board.session_used:  # known since: the authorization waits until the vehicle is plugged in again
        yield from _await_vehicle(s, evse, now)
        return
    right, reading = evse.authorization, event.reading
    assert right is not None  # the only ways into BEGINNING set it
    late = bool(evse.metering.owed_record) and reading.signed is not None
    reading = yield from take_owed_record(s, evse, reading)
    if late:  # it goes to disk first, then the meter begins and forgets it
        yield from begin_session(s, evse, event, now)
        return
    is_signed = reading.signed is not None or s.settings.bool_value("sign_samples")
    starts_late = transaction_starts_late(s, evse, is_signed)
    session = Session(
        id=evse.tx.id if evse.tx else evse.metering.signing or s.collaborators.new_id(),
        evse=evse.number,
        token=right.token,
        started=reading.at,
        start_wh=reading.energy_wh,
        last_wh=max(reading.energy_wh, evse.tx.last_wh) if evse.tx else reading.energy_wh,
        plugged_at=evse.board.plugged_at or now.stamp,
        alive_at=now.stamp,
        group=right.verdict.group if right.verdict else None,
        remote_id=right.remote_id,
        offline=right.offline or not s.backend_online,
        profile=right.profile,
        reservation=right.reservation,
        reported=not starts_late,
        signing=evse.metering.signing,
        web=right.web,
        judged_by=right.judged_by,
        price=agreed_price_text(right),
        tariff=right.tariff if right.web else None,
        payment=right.payment if starts_late else None,
    )
    _withhold_at_begin(s, session, right)
    evse.session, evse.authorization = session, None
    evse.metering.keep_reading(reading)
    to_sign = bill_of_reading(s, evse, reading, "sign_samples", "B", now)
    evse.state, evse.progress.charging = SessionState.ACTIVE, ChargingState.EV_CONNECTED
    evse.progress.energy_delivered = evse.progress.resumed = False
    yield Persist("session", session.id, session.to_record())
    started = TransactionStarted(
        session.id, evse.number, session.token, reading.at, reading.energy_wh,
        session_start_trigger(s, right, is_signed), offline=session.offline,
        remote_id=right.remote_id, reading=reading, reservation=right.reservation,
        payment=right.payment,
    )  # fmt: skip
    yield from session_begun(s, evse, session, started, now, to_sign)
    yield from set_limit_before_release(s, evse, now)
    yield from set_release(s, evse, not session.held)
    yield from restart_settle_timer(s, evse, now)
    yield SessionOpened(evse.number, session.id, authorization_trigger(right))
    yield situation_changed(evse)


@leads_to_states(SessionState.FREE, SessionState.OCCUPIED)
def begin_register_failed(s: StationState, evse: EvseRecord, event: MeterFailed, now: Moment) -> Iterator[Yielded]:
    """Drop the authorization: without a register there is no transaction (and no energy)."""
    if event.purpose == begin_reading(evse.progress.begin_try):
        yield from drop_authorization(s, evse, event, now)
