"""Authorize and the cache (OCPP 2.0.1 C01, C10-C12)."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TokenAuthorized
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import ClearCacheRequest
from agent.ocpp.dialects.dialect import In, Out, Payload, ResponseEffects, RowContext, judge_by_status_alone
from agent.ocpp.v201.cost import decode_token_message
from agent.ocpp.v201.identifiers import decode_id_token_info, encode_id_token


def _encode_authorize(order: AuthorizeToken, ctx: RowContext) -> dict[str, Any]:
    return {"idToken": encode_id_token(order.token)}


def _decode_authorize_response(order: AuthorizeToken, payload: Payload, ctx: RowContext) -> ResponseEffects:
    info = payload["idTokenInfo"]
    message = decode_token_message(order.token, info, ctx)  # before the token event: the next screen shows it
    return ResponseEffects((*message, TokenAuthorized(order.request, order.token, decode_id_token_info(info))))


def _decode_malformed_authorize(order: AuthorizeToken, payload: Payload, ctx: RowContext) -> ResponseEffects:
    return judge_by_status_alone(order, payload.get("idTokenInfo"))


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
