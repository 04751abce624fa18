"""DataTransfer from the backend (OCPP 1.6 5.6). Data is a text; what the reply's ``data["data"]`` says goes back. One
extension is spoken: that of price and cost (``cost.py``), where the station shows them."""

from __future__ import annotations

from typing import Any

from agent.domain.orders import Reply
from agent.domain.requests import Ask, AskData
from agent.ocpp.dialects import web_payment
from agent.ocpp.dialects.dialect import Desk, In, Payload
from agent.ocpp.v16 import cost

_WORDS = ("Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId")


def _ask(payload: Payload, desk: Desk) -> Ask | dict[str, Any]:
    if payload["vendorId"] == cost.VENDOR and desk.settings.flag("cost_display"):
        return cost.asked(payload, desk)
    if payload["vendorId"] == web_payment.VENDOR:
        return web_payment.asked(payload.get("messageId", ""), payload.get("data", ""))
    return AskData(payload["vendorId"], payload.get("messageId", ""), payload.get("data", ""))


def _answer(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    if payload.get("vendorId") == web_payment.VENDOR:
        return web_payment.answered(reply)
    answer = {"status": reply.status if reply.status in _WORDS else "UnknownVendorId"}
    if "data" in reply.data:
        answer["data"] = str(reply.data["data"])
    return answer


ROWS = (In("DataTransfer", _ask, _answer),)
