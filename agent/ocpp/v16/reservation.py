"""Reservations (OCPP 1.6 5.4, 5.13). Connector 0 is any connector. The end of a reservation is
reported by the status of the connector alone."""

from __future__ import annotations

from agent.domain.messages import ReservationEnded
from agent.domain.requests import ReserveNowRequest
from agent.model.types import Token
from agent.ocpp.dialects.common_rows import CANCEL_RESERVATION, REJECTED, answer_reserve_now
from agent.ocpp.dialects.dialect import LocalAnswer, NotExpressible, Payload, RequestRow, RowContext
from agent.ocpp.wire.text import is_plain
from agent.ocpp.wire.timestamps import parse_timestamp


def _decode_reserve_now(payload: Payload, ctx: RowContext) -> ReserveNowRequest | LocalAnswer:
    expires_utc_s = parse_timestamp(payload["expiryDate"])
    tag, group = payload["idTag"], payload.get("parentIdTag", "")
    if expires_utc_s is None or not tag or not is_plain(tag + group) or payload["connectorId"] < 0:
        return REJECTED
    return ReserveNowRequest(
        int(payload["reservationId"]), int(payload["connectorId"]), Token(tag), expires_utc_s, group
    )


ROWS = (
    RequestRow("ReserveNow", _decode_reserve_now, answer_reserve_now),
    CANCEL_RESERVATION,
    NotExpressible(
        ReservationEnded, "1.6 has no message for it; the status of the connector shows that it is free again"
    ),
)
