"""Reservations (OCPP 1.6 5.4, 5.13). Connector 0 is any connector. The end of a reservation is
reported by the status of the connector alone."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import ReservationEnded
from agent.domain.orders import Response
from agent.domain.requests import CancelReservationRequest, ReserveNowRequest
from agent.model.types import Token
from agent.ocpp.dialects.dialect import In, NotExpressible, Payload, RowContext
from agent.ocpp.wire.text import is_plain
from agent.ocpp.wire.timestamps import parse_timestamp


def _decode_reserve_now(payload: Payload, ctx: RowContext) -> ReserveNowRequest | dict[str, Any]:
    expires_utc_s = parse_timestamp(payload["expiryDate"])
    tag, group = payload["idTag"], payload.get("parentIdTag", "")
    if expires_utc_s is None or not tag or not is_plain(tag + group) or payload["connectorId"] < 0:
        return {"status": "Rejected"}
    return ReserveNowRequest(
        int(payload["reservationId"]), int(payload["connectorId"]), Token(tag), expires_utc_s, group
    )


def _answer_reserve_now(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    words = ("Accepted", "Faulted", "Occupied", "Unavailable")
    return {"status": reply.status if reply.status in words else "Rejected"}


def _decode_cancel_reservation(payload: Payload, ctx: RowContext) -> CancelReservationRequest:
    return CancelReservationRequest(int(payload["reservationId"]))


def _answer_cancel_reservation(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Accepted" else "Rejected"}


ROWS = (
    In("ReserveNow", _decode_reserve_now, _answer_reserve_now),
    In("CancelReservation", _decode_cancel_reservation, _answer_cancel_reservation),
    NotExpressible(
        ReservationEnded, "1.6 has no message for it; the status of the connector shows that it is free again"
    ),
)
