"""Messages for drivers in 2.1 (block O). No state of a driver's display here is one of the two that only 2.1 has, and a
message has one language."""

from __future__ import annotations

from agent.domain.display_messages import MessageState
from agent.domain.variables import DISPLAY_MESSAGES, TEXT_MAX
from agent.ocpp.dialects.common_rows import REJECTED
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, Row, RowContext
from agent.ocpp.v21.derivation import derive_request_row

STATES = frozenset(map(str, MessageState))


def _look_at_message(payload: Payload, ctx: RowContext) -> LocalAnswer | None:
    if not ctx.settings.offers_part(DISPLAY_MESSAGES):
        return None
    info = payload["message"]
    if info.get("state", next(iter(STATES))) not in STATES:
        return LocalAnswer({"status": "NotSupportedState"})
    if info.get("messageExtra"):
        return LocalAnswer({"status": "LanguageNotSupported"})
    return REJECTED if len(info["message"]["content"]) > TEXT_MAX else None  # 2.0.1 could not report it


def _look_at_question(payload: Payload, ctx: RowContext) -> LocalAnswer | None:
    """Answer that no message has a state that is not known here."""
    is_new = "state" in payload and payload["state"] not in STATES
    return LocalAnswer({"status": "Unknown"}) if is_new and ctx.settings.offers_part(DISPLAY_MESSAGES) else None


ROWS: tuple[Row, ...] = (
    derive_request_row("SetDisplayMessage", _look_at_message),
    derive_request_row("GetDisplayMessages", _look_at_question),
)
