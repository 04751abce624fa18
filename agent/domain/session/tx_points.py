"""What the start and stop points do to what is reported (decision 9). They do not decide about
energy: the session table decides about that, and asks here when a session begins, charges and ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.domain.events import TransactionClosed, TransactionOpened
from agent.domain.evse import EvseRecord, ServiceState, StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import (
    ChargingState,
    Message,
    MeterSampled,
    StopReason,
    TransactionAuthorized,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.ocmf import OcmfBill
from agent.domain.orders import Persist, ReadMeter, Send
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.domain.session_records import Authorization, Session
from agent.domain.stop_reason import PendingStop
from agent.domain.transaction import Transaction, TxPoint
from agent.model.fastclass import replace
from agent.model.types import Moment, Reading, Stamp

RIGHT_ENDED = frozenset(
    (
        StopReason.LOCAL,
        StopReason.REMOTE,
        StopReason.DEAUTHORIZED,
        StopReason.EV_DISCONNECTED,
        StopReason.STOPPED_BY_EV,
        StopReason.TIMEOUT,
    )
)
"""Stop reasons that a transaction may outlive. Everything else is a fault, a reset, an unlock, a
lost proof."""
OUTLASTING = frozenset((TxPoint.EV_CONNECTED, TxPoint.BAY))
"""Stop points that may come after the authorization has ended."""
LATE_POINTS = frozenset((TxPoint.ENERGY, TxPoint.DATA_SIGNED))
"""Start points that may come after the session has begun."""
UNPLUGGING = frozenset((TxPoint.EV_CONNECTED, TxPoint.POWER_PATH, TxPoint.ENERGY))
"""Stop points that come with the vehicle's end of the cable, whether or not the authorization ends."""


_WITH_OFFLINE = (TransactionStarted, TransactionAuthorized, TransactionUpdated, MeterSampled, TransactionEnded)


def send_to_backends(
    s: StationState, message: Message, to_sign: OcmfBill | None = None, links: Iterable[str] | None = None
) -> Iterator[Yielded]:
    """Send the message to these links; None: to all. ``offline`` of the message is said of the first
    backend, which authorizes. Another one gets whether its own connection is down now."""
    for link in s.config.links if links is None else links:
        yield Send(link, message if link == s.config.links[0] else _with_own_offline(s, link, message), to_sign)


def _with_own_offline(s: StationState, link: str, message: Message) -> Message:
    is_offline = not s.link_up.get(link, False)
    if not isinstance(message, _WITH_OFFLINE) or message.offline is is_offline:
        return message
    return replace(message, offline=is_offline)


def persist_transaction(tx: Transaction) -> Persist:
    return Persist("tx", tx.id, tx.to_record(), tx.to_sign)


def idle_charging_state(evse: EvseRecord) -> ChargingState:
    """The charging state of a transaction without a session."""
    return ChargingState.EV_CONNECTED if evse.board.vehicle_connected else ChargingState.IDLE


def reported_charging_state(evse: EvseRecord) -> ChargingState:
    """Return the charging state of the open transaction."""
    return evse.progress.charging if evse.session is not None else idle_charging_state(evse)


def authorization_trigger(grant: Authorization) -> TriggerReason:
    return TriggerReason.REMOTE_START if grant.remote_id else TriggerReason.AUTHORIZED


# --- the begin -------------------------------------------------------------------------------------------------------


def may_open_transaction(s: StationState, evse: EvseRecord) -> bool:
    free = evse.session is None and evse.tx is None and evse.board.known
    return free and not s.stopping and s.service_state(evse) in (ServiceState.IN_SERVICE, ServiceState.RESERVED)


def reached_start_point(s: StationState, evse: EvseRecord) -> TriggerReason | None:
    """Return the early start point that holds right now: authorization first, for its token is
    worth reporting."""
    starts = s.tx_start_points()
    if evse.authorization is not None and (
        TxPoint.AUTHORIZED in starts or (evse.board.vehicle_connected and TxPoint.EV_CONNECTED in starts)
    ):
        return authorization_trigger(evse.authorization)
    if evse.board.vehicle_connected and TxPoint.EV_CONNECTED in starts:
        return TriggerReason.CABLE_PLUGGED_IN
    return TriggerReason.EV_DETECTED if evse.bay_counts_occupied and TxPoint.BAY in starts else None


