"""The local authorization list (OCPP 2.0.1 D01, D02). Of an entry only status, group and expiry
are kept; languages, messages, priority and EVSEs are not."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import ListConflicted
from agent.domain.orders import Response
from agent.domain.requests import LocalListVersionRequest, SendLocalListRequest
from agent.ocpp.dialects.common_rows import answer_one_of
from agent.ocpp.dialects.dialect import LocalAnswer, NotExpressible, Payload, RequestRow, RowContext
from agent.ocpp.v201.identifiers import decode_id_token_info
from agent.ocpp.wire.text import is_plain


def _decode_get_list_version(payload: Payload, ctx: RowContext) -> LocalListVersionRequest:
    return LocalListVersionRequest()


def _answer_get_list_version(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    return {"versionNumber": reply.data.get("version", 0)}


def _decode_send_local_list(payload: Payload, ctx: RowContext) -> SendLocalListRequest | LocalAnswer:
    entries = payload.get("localAuthorizationList") or ()
    tokens = [e["idToken"]["idToken"] for e in entries]
    if not all(t and is_plain(t) for t in tokens):
        return LocalAnswer({"status": "Failed"})
    infos = (decode_id_token_info(e["idTokenInfo"]) if "idTokenInfo" in e else None for e in entries)
    decoded = tuple(zip(tokens, infos, strict=True))
    return SendLocalListRequest(int(payload["versionNumber"]), payload["updateType"] == "Full", decoded)


ROWS = (
    RequestRow("GetLocalListVersion", _decode_get_list_version, _answer_get_list_version),
    RequestRow(
        "SendLocalList", _decode_send_local_list, answer_one_of("Accepted", "VersionMismatch", otherwise="Failed")
    ),
    NotExpressible(ListConflicted, "2.x does not ask for it; the answer that contradicts the list decides"),
)
