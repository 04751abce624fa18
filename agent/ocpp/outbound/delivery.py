"""Delivery of one row of a durable queue: encode, send, settle. Durable writes are completed
even if the connection ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from agent.domain.events import Event
from agent.ocpp.dialects.dialect import Dialect, NotExpressibleError, ResponseEffects
from agent.ocpp.outbound.transaction_queue import TransactionQueue
from agent.ocpp.transport.call_channel import CallChannel, NoAnswer, action_key
from agent.ports.store import OutboxRow

T = TypeVar("T")


def _start_eagerly(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run the work up to its first wait at once (Python 3.12). Most of it waits for nothing, and
    a turn of the event loop costs as much as the work itself."""
    eager: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
    return asyncio.Task(work, loop=asyncio.get_running_loop(), **eager)


async def run_to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Complete the work before a cancellation takes effect: a connection that ends must not
    leave half a durable write."""
    task = _start_eagerly(work)
    if task.done():
        return task.result()
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def deliver_row(
    row: OutboxRow, queue: TransactionQueue, dialect: Dialect, channel: CallChannel, post_event: Callable[[Event], None]
) -> None:
    """Send one row and settle it. Silence is no attempt, unless the version says so; a refusal
    is one. An answer to an earlier CALL of the same row that arrives now counts as the answer.
    Raises ``ConnectionLost``."""
    prepared = await run_to_the_end(queue.prepare_row(row, dialect))
    if prepared is None:
        return
    out, payload, known = prepared
    is_unknown = action_key(out, row) in channel.unknown_actions
    if is_unknown and not known and not queue.outlives_refusals(row, is_unknown=True):
        await run_to_the_end(queue.row_delivered(row, ResponseEffects()))
        return
    if not known and not await run_to_the_end(queue.record_sending(row)):
        return
    try:
        effects: ResponseEffects | None = known[0] if known else await channel.send_call(out, row, payload)
    except NoAnswer:
        if earlier := queue.pop_late_answer(row):
            await run_to_the_end(_settle_row(row, earlier, queue, post_event))
        else:
            await run_to_the_end(queue.row_unanswered(row, dialect.silence_is_attempt, channel.last_answer_s))
    except NotExpressibleError as e:
        await run_to_the_end(queue.move_to_dead_letters(row, str(e)))
    else:
        effects = effects or queue.pop_late_answer(row)
        await run_to_the_end(_settle_row(row, effects, queue, post_event, "" if known else channel.refusal_code))


async def _settle_row(
    row: OutboxRow,
    effects: ResponseEffects | None,
    queue: TransactionQueue,
    post_event: Callable[[Event], None],
    refusal: str = "",
) -> None:
    """Settle a row by the effects of its answer. ``refusal``: the error code of the backend."""
    if effects is None:
        await queue.row_refused(row, "no valid answer", refusal)
        return
    events = queue.events_of_answer(row, effects)
    if await queue.row_delivered(row, effects):
        for event in events:
            post_event(event)