def read_transaction_begin(evse: EvseRecord) -> ReadMeter:
    """Return the order that reads the register a transaction begins with."""
    evse.tx_try += 1
    evse.tx_asked = purpose = ReadingPurpose(ReadingKind.TRANSACTION, evse.tx_try)
    return ReadMeter(evse.number, purpose, billing=True)


def forget_transaction_begin(evse: EvseRecord) -> None:
    evse.tx_asked = None


def resume_transaction(evse: EvseRecord, tx: Transaction) -> None:
    """Take up a transaction that was open when the agent stopped."""
    evse.tx = tx


def move_transaction(tx: Transaction, old_place: EvseRecord, new_place: EvseRecord) -> None:
    old_place.tx, new_place.tx, tx.evse = None, tx, new_place.number


def open_transaction(
    s: StationState, evse: EvseRecord, trigger: TriggerReason, now: Moment, reading: Reading | None = None,
    to_sign: OcmfBill | None = None,
) -> Iterator[Yielded]:  # fmt: skip
    """Put the transaction on disk and report its start. Without ``reading``: the EVSE is not chosen
    yet. ``to_sign``: what the station signs of the reading."""
    grant = evse.authorization
    at, meter_wh = (reading.at, reading.energy_wh) if reading else (now.stamp, 0)
    evse.tx_asked = None
    evse.tx = tx = Transaction(
        id=s.collaborators.new_id(),
        evse=evse.number,
        started=at,
        start_wh=meter_wh,
        last_wh=meter_wh,
        alive_at=now.stamp,
        plugged_at=evse.board.plugged_at,
        placed=reading is not None,
        token=grant.token if grant else None,
    )
    yield persist_transaction(tx)
    yield from send_to_backends(s, TransactionStarted(
        tx.id, evse.number if tx.placed else 0, tx.token, at, meter_wh, trigger, idle_charging_state(evse),
        offline=not s.backend_online or bool(grant and grant.offline), remote_id=grant.remote_id if grant else "",
        reading=reading, reservation=grant.reservation if grant else "", payment=grant.payment if grant else None,
    ), to_sign)  # fmt: skip
    yield TransactionOpened(evse.number, tx.id)


def authorize_transaction(s: StationState, evse: EvseRecord, tx: Transaction, now: Moment) -> Iterator[Yielded]:
    """Report that the open transaction is authorized now."""
    grant = evse.authorization
    assert grant is not None
    tx.token = grant.token
    yield persist_transaction(tx)
    yield from send_to_backends(s, TransactionAuthorized(
        tx.id, evse.number, tx.token, now.stamp, tx.start_wh, authorization_trigger(grant), idle_charging_state(evse),
        offline=not s.backend_online or grant.offline, remote_id=grant.remote_id, reservation=grant.reservation,
        payment=grant.payment,
    ))  # fmt: skip


def session_begun(
    s: StationState, evse: EvseRecord, session: Session, start: TransactionStarted, now: Moment,
    to_sign: OcmfBill | None = None,
) -> Iterator[Yielded]:  # fmt: skip
    """Report a session that is on disk. ``start``: the message to send where no transaction is open
    and no late start point is waited for. ``to_sign``: what the station signs of its reading."""
    tx = evse.tx
    evse.tx_asked = None
    if tx is None:
        if session.reported:
            yield from send_to_backends(s, start, to_sign)
    elif not tx.placed:
        tx.placed, tx.evse, tx.start_wh, tx.plugged_at = True, evse.number, start.meter_wh, evse.board.plugged_at
        yield persist_transaction(tx)
        yield from send_to_backends(s, TransactionAuthorized(
            tx.id, evse.number, session.token, now.stamp, tx.start_wh, TriggerReason.CABLE_PLUGGED_IN,
            ChargingState.EV_CONNECTED, offline=start.offline, remote_id=start.remote_id, placed=True,
            reading=start.reading, reservation=start.reservation,
        ), to_sign)  # fmt: skip


