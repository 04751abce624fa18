"""BootNotification and Heartbeat (OCPP 1.6 4.2, 4.6). Lossless, but the fields of the boot have maximum
lengths."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import BootWanted
from agent.ocpp.dialects.common_rows import registration_rows
from agent.ocpp.dialects.dialect import RowContext

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


ROWS = registration_rows(_encode_boot_notification)
