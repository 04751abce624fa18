"""DataTransfer from the backend (OCPP 1.6 5.6). Data is a text; the response carries the reply's
``data["data"]``. One extension is known: price and cost (``cost.py``), where the station shows
them. Sent is what has become of a card's money (``settlement.py``)."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import SettlementReported
from agent.domain.orders import Response
from agent.domain.requests import BackendRequest, DataTransferRequest
from agent.ocpp.dialects import web_payment
from agent.ocpp.dialects.dialect import (
    LocalAnswer,
    MessageRow,
    Payload,
    RequestRow,
    RowContext,
    decode_empty_response,
)
from agent.ocpp.v16 import cost

_WORDS = ("Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId")


def _decode_data_transfer(payload: Payload, ctx: RowContext) -> BackendRequest | LocalAnswer:
    if payload["vendorId"] == cost.VENDOR and ctx.settings.bool_value("cost_display"):
        return cost.decode_cost_message(payload, ctx)
    if payload["vendorId"] == web_payment.VENDOR:
        return web_payment.decode_web_payment(payload.get("messageId", ""), payload.get("data", ""))
    return DataTransferRequest(payload["vendorId"], payload.get("messageId", ""), payload.get("data", ""))


def _answer_data_transfer(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    if payload.get("vendorId") == web_payment.VENDOR:
        return web_payment.answer_web_payment(reply)
    answer = {"status": reply.status if reply.status in _WORDS else "UnknownVendorId"}
    if "data" in reply.data:
        answer["data"] = str(reply.data["data"])
    return answer


def _encode_settlement(message: SettlementReported, ctx: RowContext) -> dict[str, Any] | None:
    from agent.ocpp.v16.settlement import encode_settlement_transfer  # most stations have no terminal

    return encode_settlement_transfer(message, ctx)


ROWS = (
    RequestRow("DataTransfer", _decode_data_transfer, _answer_data_transfer),
    MessageRow(SettlementReported, "DataTransfer", _encode_settlement, decode_empty_response),
)
"""Whatever the answer to a settlement is: a backend that does not know the message loses nothing that is billed."""
