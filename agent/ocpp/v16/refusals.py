"""What 1.6 knows and this station does not offer (yet). Where the standard has a word for it, it is said; otherwise a
CALLERROR NotSupported."""

from __future__ import annotations

from agent.ocpp.dialects.dialect import In, Mute, Out, Refusal, always

_FIRMWARE = "FirmwareManagement is not offered"
_RESERVATION = "Reservation is not offered"
_SMART = "SmartCharging is not offered"

OFF: dict[str, tuple[In | Refusal, ...]] = {
    "RemoteTrigger": (Refusal("TriggerMessage", "RemoteTrigger is switched off in the station file"),),
    "LocalAuthListManagement": (
        always("GetLocalListVersion", listVersion=-1),  # 5.10: -1 says that local lists are not supported
        always("SendLocalList", status="NotSupported"),
    ),
    "Reservation": (
        always("ReserveNow", status="Rejected"),
        Refusal("CancelReservation", _RESERVATION),
    ),
    "SmartCharging": (
        always("SetChargingProfile", status="NotSupported"),
        Refusal("ClearChargingProfile", _SMART),
        Refusal("GetCompositeSchedule", _SMART),
    ),
    "FirmwareManagement": (
        Refusal("GetDiagnostics", _FIRMWARE),
        Refusal("UpdateFirmware", _FIRMWARE),
    ),
}
"""What is answered where a profile is not offered (6.1): the case of a station file that switches it off."""

NOT_YET: tuple[str, ...] = ()
"""Profiles that nothing here translates so far."""

ROWS: tuple[In | Out | Mute | Refusal, ...] = (*(row for profile in NOT_YET for row in OFF[profile]),)
