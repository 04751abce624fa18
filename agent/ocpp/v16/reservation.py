"""Reservations (OCPP 1.6 5.4, 5.13). Connector 0 is any connector. That one ended by itself is told by nothing but the
status of the connector."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import ReservationEnded
from agent.domain.orders import Reply
from agent.domain.requests import AskCancelReservation, AskReserve
from agent.model.types import Token
from agent.ocpp.dialects.dialect import Desk, In, Mute, Payload
from agent.ocpp.wire.text import is_plain
from agent.ocpp.wire.timestamps import parse


def _reserve(payload: Payload, desk: Desk) -> AskReserve | dict[str, Any]:
    expires_utc_s = parse(payload["expiryDate"])
    tag, group = payload["idTag"], payload.get("parentIdTag", "")
    if expires_utc_s is None or not tag or not is_plain(tag + group) or payload["connectorId"] < 0:
        return {"status": "Rejected"}
    return AskReserve(int(payload["reservationId"]), int(payload["connectorId"]), Token(tag), expires_utc_s, group)


def _reserved(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    words = ("Accepted", "Faulted", "Occupied", "Unavailable")
    return {"status": reply.status if reply.status in words else "Rejected"}


def _cancel(payload: Payload, desk: Desk) -> AskCancelReservation:
    return AskCancelReservation(int(payload["reservationId"]))


def _cancelled(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Accepted" else "Rejected"}


ROWS = (
    In("ReserveNow", _reserve, _reserved),
    In("CancelReservation", _cancel, _cancelled),
    Mute(ReservationEnded, "1.6 has no message for it; the status of the connector tells that it is free again"),
)
