"""StatusNotification (OCPP 2.0.1 G01), NotifyEvent (G05) and SecurityEventNotification (A04). A
connector has five statuses; the station as a whole has none (its connectors report it). A fault
is sent beside the status, as the Problem of a part, by its minimum required error code where it
has one, and our name. The Problem of a lock has a hard-wired monitor (N07), whose id is the number
of its EVSE: what changes it is its event. Other monitors: ``monitoring.py``."""

from __future__ import annotations

from typing import Any

from agent.domain.faults import LOCKING
from agent.domain.messages import FaultNoted, SecurityHappened, StatusChanged
from agent.model.types import STATION
from agent.ocpp.dialects.device_model_v2x import LOCK
from agent.ocpp.dialects.dialect import MessageRow, RowContext, StatusProjection, decode_empty_response
from agent.ocpp.dialects.keys_v1x import chargex_code
from agent.ocpp.v201.identifiers import encode_evse
from agent.ocpp.wire.timestamps import format_rfc3339


def project_status(message: StatusChanged) -> StatusProjection:
    """Return the status in the words of 2.0.1."""
    return StatusProjection(message.connector.value, "NoError")


def _encode_status_notification(message: StatusChanged, ctx: RowContext) -> dict[str, Any] | None:
    if message.evse == STATION:
        return None
    return {
        "timestamp": format_rfc3339(ctx.clock.utc_s(message.at)),
        "connectorStatus": message.connector.value,
        "evseId": message.evse,
        "connectorId": 1,
    }


def _encode_notify_event(message: FaultNoted, ctx: RowContext) -> dict[str, Any]:
    """Encode the fault as an event of the plug's lock, otherwise of the EVSE. The value is
    whether that part has any fault now."""
    lock = message.fault in LOCKING
    wrong = [f for f in message.faults if not lock or f in LOCKING]
    monitored = lock and wrong == ([message.fault] if message.present else [])
    at = format_rfc3339(ctx.clock.utc_s(message.at))
    event = {
        "eventId": message.number,
        "timestamp": at,
        "trigger": "Delta",
        "actualValue": "true" if wrong else "false",
        "techCode": chargex_code(message.fault) or message.fault.value[:50],
        "techInfo": message.fault.value,
        "cleared": not message.present,
        "eventNotificationType": "HardWiredMonitor" if monitored else "HardWiredNotification",
        **({"variableMonitoringId": message.evse} if monitored else {}),
        "component": {"name": LOCK, "evse": encode_evse(message.evse)}
        if lock
        else {"name": "EVSE", "evse": {"id": message.evse}},
        "variable": {"name": "Problem"},
    }
    return {"generatedAt": at, "seqNo": 0, "tbc": False, "eventData": [event]}


def _encode_security_event(message: SecurityHappened, ctx: RowContext) -> dict[str, Any]:
    payload = {"type": message.kind[:50], "timestamp": format_rfc3339(ctx.clock.utc_s(message.at))}
    if message.info:
        payload["techInfo"] = message.info[:255]
    return payload


ROWS = (
    MessageRow(StatusChanged, "StatusNotification", _encode_status_notification, decode_empty_response),
    MessageRow(FaultNoted, "NotifyEvent", _encode_notify_event, decode_empty_response),
    MessageRow(SecurityHappened, "SecurityEventNotification", _encode_security_event, decode_empty_response),
)
