"""The rows of OCPP 1.5 that differ from those of 1.6."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from agent.domain.messages import (
    CertificateSigningWanted,
    ConnectorUnplugged,
    FirmwareStatus,
    ListConflicted,
    LogStatus,
    MeterSampled,
    SecurityHappened,
    SettlementReported,
    StatusChanged,
    TransactionEnded,
)
from agent.domain.orders import Response
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import (
    MessageRow,
    NotExpressible,
    Payload,
    RequestRow,
    Row,
    RowContext,
    decode_empty_response,
)
from agent.ocpp.v15.words import FILE_STATUSES, FIRMWARE_STATUSES, reduce_meter_values, reduce_status_payload
from agent.ocpp.v16 import V16
from agent.ocpp.v16.cost import encode_connector_unplugged
from agent.ocpp.v16.metering import encode_meter_values
from agent.ocpp.v16.settlement import encode_settlement_transfer
from agent.ocpp.v16.transactions import decode_malformed_stop, decode_stop_response, encode_stop_transaction

VERSION = "1.5"
REQUESTS_OF_16 = (
    "CertificateSigned", "ClearChargingProfile", "DeleteCertificate", "ExtendedTriggerMessage", "GetCompositeSchedule",
    "GetInstalledCertificateIds", "GetLog", "InstallCertificate", "SetChargingProfile", "SignedUpdateFirmware",
    "TriggerMessage",
)  # fmt: skip
"""Requests that 1.5 does not know."""


def _message_row_of_16(message: type[Any]) -> MessageRow:
    row = V16.message_row(message)
    assert isinstance(row, MessageRow)
    return row


def _request_row_of_16(action: str) -> RequestRow:
    row = V16.request_row(action)
    assert isinstance(row, RequestRow)
    return row


# --- what the station sends ------------------------------------------------------------------------------------------


def _encode_status(encode_16: Callable[[Any, RowContext], dict[str, Any] | None]) -> Any:
    """Return what encodes a StatusNotification in the words of 1.5."""

    def encode_in_words_of_15(message: Any, ctx: RowContext) -> dict[str, Any] | None:
        payload = encode_16(message, ctx)
        return None if payload is None else reduce_status_payload(payload)

    return encode_in_words_of_15


def encode_meter_values_15(message: MeterSampled, ctx: RowContext) -> dict[str, Any] | None:
    """Encode what 1.5 has words for."""
    payload = encode_meter_values(message, ctx, VERSION)
    values = reduce_meter_values(payload["meterValue"]) if payload else []
    return {**payload, "meterValue": values} if payload and values else None


def encode_stop_transaction_15(
    message: TransactionEnded, ctx: RowContext, version: str = VERSION
) -> dict[str, Any] | None:
    """Encode the end without its reason. ``version``: the one whose id of the transaction counts."""
    payload = encode_stop_transaction(message, ctx, version)
    if payload is None:
        return None
    del payload["reason"]
    if data := reduce_meter_values(payload.pop("transactionData", [])):
        payload["transactionData"] = data
    return payload


def _encode_firmware_status(message: FirmwareStatus, ctx: RowContext) -> dict[str, Any] | None:
    payload = _FIRMWARE_16.encode(message, ctx)
    return payload if payload and payload["status"] in FIRMWARE_STATUSES else None


def _encode_file_status(message: LogStatus, ctx: RowContext) -> dict[str, Any] | None:
    payload = _FILE_16.encode(message, ctx)
    return payload if payload and payload["status"] in FILE_STATUSES else None


_FIRMWARE_16, _FILE_16 = _message_row_of_16(FirmwareStatus), _message_row_of_16(LogStatus)
_STATUS_16, _CONFLICT_16 = _message_row_of_16(StatusChanged), _message_row_of_16(ListConflicted)

# --- what the backend requests ---------------------------------------------------------------------------------------


def _answer_unlock_connector(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Unlocked" else "Rejected"}


def _answer_change_configuration(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    """Answer Accepted also where 1.6 asks for a reboot: 1.5 has no word for it."""
    answer = _CONFIGURATION_16.answer(reply, payload, ctx)
    return {"status": "Accepted"} if answer["status"] == "RebootRequired" else answer


_CONFIGURATION_16 = _request_row_of_16("ChangeConfiguration")

ROWS: tuple[Row, ...] = (
    replace(_STATUS_16, encode=_encode_status(_STATUS_16.encode)),
    replace(_CONFLICT_16, encode=_encode_status(_CONFLICT_16.encode)),
    replace(_message_row_of_16(MeterSampled), encode=encode_meter_values_15),
    MessageRow(
        TransactionEnded, "StopTransaction", encode_stop_transaction_15, partial(decode_stop_response, version=VERSION),
        decode_malformed=partial(decode_malformed_stop, version=VERSION),
    ),
    MessageRow(
        ConnectorUnplugged, "DataTransfer", partial(encode_connector_unplugged, version=VERSION), decode_empty_response
    ),
    MessageRow(FirmwareStatus, "FirmwareStatusNotification", _encode_firmware_status, decode_empty_response),
    MessageRow(LogStatus, "DiagnosticsStatusNotification", _encode_file_status, decode_empty_response),
    MessageRow(
        SettlementReported, "DataTransfer", partial(encode_settlement_transfer, version=VERSION), decode_empty_response
    ),
    NotExpressible(SecurityHappened, "1.5 has no security events"),
    NotExpressible(CertificateSigningWanted, "1.5 has no certificates"),
    replace(_request_row_of_16("UnlockConnector"), answer=_answer_unlock_connector),
    replace(_CONFIGURATION_16, answer=_answer_change_configuration),
)  # fmt: skip
