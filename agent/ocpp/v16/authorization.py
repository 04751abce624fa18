"""Authorize and the cache (OCPP 1.6 4.1, 5.4). An idTag has no type and at most 20 characters; a refusal has four
reasons (Blocked, Expired, Invalid, ConcurrentTx)."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TokenAuthorized
from agent.domain.orders import AuthorizeToken
from agent.model.types import AuthorizationStatus, Verdict
from agent.ocpp.dialects.common_rows import CLEAR_CACHE, authorize_row
from agent.ocpp.dialects.dialect import Payload, ResponseEffects, RowContext
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


ROWS = (authorize_row(_encode_authorize, _decode_authorize_response, "idTagInfo"), CLEAR_CACHE)
