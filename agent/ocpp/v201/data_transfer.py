"""DataTransfer from the backend (OCPP 2.0.1 P01). Data is anything; what is not a text is passed
on as JSON."""

from __future__ import annotations

import json
from typing import Any

from agent.domain.orders import Response
from agent.domain.requests import BackendRequest, DataTransferRequest
from agent.ocpp.dialects import web_payment
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, RequestRow, RowContext

_WORDS = ("Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId")


def _decode_data_transfer(payload: Payload, ctx: RowContext) -> BackendRequest | LocalAnswer:
    if payload["vendorId"] == web_payment.VENDOR:
        return web_payment.decode_web_payment(payload.get("messageId", ""), payload.get("data", ""))
    data = payload.get("data", "")
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return DataTransferRequest(payload["vendorId"], payload.get("messageId", ""), text)


def _answer_data_transfer(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    if payload["vendorId"] == web_payment.VENDOR:
        return web_payment.answer_web_payment(reply)
    answer: dict[str, Any] = {"status": reply.status if reply.status in _WORDS else "UnknownVendorId"}
    if "data" in reply.data:
        answer["data"] = reply.data["data"]
    return answer


ROWS = (RequestRow("DataTransfer", _decode_data_transfer, _answer_data_transfer),)
