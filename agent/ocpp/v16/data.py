"""DataTransfer from the backend (OCPP 1.6 5.6). Data is a text; what the reply's ``data["data"]`` says goes back."""

from __future__ import annotations

from typing import Any

from agent.domain.asks import AskData
from agent.domain.orders import Reply
from agent.ocpp.dialect import Desk, In, Payload

_WORDS = ("Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId")


def _ask(payload: Payload, desk: Desk) -> AskData:
    return AskData(payload["vendorId"], payload.get("messageId", ""), payload.get("data", ""))


def _answer(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    answer = {"status": reply.status if reply.status in _WORDS else "UnknownVendorId"}
    if "data" in reply.data:
        answer["data"] = str(reply.data["data"])
    return answer


ROWS = (In("DataTransfer", _ask, _answer),)
