"""A dialect with another last word: what changes everything that it says, or hears."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Desk, Dialect, In, Out, Payload

Said = dict[str, Any]
Change: TypeAlias = Callable[[str, Said], Said]


def saying(dialect: Dialect, change: Change) -> Dialect:
    """``change(action, payload)`` has the last word on everything that is told or answered."""
    return replace(dialect, rows=tuple(_changed(row, change) for row in dialect.rows))


def _changed(row: Any, change: Change) -> Any:
    if isinstance(row, Out):
        other = None if row.other is None else _changed(row.other, change)
        return replace(row, encode=_encoding(row, change), other=other)
    return replace(row, answer=_answering(row, change)) if isinstance(row, In) else row


def _encoding(row: Out, change: Change) -> Callable[[Any, Desk], Said | None]:
    def encode(message: Any, desk: Desk) -> Said | None:
        payload = row.encode(message, desk)
        return None if payload is None else change(row.action, payload)

    return encode


def _answering(row: In, change: Change) -> Callable[[Any, Payload, Desk], Said]:
    return lambda reply, payload, desk: change(row.action, row.answer(reply, payload, desk))


def hearing(dialect: Dialect, change: Callable[[str, bool, Payload], Payload]) -> Dialect:
    """``change(action, is_answer, payload)`` sees everything first that the other side says."""
    before = dialect.reads

    def reads(action: str, is_answer: bool, payload: Payload) -> Payload:
        return change(action, is_answer, before(action, is_answer, payload))

    return replace(dialect, reads=reads)
