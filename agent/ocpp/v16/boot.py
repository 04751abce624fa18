"""BootNotification and Heartbeat (OCPP 1.6 4.2, 4.6). Lossless, but the fields of the boot have maximum
lengths."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import BootWanted, HeartbeatWanted
from agent.ocpp.dialects.dialect import BootAnswer, Out, Payload, ResponseEffects, RowContext
from agent.ocpp.wire.timestamps import parse_timestamp

INTERVAL_MAX_S = 7 * 86400
"""A longer interval is a mistake of the backend; it would silence the station for good."""


VENDOR_MAX, SERIAL_MAX = 20, 25


def _encode_boot_notification(message: BootWanted, ctx: RowContext) -> dict[str, Any]:
    who = ctx.identity()
    fields = {
        "chargePointVendor": (who.vendor or "unknown", VENDOR_MAX),
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


def _decode_boot_response(message: BootWanted, payload: Payload, ctx: RowContext) -> ResponseEffects:
    interval_s = int(min(max(payload["interval"], 0), INTERVAL_MAX_S))
    return ResponseEffects(
        boot=BootAnswer(payload["status"], interval_s), utc_s=parse_timestamp(payload["currentTime"])
    )


def _encode_heartbeat(message: HeartbeatWanted, ctx: RowContext) -> dict[str, Any]:
    return {}


def _decode_heartbeat_response(message: HeartbeatWanted, payload: Payload, ctx: RowContext) -> ResponseEffects:
    return ResponseEffects(utc_s=parse_timestamp(payload["currentTime"]))


ROWS = (
    Out(BootWanted, "BootNotification", _encode_boot_notification, _decode_boot_response),
    Out(HeartbeatWanted, "Heartbeat", _encode_heartbeat, _decode_heartbeat_response),
)
