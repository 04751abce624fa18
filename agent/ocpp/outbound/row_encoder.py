"""The payloads of the rows of a queue. A row that is sent again has the same payload again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agent.domain.messages import Message
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect, MessageRow, NotExpressibleError, RowContext
from agent.ocpp.wire.rpc import encode_frame
from agent.ocpp.wire.timestamps import NoTime
from agent.ports.store import OutboxRow

FOLLOWERS_AT_ONCE = 2
"""Encoded in one turn of the event loop."""


class RowEncoder:
    """``number_of``: the place of a row on the wire. ``message_of``: what is said of it."""

    def __init__(
        self,
        ctx: RowContext,
        number_of: Callable[[OutboxRow], int] = lambda row: row.number,
        message_of: Callable[[OutboxRow], Message] = lambda row: row.message,
    ) -> None:
        self._ctx, self._number_of, self._message_of = ctx, number_of, message_of
        self._latest: tuple[int, str, bool, dict[str, Any]] | None = None

    def is_latest(self, seq: int) -> bool:
        """Whether this row was encoded latest."""
        return self._latest is not None and self._latest[0] == seq

    def forget_payload(self) -> None:
        self._latest = None

    async def encode_with_followers(
        self, row: OutboxRow, out: MessageRow, dialect: Dialect, octets_max: int
    ) -> tuple[OutboxRow, dict[str, Any] | None]:
        """Return the payload of a row with the samples of its followers, and the row with those that found room in
        ``octets_max``. Raises as ``encode_row`` does for the row itself."""
        payload = self.encode_row(row, out, dialect)
        if payload is None or not row.followers or out.merging is None:
            return replace(row, followers=()) if row.followers else row, payload
        name = out.merging.list_field
        if name not in payload:
            return replace(row, followers=()), payload
        merged: list[Any] = list(payload[name])
        taken: list[OutboxRow] = []
        lengths: dict[Any, int] = {}
        octets = _estimate_octets(row, merged, lengths)
        for follower in row.followers:
            if len(taken) % FOLLOWERS_AT_ONCE == FOLLOWERS_AT_ONCE - 1:
                await asyncio.sleep(0)
            more = self._encode_follower(follower, out, dialect, name)
            octets += _estimate_octets(follower, more, lengths)
            if not more or octets > octets_max:
                break
            merged += more
            taken.append(follower)
        return replace(row, followers=tuple(taken)), {**payload, name: merged}

    def _encode_follower(self, row: OutboxRow, out: MessageRow, dialect: Dialect, name: str) -> list[Any]:
        """Return the samples of a row; none if it must be judged by itself."""
        try:
            payload = self._encode_checked(row, out, dialect)
        except (NotExpressibleError, NoTime):
            return []
        return list(payload.get(name, ())) if payload else []

    def encode_row(self, row: OutboxRow, out: MessageRow, dialect: Dialect) -> dict[str, Any] | None:
        """Return the payload of a row without its followers; None if this version has nothing of the message to send.
        Raises ``NotExpressibleError`` with the reason for a dead letter, and ``NoTime``."""
        key = row.seq, dialect.name, self._message_of(row) is row.message
        if self._latest and self._latest[:3] == key:
            return self._latest[3]
        payload = self._encode_checked(row, out, dialect)
        if payload is not None:
            self._latest = (*key, payload)
        return payload

    def _encode_checked(self, row: OutboxRow, out: MessageRow, dialect: Dialect) -> dict[str, Any] | None:
        try:
            payload = self._encode_at_place(row, out)
            check = dialect.schemas.request_check(out.action) if dialect.schemas and payload is not None else None
            broken = check(payload) if check else None
        except NotExpressibleError as e:
            raise NotExpressibleError(f"cannot be expressed in OCPP {dialect.name}: {e}", e.elsewhere) from e
        except NoTime:
            raise
        except Exception as e:  # one bad record must not stop the billing of all others
            raise NotExpressibleError(f"cannot be encoded: {type(e).__name__}: {e}") from e
        if broken is not None:
            raise NotExpressibleError(f"breaks the schema of {out.action} at {broken}")
        return payload

    def _encode_at_place(self, row: OutboxRow, out: MessageRow) -> dict[str, Any] | None:
        """Encode the message with its place on the wire in the context: a copy of that for each row costs a tenth of
        the encoding."""
        before, self._ctx.number = self._ctx.number, self._number_of(row)
        try:
            return out.encode(self._message_of(row), self._ctx)
        finally:
            self._ctx.number = before


def _estimate_octets(row: OutboxRow, samples: list[Any], lengths: dict[Any, int]) -> int:
    """Return about how many octets of JSON the samples of a row take. Those with as many values are as long as the
    first ones, whose length ``lengths`` keeps: to write each twice would take an eighth of the time of a backlog."""
    values = (len(sample.get("sampledValue", ())) for sample in samples)
    kind = (*values, *(sample.reading.signed for sample in row.message.samples))
    if kind not in lengths:
        lengths[kind] = len(encode_frame(samples))
    return lengths[kind]
