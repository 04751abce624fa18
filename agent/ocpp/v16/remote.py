"""Remote control by the backend (OCPP 1.6 5.2, 5.11-5.14, 5.17, 5.18). A remote start carries a
bare idTag. It counts as the token of the driver's card, so that the card may end what the app
has begun."""

from __future__ import annotations

from typing import Any

from agent.domain.orders import Response
from agent.domain.requests import (
    ChangeAvailabilityRequest,
    MessageTrigger,
    RemoteStartRequest,
    RemoteStopRequest,
    ResetRequest,
    TriggerMessageRequest,
    UnlockConnectorRequest,
)
from agent.model.fastclass import replace
from agent.model.types import Token
from agent.ocpp.dialects.common_rows import REJECTED, answer_or_refuse
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, Refused, RequestRow, RowContext
from agent.ocpp.v16 import smart_charging
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.text import is_plain


def _decode_change_availability(payload: Payload, ctx: RowContext) -> ChangeAvailabilityRequest:
    return ChangeAvailabilityRequest(int(payload["connectorId"]), payload["type"] == "Operative")


def _decode_remote_start(payload: Payload, ctx: RowContext) -> RemoteStartRequest | LocalAnswer:
    """Decode RemoteStartTransaction. A profile of another purpose is an error; a right one is
    ignored, as 5.11 asks, by a station without SmartCharging. Its transaction is the one that it
    starts, whatever id it names."""
    if ctx.boot == "Pending":  # 4.2: neither start nor stop is allowed
        return REJECTED
    wanted = payload.get("chargingProfile")
    if wanted is not None and wanted["chargingProfilePurpose"] != "TxProfile":
        return REJECTED
    offered = smart_charging.PROFILE in ctx.settings.list_value("feature_profiles")
    profile = (
        replace(smart_charging.decode_charging_profile(wanted, ctx), session="")
        if wanted is not None and offered
        else None
    )
    connector = payload.get("connectorId")
    if connector is not None and connector < 1:
        return REJECTED
    if not payload["idTag"]:
        return REJECTED
    if not is_plain(payload["idTag"]):
        raise Refused(Code.PROPERTY, "idTag: control characters")
    return RemoteStartRequest(None if connector is None else int(connector), Token(payload["idTag"]), profile=profile)


def _decode_remote_stop(payload: Payload, ctx: RowContext) -> RemoteStopRequest | LocalAnswer:
    if ctx.boot == "Pending":
        return REJECTED
    return RemoteStopRequest(ctx.session_of(str(int(payload["transactionId"]))) or "")


def _decode_reset(payload: Payload, ctx: RowContext) -> ResetRequest:
    return ResetRequest(hard=payload["type"] == "Hard")


def _decode_unlock_connector(payload: Payload, ctx: RowContext) -> UnlockConnectorRequest:
    return UnlockConnectorRequest(int(payload["connectorId"]), stop_first=True)


def _answer_unlock_connector(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    if reply.status in ("UnknownConnector", "NotImplemented"):
        return {"status": "NotSupported"}
    return {"status": reply.status if reply.status in ("Unlocked", "NotSupported") else "UnlockFailed"}


_TRIGGERS = {
    "BootNotification": MessageTrigger.BOOT,
    "DiagnosticsStatusNotification": MessageTrigger.LOG_STATUS,
    "FirmwareStatusNotification": MessageTrigger.FIRMWARE_STATUS,
    "Heartbeat": MessageTrigger.HEARTBEAT,
    "MeterValues": MessageTrigger.METER_VALUES,
    "StatusNotification": MessageTrigger.STATUS,
}


def decode_trigger(
    what: MessageTrigger, payload: Payload, ctx: RowContext, extended: bool = False
) -> TriggerMessageRequest | LocalAnswer:
    """Decode TriggerMessage, or (``extended``) ExtendedTriggerMessage. Meter values travel in a durable queue, which
    waits for an accepted boot."""
    if what is MessageTrigger.METER_VALUES and ctx.boot == "Pending":
        return REJECTED
    connector = payload.get("connectorId")
    return TriggerMessageRequest(what, None if connector is None else int(connector), extended=extended)


def _decode_trigger_message(payload: Payload, ctx: RowContext) -> TriggerMessageRequest | LocalAnswer:
    return decode_trigger(_TRIGGERS[payload["requestedMessage"]], payload, ctx)


ROWS = (
    RequestRow(
        "ChangeAvailability", _decode_change_availability, answer_or_refuse("Accepted", "Rejected", "Scheduled")
    ),
    RequestRow("RemoteStartTransaction", _decode_remote_start, answer_or_refuse("Accepted", "Rejected")),
    RequestRow("RemoteStopTransaction", _decode_remote_stop, answer_or_refuse("Accepted", "Rejected")),
    RequestRow("Reset", _decode_reset, answer_or_refuse("Accepted", "Rejected")),
    RequestRow("UnlockConnector", _decode_unlock_connector, _answer_unlock_connector),
    RequestRow("TriggerMessage", _decode_trigger_message, answer_or_refuse("Accepted", "Rejected", "NotImplemented")),
)
