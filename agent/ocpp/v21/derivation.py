"""How the rows of 2.1 come from those of 2.0.1: a row of the neighbour, and what is done before or after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.domain.events import Event
from agent.domain.requests import BackendRequest
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Payload, RequestRow, ResponseEffects, RowContext
from agent.ocpp.v201 import V201


def neighbour_request_row(action: str) -> RequestRow:
    """Return the row of 2.0.1 for a request that it answers."""
    row = V201.request_row(action)
    assert isinstance(row, RequestRow), action
    return row


def neighbour_message_row(message: type[Any]) -> MessageRow:
    """Return the row of 2.0.1 for a message that it sends."""
    row = V201.message_row(message)
    assert isinstance(row, MessageRow), message
    return row


def derive_request_row(
    action: str, look_first: Callable[[Payload, RowContext], LocalAnswer | Payload | None]
) -> RequestRow:
    """Return the row of 2.0.1 with a look at the request before. ``look_first`` returns the answer to what
    cannot be done here, the request in the words of 2.0.1, or None: it is the same in 2.0.1. May raise ``Refused``."""
    row = neighbour_request_row(action)

    def decode_derived(payload: Payload, ctx: RowContext) -> BackendRequest | LocalAnswer:
        found = look_first(payload, ctx)
        if isinstance(found, LocalAnswer):
            return found
        return row.decode(payload if found is None else found, ctx)

    return replace(row, decode=decode_derived)


def derive_message_row(
    message: type[Any],
    add_words: Callable[[Any, dict[str, Any], RowContext], dict[str, Any]] = lambda message, payload, ctx: payload,
    hear_more: Callable[[Any, Payload, RowContext], tuple[Event, ...]] = lambda message, payload, ctx: (),
) -> MessageRow:
    """Return the row of 2.0.1 with the words that only 2.1 has. ``add_words`` gets the message and the payload of
    2.0.1. ``hear_more``: what the answer brings besides. A message whose token 2.0.1 cannot express is encoded with a
    token in its place."""
    row = neighbour_message_row(message)

    def encode_derived(message: Any, ctx: RowContext) -> dict[str, Any] | None:
        payload = row.encode(_with_expressible_token(message), ctx)
        return None if payload is None else add_words(message, payload, ctx)

    def decode_derived(message: Any, payload: Payload, ctx: RowContext) -> ResponseEffects:
        effects = row.decode_response(message, payload, ctx)
        return replace(effects, events=(*effects.events, *hear_more(message, payload, ctx)))

    return replace(row, encode=encode_derived, decode_response=decode_derived)


def _with_expressible_token(message: Any) -> Any:
    token = getattr(message, "token", None)
    return message if token is None else replace(message, token=replace(token, value=token.value[:1] or token.value))
