"""StatusNotification (OCPP 2.0.1 G01), NotifyEvent (G05) and SecurityEventNotification (A04). Five statuses of a
connector; the station as a whole has none (its connectors tell it). What is wrong is told beside it, as the Problem of
a part, by its minimum required error code where it has one, and our name; monitors that a backend sets are not
offered."""

from __future__ import annotations

from typing import Any

from agent.domain.faults import LOCKING
from agent.domain.messages import FaultNoted, SecurityHappened, StatusChanged
from agent.model.types import STATION
from agent.ocpp.dialects.device_model_v2x import LOCK
from agent.ocpp.dialects.dialect import Desk, Out, Told, nothing
from agent.ocpp.dialects.keys_v1x import cx
from agent.ocpp.v201.identifiers import evse
from agent.ocpp.wire.timestamps import rfc3339


def project(message: StatusChanged) -> Told:
    return Told(message.connector.value, "NoError")


def _notify(message: StatusChanged, desk: Desk) -> dict[str, Any] | None:
    if message.evse == STATION:
        return None
    return {
        "timestamp": rfc3339(desk.clock.utc_s(message.at)),
        "connectorStatus": message.connector.value,
        "evseId": message.evse,
        "connectorId": 1,
    }


def _event(message: FaultNoted, desk: Desk) -> dict[str, Any]:
    """Of the plug's lock, otherwise of the EVSE. The value is whether anything is wrong with that part now."""
    lock = message.fault in LOCKING
    wrong = [f for f in message.faults if not lock or f in LOCKING]
    at = rfc3339(desk.clock.utc_s(message.at))
    event = {
        "eventId": message.number,
        "timestamp": at,
        "trigger": "Delta",
        "actualValue": "true" if wrong else "false",
        "techCode": cx(message.fault) or message.fault.value[:50],
        "techInfo": message.fault.value,
        "cleared": not message.present,
        "eventNotificationType": "HardWiredNotification",
        "component": {"name": LOCK, "evse": evse(message.evse)}
        if lock
        else {"name": "EVSE", "evse": {"id": message.evse}},
        "variable": {"name": "Problem"},
    }
    return {"generatedAt": at, "seqNo": 0, "tbc": False, "eventData": [event]}


def _security(message: SecurityHappened, desk: Desk) -> dict[str, Any]:
    payload = {"type": message.kind[:50], "timestamp": rfc3339(desk.clock.utc_s(message.at))}
    if message.info:
        payload["techInfo"] = message.info[:255]
    return payload


ROWS = (
    Out(StatusChanged, "StatusNotification", _notify, nothing),
    Out(FaultNoted, "NotifyEvent", _event, nothing),
    Out(SecurityHappened, "SecurityEventNotification", _security, nothing),
)
