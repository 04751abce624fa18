"""The rows of OCPP 1.2 that differ from those of 1.5."""

from __future__ import annotations

from functools import partial
from typing import Any

from agent.domain.messages import (
    ConnectorUnplugged,
    ListConflicted,
    MeterSampled,
    PricesReported,
    SettlementReported,
    StatusChanged,
    TransactionAuthorized,
    TransactionEnded,
    TransactionStarted,
)
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import MessageRow, NotExpressible, Row, RowContext, StatusProjection
from agent.ocpp.v15 import V15
from agent.ocpp.v15.rows import encode_meter_values_15, encode_stop_transaction_15
from agent.ocpp.v15.words import DEFAULT_MEASURAND, project_status_15
from agent.ocpp.v16.transactions import decode_malformed_stop, decode_stop_response

VERSION = "1.2"
REQUESTS_OF_15 = (
    "CancelReservation", "DataTransfer", "GetConfiguration", "GetLocalListVersion", "ReserveNow", "SendLocalList",
)  # fmt: skip
"""Requests that 1.2 does not know."""
STATUSES = frozenset({"Available", "Faulted", "Occupied", "Unavailable"})
ERROR_CODES = frozenset({
    "ConnectorLockFailure", "HighTemperature", "Mode3Error", "NoError", "PowerMeterFailure", "PowerSwitchFailure",
    "ReaderFailure", "ResetFailure",
})  # fmt: skip


def _row_of_15(message: type[Any]) -> MessageRow:
    row = V15.message_row(message)
    assert isinstance(row, MessageRow)
    return row


def project_status_12(message: StatusChanged) -> StatusProjection:
    """Return the status and the error in the words of 1.2. A reserved outlet is one that others cannot use; a fault
    without a word shows as the status Faulted alone."""
    of_15 = project_status_15(message)
    status = of_15.status if of_15.status in STATUSES else "Occupied"
    return StatusProjection(status, of_15.error if of_15.error in ERROR_CODES else "NoError")


def _encode_status(message: StatusChanged, ctx: RowContext) -> dict[str, Any]:
    projection = project_status_12(message)
    return {"connectorId": message.evse, "errorCode": projection.error, "status": projection.status}


def _encode_start(message: TransactionStarted | TransactionAuthorized, ctx: RowContext) -> dict[str, Any] | None:
    payload = _row_of_15(type(message)).encode(message, ctx)
    return {field: value for field, value in payload.items() if field != "reservationId"} if payload else None


def _encode_meter_values(message: MeterSampled, ctx: RowContext) -> dict[str, Any] | None:
    """Encode the billed register of each moment, which is all that 1.2 knows of a meter."""
    payload = encode_meter_values_15(replace(message, session=""), ctx)  # 1.2 has no transactionId here
    moments = [
        {"timestamp": moment["timestamp"], "sampledValue": [{"value": str(round(float(registers[0]["value"])))}]}
        for moment in (payload["meterValue"] if payload else ())
        if (registers := [v for v in moment["sampledValue"] if _is_register(v)])
    ]
    return {"connectorId": message.evse, "meterValue": moments} if moments else None


def _is_register(value: dict[str, Any]) -> bool:
    return value.get("measurand", DEFAULT_MEASURAND) == DEFAULT_MEASURAND and value.get("format") != "SignedData"


def _encode_stop(message: TransactionEnded, ctx: RowContext) -> dict[str, Any] | None:
    payload = encode_stop_transaction_15(message, ctx, VERSION)
    return {field: value for field, value in payload.items() if field != "transactionData"} if payload else None


ROWS: tuple[Row, ...] = (
    replace(_row_of_15(StatusChanged), encode=_encode_status),
    replace(_row_of_15(TransactionStarted), encode=_encode_start),
    replace(_row_of_15(TransactionAuthorized), encode=_encode_start),
    replace(_row_of_15(MeterSampled), encode=_encode_meter_values),
    replace(
        _row_of_15(TransactionEnded),
        encode=_encode_stop,
        decode_response=partial(decode_stop_response, version=VERSION),
        decode_malformed=partial(decode_malformed_stop, version=VERSION),
    ),
    NotExpressible(ListConflicted, "1.2 has no local list"),
    NotExpressible(ConnectorUnplugged, "1.2 has no DataTransfer"),
    NotExpressible(SettlementReported, "1.2 has no DataTransfer"),
    NotExpressible(PricesReported, "1.2 has no DataTransfer"),
)
