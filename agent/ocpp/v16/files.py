"""Firmware in, logs out: FirmwareManagement (OCPP 1.6 4.4, 4.5, 5.9, 5.19) and its part of the
security extension (whitepaper: GetLog, SignedUpdateFirmware).

UpdateFirmware.conf cannot refuse: DownloadFailed does. Statuses that only the signed procedure
knows are not sent for a plain one. LogStatusNotification cannot say that a newer request took
the place."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import FirmwareStatus, LogStatus
from agent.domain.orders import Response
from agent.domain.requests import GetLogRequest, TariffFileRequest, UpdateFirmwareRequest
from agent.ocpp.dialects.dialect import MessageRow, Payload, RequestRow, RowContext, decode_empty_response
from agent.ocpp.dialects.files import (
    answer_get_log,
    answer_signed_firmware,
    decode_get_log,
    decode_signed_firmware,
    encode_file_status,
    names_tariff_file,
    parse_optional_time,
    parse_retries,
)

_PLAIN = {
    "Idle": "Idle",
    "Downloading": "Downloading",
    "Downloaded": "Downloaded",
    "DownloadFailed": "DownloadFailed",
    "Installing": "Installing",
    "Installed": "Installed",
    "InstallationFailed": "InstallationFailed",
    "InstallVerificationFailed": "InstallationFailed",
    "InvalidSignature": "InstallationFailed",
}
"""FirmwareStatus of 1.6; a status that is missing here is not sent."""
_DIAGNOSTICS = {"Idle": "Idle", "Uploading": "Uploading", "Uploaded": "Uploaded", "AcceptedCanceled": None}
_LOG = frozenset({
    "BadMessage", "Idle", "NotSupportedOperation", "PermissionDenied", "Uploaded", "UploadFailure", "Uploading",
})  # fmt: skip


def _decode_update_firmware(payload: Payload, ctx: RowContext) -> UpdateFirmwareRequest | TariffFileRequest:
    request = UpdateFirmwareRequest(
        payload["location"], parse_optional_time(payload, "retrieveDate") or 0.0, None, *parse_retries(payload)
    )
    return TariffFileRequest(request) if names_tariff_file(request.location, ctx) else request


def _answer_update_firmware(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    return {}


def _decode_get_diagnostics(payload: Payload, ctx: RowContext) -> GetLogRequest:
    oldest, latest = parse_optional_time(payload, "startTime"), parse_optional_time(payload, "stopTime")
    return GetLogRequest(
        payload["location"], False, None, *parse_retries(payload), oldest_utc_s=oldest, latest_utc_s=latest
    )


def _answer_get_diagnostics(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    """Answer with the file name; without one no file will be sent (4.4)."""
    return {"fileName": reply.data["filename"]} if "filename" in reply.data else {}


def _encode_firmware_status(message: FirmwareStatus, ctx: RowContext) -> dict[str, Any] | None:
    return {"status": _PLAIN[message.status]} if message.status in _PLAIN else None


def _encode_diagnostics_status(message: LogStatus, ctx: RowContext) -> dict[str, Any] | None:
    status = _DIAGNOSTICS.get(message.status, "UploadFailed")
    return {"status": status} if status else None


def _encode_log_status(message: LogStatus, ctx: RowContext) -> dict[str, Any] | None:
    return encode_file_status(message, ctx) if message.status in _LOG else None


_SIGNED_STATUS = MessageRow(
    FirmwareStatus, "SignedFirmwareStatusNotification", encode_file_status, decode_empty_response
)
_LOG_STATUS = MessageRow(LogStatus, "LogStatusNotification", _encode_log_status, decode_empty_response)

ROWS = (
    RequestRow("UpdateFirmware", _decode_update_firmware, _answer_update_firmware),
    RequestRow("GetDiagnostics", _decode_get_diagnostics, _answer_get_diagnostics),
    RequestRow("SignedUpdateFirmware", decode_signed_firmware, answer_signed_firmware),
    RequestRow("GetLog", decode_get_log, answer_get_log),
    MessageRow(
        FirmwareStatus, "FirmwareStatusNotification", _encode_firmware_status, decode_empty_response,
        is_other=lambda message: bool(message.signed), other=_SIGNED_STATUS,
    ),
    MessageRow(
        LogStatus, "DiagnosticsStatusNotification", _encode_diagnostics_status, decode_empty_response,
        is_other=lambda message: bool(message.extended), other=_LOG_STATUS,
    ),
)  # fmt: skip
