"""The local authorisation list (OCPP 1.6 5.10, 5.15). Version -1: local lists are not supported. A contradiction
between list and backend is told as the status of connector 0 (7.6, LocalListConflict)."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import ConnectorStatus, ListConflicted
from agent.domain.orders import Reply
from agent.domain.requests import AskListVersion, AskSendList
from agent.ocpp.dialects.dialect import Desk, In, Out, Payload, nothing
from agent.ocpp.v16.authorization import verdict
from agent.ocpp.wire.text import is_plain
from agent.ocpp.wire.timestamps import rfc3339


def _version(payload: Payload, desk: Desk) -> AskListVersion:
    return AskListVersion()


def _versioned(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    return {"listVersion": reply.data.get("version", -1) if reply.status == "Accepted" else -1}


def _send(payload: Payload, desk: Desk) -> AskSendList | dict[str, Any]:
    entries = payload.get("localAuthorizationList") or ()
    if not all(e["idTag"] and is_plain(e["idTag"]) for e in entries):
        return {"status": "Failed"}
    told = tuple((e["idTag"], verdict(e["idTagInfo"]) if "idTagInfo" in e else None) for e in entries)
    return AskSendList(int(payload["listVersion"]), payload["updateType"] == "Full", told)


def _sent(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    words = ("Accepted", "Failed", "VersionMismatch")
    return {"status": reply.status if reply.status in words else "NotSupported"}


def _conflict(message: ListConflicted, desk: Desk) -> dict[str, Any]:
    closed = message.connector is ConnectorStatus.UNAVAILABLE
    return {
        "connectorId": 0,
        "errorCode": "LocalListConflict",
        "status": "Unavailable" if closed else "Available",
        "timestamp": rfc3339(desk.clock.utc_s(message.at)),
    }


ROWS = (
    In("GetLocalListVersion", _version, _versioned),
    In("SendLocalList", _send, _sent),
    Out(ListConflicted, "StatusNotification", _conflict, nothing),
)
