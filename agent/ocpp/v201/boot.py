"""BootNotification and Heartbeat (OCPP 2.0.1 B01-B04, G02). There is no field for the identity
of the meter."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import BootWanted
from agent.ocpp.dialects.common_rows import registration_rows
from agent.ocpp.dialects.dialect import RowContext

ASKABLE_WHILE_PENDING = frozenset({
    "GetBaseReport", "GetReport", "GetVariables", "RequestStartTransaction", "RequestStopTransaction", "SetVariables",
    "TriggerMessage",
})  # fmt: skip
"""B02: configuration and a trigger work; start and stop are answered with Rejected by their
rows."""


def admits_request(boot: str | None, action: str) -> bool:
    """Return whether the request is served. B02, B03: everything else is a SecurityError until
    the boot is accepted."""
    return boot == "Accepted" or (boot != "Rejected" and action in ASKABLE_WHILE_PENDING)


def _encode_boot_notification(message: BootWanted, ctx: RowContext) -> dict[str, Any]:
    who = ctx.identity()
    station: dict[str, Any] = {"vendorName": (who.vendor or "unknown")[:50], "model": (who.model or "unknown")[:20]}
    if who.serial:
        station["serialNumber"] = who.serial[:25]
    if who.firmware:
        station["firmwareVersion"] = who.firmware[:50]
    modem = {name: text[:20] for name, text in (("iccid", who.iccid), ("imsi", who.imsi)) if text}
    if modem:
        station["modem"] = modem
    return {"reason": "Triggered" if ctx.triggered else who.boot_reason, "chargingStation": station}


ROWS = registration_rows(_encode_boot_notification)
