"""DataTransfer from the backend (OCPP 1.6 5.6). Data is a text; the response carries the reply's
``data["data"]``. One extension is known: price and cost (``cost.py``), where the station shows
them."""

from __future__ import annotations

from typing import Any

from agent.domain.orders import Response
from agent.domain.requests import BackendRequest, DataTransferRequest
from agent.ocpp.dialects import web_payment
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, RequestRow, RowContext
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


ROWS = (RequestRow("DataTransfer", _decode_data_transfer, _answer_data_transfer),)
