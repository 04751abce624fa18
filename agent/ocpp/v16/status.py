"""StatusNotification (OCPP 1.6 4.9, 7.7). The nine statuses are a projection of connector
status, charging state and authorization; one error code at a time, that of the heaviest fault."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import ChargingState, ConnectorStatus, FaultNoted, StatusChanged
from agent.model.types import STATION
from agent.ocpp.dialects.dialect import MessageRow, NotExpressible, RowContext, StatusProjection, decode_empty_response
from agent.ocpp.dialects.keys_v1x import Error16, error_vendor_id, nearest_error_16
from agent.ocpp.wire.timestamps import format_rfc3339

_OF_TRANSACTION = {
    ChargingState.CHARGING: "Charging",
    ChargingState.SUSPENDED_EV: "SuspendedEV",
    ChargingState.SUSPENDED_EVSE: "SuspendedEVSE",
}


def _derive_status(message: StatusChanged) -> str:
    """Return the status; the first match wins. Connector 0 knows only Available, Unavailable and
    Faulted."""
    connector = message.connector
    if connector is ConnectorStatus.FAULTED:
        return "Faulted"
    if message.evse == STATION:
        return "Unavailable" if connector is ConnectorStatus.UNAVAILABLE else "Available"
    if message.charging in _OF_TRANSACTION:
        return _OF_TRANSACTION[message.charging]
    if connector is ConnectorStatus.UNAVAILABLE:
        return "Unavailable"
    if connector is ConnectorStatus.OCCUPIED:
        return "Finishing" if message.ended and not message.authorized else "Preparing"
    if message.authorized:
        return "Preparing"
    return "Reserved" if connector is ConnectorStatus.RESERVED else "Available"


def project_status(message: StatusChanged) -> StatusProjection:
    """Return the status and the error in the words of 1.6."""
    error = nearest_error_16(message.faults[0]) if message.faults else Error16("NoError")
    return StatusProjection(_derive_status(message), error.code, error.info, error.vendor_code)


def _encode_status_notification(message: StatusChanged, ctx: RowContext) -> dict[str, Any]:
    projection = project_status(message)
    payload: dict[str, Any] = {
        "connectorId": message.evse,
        "errorCode": projection.error,
        "status": projection.status,
        "timestamp": format_rfc3339(ctx.clock.utc_s(message.at)),
    }
    if projection.info:
        payload["info"] = projection.info[:50]
    if projection.vendor_code:
        payload["vendorId"] = error_vendor_id(projection.vendor_code)
        payload["vendorErrorCode"] = projection.vendor_code[:50]
    return payload


ROWS = (
    MessageRow(StatusChanged, "StatusNotification", _encode_status_notification, decode_empty_response),
    NotExpressible(FaultNoted, "1.6 reports the fault with the status of the connector"),
)
