"""Authorize and the cache (OCPP 1.6 4.1, 5.4). An idTag has no type and at most 20 characters; a refusal has four
reasons (Blocked, Expired, Invalid, ConcurrentTx)."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TokenAuthorized
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import ClearCacheRequest
from agent.model.types import AuthorizationStatus, Verdict
from agent.ocpp.dialects.dialect import In, Out, Payload, ResponseEffects, RowContext, judge_by_status_alone
from agent.ocpp.v16.identifiers import encode_id_tag
from agent.ocpp.wire.timestamps import parse_timestamp


def decode_id_tag_info(info: Payload) -> Verdict:
    """Decode IdTagInfo."""
    expires_utc_s = parse_timestamp(info.get("expiryDate"))
    return Verdict(AuthorizationStatus(info["status"]), info.get("parentIdTag") or None, expires_utc_s)


def _encode_authorize(order: AuthorizeToken, ctx: RowContext) -> dict[str, Any]:
    return {"idTag": encode_id_tag(order.token)}


def _decode_authorize_response(order: AuthorizeToken, payload: Payload, ctx: RowContext) -> ResponseEffects:
    return ResponseEffects((TokenAuthorized(order.request, order.token, decode_id_tag_info(payload["idTagInfo"])),))


def _decode_malformed_authorize(order: AuthorizeToken, payload: Payload, ctx: RowContext) -> ResponseEffects:
    return judge_by_status_alone(order, payload.get("idTagInfo"))


def _decode_clear_cache(payload: Payload, ctx: RowContext) -> ClearCacheRequest:
    return ClearCacheRequest()


def _answer_clear_cache(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Accepted" else "Rejected"}


ROWS = (
    Out(
        AuthorizeToken,
        "Authorize",
        _encode_authorize,
        _decode_authorize_response,
        decode_malformed=_decode_malformed_authorize,
    ),
    In("ClearCache", _decode_clear_cache, _answer_clear_cache),
)
