"""BootNotification and Heartbeat (OCPP 2.0.1 B01-B04, G02). There is no field for the identity
of the meter."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import BootWanted, HeartbeatWanted
from agent.ocpp.dialects.dialect import BootAnswer, Out, Payload, ResponseEffects, RowContext
from agent.ocpp.wire.timestamps import parse_timestamp

INTERVAL_MAX_S = 7 * 86400
"""A longer interval is a mistake of the backend; it would silence the station for good."""
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
