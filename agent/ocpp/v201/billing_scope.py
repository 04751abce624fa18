"""What 2.0.1 sends to a backend that sees billing only, and what a second backend may request."""

from __future__ import annotations

from agent.ocpp.dialects.billing_scope import (
    ALL_FIELDS,
    SENT_IN_EVERY_VERSION,
    AllowedFields,
    BackendScope,
    only_fields,
    word_or_other,
)

_REASONS = word_or_other(
    "DeAuthorized", "EVDisconnected", "EnergyLimitReached", "ImmediateReset", "Local", "LocalOutOfCredit",
    "MasterPass", "PowerLoss", "Reboot", "Remote", "SOCLimitReached", "StoppedByEV", "TimeLimitReached", "Timeout",
)  # fmt: skip
_TRANSACTION_EVENT = frozenset({
    "eventType", "timestamp", "triggerReason", "seqNo", "offline", "reservationId", "idToken", "evse", "meterValue",
    "transactionInfo.transactionId", "transactionInfo.chargingState", "transactionInfo.stoppedReason",
    "transactionInfo.remoteStartId", "transactionInfo.timeSpentCharging",
})  # fmt: skip

SCOPE = BackendScope(
    sent={
        **SENT_IN_EVERY_VERSION,
        "TransactionEvent": AllowedFields(_TRANSACTION_EVENT, {"transactionInfo.stoppedReason": _REASONS}),
        "StatusNotification": only_fields("timestamp", "connectorStatus", "evseId", "connectorId"),
        "ReservationStatusUpdate": only_fields("reservationId", "reservationUpdateStatus"),
        "NotifyReport": ALL_FIELDS,
        "ReportChargingProfiles": ALL_FIELDS,
        "NotifyCustomerInformation": ALL_FIELDS,
        "NotifyDisplayMessages": ALL_FIELDS,
    },
    withheld=frozenset({
        "GetLog", "UpdateFirmware", "SetMonitoringBase", "SetMonitoringLevel", "SetVariableMonitoring",
        "ClearVariableMonitoring", "GetMonitoringReport",
    }),
    read_only=frozenset({
        "DataTransfer", "GetBaseReport", "GetChargingProfiles", "GetCompositeSchedule", "GetDisplayMessages",
        "GetInstalledCertificateIds",
        "GetLocalListVersion", "GetLog", "GetMonitoringReport", "GetReport", "GetTransactionStatus", "GetVariables",
        "TriggerMessage",
    }),
)  # fmt: skip
