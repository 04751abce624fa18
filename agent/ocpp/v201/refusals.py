"""What 2.0.1 knows and this station does not offer (yet). Where the standard has a word for
that, it is the answer; otherwise a CALLERROR NotSupported."""

from __future__ import annotations

from agent.domain.messages import PricesReported, SettlementReported
from agent.ocpp.dialects.common_rows import REMOTE_TRIGGER_OFF, RESERVATION_OFF
from agent.ocpp.dialects.dialect import NotExpressible, NotOffered, Row, answer_always

_LOCAL_CONTROLLER = "this station is no local controller: it has no firmware for others"
_SMART = "SmartCharging is switched off in the station file"

OFF: dict[str, tuple[Row, ...]] = {
    "RemoteTrigger": REMOTE_TRIGGER_OFF,
    "LocalAuthListManagement": (
        answer_always("GetLocalListVersion", versionNumber=0),  # D02: 0 says that there is no list
        answer_always("SendLocalList", status="Failed"),
    ),
    "Reservation": RESERVATION_OFF,
    "SmartCharging": (
        answer_always("SetChargingProfile", status="Rejected"),
        NotOffered("ClearChargingProfile", _SMART),
        NotOffered("GetChargingProfiles", _SMART),
        NotOffered("GetCompositeSchedule", _SMART),
    ),
}
"""The answers where a profile (by its name in 1.6) is switched off in the station file."""

ROWS: tuple[Row, ...] = (
    NotOffered("PublishFirmware", _LOCAL_CONTROLLER),
    NotOffered("UnpublishFirmware", _LOCAL_CONTROLLER),
    NotExpressible(PricesReported, "a monitor of TariffCostCtrlr.AdhocTariffInForce reports it"),
    NotExpressible(SettlementReported, "what has become of a card's money has a message since 2.1 only"),
)
