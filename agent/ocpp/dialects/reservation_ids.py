"""Reservations by the number that the backend gave them."""

from __future__ import annotations

from agent.ocpp.dialects.dialect import RowContext


def reservation_number(reservation: str, ctx: RowContext) -> int | None:
    """Return the number in the id of ``domain/reservation_claims.py``, for the backend that has
    made the reservation; None for other backends."""
    link, _, text = reservation.rpartition("/")
    return int(text) if link == ctx.link and text.lstrip("-").isdecimal() else None
