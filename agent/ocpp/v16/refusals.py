"""What 1.6 knows and this station does not offer (yet). Where the standard has a word for it, it is said; otherwise a
CALLERROR NotSupported. The two file transfers answer a trigger with Idle: nothing is ever under way."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import FirmwareStatusWanted, LogStatusWanted, SecurityHappened
from agent.domain.orders import Reply
from agent.ocpp.dialect import Desk, In, Mute, Out, Payload, Refusal, nothing


def _always(action: str, **answer: Any) -> In:
    def decode(payload: Payload, desk: Desk) -> dict[str, Any]:
        return dict(answer)

    def never(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
        return dict(answer)

    return In(action, decode, never)


def _idle(message: Any, desk: Desk) -> dict[str, Any]:
    return {"status": "Idle"}


_FIRMWARE = "FirmwareManagement is not offered"

_RESERVATION = "Reservation is not offered"
_SMART = "SmartCharging is not offered"
_SECURITY = "the security extension is not offered"

ROWS: tuple[In | Out | Mute | Refusal, ...] = (
    Out(FirmwareStatusWanted, "FirmwareStatusNotification", _idle, nothing),
    Out(LogStatusWanted, "DiagnosticsStatusNotification", _idle, nothing),
    Mute(SecurityHappened, _SECURITY),
    _always("GetLocalListVersion", listVersion=-1),  # 5.10: -1 says that local lists are not supported
    _always("SendLocalList", status="NotSupported"),
    _always("SetChargingProfile", status="NotSupported"),
    _always("ReserveNow", status="Rejected"),
    Refusal("CancelReservation", _RESERVATION),
    Refusal("ClearChargingProfile", _SMART),
    Refusal("GetCompositeSchedule", _SMART),
    Refusal("GetDiagnostics", _FIRMWARE),
    Refusal("UpdateFirmware", _FIRMWARE),
    Refusal("CertificateSigned", _SECURITY),
    Refusal("DeleteCertificate", _SECURITY),
    Refusal("ExtendedTriggerMessage", _SECURITY),
    Refusal("GetInstalledCertificateIds", _SECURITY),
    Refusal("GetLog", _SECURITY),
    Refusal("InstallCertificate", _SECURITY),
    Refusal("SignedUpdateFirmware", _SECURITY),
)
