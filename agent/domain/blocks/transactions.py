"""Run transactions without a session: those that begin before an authorization, and those that
outlive it (decision 9; OCPP 2.x E01-E06). With the default points a transaction is its session, and
nothing happens here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.events import (
    AuthorizationDropped,
    BayChanged,
    BoardOpened,
    MeterFailed,
    MeterRead,
    SessionClosed,
    Started,
    StopRequested,
    StopWanted,
    StoreLost,
    TimeCame,
    TokenAccepted,
    TransactionAbandoned,
    TransactionClosed,
    TransactionOpened,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import Persist, WakeMe
from agent.domain.serialization import UnreadableRecord
from agent.domain.session.resume import RECOVER_S, plug_is_uninterrupted
from agent.domain.session.signed_readings import bill_of_reading
from agent.domain.session.tx_points import (
    authorization_ended,
    authorize_transaction,
    close_transaction,
    forget_transaction_begin,
    may_open_transaction,
    move_transaction,
    open_transaction,
    outlasts_authorization,
    persist_transaction,
    reached_start_point,
    read_transaction_begin,
    report_open_transaction,
    resume_transaction,
)
from agent.domain.stop_reason import PendingStop
from agent.domain.timers import Timer, TimerKind
from agent.domain.transaction import Transaction, TxPoint
from agent.model.types import Fault, Moment

_UNPLUGGED = (StopReason.EV_DISCONNECTED, TriggerReason.EV_COMMUNICATION_LOST)
_LEFT = (StopReason.LOCAL, TriggerReason.EV_DEPARTED)
_LOST = (StopReason.POWER_LOSS, TriggerReason.ABNORMAL_CONDITION)


class Transactions:
    def __init__(self, site: StationState) -> None:
        self._site = site

    # --- begin of a transaction ----------------------------------------------------------------------------------

    def _read_begin_register(self, evse: EvseRecord) -> Iterator[Yielded]:
        """Read the register that the transaction begins with, if one begins."""
        if may_open_transaction(self._site, evse) and not evse.tx_asked and reached_start_point(self._site, evse):
            yield read_transaction_begin(evse)

    @handles_events(MeterRead)
    def open_or_advance_transaction(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if event.purpose == evse.tx_asked:
            forget_transaction_begin(evse)
            trigger = reached_start_point(self._site, evse)
            if trigger and may_open_transaction(self._site, evse):
                evse.metering.keep_reading(event.reading)
                to_sign = bill_of_reading(self._site, evse, event.reading, "sign_samples", "B", now)
                yield from open_transaction(self._site, evse, trigger, now, event.reading, to_sign)
        elif evse.tx is not None and evse.session is None and evse.tx.placed:
            if event.reading.energy_wh > evse.tx.last_wh:  # a reported value must not exceed the register of the end
                evse.tx.last_wh = event.reading.energy_wh
                yield persist_transaction(evse.tx)
            self._note_alive(evse, now)

    @handles_events(MeterFailed)
    def forget_failed_reading(self, event: MeterFailed, now: Moment) -> Iterator[Yielded]:
        """Begin no transaction without a register; the next occasion may ask again."""
        evse = self._site.evses[event.evse]
        if event.purpose == evse.tx_asked:
            forget_transaction_begin(evse)
        yield from ()

    @handles_events(VehicleConnected)
    def follow_connected_vehicle(self, event: VehicleConnected, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        tx = evse.tx
        if tx is None:
            yield from self._read_begin_register(evse)
        elif evse.session is None and tx.placed:
            tx.plugged_at, tx.alive_at = evse.board.plugged_at, now.stamp
            yield persist_transaction(tx)
            yield from report_open_transaction(self._site, evse, tx, now, TriggerReason.CABLE_PLUGGED_IN)

    @handles_events(SessionClosed)
    def open_for_replaced_vehicle(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        """Begin a transaction for a vehicle that came while the session was being ended."""
        evse = self._site.evses[event.evse]
        if evse.progress.vehicle_replaced and evse.board.vehicle_connected:
            yield from self._read_begin_register(evse)

    @handles_events(TokenAccepted)
    def authorize_transaction(self, event: TokenAccepted, now: Moment) -> Iterator[Yielded]:
        """Authorize the transaction: the session table has taken the authorization."""
        evse = self._site.evses[event.evse]
        if evse.authorization is None or evse.authorization.token is not event.token:
            return
        yield from self._take_transaction_along(evse, now)
        tx = evse.tx
        if tx is not None and tx.stop is not None:  # no session runs on a transaction whose authorization has ended
            yield from close_transaction(self._site, evse, tx, now, StopReason.OTHER, TriggerReason.AUTHORIZED)
            tx = None
        if tx is not None and tx.waits_for_authorization:
            yield from authorize_transaction(self._site, evse, tx, now)
        elif tx is None and evse.state is SessionState.AUTHORIZED:
            wanted = reached_start_point(self._site, evse)
            if (
                (event.movable_by_cable or event.movable_by_badge)
                and wanted
                and may_open_transaction(self._site, evse)
                and TxPoint.AUTHORIZED in self._site.tx_start_points()
            ):
                yield from open_transaction(self._site, evse, wanted, now)
            else:
                yield from self._read_begin_register(evse)

    def _take_transaction_along(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Move the transaction with its authorization: the first cable has chosen the EVSE."""
        assert evse.authorization is not None
        for other in self._site.evses.values():
            tx = other.tx
            if (
                other is evse
                or tx is None
                or tx.placed
                or other.authorization is not None
                or tx.token != evse.authorization.token
            ):
                continue
            # one authorization, one transaction: that of the vehicle's place
            if evse.tx is not None and evse.tx.stop is None:
                yield from close_transaction(
                    self._site, other, tx, now, StopReason.OTHER, TriggerReason.CABLE_PLUGGED_IN
                )
                continue
            if evse.tx is not None:
                yield from close_transaction(self._site, evse, evse.tx, now, StopReason.OTHER, TriggerReason.AUTHORIZED)
            move_transaction(tx, other, evse)
            yield persist_transaction(tx)

    # --- end of a transaction ------------------------------------------------------------------------------------

    @handles_events(AuthorizationDropped)
    def end_without_authorization(self, event: AuthorizationDropped, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        tx = evse.tx
        if (
            tx is not None
            and not tx.waits_for_authorization
            and tx.stop is None
            and evse.session is None
            and evse.authorization is None
        ):
            yield from authorization_ended(
                self._site, evse, tx, PendingStop(event.reason, event.trigger, now.stamp), now
            )

    @handles_events(VehicleLeft)
    def end_when_vehicle_leaves(self, event: VehicleLeft, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        tx = evse.tx
        if tx is None or evse.session is not None:
            return
        if self._has_reason_to_go_on(evse, tx) and not (
            tx.stop is None and TxPoint.EV_CONNECTED in self._site.tx_stop_points()
        ):
            tx.plugged_at = None
            yield persist_transaction(tx)
            yield from report_open_transaction(self._site, evse, tx, now, TriggerReason.EV_COMMUNICATION_LOST)
        else:
            yield from close_transaction(self._site, evse, tx, now, *_UNPLUGGED)

    @handles_events(BayChanged)
    def follow_bay_sensor(self, event: BayChanged, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if not evse.config.bay_sensor:
            return
        if event.occupied:
            yield from self._read_begin_register(evse)
        elif evse.session is not None:
            if TxPoint.BAY in self._site.tx_stop_points():
                yield StopWanted(evse.number, *_LEFT)
        elif evse.tx is not None:
            ends = TxPoint.BAY in self._site.tx_stop_points() or not self._has_reason_to_go_on(evse, evse.tx)
            if ends:
                yield from close_transaction(self._site, evse, evse.tx, now, *_LEFT)

    def _has_reason_to_go_on(self, evse: EvseRecord, tx: Transaction) -> bool:
        """True if the transaction still has a reason to go on."""
        if tx.stop is not None:
            return outlasts_authorization(self._site, evse)
        counts = TxPoint.BAY in self._site.tx_start_points() | self._site.tx_stop_points()
        return evse.authorization is not None or evse.board.vehicle_connected or (evse.bay_counts_occupied and counts)

    @handles_events(TransactionAbandoned)
    def abandon_transaction(self, event: TransactionAbandoned, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if evse.tx is not None and evse.session is None:
            yield from close_transaction(self._site, evse, evse.tx, now, event.reason, event.trigger, event.note)

    # --- restarts ------------------------------------------------------------------------------------------------

    @handles_events(Started)
    def resume_transactions(self, event: Started, now: Moment) -> Iterator[Yielded]:
        for key, record in event.remembered.get("tx", {}).items():
            try:
                tx = Transaction.from_record(key, record)
                evse = self._site.evses[tx.evse]
            except (UnreadableRecord, KeyError, TypeError, ValueError, OverflowError) as e:
                yield from self._set_record_aside(key, record, str(e))
                continue
            if evse.tx is not None or (evse.session is not None and evse.session.id != key):
                yield from self._set_record_aside(key, record, "second open transaction of the same EVSE")
                continue
            resume_transaction(evse, tx)
            yield WakeMe(Timer(TimerKind.TRANSACTION_ALIVE, evse.number), now.t_s + RECOVER_S)

    @handles_events(StoreLost)
    def end_transactions_of_lost_store(self, event: StoreLost, now: Moment) -> Iterator[Yielded]:
        """End transactions that ended in the lost part of the store, as they are on disk."""
        for evse in self._site.evses.values():
            if evse.tx is not None and evse.session is None and evse.tx.id in event.ended:
                yield from close_transaction(self._site, evse, evse.tx, now, *_LOST)

    def _set_record_aside(self, key: str, record: Any, why: str) -> Iterator[Yielded]:
        """Set the record aside. No energy depends on it: the station goes on."""
        yield Persist("poisoned", key, {"record": record if isinstance(record, Mapping) else {}, "why": why})
        yield Persist("tx", key, None)

    @handles_events(BoardOpened)
    def resume_on_board_open(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Go on with proof, otherwise end the transaction. What holds now may begin another one."""
        evse = self._site.evses[event.evse]
        tx = evse.tx
        if tx is not None and evse.session is None:
            lost = self._end_reason_after_restart(evse, tx, event, now)
            if lost:
                yield from close_transaction(self._site, evse, tx, now, *lost)
            else:
                tx.alive_at = now.stamp
                yield persist_transaction(tx)
                yield TransactionOpened(evse.number, tx.id)
        if evse.tx is None:
            yield from self._read_begin_register(evse)

    def _end_reason_after_restart(
        self, evse: EvseRecord, tx: Transaction, event: BoardOpened, now: Moment
    ) -> tuple[StopReason, TriggerReason] | None:
        if tx.token is not None and tx.stop is None and evse.authorization is None:
            return _LOST  # the authorization did not outlive the agent
        if tx.plugged_at is not None and not evse.board.vehicle_connected:
            return (
                None
                if self._has_reason_to_go_on(evse, tx) and TxPoint.EV_CONNECTED not in self._site.tx_stop_points()
                else _UNPLUGGED
            )
        if tx.plugged_at is not None and not plug_is_uninterrupted(self._site, evse, tx, event, now):
            return _LOST
        if tx.plugged_at is None and tx.alive_at.boot != now.stamp.boot:
            return _LOST
        return None if self._has_reason_to_go_on(evse, tx) else _LEFT

    @handles_events(TransactionOpened)
    def arm_proof_of_life(self, event: TransactionOpened, now: Moment) -> Iterator[Yielded]:
        yield from self._arm_alive_timer(self._site.evses[event.evse], now)

    @handles_events(TransactionClosed)
    def disarm_proof_of_life(self, event: TransactionClosed, now: Moment) -> Iterator[Yielded]:
        yield WakeMe(Timer(TimerKind.TRANSACTION_ALIVE, event.evse), None)

    def _arm_alive_timer(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Keep the last sign of life fresh: it is the proof where the board does not count."""
        wake_s = None if evse.traits.counts_plugged else now.t_s + self._site.config.resume_within_s / 2
        yield WakeMe(Timer(TimerKind.TRANSACTION_ALIVE, evse.number), wake_s)

    @handles_timer(TimerKind.TRANSACTION_ALIVE)
    def renew_proof_of_life(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.timer.evse]
        if evse.tx is None or evse.session is not None:
            return
        if not evse.board.known:
            yield from close_transaction(self._site, evse, evse.tx, now, *_LOST)
            return
        self._note_alive(evse, now)
        yield persist_transaction(evse.tx)
        yield from self._arm_alive_timer(evse, now)

    def _note_alive(self, evse: EvseRecord, now: Moment) -> None:
        if evse.tx is not None and evse.board.known and Fault.BOARD_SILENT not in evse.faults:
            evse.tx.alive_at = now.stamp

    @handles_events(StopRequested)
    def keep_alive_time_on_stop(self, event: StopRequested, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            if evse.tx is not None and evse.session is None:
                self._note_alive(evse, now)
                yield persist_transaction(evse.tx)
