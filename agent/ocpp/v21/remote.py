"""Requests that have one more word in 2.1 (B09, B12, N01). A word for what this station cannot do is refused."""

from __future__ import annotations

from typing import Any

from agent.domain.variables import DATA_LINK
from agent.ocpp.dialects.common_rows import REJECTED
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, Row, RowContext
from agent.ocpp.v21.derivation import derive_request_row
from agent.ocpp.v201.network_profile import OURS


def _look_at_reset(payload: Payload, ctx: RowContext) -> LocalAnswer | None:
    """Reject ImmediateAndResume: an immediate reset ends the sessions here."""
    return REJECTED if payload["type"] == "ImmediateAndResume" else None


def _look_at_log(payload: Payload, ctx: RowContext) -> LocalAnswer | None:
    """Reject the log of a data collector: this station has none."""
    return REJECTED if payload["logType"] == "DataCollectorLog" else None


def _look_at_network_profile(payload: Payload, ctx: RowContext) -> LocalAnswer | Payload:
    """Say the profile in the words of 2.0.1. The version is not part of it any more: the handshake decides it. An
    identity or a password of its own is not offered, so such a profile is rejected, not half obeyed."""
    data: dict[str, Any] = {**payload["connectionData"], "ocppVersion": OURS}
    if "identity" in data or "basicAuthPassword" in data:
        return REJECTED
    has_bearers = any(part.startswith(DATA_LINK) for part in ctx.settings.fitted)
    if data["ocppInterface"] == "Any" and has_bearers:
        return REJECTED  # which bearer is used would be ours to choose, and its APN is known for one only
    return {**payload, "connectionData": data}


ROWS: tuple[Row, ...] = (
    derive_request_row("Reset", _look_at_reset),
    derive_request_row("GetLog", _look_at_log),
    derive_request_row("SetNetworkProfile", _look_at_network_profile),
)