def transaction_starts_late(s: StationState, evse: EvseRecord, is_signed: bool) -> bool:
    """Return whether the transaction waits for energy. ``is_signed``: the register of the begin is (``DATA_SIGNED``).

    Where DataSigned is the only point and nothing is signed, the transaction begins with its session: what is charged
    has to be billed.
    """
    starts = s.tx_start_points()
    late = evse.tx is None and TxPoint.ENERGY in starts and starts <= LATE_POINTS
    return late and not (is_signed and TxPoint.DATA_SIGNED in starts)


def session_start_trigger(s: StationState, grant: Authorization, is_signed: bool) -> TriggerReason:
    """Return what begins a transaction that begins with its session. A remote start is named whatever the point is
    (2.x F02)."""
    starts = s.tx_start_points()
    by_signature = is_signed and TxPoint.DATA_SIGNED in starts and TxPoint.POWER_PATH not in starts
    return TriggerReason.SIGNED_DATA_RECEIVED if by_signature and not grant.remote_id else authorization_trigger(grant)


def start_late_transaction(s: StationState, evse: EvseRecord, session: Session, at: Stamp) -> Iterator[Yielded]:
    """Start a late transaction now, with the register of the session's begin."""
    session.reported, session.started = True, at
    trigger, state = TriggerReason.CHARGING_STATE_CHANGED, ChargingState.CHARGING
    yield Persist("session", session.id, session.to_record())
    yield from send_to_backends(s, TransactionStarted(
        session.id, evse.number, session.token, at, session.start_wh, trigger, state, offline=not s.backend_online,
        remote_id=session.remote_id, reservation=session.reservation, payment=session.payment,
    ))  # fmt: skip


# --- the end ---------------------------------------------------------------------------------------------------------


def outlasts_authorization(s: StationState, evse: EvseRecord) -> bool:
    """Return whether the transaction goes on without authorization: none of its stop points has
    come."""
    stops = s.tx_stop_points()
    if not stops <= OUTLASTING:
        return False
    return (evse.board.vehicle_connected or TxPoint.EV_CONNECTED not in stops) and (
        evse.bay_counts_occupied or TxPoint.BAY not in stops
    )


def _stop_point_reached(s: StationState, stop: PendingStop) -> bool:
    """Return whether a stop point was the reason of the stop, whatever has come back since."""
    unplugged = stop.trigger == TriggerReason.EV_COMMUNICATION_LOST and TxPoint.EV_CONNECTED in s.tx_stop_points()
    return unplugged or (stop.trigger == TriggerReason.EV_DEPARTED and TxPoint.BAY in s.tx_stop_points())


def is_transaction_reported(session: Session, meter_wh: int) -> bool:
    """Return whether the transaction is reported. A late transaction without energy never is."""
    return session.reported or meter_wh > session.start_wh


def session_ended(
    s: StationState, evse: EvseRecord, session: Session, ended: TransactionEnded, now: Moment,
    to_sign: OcmfBill | None = None,
) -> Iterator[Yielded]:  # fmt: skip
    """End the transaction with its closed session, or keep it open without. ``to_sign``: what the
    station signs of the session."""
    tx, stop = evse.tx, session.stop
    assert stop is not None
    if not is_transaction_reported(session, ended.meter_wh):
        return
    if not session.reported:
        yield from send_to_backends(s, TransactionStarted(
            session.id, evse.number, session.token, session.started, session.start_wh,
            TriggerReason.CHARGING_STATE_CHANGED, ChargingState.CHARGING, offline=session.offline,
            remote_id=session.remote_id, reservation=session.reservation, payment=session.payment,
        ))  # fmt: skip
    if stop.reason not in RIGHT_ENDED or _stop_point_reached(s, stop) or not outlasts_authorization(s, evse):
        if tx is not None:
            evse.tx = None
            yield Persist("tx", tx.id, None)
        yield from send_to_backends(s, ended, to_sign)
        return
    if tx is None:
        tx = Transaction(session.id, evse.number, session.started, session.start_wh, ended.meter_wh, now.stamp)
        tx.token = session.token
    evse.tx, tx.last_wh, tx.stop, tx.samples = tx, ended.meter_wh, stop, ended.samples
    tx.reading, tx.signed, tx.cost, tx.to_sign = ended.reading, ended.signed, ended.cost, to_sign
    yield from keep_transaction_open(s, evse, tx, now)


