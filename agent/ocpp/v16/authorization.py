"""Authorize and the cache (OCPP 1.6 4.1, 5.4). An idTag has no type and at most 20 characters; a refusal has four
reasons (Blocked, Expired, Invalid, ConcurrentTx)."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TokenJudged
from agent.domain.orders import JudgeToken, Reply
from agent.domain.requests import AskClearCache
from agent.model.types import AuthorizationStatus, Verdict
from agent.ocpp.dialects.dialect import Desk, Heard, In, Out, Payload, unreadable_verdict
from agent.ocpp.v16.identifiers import id_tag
from agent.ocpp.wire.timestamps import parse


def verdict(info: Payload) -> Verdict:
    """IdTagInfo."""
    expires_utc_s = parse(info.get("expiryDate"))
    return Verdict(AuthorizationStatus(info["status"]), info.get("parentIdTag") or None, expires_utc_s)


def _authorize(order: JudgeToken, desk: Desk) -> dict[str, Any]:
    return {"idTag": id_tag(order.token)}


def _judged(order: JudgeToken, payload: Payload, desk: Desk) -> Heard:
    return Heard((TokenJudged(order.request, order.token, verdict(payload["idTagInfo"])),))


def _malformed(order: JudgeToken, payload: Payload, desk: Desk) -> Heard:
    return unreadable_verdict(order, payload.get("idTagInfo"))


def _clear(payload: Payload, desk: Desk) -> AskClearCache:
    return AskClearCache()


def _cleared(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    return {"status": "Accepted" if reply.status == "Accepted" else "Rejected"}


ROWS = (
    Out(JudgeToken, "Authorize", _authorize, _judged, malformed=_malformed),
    In("ClearCache", _clear, _cleared),
)
