"""What all rules of the session table share: their type, and the small steps that several of them
take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from agent.domain.charging.station_limits import StationLimits
from agent.domain.events import Event, EvseEvent, SituationChanged
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import ChargingState, TransactionUpdated, TriggerReason
from agent.domain.orders import SetLimit, WakeMe
from agent.domain.session.tx_points import send_to_backends, start_late_transaction
from agent.domain.session_records import Session
from agent.domain.timers import Timer, TimerKind
from agent.domain.transaction import TxPoint
from agent.model.fastclass import replace
from agent.model.types import Moment, Reading

Rule: TypeAlias = Callable[[StationState, EvseRecord, Any, Moment], Iterator[Yielded]]

SETTLE_S = 5.0
"""How long after the start a vehicle may take before its silence is reported as suspended (decision
table, row 4)."""


def leads_to_states(*states: SessionState) -> Callable[[Rule], Rule]:
    """Declare which states a rule may lead to (besides staying)."""

    def declare_targets(rule: Rule) -> Rule:
        rule.targets = states  # type: ignore[attr-defined]
        return rule

    return declare_targets


def situation_changed(evse: EvseRecord) -> SituationChanged:
    return SituationChanged(evse.number)


def set_limit_before_release(s: StationState, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
    """Compute the limit and send it to the board, before release is given."""
    StationLimits(s).compute_starting_limit(evse, now)
    yield SetLimit(evse.number, evse.charging_limit)


def with_offered_limit(evse: EvseRecord, reading: Reading) -> Reading:
    """Return the reading with the limit in force and the battery's state of charge, which a meter
    does not know. The limit is as the board reports it, otherwise as it was ordered; the state of
    charge is as the vehicle has reported it to the board."""
    if evse.config.dc:
        ordered_w = evse.charging_limit.power_w if evse.board.offered_w is None else evse.board.offered_w
        offered_w = (ordered_w or 0.0) if evse.release_order.given else 0.0
        return replace(reading, offered_w=offered_w, soc_percent=evse.board.soc_percent)
    if reading.offered_a is not None:
        return reading
    ordered_a = evse.charging_limit.current_a if evse.board.offered_a is None else evse.board.offered_a
    offered_a = (ordered_a or 0.0) if evse.release_order.given else 0.0
    return replace(reading, offered_a=offered_a, offered_w=offered_a * evse.watts_per_a)


def state_without_session(evse: EvseRecord) -> SessionState:
    """Return the state of an EVSE that has neither session nor authorization."""
    return SessionState.OCCUPIED if evse.board.cable_plugged or evse.board.vehicle_connected else SessionState.FREE


def charging_state(evse: EvseRecord) -> ChargingState:
    """Return the charging state of a running session (decision table from the IEC 61851-1 pilot to
    the OCPP charging state). The station's own pause wins over the vehicle's, unless the vehicle
    takes nothing any more. Between release and the first sign of the vehicle the old state stays
    for ``SETTLE_S``."""
    session = evse.session
    if session is not None and session.spent and evse.board.session_used and not session.held:
        return ChargingState.SUSPENDED_EV
    if not evse.board.vehicle_connected:
        return ChargingState.IDLE
    if not evse.release_order.given or evse.paused_by_limit:
        return ChargingState.SUSPENDED_EVSE
    if evse.board.requests_energy and evse.board.contactor_closed:
        return ChargingState.CHARGING
    if not evse.progress.state_settled:  # row 4
        return evse.progress.charging
    if evse.board.requests_energy or not evse.board.offering:
        return ChargingState.SUSPENDED_EVSE
    return ChargingState.SUSPENDED_EV


def report_charging_state(
    s: StationState, evse: EvseRecord, now: Moment, trigger: TriggerReason = TriggerReason.CHARGING_STATE_CHANGED
) -> Iterator[Yielded]:
    """Report a changed charging state, and why it has changed."""
    session = evse.session
    new = charging_state(evse)
    if session is None or new is evse.progress.charging:
        return
    evse.progress.charging = new
    if new is ChargingState.CHARGING:
        evse.progress.state_settled = evse.progress.energy_delivered = True
    if not session.reported:
        if evse.progress.energy_delivered:
            yield from start_late_transaction(s, evse, session, now.stamp)
        yield situation_changed(evse)
        return
    if new is ChargingState.SUSPENDED_EV and ends_without_energy(s, evse):
        yield WakeMe(Timer(TimerKind.STATE_SETTLED, evse.number), now.t_s + max(SETTLE_S, 3 * s.config.io_s))
    lost = new is ChargingState.IDLE
    yield from report_transaction_update(
        s, evse, session, TriggerReason.EV_COMMUNICATION_LOST if lost else trigger, now
    )


def report_transaction_update(
    s: StationState, evse: EvseRecord, session: Session, trigger: TriggerReason, now: Moment
) -> Iterator[Yielded]:
    update = TransactionUpdated(
        session.id, evse.number, now.stamp, trigger, evse.progress.charging, offline=not s.backend_online,
        tariff_id=evse.pricing.take_unreported_tariff(session.id),
    )  # fmt: skip
    yield from send_to_backends(s, update)
    yield situation_changed(evse)


def has_had_energy(evse: EvseRecord) -> bool:
    """Return whether the session has had energy. Of energy before a restart only the register on disk is a proof."""
    session = evse.session
    return evse.progress.energy_delivered or (session is not None and session.last_wh > session.start_wh)


def ends_without_energy(s: StationState, evse: EvseRecord) -> bool:
    """Return whether the transaction ends when the vehicle, which has had energy, takes no more
    (stop point EnergyTransfer)."""
    return has_had_energy(evse) and TxPoint.ENERGY in s.tx_stop_points()


def restart_settle_timer(s: StationState, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
    evse.progress.state_settled = False
    begins_s = evse.traits.begins_s if evse.release_order.given else 0.0
    yield WakeMe(Timer(TimerKind.STATE_SETTLED, evse.number), now.t_s + max(SETTLE_S + begins_s, 3 * s.config.io_s))


def ignore_event(s: StationState, evse: EvseRecord, event: Event, now: Moment) -> Iterator[Yielded]:
    """Do nothing: this event changes nothing in this state."""
    return iter(())


def report_situation(s: StationState, evse: EvseRecord, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
    """Report that the socket looks different; nothing else has changed."""
    yield situation_changed(evse)
