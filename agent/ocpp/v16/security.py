"""The security extension of 1.6 (whitepaper "Improved security for OCPP 1.6-J"): SecurityEventNotification. Inside,
events have the names of 2.x; four were called otherwise."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import SecurityHappened
from agent.ocpp.dialect import Desk, Out, nothing
from agent.ocpp.times import rfc3339

EVENT_NAMES = {
    "FailedToAuthenticateAtCsms": "FailedToAuthenticateAtCentralSystem",
    "CsmsFailedToAuthenticate": "CentralSystemFailedToAuthenticate",
    "InvalidCsmsCertificate": "InvalidCentralSystemCertificate",
    "InvalidChargingStationCertificate": "InvalidChargePointCertificate",
}
"""What 1.6 calls otherwise."""


def _event(message: SecurityHappened, desk: Desk) -> dict[str, Any]:
    kind = EVENT_NAMES.get(message.kind, message.kind)
    payload = {"type": kind[:50], "timestamp": rfc3339(desk.clock.utc_s(message.at))}
    return payload | ({"techInfo": message.info[:255]} if message.info else {})


ROWS = (Out(SecurityHappened, "SecurityEventNotification", _event, nothing),)
