"""Authorize and the cache (OCPP 2.0.1 C01, C10-C12)."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TokenAuthorized
from agent.domain.orders import AuthorizeToken
from agent.ocpp.dialects.common_rows import CLEAR_CACHE, authorize_row
from agent.ocpp.dialects.dialect import Payload, ResponseEffects, RowContext
from agent.ocpp.v201.cost import decode_token_message
from agent.ocpp.v201.identifiers import decode_id_token_info, encode_id_token


def _encode_authorize(order: AuthorizeToken, ctx: RowContext) -> dict[str, Any]:
    return {"idToken": encode_id_token(order.token, ctx)}


def _decode_authorize_response(order: AuthorizeToken, payload: Payload, ctx: RowContext) -> ResponseEffects:
    info = payload["idTokenInfo"]
    message = decode_token_message(order.token, info, ctx)  # before the token event: the next screen shows it
    return ResponseEffects((*message, TokenAuthorized(order.request, order.token, decode_id_token_info(info))))


ROWS = (authorize_row(_encode_authorize, _decode_authorize_response, "idTokenInfo"), CLEAR_CACHE)
