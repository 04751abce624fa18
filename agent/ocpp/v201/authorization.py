"""Authorize and the cache (OCPP 2.0.1 C01, C10-C12)."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TokenJudged
from agent.domain.orders import JudgeToken, Reply
from agent.domain.requests import AskClearCache
from agent.ocpp.dialects.dialect import Desk, Heard, In, Out, Payload, unreadable_verdict
from agent.ocpp.v201.cost import for_token
from agent.ocpp.v201.identifiers import id_token, verdict


def _authorize(order: JudgeToken, desk: Desk) -> dict[str, Any]:
    return {"idToken": id_token(order.token)}


def _judged(order: JudgeToken, payload: Payload, desk: Desk) -> Heard:
    info = payload["idTokenInfo"]
    message = for_token(order.token, info, desk)  # first: the next screen shows it
    return Heard((*message, TokenJudged(order.request, order.token, verdict(info))))


def _malformed(order: JudgeToken, payload: Payload, desk: Desk) -> Heard:
    return unreadable_verdict(order, payload.get("idTokenInfo"))


def _clear(payload: Payload, desk: Desk) -> AskClearCache:
    return AskClearCache()


def _cleared(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Accepted" else "Rejected"}


ROWS = (
    Out(JudgeToken, "Authorize", _authorize, _judged, malformed=_malformed),
    In("ClearCache", _clear, _cleared),
)
