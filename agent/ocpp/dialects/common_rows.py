"""Rows, and parts of rows, that 1.6 and 2.x have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from agent.domain.events import TokenAuthorized
from agent.domain.messages import BootWanted, HeartbeatWanted
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import CancelReservationRequest, ClearCacheRequest
from agent.model.types import AuthorizationStatus, Verdict
from agent.ocpp.dialects.dialect import (
    BootAnswer,
    LocalAnswer,
    MessageRow,
    NotOffered,
    Payload,
    Refused,
    RequestRow,
    ResponseEffects,
    RowContext,
    answer_always,
    decode_status_alone,
)
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.timestamps import parse_timestamp

Answer: TypeAlias = Callable[[Response, Payload, RowContext], dict[str, Any]]

REJECTED = LocalAnswer({"status": "Rejected"})
INTERVAL_MAX_S = 7 * 86400
"""A longer interval is a mistake of the backend; it would silence the station for good."""


def answer_one_of(*words: str, otherwise: str = "Rejected") -> Answer:
    """Answer with the neutral status, where the version has the word."""

    def answer_with_status(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
        return {"status": reply.status if reply.status in words else otherwise}

    return answer_with_status


def answer_or_refuse(*words: str, otherwise: str = "Rejected") -> Answer:
    """Answer with the neutral status, where the version has the word. Where it has none for
    NotImplemented, the answer is a CALLERROR."""
    answer_with_status = answer_one_of(*words, otherwise=otherwise)

    def answer_if_offered(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
        if reply.status == "NotImplemented" and "NotImplemented" not in words:
            raise Refused(Code.NOT_SUPPORTED, "not offered by this station")
        return answer_with_status(reply, payload, ctx)

    return answer_if_offered


# --- BootNotification and Heartbeat --------------------------------------------------------------------------------


def _decode_boot_response(message: BootWanted, payload: Payload, ctx: RowContext) -> ResponseEffects:
    interval_s = int(min(max(payload["interval"], 0), INTERVAL_MAX_S))
    return ResponseEffects(
        boot=BootAnswer(payload["status"], interval_s), utc_s=parse_timestamp(payload["currentTime"])
    )


def _encode_heartbeat(message: HeartbeatWanted, ctx: RowContext) -> dict[str, Any]:
    return {}


def _decode_heartbeat_response(message: HeartbeatWanted, payload: Payload, ctx: RowContext) -> ResponseEffects:
    return ResponseEffects(utc_s=parse_timestamp(payload["currentTime"]))


def registration_rows(encode_boot: Callable[[BootWanted, RowContext], dict[str, Any]]) -> tuple[MessageRow, MessageRow]:
    return (
        MessageRow(BootWanted, "BootNotification", encode_boot, _decode_boot_response),
        MessageRow(HeartbeatWanted, "Heartbeat", _encode_heartbeat, _decode_heartbeat_response),
    )


# --- Authorize and the cache ---------------------------------------------------------------------------------------


def authorize_row(
    encode: Callable[[AuthorizeToken, RowContext], dict[str, Any]],
    decode_response: Callable[[AuthorizeToken, Payload, RowContext], ResponseEffects],
    info_field: str,
) -> MessageRow:
    """Make the row of Authorize. ``info_field``: the field of the answer with the status of the
    token."""

    def decode_malformed(order: AuthorizeToken, payload: Payload, ctx: RowContext) -> ResponseEffects:
        return _judge_by_status_alone(order, payload.get(info_field))

    return MessageRow(AuthorizeToken, "Authorize", encode, decode_response, decode_malformed=decode_malformed)


def _judge_by_status_alone(order: AuthorizeToken, info: Any) -> ResponseEffects:
    """Judge an unreadable answer to Authorize: the token is refused, unless its status is
    readable. Nothing of it is stored, and the backend does not count as absent."""
    verdict = decode_status_alone(info) or Verdict(AuthorizationStatus.INVALID)
    return ResponseEffects((TokenAuthorized(order.request, order.token, verdict, remembered=False),))


def _decode_clear_cache(payload: Payload, ctx: RowContext) -> ClearCacheRequest:
    return ClearCacheRequest()


CLEAR_CACHE = RequestRow("ClearCache", _decode_clear_cache, answer_one_of("Accepted"))


# --- reservations --------------------------------------------------------------------------------------------------


def _decode_cancel_reservation(payload: Payload, ctx: RowContext) -> CancelReservationRequest:
    return CancelReservationRequest(int(payload["reservationId"]))


CANCEL_RESERVATION = RequestRow("CancelReservation", _decode_cancel_reservation, answer_one_of("Accepted"))
answer_reserve_now = answer_one_of("Accepted", "Faulted", "Occupied", "Unavailable")


# --- profiles that the station file switches off -------------------------------------------------------------------

REMOTE_TRIGGER_OFF = (NotOffered("TriggerMessage", "RemoteTrigger is switched off in the station file"),)
RESERVATION_OFF = (
    answer_always("ReserveNow", status="Rejected"),
    NotOffered("CancelReservation", "Reservation is not offered"),
)
