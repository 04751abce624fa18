"""Remote control by the backend (OCPP 2.0.1 B11, B12, E14, F01-F06, G03, G04)."""

from __future__ import annotations

from typing import Any

from agent.domain.orders import Response
from agent.domain.requests import (
    ChangeAvailabilityRequest,
    DeviceReportRequest,
    MessageTrigger,
    RemoteStartRequest,
    RemoteStopRequest,
    ResetRequest,
    TriggerMessageRequest,
    UnlockConnectorRequest,
)
from agent.ocpp.dialects.common_rows import REJECTED, answer_or_refuse
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, RequestRow, RowContext
from agent.ocpp.v201 import smart_charging
from agent.ocpp.v201.identifiers import decode_id_token, session_of

_ANSWER_STATUS = answer_or_refuse("Accepted", "Rejected")


def _requested_evse(payload: Payload, ctx: RowContext) -> int | None:
    """Return the requested EVSE: 0 for the whole station, None for one that does not exist."""
    evse = payload.get("evse")
    if evse is None:
        return 0
    known = evse["id"] in ctx.evse_numbers and evse.get("connectorId", 1) == 1
    return int(evse["id"]) if known else 0 if evse["id"] == 0 and "connectorId" not in evse else None


def _decode_change_availability(payload: Payload, ctx: RowContext) -> ChangeAvailabilityRequest | LocalAnswer:
    number = _requested_evse(payload, ctx)
    if number is None:
        return REJECTED
    operative, of_connector = payload["operationalStatus"] == "Operative", "connectorId" in payload.get("evse", {})
    return ChangeAvailabilityRequest(number, operative, every=False, connector=of_connector)


def _decode_request_start(payload: Payload, ctx: RowContext) -> RemoteStartRequest | LocalAnswer:
    """Decode RequestStartTransaction. A profile of another purpose is an error (F01.FR.26); a
    right one is ignored by a station without smart charging."""
    profile = smart_charging.decode_start_profile(payload, ctx)
    if ctx.boot != "Accepted" or isinstance(profile, bool):
        return REJECTED
    number = payload.get("evseId")
    if number is not None and number not in ctx.evse_numbers:
        return REJECTED
    named = decode_id_token(payload["idToken"])
    if not named.value:
        return REJECTED
    group = (payload.get("groupIdToken") or {}).get("idToken", "")
    remote_id = str(int(payload["remoteStartId"]))
    return RemoteStartRequest(number, named, remote_id, profile, group, binding_phases=profile is not None)


def _answer_request_start(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    """Answer with the transaction that is open already and waits for an authorization (F01.FR.13)."""
    open_transaction = reply.data.get("transaction")
    return _ANSWER_STATUS(reply, payload, ctx) | ({"transactionId": open_transaction} if open_transaction else {})


def _decode_request_stop(payload: Payload, ctx: RowContext) -> RemoteStopRequest | LocalAnswer:
    return RemoteStopRequest(session_of(payload["transactionId"], ctx)) if ctx.boot == "Accepted" else REJECTED


def _decode_reset(payload: Payload, ctx: RowContext) -> ResetRequest | LocalAnswer:
    number = payload.get("evseId", 0)
    if number and number not in ctx.evse_numbers:
        return REJECTED
    on_idle = payload["type"] == "OnIdle"
    return ResetRequest(hard=not on_idle, on_idle=on_idle, evse=int(number))


def _decode_unlock_connector(payload: Payload, ctx: RowContext) -> UnlockConnectorRequest | LocalAnswer:
    if payload["evseId"] not in ctx.evse_numbers or payload["connectorId"] != 1:
        return LocalAnswer({"status": "UnknownConnector"})
    return UnlockConnectorRequest(int(payload["evseId"]))


_TRIGGERS = {
    "BootNotification": MessageTrigger.BOOT,
    "FirmwareStatusNotification": MessageTrigger.FIRMWARE_STATUS,
    "Heartbeat": MessageTrigger.HEARTBEAT,
    "LogStatusNotification": MessageTrigger.LOG_STATUS,
    "MeterValues": MessageTrigger.METER_VALUES,
    "SignChargingStationCertificate": MessageTrigger.SIGN,
    "StatusNotification": MessageTrigger.STATUS,
    "TransactionEvent": MessageTrigger.TRANSACTION,
}
_OF_ANY_EVSE = (
    MessageTrigger.FIRMWARE_STATUS,
    MessageTrigger.LOG_STATUS,
    MessageTrigger.HEARTBEAT,
    MessageTrigger.SIGN,
)


def _decode_trigger_message(payload: Payload, ctx: RowContext) -> TriggerMessageRequest | LocalAnswer:
    """Decode TriggerMessage. Certificates of ISO 15118 are not offered. An accepted boot is not
    repeated (F06.FR.17); transactions and values wait for an accepted one."""
    what = _TRIGGERS.get(payload["requestedMessage"])
    if what is None:
        return LocalAnswer({"status": "NotImplemented"})
    ill_timed = (
        (MessageTrigger.BOOT,) if ctx.boot == "Accepted" else (MessageTrigger.METER_VALUES, MessageTrigger.TRANSACTION)
    )
    if what in ill_timed:
        return REJECTED
    number = _requested_evse(payload, ctx) if what not in _OF_ANY_EVSE else 0
    if number is None:
        return REJECTED
    return TriggerMessageRequest(what, number or None, loose=what is MessageTrigger.METER_VALUES)


def _decode_get_transaction_status(payload: Payload, ctx: RowContext) -> DeviceReportRequest:
    return DeviceReportRequest()


async def _look_up_queued_messages(payload: Payload, ctx: RowContext) -> Payload:
    named = payload.get("transactionId")
    if named is None:
        return {"waiting": ctx.outbox.queued_count(ctx.link) > 0}
    session = session_of(named, ctx)
    return {"waiting": bool(session) and await ctx.outbox.is_queued(ctx.link, session)}


def _answer_get_transaction_status(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    """Answer E14: without a transaction named, only whether anything waits."""
    waiting = {"messagesInQueue": reply.data["waiting"]}
    if payload.get("transactionId") is None:
        return waiting
    named = session_of(payload["transactionId"], ctx)
    return {"ongoingIndicator": named in reply.data.get("sessions", ()), **waiting}


ROWS = (
    RequestRow(
        "ChangeAvailability", _decode_change_availability, answer_or_refuse("Accepted", "Rejected", "Scheduled")
    ),
    RequestRow("RequestStartTransaction", _decode_request_start, _answer_request_start),
    RequestRow("RequestStopTransaction", _decode_request_stop, _ANSWER_STATUS),
    RequestRow("Reset", _decode_reset, answer_or_refuse("Accepted", "Rejected", "Scheduled")),
    RequestRow(
        "UnlockConnector",
        _decode_unlock_connector,
        answer_or_refuse("Unlocked", "OngoingAuthorizedTransaction", "UnknownConnector", otherwise="UnlockFailed"),
    ),
    RequestRow("TriggerMessage", _decode_trigger_message, answer_or_refuse("Accepted", "Rejected", "NotImplemented")),
    RequestRow(
        "GetTransactionStatus", _decode_get_transaction_status, _answer_get_transaction_status, _look_up_queued_messages
    ),
)
