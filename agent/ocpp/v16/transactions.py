"""StartTransaction and StopTransaction (OCPP 1.6 4.8, 4.10). The backend assigns the transaction
id: it is known only after the answer, so StopTransaction is encoded when it leaves. A changed
charging state is sent as connector status."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TransactionAcknowledged
from agent.domain.messages import (
    StopReason,
    TransactionAuthorized,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.ocpp.dialects.dialect import (
    MessageRow,
    NotExpressible,
    Payload,
    ResponseEffects,
    RowContext,
    decode_status_alone,
)
from agent.ocpp.dialects.reservation_ids import reservation_number
from agent.ocpp.v16.authorization import decode_id_tag_info
from agent.ocpp.v16.identifiers import ID_TAG_MAX, VERSION, encode_id_tag, transaction_id
from agent.ocpp.v16.metering import encode_samples, encode_signed_record
from agent.ocpp.wire.timestamps import format_rfc3339
from agent.ports.store import Put


def _encode_start_transaction(
    message: TransactionStarted | TransactionAuthorized, ctx: RowContext
) -> dict[str, Any] | None:
    """Encode the start, once token and connector are known, with the register of the
    transaction's begin (decision 9)."""
    if message.token is None or message.evse == 0:
        return None
    reserved = reservation_number(message.reservation, ctx)
    return {
        "connectorId": message.evse,
        "idTag": encode_id_tag(message.token),
        "meterStart": message.meter_wh,
        "timestamp": format_rfc3339(ctx.clock.utc_s(message.at)),
        **({} if reserved is None else {"reservationId": reserved}),
    }


def _decode_start_response(
    message: TransactionStarted | TransactionAuthorized, payload: Payload, ctx: RowContext
) -> ResponseEffects:
    known = str(int(payload["transactionId"]))
    verdict = decode_id_tag_info(payload["idTagInfo"])
    event = TransactionAcknowledged(ctx.link, message.session, known, verdict, message.token)
    return ResponseEffects((event,), (Put("transaction", f"{ctx.link}/{message.session}", {"id": known}),))


def _decode_malformed_start(
    message: TransactionStarted | TransactionAuthorized, payload: Payload, ctx: RowContext
) -> ResponseEffects | None:
    """Decode a malformed answer. The transaction exists if it has an id: a repetition would make
    another one."""
    known = payload.get("transactionId")
    if type(known) is not int:
        return None
    verdict = decode_status_alone(payload.get("idTagInfo"))
    event = TransactionAcknowledged(ctx.link, message.session, str(known), verdict, message.token)
    return ResponseEffects((event,), (Put("transaction", f"{ctx.link}/{message.session}", {"id": str(known)}),))


_REASONS: dict[StopReason, str] = {
    StopReason.DEAUTHORIZED: "DeAuthorized",
    StopReason.EMERGENCY_STOP: "EmergencyStop",
    StopReason.EV_DISCONNECTED: "EVDisconnected",
    StopReason.LOCAL: "Local",
    StopReason.MASTER_PASS: "Local",
    StopReason.POWER_LOSS: "PowerLoss",
    StopReason.REBOOT: "Reboot",
    StopReason.REMOTE: "Remote",
}


def stop_reason(message: TransactionEnded) -> str:
    """Return the reason. 1.6 gives the trigger (reset, unlock) as a reason; faults are Other."""
    if message.reason is StopReason.IMMEDIATE_RESET:
        return "HardReset" if message.note == "hard" else "SoftReset"
    if message.trigger is TriggerReason.UNLOCK_COMMAND:
        return "UnlockCommand"
    return _REASONS.get(message.reason, "Other")


def encode_stop_transaction(
    message: TransactionEnded, ctx: RowContext, version: str = VERSION
) -> dict[str, Any] | None:
    """Encode the end. ``version``: the one whose id of the transaction counts, here and below."""
    if not message.authorized:  # never authorized: the backend does not know the session
        return None
    payload: dict[str, Any] = {
        "transactionId": transaction_id(message.session, ctx, version),
        "meterStop": message.meter_wh,
        "timestamp": format_rfc3339(ctx.clock.utc_s(message.at)),
        "reason": stop_reason(message),
    }
    if message.token is not None and 0 < len(message.token.value) <= ID_TAG_MAX:  # the stopping token is optional
        payload["idTag"] = encode_id_tag(message.token)
    data = [*encode_samples(message.samples, ctx), *encode_signed_record(message, ctx)]
    if data:
        payload["transactionData"] = data
    return payload


def decode_stop_response(
    message: TransactionEnded, payload: Payload, ctx: RowContext, version: str = VERSION
) -> ResponseEffects:
    """Decode the answer to the end."""
    info = payload.get("idTagInfo")
    known = ctx.outbox.transaction_id(ctx.link, message.session, version) or ""
    verdict = decode_id_tag_info(info) if info else None
    return ResponseEffects((TransactionAcknowledged(ctx.link, message.session, known, verdict, message.token),))


def decode_malformed_stop(
    message: TransactionEnded, payload: Payload, ctx: RowContext, version: str = VERSION
) -> ResponseEffects:
    """Decode a malformed answer. An answer is no refusal: the backend has the end."""
    known = ctx.outbox.transaction_id(ctx.link, message.session, version) or ""
    verdict = decode_status_alone(payload.get("idTagInfo"))
    return ResponseEffects((TransactionAcknowledged(ctx.link, message.session, known, verdict, message.token),))


ROWS = (
    MessageRow(
        TransactionStarted,
        "StartTransaction",
        _encode_start_transaction,
        _decode_start_response,
        decode_malformed=_decode_malformed_start,
    ),
    MessageRow(
        TransactionAuthorized,
        "StartTransaction",
        _encode_start_transaction,
        _decode_start_response,
        decode_malformed=_decode_malformed_start,
    ),
    MessageRow(
        TransactionEnded,
        "StopTransaction",
        encode_stop_transaction,
        decode_stop_response,
        decode_malformed=decode_malformed_stop,
    ),
    NotExpressible(TransactionUpdated, "1.6 sends the charging state as StatusNotification of the connector"),
)
