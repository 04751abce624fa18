"""The end of a session: release withdrawn, reason on disk, confirmed by the board, register read,
reported. Once."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.energized import describe_flow
from agent.domain.events import (
    Event,
    MeterFailed,
    MeterRead,
    SessionClosed,
    StopWanted,
    TimeCame,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded
from agent.domain.kept_cable import CARDLESS
from agent.domain.messages import ChargingState, StopReason, TransactionEnded, TriggerReason
from agent.domain.orders import Persist, ReadMeter, WakeMe
from agent.domain.reading_purposes import end_reading
from agent.domain.session.common import (
    leads_to_states,
    situation_changed,
    state_without_session,
    with_offered_limit,
)
from agent.domain.session.release import set_release
from agent.domain.session.signed_readings import bill_of_session, owe_meter_record, signing_at_end
from agent.domain.session.tx_points import session_ended
from agent.domain.session_records import EndedSession
from agent.domain.stop_reason import PendingStop
from agent.domain.timers import Timer, TimerKind
from agent.model.types import Moment, Reading

CONTACTOR_S = 10.0
"""IEC 61851-1 lets a board open under load 6 s after the pilot's PWM is gone; then the end is read in any case."""
END_TRIES = 3
RETRY_S = 5.0


@leads_to_states(SessionState.ENDING)
def end_session(s: StationState, evse: EvseRecord, event: StopWanted, now: Moment) -> Iterator[Yielded]:
    """Withdraw release at once, put the reason on disk, and wait for the board before the register is read."""
    session = evse.session
    assert session is not None
    yield from set_release(s, evse, False)
    unplugged = evse.board.known and not evse.board.vehicle_connected
    session.stop = PendingStop(event.reason, event.trigger, now.stamp, event.token, event.note, unplugged)
    session.alive_at = now.stamp
    evse.state, evse.progress.end_try, evse.progress.vehicle_replaced = SessionState.ENDING, 0, False
    yield Persist("session", session.id, session.to_record())
    yield WakeMe(Timer(TimerKind.STATE_SETTLED, evse.number), None)
    yield WakeMe(Timer(TimerKind.CONNECTION_TIMEOUT, evse.number), None)
    yield from read_end_register_when_open(s, evse, now)
    yield situation_changed(evse)


