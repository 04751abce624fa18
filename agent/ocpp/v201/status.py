"""StatusNotification (OCPP 2.0.1 G01) and SecurityEventNotification (A04). Five statuses of a connector; the station as
a whole has none (its connectors tell it), and what is wrong is not told with it."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import SecurityHappened, StatusChanged
from agent.kinds import STATION
from agent.ocpp.dialect import Desk, Out, Told, nothing
from agent.ocpp.times import rfc3339


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


def _security(message: SecurityHappened, desk: Desk) -> dict[str, Any]:
    payload = {"type": message.kind[:50], "timestamp": rfc3339(desk.clock.utc_s(message.at))}
    if message.info:
        payload["techInfo"] = message.info[:255]
    return payload


ROWS = (
    Out(StatusChanged, "StatusNotification", _notify, nothing),
    Out(SecurityHappened, "SecurityEventNotification", _security, nothing),
)
