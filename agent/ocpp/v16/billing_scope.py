"""What 1.6 sends to a backend that sees billing only, and what a second backend may request."""

from __future__ import annotations

from typing import Any

from agent.ocpp.dialects.billing_scope import (
    ALL_FIELDS,
    SENT_IN_EVERY_VERSION,
    AllowedFields,
    BackendScope,
    JsonObject,
    word_or_other,
)


def _coarse_error_code(value: Any, payload: JsonObject) -> str:
    """Return the error code without its cause; 1.6 demands a word."""
    return "OtherError" if payload["status"] == "Faulted" else "NoError"


_REASONS = word_or_other(
    "DeAuthorized", "EVDisconnected", "HardReset", "Local", "PowerLoss", "Reboot", "Remote", "SoftReset",
    "UnlockCommand",
)  # fmt: skip

SCOPE = BackendScope(
    sent={
        **SENT_IN_EVERY_VERSION,
        "StartTransaction": ALL_FIELDS,
        "StopTransaction": AllowedFields(replacements={"reason": _REASONS}),
        "StatusNotification": AllowedFields(
            frozenset({"connectorId", "status", "errorCode", "timestamp"}),
            {"errorCode": _coarse_error_code},
        ),
    },
    withheld=frozenset({"GetDiagnostics", "GetLog", "UpdateFirmware", "SignedUpdateFirmware"}),
    read_only=frozenset({
        "DataTransfer", "ExtendedTriggerMessage", "GetCompositeSchedule", "GetConfiguration", "GetDiagnostics",
        "GetInstalledCertificateIds", "GetLocalListVersion", "GetLog", "TriggerMessage",
    }),
)  # fmt: skip
