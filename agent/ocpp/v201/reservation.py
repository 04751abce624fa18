"""Reservations (OCPP 2.0.1 H01-H04): of an EVSE, of any, or of any with a connector of some type."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import ReservationEnded
from agent.domain.orders import Reply
from agent.domain.requests import AskCancelReservation, AskReserve
from agent.model.types import TokenType
from agent.ocpp.dialects.dialect import Desk, In, Out, Payload, nothing
from agent.ocpp.dialects.reservation_ids import number
from agent.ocpp.v201.identifiers import token
from agent.ocpp.wire.text import is_plain
from agent.ocpp.wire.timestamps import parse


def _reserve(payload: Payload, desk: Desk) -> AskReserve | dict[str, Any]:
    expires_utc_s = parse(payload["expiryDateTime"])
    who, group = token(payload["idToken"]), (payload.get("groupIdToken") or {}).get("idToken", "")
    evse = payload.get("evseId", 0)
    unknown = "evseId" in payload and evse not in desk.evse_numbers
    nobody = not who.value or who.type is TokenType.NO_AUTHORIZATION
    if expires_utc_s is None or unknown or nobody or not is_plain(who.value + group):
        return {"status": "Rejected"}
    kind = payload.get("connectorType", "")
    return AskReserve(int(payload["id"]), int(evse), who, expires_utc_s, group, kind)


def _reserved(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    words = ("Accepted", "Faulted", "Occupied", "Unavailable")
    return {"status": reply.status if reply.status in words else "Rejected"}


def _cancel(payload: Payload, desk: Desk) -> AskCancelReservation:
    return AskCancelReservation(int(payload["reservationId"]))


def _cancelled(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Accepted" else "Rejected"}


def _ended(message: ReservationEnded, desk: Desk) -> dict[str, Any] | None:
    known = number(message.reservation, desk)
    if known is None:
        return None
    return {"reservationId": known, "reservationUpdateStatus": "Expired" if message.expired else "Removed"}


ROWS = (
    In("ReserveNow", _reserve, _reserved),
    In("CancelReservation", _cancel, _cancelled),
    Out(ReservationEnded, "ReservationStatusUpdate", _ended, nothing),
)
