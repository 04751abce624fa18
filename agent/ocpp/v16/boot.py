"""BootNotification and Heartbeat (OCPP 1.6 4.2, 4.6). Lossless, but the fields of the boot have maximum
lengths."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import BootWanted, HeartbeatWanted
from agent.ocpp.dialects.dialect import Boot, Desk, Heard, Out, Payload
from agent.ocpp.wire.timestamps import parse

INTERVAL_MAX_S = 7 * 86400
"""A longer interval is a mistake of the other side; it would silence the station for good."""


SERIAL_MAX = 25


def _boot(message: BootWanted, desk: Desk) -> dict[str, Any]:
    who = desk.identity()
    fields = {
        "chargePointVendor": (who.vendor or "unknown", 20),
        "chargePointModel": (who.model or "unknown", 20),
        "chargePointSerialNumber": (who.serial, SERIAL_MAX),
        # deprecated since 1.6 (6.1), yet demanded by many central systems
        "chargeBoxSerialNumber": (who.serial, SERIAL_MAX),
        "firmwareVersion": (who.firmware, 50),
        "iccid": (who.iccid, 20),
        "imsi": (who.imsi, 20),
        "meterSerialNumber": (who.meter_serial, SERIAL_MAX),
        "meterType": (who.meter_type, 25),
    }
    return {name: text[:most] for name, (text, most) in fields.items() if text}


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
