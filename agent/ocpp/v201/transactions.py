"""TransactionEvent (OCPP 2.0.1 E01-E15, J02): started, updated, ended, and the meter values in
between. The transaction has the session's own id. What this version has no words for: that a
transaction went on after a restart (TxResumed, 2.1); a changed charging state reports it."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TransactionAcknowledged
from agent.domain.messages import (
    ChargingState,
    ConnectorUnplugged,
    MeterSampled,
    Sample,
    TransactionAuthorized,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.model.fastclass import replace
from agent.model.types import Reading, ReadingContext, Stamp
from agent.ocpp.dialects.dialect import (
    MessageMerging,
    MessageRow,
    NotExpressible,
    Payload,
    ResponseEffects,
    RowContext,
    decode_empty_response,
    decode_status_alone,
)
from agent.ocpp.dialects.reservation_ids import reservation_number
from agent.ocpp.v201.cost import decode_session_cost, decode_token_message
from agent.ocpp.v201.identifiers import decode_id_token_info, encode_evse, encode_id_token
from agent.ocpp.v201.metering import encode_meter_values, encode_samples, encode_signed_value
from agent.ocpp.wire.timestamps import format_rfc3339
from agent.ports.store import Put

ENERGY = "Energy.Active.Import.Register"
_OF_CONTEXT = {
    ReadingContext.CLOCK: "MeterValueClock",
    ReadingContext.TRIGGER: "Trigger",
}


_LATER_REASONS = {
    TriggerReason.COST_LIMIT: TriggerReason.ENERGY_LIMIT,
    TriggerReason.LIMIT_SET: TriggerReason.CHARGING_STATE_CHANGED,
    TriggerReason.TARIFF_CHANGED: TriggerReason.CHARGING_STATE_CHANGED,
    TriggerReason.TX_RESUMED: TriggerReason.CHARGING_STATE_CHANGED,
}


def trigger_reason(reason: TriggerReason) -> str:
    """Return the trigger reason. Some exist since 2.1 only."""
    return _LATER_REASONS.get(reason, reason).value


def update_reason(message: TransactionUpdated) -> str:
    """Return the trigger reason that fields of the message say instead of ``trigger``; "": none does."""
    if message.requested:
        return _OF_CONTEXT[ReadingContext.TRIGGER]
    return "ChargingRateChanged" if message.rate_changed else ""


def _build_transaction_event(
    kind: str, session: str, at: Stamp, why: str, offline: bool, ctx: RowContext
) -> dict[str, Any]:
    event: dict[str, Any] = {
        "eventType": kind,
        "timestamp": format_rfc3339(ctx.clock.utc_s(at)),
        "triggerReason": why,
        "seqNo": ctx.number,
        "transactionInfo": {"transactionId": session},
    }
    if offline:
        event["offline"] = True
    return event


def _boundary_sample(
    context: ReadingContext, reading: Reading | None, at: Stamp, meter_wh: int, measurands: Any
) -> Sample:
    """Return the first or last sample of a transaction: the billed register always, the rest as
    configured."""
    known = replace(reading, energy_wh=meter_wh) if reading else Reading(at, meter_wh)
    return Sample(context, known, tuple(dict.fromkeys((ENERGY, *measurands))))


def _add_remote_start_id(event: dict[str, Any], remote_id: str, ctx: RowContext) -> None:
    """Add the number of the request for the backend that has made it. A number without a link is of
    an earlier program: it goes to the first backend."""
    link, _, number = remote_id.rpartition("/")
    is_own = link == ctx.link if link else ctx.primary
    if is_own and number.isascii() and number.lstrip("-").isdigit():
        event["transactionInfo"]["remoteStartId"] = int(number)


def _add_reservation_id(event: dict[str, Any], reservation: str, ctx: RowContext) -> None:
    """Add the reservation to the first event of the authorization that uses it (E03.FR.04)."""
    known = reservation_number(reservation, ctx)
    if known is not None:
        event["reservationId"] = known


def _encode_started(message: TransactionStarted, ctx: RowContext) -> dict[str, Any]:
    event = _build_transaction_event(
        "Started", message.session, message.at, trigger_reason(message.trigger), message.offline, ctx
    )
    event["transactionInfo"]["chargingState"] = message.charging.value
    _add_remote_start_id(event, message.remote_id, ctx)
    _add_reservation_id(event, message.reservation, ctx)
    if message.token is not None:
        event["idToken"] = encode_id_token(message.token, ctx)
    if message.evse:  # otherwise EVSE and values follow (J02.FR.21)
        event["evse"] = encode_evse(message.evse)
        event["meterValue"] = encode_samples((_begin_sample(message, message.at, ctx), *message.samples), ctx)
    return event


def _begin_sample(message: TransactionStarted | TransactionAuthorized, at: Stamp, ctx: RowContext) -> Sample:
    wanted = ctx.settings.list_value("start_measurands")
    return _boundary_sample(ReadingContext.BEGIN, message.reading, at, message.meter_wh, wanted)


def _encode_authorized(message: TransactionAuthorized, ctx: RowContext) -> dict[str, Any]:
    """Encode the authorization. The token is sent once; when the EVSE becomes known later, the
    begin values come with it."""
    event = _build_transaction_event(
        "Updated", message.session, message.at, trigger_reason(message.trigger), message.offline, ctx
    )
    event["transactionInfo"]["chargingState"] = message.charging.value
    _add_remote_start_id(event, message.remote_id, ctx)
    event["evse"] = encode_evse(message.evse)
    if message.placed:
        event["meterValue"] = encode_samples((_begin_sample(message, message.at, ctx),), ctx)
    else:
        event["idToken"] = encode_id_token(message.token, ctx)
        _add_reservation_id(event, message.reservation, ctx)
    return event


def _encode_updated(message: TransactionUpdated, ctx: RowContext) -> dict[str, Any]:
    why = update_reason(message) or trigger_reason(message.trigger)
    event = _build_transaction_event("Updated", message.session, message.at, why, message.offline, ctx)
    event["transactionInfo"]["chargingState"] = message.charging.value
    if message.evse:
        event["evse"] = encode_evse(message.evse)
    if message.token is not None:
        event["idToken"] = encode_id_token(message.token, ctx)
    return event


def _encode_meter_event(message: MeterSampled, ctx: RowContext) -> dict[str, Any]:
    """Encode the values. The event is sent even if there is no measured value: its place in the
    transaction is taken."""
    first = message.samples[0]
    why = _OF_CONTEXT.get(first.context, "MeterValuePeriodic")
    event = _build_transaction_event(
        "Updated", message.session, message.at or first.reading.at, why, message.offline, ctx
    )
    if message.charging is not None:
        event["transactionInfo"]["chargingState"] = message.charging.value
    event["evse"] = encode_evse(message.evse)
    values = encode_samples(message.samples, ctx)
    if values:
        event["meterValue"] = values
    return event


def _is_same_event(first: MeterSampled, other: MeterSampled) -> bool:
    """Return whether one event expresses both, but for their times."""
    mine, theirs = ((m.evse, m.offline, m.charging, m.authorized, m.samples[0].context) for m in (first, other))
    return mine == theirs and not other.late


def _encode_ended(message: TransactionEnded, ctx: RowContext) -> dict[str, Any]:
    event = _build_transaction_event(
        "Ended", message.session, message.at, trigger_reason(message.trigger), message.offline, ctx
    )
    plugged = message.plugged
    if plugged is None:
        plugged = message.trigger is not TriggerReason.EV_COMMUNICATION_LOST
    state = ChargingState.EV_CONNECTED if plugged else ChargingState.IDLE
    event["transactionInfo"] |= {"chargingState": state.value, "stoppedReason": message.reason.value}
    if message.token is not None and message.trigger is TriggerReason.STOP_AUTHORIZED:  # sent once
        event["idToken"] = encode_id_token(message.token, ctx)
    if not message.evse:
        return event
    event["evse"] = encode_evse(message.evse)
    wanted = ctx.settings.list_value("stop_sampled_measurands")
    end = _boundary_sample(ReadingContext.END, message.reading, message.at, message.meter_wh, wanted)
    event["meterValue"] = encode_samples((*message.samples, end), ctx)
    if message.signed is not None:  # it belongs to the billed register, the first value of the last sample
        event["meterValue"][-1]["sampledValue"][0] |= encode_signed_value(message.signed, ctx)
    return event


def _decode_event_response(message: Any, payload: Payload, ctx: RowContext) -> ResponseEffects:
    info, token = payload.get("idTokenInfo"), getattr(message, "token", None)
    brought = list(decode_session_cost(message.session, isinstance(message, TransactionEnded), payload, ctx))
    if info is not None and token is not None:
        brought += decode_token_message(token, info, ctx)
    if info is None and not isinstance(message, TransactionStarted):
        return ResponseEffects(tuple(brought))
    verdict = decode_id_token_info(info) if info else None
    event = TransactionAcknowledged(ctx.link, message.session, message.session, verdict, token)
    known = Put("transaction", f"{ctx.link}/{message.session}", {"id": message.session})
    return ResponseEffects((event, *brought), (known,) if isinstance(message, TransactionStarted) else ())


def _decode_malformed_response(message: Any, payload: Payload, ctx: RowContext) -> ResponseEffects:
    """Decode a malformed answer. An answer is no refusal: the backend has the event. Only the
    status of the token may be readable."""
    verdict, token = decode_status_alone(payload.get("idTokenInfo")), getattr(message, "token", None)
    effects = _decode_event_response(message, {}, ctx)
    if verdict is None:
        return effects
    event = TransactionAcknowledged(ctx.link, message.session, message.session, verdict, token)
    return replace(effects, events=(event,))


_LOOSE = MessageRow(MeterSampled, "MeterValues", encode_meter_values, decode_empty_response)

ROWS = (
    MessageRow(
        TransactionStarted,
        "TransactionEvent",
        _encode_started,
        _decode_event_response,
        decode_malformed=_decode_malformed_response,
    ),
    MessageRow(
        TransactionAuthorized,
        "TransactionEvent",
        _encode_authorized,
        _decode_event_response,
        decode_malformed=_decode_malformed_response,
    ),
    MessageRow(
        TransactionUpdated,
        "TransactionEvent",
        _encode_updated,
        _decode_event_response,
        decode_malformed=_decode_malformed_response,
    ),
    MessageRow(
        TransactionEnded,
        "TransactionEvent",
        _encode_ended,
        _decode_event_response,
        decode_malformed=_decode_malformed_response,
    ),
    MessageRow(
        MeterSampled,
        "TransactionEvent",
        _encode_meter_event,
        _decode_event_response,
        is_other=lambda m: not m.session or m.late,
        other=_LOOSE,
        decode_malformed=_decode_malformed_response,
        merging=MessageMerging(_is_same_event, "meterValue"),
    ),
    NotExpressible(ConnectorUnplugged, "TransactionEvent and StatusNotification report it"),
)
