"""The local authorization list (OCPP 1.6 5.10, 5.15). Version -1: local lists are not supported.
A contradiction between list and backend is reported as the status of connector 0 (7.6,
LocalListConflict)."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import ConnectorStatus, ListConflicted
from agent.domain.orders import Response
from agent.domain.requests import LocalListVersionRequest, SendLocalListRequest
from agent.ocpp.dialects.common_rows import answer_one_of
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Payload, RequestRow, RowContext, decode_empty_response
from agent.ocpp.v16.authorization import decode_id_tag_info
from agent.ocpp.wire.text import is_plain
from agent.ocpp.wire.timestamps import format_rfc3339


def _decode_get_list_version(payload: Payload, ctx: RowContext) -> LocalListVersionRequest:
    return LocalListVersionRequest()


def _answer_get_list_version(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    return {"listVersion": reply.data.get("version", -1) if reply.status == "Accepted" else -1}


def _decode_send_local_list(payload: Payload, ctx: RowContext) -> SendLocalListRequest | LocalAnswer:
    entries = payload.get("localAuthorizationList") or ()
    if not all(e["idTag"] and is_plain(e["idTag"]) for e in entries):
        return LocalAnswer({"status": "Failed"})
    decoded = tuple((e["idTag"], decode_id_tag_info(e["idTagInfo"]) if "idTagInfo" in e else None) for e in entries)
    return SendLocalListRequest(int(payload["listVersion"]), payload["updateType"] == "Full", decoded)


def _encode_list_conflict(message: ListConflicted, ctx: RowContext) -> dict[str, Any]:
    closed = message.connector is ConnectorStatus.UNAVAILABLE
    return {
        "connectorId": 0,
        "errorCode": "LocalListConflict",
        "status": "Unavailable" if closed else "Available",
        "timestamp": format_rfc3339(ctx.clock.utc_s(message.at)),
    }


ROWS = (
    RequestRow("GetLocalListVersion", _decode_get_list_version, _answer_get_list_version),
    RequestRow(
        "SendLocalList",
        _decode_send_local_list,
        answer_one_of("Accepted", "Failed", "VersionMismatch", otherwise="NotSupported"),
    ),
    MessageRow(ListConflicted, "StatusNotification", _encode_list_conflict, decode_empty_response),
)