def keep_transaction_open(s: StationState, evse: EvseRecord, tx: Transaction, now: Moment) -> Iterator[Yielded]:
    """Keep a transaction open whose authorization has ended."""
    assert tx.stop is not None
    tx.alive_at, tx.plugged_at = now.stamp, evse.board.plugged_at
    yield persist_transaction(tx)
    trigger = TriggerReason(tx.stop.trigger)
    yield from report_open_transaction(s, evse, tx, now, trigger)
    yield TransactionOpened(evse.number, tx.id)


def report_open_transaction(
    s: StationState, evse: EvseRecord, tx: Transaction, now: Moment, trigger: TriggerReason
) -> Iterator[Yielded]:
    token = tx.stop.token if tx.stop and trigger is TriggerReason.STOP_AUTHORIZED else None
    yield from send_to_backends(s, TransactionUpdated(
        tx.id, evse.number if tx.placed else 0, now.stamp, trigger, idle_charging_state(evse),
        offline=not s.backend_online, token=token,
    ))  # fmt: skip


def report_requested_event(s: StationState, evse: EvseRecord, now: Moment, link: str = "") -> Iterator[Yielded]:
    """Report the open transaction without meter values, because a backend has asked for an event of it (2.x F06.FR.07,
    FR.10). ``link``: to this backend alone; "": to all. An end that is under way is the event."""
    if not evse.open_transaction_id or (evse.session is not None and evse.session.stop is not None):
        return
    update = TransactionUpdated(
        evse.open_transaction_id, 0 if evse.has_unplaced_transaction else evse.number, now.stamp,
        TriggerReason.CHARGING_STATE_CHANGED, reported_charging_state(evse), offline=not s.backend_online,
        requested=True,
    )  # fmt: skip
    yield from send_to_backends(s, update, links=(link,) if link else None)


def authorization_ended(
    s: StationState, evse: EvseRecord, tx: Transaction, stop: PendingStop, now: Moment
) -> Iterator[Yielded]:
    """End or keep the transaction whose authorization was dropped before there was a session."""
    if stop.reason in RIGHT_ENDED and tx.placed and outlasts_authorization(s, evse):
        tx.stop = stop
        yield from keep_transaction_open(s, evse, tx, now)
    else:
        yield from close_transaction(s, evse, tx, now, stop.reason, stop.trigger, stop.note)


def close_transaction(
    s: StationState, evse: EvseRecord, tx: Transaction, now: Moment, reason: str, trigger: str, note: str = ""
) -> Iterator[Yielded]:
    """End a transaction without a session. It is reported with the reason that started its end, and
    with the last register (no energy was given since its session, or ever)."""
    stop = tx.stop
    at = now.stamp if now.stamp > tx.started else tx.started
    yield Persist("tx", tx.id, None)
    yield from send_to_backends(s, TransactionEnded(
        tx.id, evse.number if tx.placed else 0, stop.token if stop else None, at, tx.last_wh,
        StopReason(stop.reason if stop else reason), TriggerReason(trigger), offline=not s.backend_online,
        note=stop.note if stop else note, samples=tx.samples, reading=tx.last_reading,
        authorized=tx.token is not None and tx.placed, plugged=evse.board.vehicle_connected, signed=tx.signed,
        cost=tx.cost,
    ), tx.to_sign)  # fmt: skip
    evse.tx = None
    yield TransactionClosed(evse.number, tx.id)
