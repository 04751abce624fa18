"""BootNotification and Heartbeat (OCPP 2.0.1 B01-B04, G02). The meter's identity has no field here."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import BootWanted, HeartbeatWanted
from agent.ocpp.dialects.dialect import Boot, Desk, Heard, Out, Payload
from agent.ocpp.wire.timestamps import parse

INTERVAL_MAX_S = 7 * 86400
"""A longer interval is a mistake of the other side; it would silence the station for good."""
ASKABLE_WHILE_PENDING = frozenset({
    "GetBaseReport", "GetReport", "GetVariables", "RequestStartTransaction", "RequestStopTransaction", "SetVariables",
    "TriggerMessage",
})  # fmt: skip
"""B02: configuration and a trigger work; starting and stopping are answered with Rejected by their rows."""


def admits(boot: str | None, action: str) -> bool:
    """B02, B03: everything else is a SecurityError until the boot is accepted."""
    return boot == "Accepted" or (boot != "Rejected" and action in ASKABLE_WHILE_PENDING)


def _boot(message: BootWanted, desk: Desk) -> dict[str, Any]:
    who = desk.identity()
    station: dict[str, Any] = {"vendorName": (who.vendor or "unknown")[:50], "model": (who.model or "unknown")[:20]}
    if who.serial:
        station["serialNumber"] = who.serial[:25]
    if who.firmware:
        station["firmwareVersion"] = who.firmware[:50]
    modem = {name: text[:20] for name, text in (("iccid", who.iccid), ("imsi", who.imsi)) if text}
    if modem:
        station["modem"] = modem
    return {"reason": "Triggered" if desk.triggered else who.boot_reason, "chargingStation": station}


def _booted(message: BootWanted, payload: Payload, desk: Desk) -> Heard:
    interval_s = int(min(max(payload["interval"], 0), INTERVAL_MAX_S))
    return Heard(boot=Boot(payload["status"], interval_s), utc_s=parse(payload["currentTime"]))


def _heartbeat(message: HeartbeatWanted, desk: Desk) -> dict[str, Any]:
    return {}


def _beaten(message: HeartbeatWanted, payload: Payload, desk: Desk) -> Heard:
    return Heard(utc_s=parse(payload["currentTime"]))


ROWS = (
    Out(BootWanted, "BootNotification", _boot, _booted),
    Out(HeartbeatWanted, "Heartbeat", _heartbeat, _beaten),
)
