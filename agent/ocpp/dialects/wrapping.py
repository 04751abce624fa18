"""A dialect with a change on top: one function sees everything that it sends, or receives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect, MessageRow, Payload, RequestRow, RowContext

JsonObject = dict[str, Any]
Change: TypeAlias = Callable[[str, JsonObject], JsonObject]


def wrap_sent(dialect: Dialect, change: Change) -> Dialect:
    """Let ``change(action, payload)`` alter every message and response last."""
    return replace(dialect, rows=tuple(_wrap_row(row, change) for row in dialect.rows))


def _wrap_row(row: Any, change: Change) -> Any:
    if isinstance(row, MessageRow):
        other = None if row.other is None else _wrap_row(row.other, change)
        return replace(row, encode=_wrap_encode(row, change), other=other)
    return replace(row, answer=_wrap_answer(row, change)) if isinstance(row, RequestRow) else row


def _wrap_encode(row: MessageRow, change: Change) -> Callable[[Any, RowContext], JsonObject | None]:
    def encode_changed(message: Any, ctx: RowContext) -> JsonObject | None:
        payload = row.encode(message, ctx)
        return None if payload is None else change(row.action, payload)

    return encode_changed


def _wrap_answer(row: RequestRow, change: Change) -> Callable[[Any, Payload, RowContext], JsonObject]:
    return lambda reply, payload, ctx: change(row.action, row.answer(reply, payload, ctx))


def wrap_received(dialect: Dialect, change: Callable[[str, bool, Payload], Payload]) -> Dialect:
    """Let ``change(action, is_answer, payload)`` alter every payload of the other side first."""
    before = dialect.preprocess_received

    def preprocess_changed(action: str, is_answer: bool, payload: Payload) -> Payload:
        return change(action, is_answer, before(action, is_answer, payload))

    return replace(dialect, preprocess_received=preprocess_changed)
