"""A running session: it reports what the vehicle and the board do, and decides what survives a
pulled plug."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    Event,
    EvseEvent,
    LimitChanged,
    MeterRead,
    OfferChanged,
    ReleaseRefused,
    StopWanted,
    TimeCame,
    VehicleConnected,
    VehicleLeft,
    VehicleSessionUsed,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.faults import CATALOGUE, GRACE_S, blocks_charging, ends_session, most_severe_first
from agent.domain.functional_block import Yielded
from agent.domain.messages import ChargingState, StopReason, TriggerReason
from agent.domain.orders import Persist, SetLimit, WakeMe
from agent.domain.session.common import (
    ends_without_energy,
    has_had_energy,
    leads_to_states,
    report_charging_state,
    report_transaction_update,
    restart_settle_timer,
    situation_changed,
)
from agent.domain.session.end import end_session
from agent.domain.session.release import await_lasting_current, pause_release, set_release
from agent.domain.session.tx_points import UNPLUGGING
from agent.domain.session_records import EnergyHolder
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import replace
from agent.model.types import Fault, Moment, Verdict

WAKING_S = 60.0
"""A vehicle may sleep after an interruption, and take so long to ask for energy again (domain seconds)."""
BOUNCE_S = 1.0
"""A plug that is pushed in makes and breaks contact (real seconds)."""


def update_charging_state(s: StationState, evse: EvseRecord, event: Event, now: Moment) -> Iterator[Yielded]:
    yield from report_charging_state(s, evse, now)


def energy_possible(s: StationState, evse: EvseRecord, event: Event, now: Moment) -> Iterator[Yielded]:
    """Start the time that the contactor has (``SETTLE_S``) before its silence is reported: vehicle
    or board is ready for energy."""
    if not evse.board.contactor_closed:
        yield from restart_settle_timer(s, evse, now)
    yield from report_charging_state(s, evse, now)


def current_offer_changed(s: StationState, evse: EvseRecord, event: OfferChanged, now: Moment) -> Iterator[Yielded]:
    yield from (energy_possible if event.on else update_charging_state)(s, evse, event, now)


@leads_to_states(SessionState.ENDING)
def active_timer_expired(s: StationState, evse: EvseRecord, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.timer.kind is TimerKind.UNPLUG_BOUNCE and not evse.board.vehicle_connected:
        yield from end_session(s, evse, _stop_for_unplug(evse), now)
    if event.timer.kind is TimerKind.CONNECTION_TIMEOUT and not evse.board.vehicle_connected:
        yield from end_session(
            s, evse, StopWanted(evse.number, StopReason.TIMEOUT, TriggerReason.EV_CONNECT_TIMEOUT), now
        )
    if event.timer.kind is TimerKind.PAUSE_END and evse.release_order.resumes_at_s is not None:
        yield from set_release(s, evse, True)
        yield from restart_settle_timer(s, evse, now)
        yield from report_charging_state(s, evse, now)
    if event.timer.kind is not TimerKind.STATE_SETTLED:
        return
    evse.progress.state_settled = True
    yield from report_charging_state(s, evse, now)
    if evse.progress.charging is not ChargingState.SUSPENDED_EV or not ends_without_energy(s, evse):
        return
    if (waking_s := _waking_time_left_s(evse, now)) > 0.0:
        yield WakeMe(Timer(TimerKind.STATE_SETTLED, evse.number), now.t_s + waking_s)
    else:
        reason = StopReason.STOPPED_BY_EV, TriggerReason.CHARGING_STATE_CHANGED
        yield from end_session(s, evse, StopWanted(evse.number, *reason), now)


def _waking_time_left_s(evse: EvseRecord, now: Moment) -> float:
    """Return how long the vehicle may still take to ask for energy again. Its energy before the restart was interrupted
    by the station: it is full only if it stays silent."""
    progress = evse.progress
    if progress.energy_delivered:
        return 0.0
    if progress.waking_until_s is None:
        progress.waking_until_s = now.t_s + WAKING_S
    return progress.waking_until_s - now.t_s


@leads_to_states(SessionState.ENDING)
def cable_removed(s: StationState, evse: EvseRecord, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
    if not evse.traits.tethered:  # a fixed cable only leaves the vehicle
        yield from end_session(s, evse, _stop_for_unplug(evse), now)


@leads_to_states(SessionState.ENDING)
def vehicle_session_used(
    s: StationState, evse: EvseRecord, event: VehicleSessionUsed, now: Moment
) -> Iterator[Yielded]:
    """End the transaction, unless its tariff charges for occupancy. A session that a withdrawal of
    release has ended stays open as it was meant to; one that the board has ended, or has not begun,
    cannot go on."""
    if not event.by_itself:
        if evse.release_order.given:
            reason = StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION
            yield from end_session(s, evse, StopWanted(evse.number, *reason), now)
        return
    tariff = evse.pricing.bill.tariff if evse.pricing.bill is not None else None
    session = evse.session
    if session is not None and tariff is not None and any(rates.occupancy for rates in tariff.rates_by_window()):
        session.spent = True
        yield Persist("session", session.id, session.to_record())
        yield from report_charging_state(s, evse, now)
    else:
        reason = StopReason.STOPPED_BY_EV, TriggerReason.CHARGING_STATE_CHANGED
        yield from end_session(s, evse, StopWanted(evse.number, *reason), now)


@leads_to_states(SessionState.ENDING)
def vehicle_left(s: StationState, evse: EvseRecord, event: VehicleLeft, now: Moment) -> Iterator[Yielded]:
    """End the session because the driver pulled the plug at the car, unless the backend wants it to
    survive (1.6 test case 005_3); then no energy is given until the vehicle is back. A fixed cable
    does not show who holds it: the authorization waits no longer than for a first plug (2.x E10).
    Before there was energy a plug has a moment to be pushed in for good."""
    ends = s.settings.bool_value("stop_on_ev_disconnect") or bool(s.tx_stop_points() & UNPLUGGING)
    if ends and _energy_had_or_lost(evse):
        yield from end_session(s, evse, _stop_for_unplug(evse), now)
        return
    yield from set_release(s, evse, False)
    if ends:
        yield WakeMe(Timer(TimerKind.UNPLUG_BOUNCE, evse.number), now.t_s + BOUNCE_S * s.config.io_s)
        return
    if evse.traits.tethered:
        yield WakeMe(
            Timer(TimerKind.CONNECTION_TIMEOUT, evse.number), now.t_s + s.settings.int_value("connection_timeout_s")
        )
    yield from report_charging_state(s, evse, now)


def apply_changed_limit(s: StationState, evse: EvseRecord, event: LimitChanged, now: Moment) -> Iterator[Yielded]:
    """Apply another limit. Below the minimum the session pauses: release is withdrawn, and nothing
    ends. When there has been enough current for ``RESUME_S``, release is given back where it was
    requested. A session that had none yet is released at once. Where release is given once only, the
    limit alone carries the pause."""
    yield SetLimit(evse.number, evse.charging_limit)
    if evse.traits.one_release and evse.release_order.given:
        if not evse.paused_by_limit:
            if evse.progress.charging is ChargingState.SUSPENDED_EVSE:
                yield from restart_settle_timer(s, evse, now)
        elif evse.board.requests_energy or not evse.progress.state_settled:  # it asks until it may draw again
            evse.progress.state_settled = False
            yield WakeMe(Timer(TimerKind.STATE_SETTLED, evse.number), None)
    elif evse.paused_by_limit and evse.release_order.given:
        yield from pause_release(s, evse)
    elif evse.release_order.paused:
        yield from await_lasting_current(evse, now)
    elif evse.release_order.requested and not evse.release_order.given:
        yield from set_release(s, evse, True)
        yield from restart_settle_timer(s, evse, now)
    yield from report_charging_state(s, evse, now)


def release_refused(s: StationState, evse: EvseRecord, event: ReleaseRefused, now: Moment) -> Iterator[Yielded]:
    """Let the session go on without energy, and report that, until the vehicle is plugged in again
    or the board is reopened: a release that is not there must not be reported, and it is not
    retried all night."""
    if evse.release_order.given:
        yield from set_release(s, evse, False)
        yield WakeMe(Timer(TimerKind.STATE_SETTLED, evse.number), None)
        yield from report_charging_state(s, evse, now)


def _stop_for_unplug(evse: EvseRecord) -> StopWanted:
    """Return the stop for a pulled plug. One board state may show plug and fault at once: a
    short-circuited pilot hides the vehicle. The fault is the reason then."""
    why = next((f for f in most_severe_first(frozenset(evse.faults)) if ends_session(f) and f not in GRACE_S), None)
    if why is not None:
        return StopWanted(evse.number, CATALOGUE[why].reason, TriggerReason.ABNORMAL_CONDITION, note="fault")
    return StopWanted(evse.number, StopReason.EV_DISCONNECTED, TriggerReason.EV_COMMUNICATION_LOST)


def _energy_had_or_lost(evse: EvseRecord) -> bool:
    """Return whether the session has had energy, or a fault has taken it away for good; otherwise
    it is not settled yet."""
    return has_had_energy(evse) or any(blocks_charging(f) and f not in GRACE_S for f in evse.faults | evse.board.faults)


def vehicle_returned(s: StationState, evse: EvseRecord, event: VehicleConnected, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    for kind in (TimerKind.CONNECTION_TIMEOUT, TimerKind.UNPLUG_BOUNCE):
        yield WakeMe(Timer(kind, evse.number), None)
    session.spent, session.plugged_at = False, evse.board.plugged_at or now.stamp
    yield Persist("session", session.id, session.to_record())
    if not session.held:
        yield from set_release(s, evse, True)
    yield from restart_settle_timer(s, evse, now)
    if evse.progress.charging is ChargingState.IDLE:
        evse.progress.charging = ChargingState.EV_CONNECTED
        if session.reported:
            yield from report_transaction_update(s, evse, session, TriggerReason.CABLE_PLUGGED_IN, now)
    yield from report_charging_state(s, evse, now)
    yield situation_changed(evse)  # release and what the vehicle is waited for, also in the same charging state


def update_register(s: StationState, evse: EvseRecord, event: MeterRead, now: Moment) -> Iterator[Yielded]:
    session = evse.session
    assert session is not None
    session.last_wh = max(session.last_wh, event.reading.energy_wh)
    mark_session_alive(evse, now)
    if session.until_wh is not None and session.last_wh >= session.until_wh:
        yield from withhold_energy(s, evse, now, by=EnergyHolder.TOKEN)


def mark_session_alive(evse: EvseRecord, now: Moment) -> None:
    """Note that the session lives and its vehicle is there, if the board answers. Neither a
    register alone nor a session that waits for its board proves anything of the plug."""
    if evse.session is not None and evse.state is SessionState.ACTIVE and Fault.BOARD_SILENT not in evse.faults:
        evse.session.alive_at = now.stamp


def limit_invalid_token_energy(s: StationState, evse: EvseRecord, verdict: Verdict, now: Moment) -> Iterator[Yielded]:
    """Limit a session whose token turned out to be invalid and that is to stay open
    (StopTransactionOnInvalidId false). It gets as many more watt-hours as MaxEnergyOnInvalidId
    allows (1.6 9.1; 2.x C15, E05), from the newest register on, then none. An authorization that waits keeps the
    refusal for its session, which begins with the limit."""
    session, grant = evse.session, evse.authorization
    if session is None and grant is not None:
        grant.verdict = replace(grant.verdict or verdict, status=verdict.status)  # its group and EVSEs stay known
    more_wh = s.settings.int_value("max_energy_on_invalid_wh")
    if session is None or session.until_wh is not None:
        return
    if more_wh == 0:
        yield from withhold_energy(s, evse, now, by=EnergyHolder.TOKEN)
    elif evse.state in (SessionState.ACTIVE, SessionState.RECOVERING):
        session.until_wh = session.last_wh + more_wh
        yield Persist("session", session.id, session.to_record())


def withhold_energy(
    s: StationState,
    evse: EvseRecord,
    now: Moment,
    trigger: TriggerReason = TriggerReason.CHARGING_STATE_CHANGED,
    *,
    by: EnergyHolder,
) -> Iterator[Yielded]:
    """Withdraw release until the session is ended or gets energy again; the session stays open.
    ``trigger``: why, for the backends. ``by``: what withholds it; each must give it again."""
    session = evse.session
    if session is None or evse.state not in (SessionState.ACTIVE, SessionState.RECOVERING):
        return
    was_held, is_known = session.held, by in session.withheld_by
    session.held, session.withheld_by = True, session.withheld_by | {by}
    if was_held:
        if not is_known:
            yield Persist("session", session.id, session.to_record())
        return
    yield from set_release(s, evse, False)
    yield Persist("session", session.id, session.to_record())
    if evse.state is SessionState.ACTIVE:
        yield from report_charging_state(s, evse, now, trigger)


def restore_energy(s: StationState, evse: EvseRecord, now: Moment, by: EnergyHolder) -> Iterator[Yielded]:
    """Give energy again to a running session, unless something else than ``by`` withholds it as well. A board that has
    ended the session of its vehicle (DC) gives it none any more."""
    session = evse.session
    if session is None or not session.held or evse.state is not SessionState.ACTIVE or evse.board.session_used:
        return
    session.withheld_by -= {by}
    if session.withheld_by:
        yield Persist("session", session.id, session.to_record())
        return
    session.held = False
    yield Persist("session", session.id, session.to_record())
    if evse.board.vehicle_connected:
        yield from set_release(s, evse, True)
        yield from restart_settle_timer(s, evse, now)
        yield from report_charging_state(s, evse, now)
