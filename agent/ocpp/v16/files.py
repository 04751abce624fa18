"""Firmware in, logs out: FirmwareManagement (OCPP 1.6 4.4, 4.5, 5.9, 5.19) and its part of the security extension
(whitepaper: GetLog, SignedUpdateFirmware).

UpdateFirmware.conf has no word for no: DownloadFailed says it. Statuses that only the signed procedure knows are not
told of a plain one; LogStatusNotification cannot say that a newer request took the place.
"""

from __future__ import annotations

from typing import Any

from agent.domain.messages import FirmwareStatus, LogStatus
from agent.domain.orders import Reply
from agent.domain.requests import AskFirmware, AskLog
from agent.ocpp.dialects.dialect import Desk, In, Out, Payload, nothing
from agent.ocpp.dialects.files import accepted, get_log, log_accepted, signed_firmware, tries, when, with_id

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
"""FirmwareStatus of 1.6; what is missing here is not told."""
_DIAGNOSTICS = {"Idle": "Idle", "Uploading": "Uploading", "Uploaded": "Uploaded", "AcceptedCanceled": None}
_LOG = frozenset({
    "BadMessage", "Idle", "NotSupportedOperation", "PermissionDenied", "Uploaded", "UploadFailure", "Uploading",
})  # fmt: skip


def _update(payload: Payload, desk: Desk) -> AskFirmware:
    return AskFirmware(payload["location"], when(payload, "retrieveDate") or 0.0, None, *tries(payload))


def _nothing(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    return {}


def _diagnostics(payload: Payload, desk: Desk) -> AskLog:
    oldest, latest = when(payload, "startTime"), when(payload, "stopTime")
    return AskLog(payload["location"], False, None, *tries(payload), oldest_utc_s=oldest, latest_utc_s=latest)


def _file_name(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    """No name: nothing will be sent (4.4)."""
    return {"fileName": reply.data["filename"]} if "filename" in reply.data else {}


def _status(message: FirmwareStatus, desk: Desk) -> dict[str, Any] | None:
    return {"status": _PLAIN[message.status]} if message.status in _PLAIN else None


def _diagnostics_status(message: LogStatus, desk: Desk) -> dict[str, Any] | None:
    status = _DIAGNOSTICS.get(message.status, "UploadFailed")
    return {"status": status} if status else None


def _log_status(message: LogStatus, desk: Desk) -> dict[str, Any] | None:
    return with_id(message, desk) if message.status in _LOG else None


_SIGNED_STATUS = Out(FirmwareStatus, "SignedFirmwareStatusNotification", with_id, nothing)
_LOG_STATUS = Out(LogStatus, "LogStatusNotification", _log_status, nothing)

ROWS = (
    In("UpdateFirmware", _update, _nothing),
    In("GetDiagnostics", _diagnostics, _file_name),
    In("SignedUpdateFirmware", signed_firmware, accepted),
    In("GetLog", get_log, log_accepted),
    Out(
        FirmwareStatus, "FirmwareStatusNotification", _status, nothing,
        unless=lambda message: bool(message.signed), other=_SIGNED_STATUS,
    ),
    Out(
        LogStatus, "DiagnosticsStatusNotification", _diagnostics_status, nothing,
        unless=lambda message: bool(message.extended), other=_LOG_STATUS,
    ),
)  # fmt: skip
