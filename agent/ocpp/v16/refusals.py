"""What 1.6 knows and this station does not offer (yet). Where the standard has a word for that,
it is the answer; otherwise a CALLERROR NotSupported."""

from __future__ import annotations

from agent.domain.messages import REPORTS
from agent.ocpp.dialects.common_rows import REMOTE_TRIGGER_OFF, RESERVATION_OFF
from agent.ocpp.dialects.dialect import NotExpressible, NotOffered, Row, answer_always

_FIRMWARE = "FirmwareManagement is not offered"
_SMART = "SmartCharging is not offered"

OFF: dict[str, tuple[Row, ...]] = {
    "RemoteTrigger": REMOTE_TRIGGER_OFF,
    "LocalAuthListManagement": (
        answer_always("GetLocalListVersion", listVersion=-1),  # 5.10: -1 says that local lists are not supported
        answer_always("SendLocalList", status="NotSupported"),
    ),
    "Reservation": RESERVATION_OFF,
    "SmartCharging": (
        answer_always("SetChargingProfile", status="NotSupported"),
        NotOffered("ClearChargingProfile", _SMART),
        NotOffered("GetCompositeSchedule", _SMART),
    ),
    "FirmwareManagement": (
        NotOffered("GetDiagnostics", _FIRMWARE),
        NotOffered("UpdateFirmware", _FIRMWARE),
    ),
}
"""The answers where a profile is not offered (6.1), because the station file switches it off."""

NOT_YET: tuple[str, ...] = ()
"""Profiles without a translation here so far."""

ROWS: tuple[Row, ...] = (
    *(row for profile in NOT_YET for row in OFF[profile]),
    *(NotExpressible(report, "1.6 has no request for such a report") for report in REPORTS),
)
