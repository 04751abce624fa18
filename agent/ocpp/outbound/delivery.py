"""One row of a durable queue on its way: encoded, said, settled. What is durable runs to its end, however the
connection ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from agent.domain.events import Event
from agent.ocpp.dialects.dialect import Dialect, Heard, Unspeakable
from agent.ocpp.outbound.transaction_queue import Billing
from agent.ocpp.transport.call_channel import Line, Silent, offered_as
from agent.ports.store import OutboxRow

T = TypeVar("T")


def _begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Runs up to its first wait at once (Python 3.12): most of this work waits for nothing, and a turn of the event
    loop costs as much as the work."""
    eager: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
    return asyncio.Task(work, loop=asyncio.get_running_loop(), **eager)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """A connection that ends in the middle must not leave half a durable write behind: the cancellation waits."""
    task = _begun(work)
    if task.done():
        return task.result()
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def deliver(
    row: OutboxRow, billing: Billing, dialect: Dialect, line: Line, hear: Callable[[Event], None]
) -> None:
    """Silence is no attempt, unless the version says so; a refusal is. An answer to an earlier CALL of the same row,
    which came meanwhile, counts like one to this CALL. Raises ``Gone`` with the connection."""
    prepared = await to_the_end(billing.prepare(row, dialect))
    if prepared is None:
        return
    out, payload, known = prepared
    is_unknown = offered_as(out, row) in line.unknown_actions
    if is_unknown and not known and not billing.outlives_refusals(row, is_unknown=True):
        await to_the_end(billing.done(row, Heard()))
        return
    if not known and not await to_the_end(billing.sending(row)):
        return
    try:
        heard: Heard | None = known[0] if known else await line.call(out, row, payload)
    except Silent:
        if earlier := billing.take_late(row):
            await to_the_end(_settle(row, earlier, billing, hear))
        else:
            await to_the_end(billing.silent(row, dialect.silence_counts, line.answered_s))
    except Unspeakable as e:
        await to_the_end(billing.bury(row, str(e)))
    else:
        heard = heard or billing.take_late(row)
        await to_the_end(_settle(row, heard, billing, hear, "" if known else line.refusal))


async def _settle(
    row: OutboxRow, heard: Heard | None, billing: Billing, hear: Callable[[Event], None], refusal: str = ""
) -> None:
    """``refusal``: the code of the backend's error."""
    if heard is None:
        await billing.refused(row, "no valid answer", refusal)
        return
    events = billing.events(row, heard)
    if await billing.done(row, heard):
        for event in events:
            hear(event)
