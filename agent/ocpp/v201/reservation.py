"""Reservations (OCPP 2.0.1 H01-H04): of an EVSE, of any EVSE, or of any with a connector of some
type."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import ReservationEnded
from agent.domain.requests import ReserveNowRequest
from agent.model.types import TokenType
from agent.ocpp.dialects.common_rows import CANCEL_RESERVATION, REJECTED, answer_reserve_now
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Payload, RequestRow, RowContext, decode_empty_response
from agent.ocpp.dialects.reservation_ids import reservation_number
from agent.ocpp.v201.identifiers import decode_id_token
from agent.ocpp.wire.text import is_plain
from agent.ocpp.wire.timestamps import parse_timestamp


def _decode_reserve_now(payload: Payload, ctx: RowContext) -> ReserveNowRequest | LocalAnswer:
    expires_utc_s = parse_timestamp(payload["expiryDateTime"])
    who, group = decode_id_token(payload["idToken"]), (payload.get("groupIdToken") or {}).get("idToken", "")
    evse = payload.get("evseId", 0)
    unknown = "evseId" in payload and evse not in ctx.evse_numbers
    has_no_holder = not who.value or who.type is TokenType.NO_AUTHORIZATION
    if expires_utc_s is None or unknown or has_no_holder or not is_plain(who.value + group):
        return REJECTED
    kind = payload.get("connectorType", "")
    return ReserveNowRequest(int(payload["id"]), int(evse), who, expires_utc_s, group, kind)


def _encode_reservation_ended(message: ReservationEnded, ctx: RowContext) -> dict[str, Any] | None:
    known = reservation_number(message.reservation, ctx)
    if known is None:
        return None
    return {"reservationId": known, "reservationUpdateStatus": "Expired" if message.expired else "Removed"}


ROWS = (
    RequestRow("ReserveNow", _decode_reserve_now, answer_reserve_now),
    CANCEL_RESERVATION,
    MessageRow(ReservationEnded, "ReservationStatusUpdate", _encode_reservation_ended, decode_empty_response),
)