def read_end_register_when_open(s: StationState, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
    if _current_may_flow(evse):
        yield WakeMe(Timer(TimerKind.END_REGISTER, evse.number), now.t_s + max(CONTACTOR_S, 8 * s.config.io_s))
    else:
        yield from read_end_register(s, evse, now)


def _current_may_flow(evse: EvseRecord) -> bool:
    """Return whether current may still flow. Until the board has confirmed that release is
    withdrawn, its last state may be older than its contactor; a board that was not seen yet may
    still be about to open it. A register that a meter signs is read once: where the board does not
    see its contactor, the vehicle has to stop asking first."""
    session = evse.session
    if session is not None and session.signing and not evse.traits.sees_contactor and evse.board.requests_energy:
        return True
    return evse.board.contactor_closed or not evse.release_order.withdrawal_confirmed or not evse.board.known


def read_end_register(s: StationState, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
    evse.progress.end_try += 1
    yield ReadMeter(evse.number, end_reading(evse.progress.end_try), billing=True, signing=signing_at_end(s, evse, now))


def vehicle_changed_during_end(
    s: StationState, evse: EvseRecord, event: VehicleConnected | VehicleLeft, now: Moment
) -> Iterator[Yielded]:
    """Note whether a vehicle came now: it has had nothing of the session that is being ended."""
    evse.progress.vehicle_replaced = isinstance(event, VehicleConnected)
    yield situation_changed(evse)
    if not evse.board.vehicle_connected:  # it asks for nothing any more
        yield from end_condition_met(s, evse, event, now)


def end_condition_met(s: StationState, evse: EvseRecord, event: Event, now: Moment) -> Iterator[Yielded]:
    """Read the end register if all conditions that were waited for are met now."""
    if evse.progress.end_try == 0 and not _current_may_flow(evse):  # otherwise the timer is that of the next try
        yield WakeMe(Timer(TimerKind.END_REGISTER, evse.number), None)
        yield from read_end_register(s, evse, now)


def end_timer_expired(s: StationState, evse: EvseRecord, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.timer.kind is TimerKind.END_REGISTER:
        yield from read_end_register(s, evse, now)


@leads_to_states(SessionState.ENDED, SessionState.OCCUPIED, SessionState.FREE)
def finish_session(s: StationState, evse: EvseRecord, event: MeterRead, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    if event.purpose != end_reading(evse.progress.end_try):
        session.last_wh = max(session.last_wh, event.reading.energy_wh)
        return
    reading = with_offered_limit(evse, event.reading)
    evse.metering.keep_reading(reading)
    if (event.reading.record_due or _vehicle_still_draws(evse, event.reading)) and evse.progress.end_try < END_TRIES:
        session.last_wh = max(session.last_wh, event.reading.energy_wh)
        yield from _retry_end_register(s, evse, now)
        return
    yield from _close_session(s, evse, max(event.reading.energy_wh, session.last_wh), now, reading)


def _vehicle_still_draws(evse: EvseRecord, reading: Reading) -> bool:
    """Return whether the vehicle still draws current. A board that does not see its contactor opens
    it some seconds after release, under load; one that has confirmed nothing within ``CONTACTOR_S``
    is late, or silent until its watchdog opens. What a meter has signed as the end is the end."""
    unseen = not evse.traits.sees_contactor or _current_may_flow(evse)
    return unseen and evse.board.vehicle_connected and reading.signed is None and bool(describe_flow(reading))


@leads_to_states(SessionState.ENDED, SessionState.OCCUPIED, SessionState.FREE)
def end_register_failed(s: StationState, evse: EvseRecord, event: MeterFailed, now: Moment) -> Iterator[Yielded]:
    """Retry; after the last try bill the last good register: never zero, never invented."""
    session = evse.session
    assert session is not None
    if event.purpose != end_reading(evse.progress.end_try):
        return
    if evse.progress.end_try < END_TRIES:
        yield from _retry_end_register(s, evse, now)
        return
    yield from _close_session(s, evse, session.last_wh, now)


def end_session_from_disk(s: StationState, evse: EvseRecord, register_wh: int, now: Moment) -> Iterator[Yielded]:
    """End the session as it is on disk: with this register or its last stored one, and with its
    last sign of life."""
    session = evse.session
    assert session is not None
    if session.stop is None:
        session.stop = PendingStop(StopReason.POWER_LOSS, TriggerReason.ABNORMAL_CONDITION, session.alive_at)
    yield WakeMe(Timer(TimerKind.SESSION_RECOVERY, evse.number), None)
    yield from _close_session(s, evse, max(session.last_wh, register_wh), now)


def _retry_end_register(s: StationState, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
    yield WakeMe(Timer(TimerKind.END_REGISTER, evse.number), now.t_s + max(RETRY_S, 2 * s.config.io_s))


def _close_session(
    s: StationState, evse: EvseRecord, meter_wh: int, now: Moment, reading: Reading | None = None
) -> Iterator[Yielded]:
    """Close the session. The stop is on disk (the queued message and the deleted session are one
    transaction) before it is sent."""
    session = evse.session
    assert session is not None
    assert session.stop is not None
    stop = session.stop
    at = stop.at if stop.at > session.started else session.started
    ended = TransactionEnded(
        session.id, evse.number, stop.token, at, meter_wh, StopReason(stop.reason), TriggerReason(stop.trigger),
        offline=not s.backend_online, note=stop.note, samples=(*(evse.tx.samples if evse.tx else ()), *session.samples),
        reading=reading, plugged=False if stop.unplugged else None, signed=reading.signed if reading else None,
        cost=evse.pricing.cost_at_end(session.id, meter_wh, at, now),
        tariff_id=evse.pricing.take_unreported_tariff(session.id),
    )  # fmt: skip
    yield Persist("session", session.id, None)
    yield from owe_meter_record(evse, session, meter_wh, at, reading)
    to_sign = bill_of_session(s, evse, session, meter_wh, at, reading, now)
    yield from session_ended(s, evse, session, ended, now, to_sign)
    evse.last_session = EndedSession(
        session.id, session.token, session.started, at, meter_wh - session.start_wh, stop.reason, session.start_wh,
        ended.signed, to_sign, session.group,
    )  # fmt: skip
    evse.session, evse.progress.charging = None, ChargingState.IDLE
    yield WakeMe(Timer(TimerKind.END_REGISTER, evse.number), None)
    evse.state = (
        state_without_session(evse)
        if evse.progress.vehicle_replaced or not (evse.board.cable_plugged or evse.board.vehicle_connected)
        else SessionState.ENDED
    )
    card = None if session.web or session.token.type in CARDLESS else session.token
    yield SessionClosed(evse.number, session.id, stop.reason, meter_wh, at, card, session.group)
    yield situation_changed(evse)
