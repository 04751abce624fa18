"""What 2.0.1 knows and this station does not offer (yet). Where the standard has a word for it, it is said; otherwise a
CALLERROR NotSupported."""

from __future__ import annotations

from agent.ocpp.dialects.dialect import In, Refusal, always

_DISPLAY = "DisplayMessage is not offered"
_FIRMWARE = "FirmwareManagement is not offered"
_MONITORING = "monitoring (DeviceManagement) is not offered"
_RESERVATION = "Reservation is not offered"
_SMART = "SmartCharging is switched off in the station file"

OFF: dict[str, tuple[In | Refusal, ...]] = {
    "RemoteTrigger": (Refusal("TriggerMessage", "RemoteTrigger is switched off in the station file"),),
    "LocalAuthListManagement": (
        always("GetLocalListVersion", versionNumber=0),  # D02: 0 says that there is no list
        always("SendLocalList", status="Failed"),
    ),
    "Reservation": (
        always("ReserveNow", status="Rejected"),
        Refusal("CancelReservation", _RESERVATION),
    ),
    "SmartCharging": (
        always("SetChargingProfile", status="Rejected"),
        Refusal("ClearChargingProfile", _SMART),
        Refusal("GetChargingProfiles", _SMART),
        Refusal("GetCompositeSchedule", _SMART),
    ),
}
"""What is answered where a profile (by its name in 1.6) is switched off in the station file."""

ROWS: tuple[In | Refusal, ...] = (
    always("GetMonitoringReport", status="NotSupported"),
    always("SetMonitoringBase", status="NotSupported"),
    Refusal("ClearDisplayMessage", _DISPLAY),
    Refusal("GetDisplayMessages", _DISPLAY),
    Refusal("SetDisplayMessage", _DISPLAY),
    Refusal("ClearVariableMonitoring", _MONITORING),
    Refusal("SetMonitoringLevel", _MONITORING),
    Refusal("SetVariableMonitoring", _MONITORING),
    Refusal("PublishFirmware", _FIRMWARE),
    Refusal("UnpublishFirmware", _FIRMWARE),
)
