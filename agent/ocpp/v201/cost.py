"""Cost in 2.0.1 (I02, I03; C01, E): CostUpdated, and what the answers to Authorize and
TransactionEvent bring besides the idTokenInfo. A personal message of format URI at the end is
the address of a receipt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.csms_cost import Cost, parse_micro_amount
from agent.domain.events import CostReceived, DriverMessageReceived, Event
from agent.domain.orders import Response
from agent.domain.requests import CostUpdatedRequest
from agent.domain.variables import TEXT_MAX
from agent.model.types import MessageContent, Token
from agent.ocpp.dialects.dialect import Payload, Refused, RequestRow, RowContext
from agent.ocpp.v201.identifiers import session_of
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.text import is_plain


def decode_message_content(content: Payload | None) -> tuple[MessageContent, ...]:
    """Decode MessageContentType; empty for what cannot be shown."""
    text = " ".join(str((content or {}).get("content", "")).split())
    if content is None or not text or len(text) > TEXT_MAX or not is_plain(text):
        return ()
    return (MessageContent(text, content.get("language", ""), content["format"]),)


def _find_receipt_url(messages: tuple[MessageContent, ...]) -> str:
    found = (m.content for m in messages if m.format == "URI" and m.content.lower().startswith(("https://", "http://")))
    return next((url for url in found if " " not in url), "")


def decode_token_message(token: Token, info: Payload, ctx: RowContext) -> tuple[Event, ...]:
    """Decode the personal message of an IdTokenInfoType."""
    messages = decode_message_content(info.get("personalMessage"))
    return (DriverMessageReceived(ctx.link, messages, token=token),) if messages else ()


def decode_session_cost(session: str, final: bool, payload: Payload, ctx: RowContext) -> Iterator[Event]:
    """Decode a TransactionEventResponse. An invalid amount is skipped: the answer to the
    transaction counts all the same."""
    messages = decode_message_content(payload.get("updatedPersonalMessage"))
    if messages and not final:
        yield DriverMessageReceived(ctx.link, messages, session=session)
    if payload.get("totalCost") is None:
        return
    try:
        total_micro = parse_micro_amount(payload["totalCost"])
    except ValueError:
        return
    yield CostReceived(
        ctx.link, session, Cost(total_micro, final, texts=messages, qr=_find_receipt_url(messages) if final else "")
    )


def _decode_cost_updated(payload: Payload, ctx: RowContext) -> CostUpdatedRequest:
    if not ctx.settings.bool_value("cost_display"):
        raise Refused(Code.NOT_SUPPORTED, "costs are not shown here (cost_display)")
    try:
        total_micro = parse_micro_amount(payload["totalCost"])
    except ValueError as e:
        raise Refused(Code.PROPERTY, f"totalCost: {e}") from e
    return CostUpdatedRequest(session_of(payload["transactionId"], ctx), Cost(total_micro))


def _answer_cost_updated(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    """Answer the request; the response has no status."""
    if reply.status != "Accepted":
        raise Refused(Code.PROPERTY, "transactionId: no such transaction is running here")
    return {}


ROWS = (RequestRow("CostUpdated", _decode_cost_updated, _answer_cost_updated),)
