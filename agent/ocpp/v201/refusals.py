"""What 2.0.1 knows and this station does not offer (yet). Where the standard has a word for it, it is said; otherwise a
CALLERROR NotSupported."""

from __future__ import annotations

from typing import Any

from agent.domain.orders import Reply
from agent.ocpp.dialect import Desk, In, Payload, Refusal


def _always(action: str, **answer: Any) -> In:
    def decode(payload: Payload, desk: Desk) -> dict[str, Any]:
        return dict(answer)

    def never(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
        return dict(answer)

    return In(action, decode, never)


_DISPLAY = "DisplayMessage is not offered"
_FIRMWARE = "FirmwareManagement is not offered"
_MONITORING = "monitoring (DeviceManagement) is not offered"
_RESERVATION = "Reservation is not offered"
_SMART = "SmartCharging is not offered"

ROWS: tuple[In | Refusal, ...] = (
    _always("GetLocalListVersion", versionNumber=0),  # D02: 0 says that there is no list
    _always("SendLocalList", status="Failed"),
    _always("SetChargingProfile", status="Rejected"),
    _always("ReserveNow", status="Rejected"),
    _always("UpdateFirmware", status="Rejected"),
    _always("GetLog", status="Rejected"),
    _always("SetNetworkProfile", status="Rejected"),
    _always("InstallCertificate", status="Rejected"),
    _always("CertificateSigned", status="Rejected"),
    _always("GetInstalledCertificateIds", status="NotFound"),
    _always("DeleteCertificate", status="NotFound"),
    _always("GetMonitoringReport", status="NotSupported"),
    _always("SetMonitoringBase", status="NotSupported"),
    Refusal("CancelReservation", _RESERVATION),
    Refusal("ClearChargingProfile", _SMART),
    Refusal("GetChargingProfiles", _SMART),
    Refusal("GetCompositeSchedule", _SMART),
    Refusal("ClearDisplayMessage", _DISPLAY),
    Refusal("GetDisplayMessages", _DISPLAY),
    Refusal("SetDisplayMessage", _DISPLAY),
    Refusal("CostUpdated", "costs of the backend are not shown"),
    Refusal("ClearVariableMonitoring", _MONITORING),
    Refusal("SetMonitoringLevel", _MONITORING),
    Refusal("SetVariableMonitoring", _MONITORING),
    Refusal("CustomerInformation", "CustomerInformation is not offered"),
    Refusal("PublishFirmware", _FIRMWARE),
    Refusal("UnpublishFirmware", _FIRMWARE),
)
