"""Delivery of one row of a durable queue: encode, send, settle. Durable writes are completed
even if the connection ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from agent.domain.events import Event
from agent.ocpp.dialects.dialect import Dialect, MessageRow, NotExpressible, NotExpressibleError, ResponseEffects
from agent.ocpp.transport.call_channel import (
    CallChannel,
    ConnectionLost,
    NoAnswer,
    NotProcessed,
    NotReceived,
    action_key,
)
from agent.ocpp.wire.timestamps import NoTime
from agent.ports.store import OutboxRow

if TYPE_CHECKING:
    from agent.ocpp.outbound.queue_protocol import DurableQueue

T = TypeVar("T")
_Prepared: TypeAlias = tuple[OutboxRow, MessageRow, dict[str, Any], "tuple[ResponseEffects | None] | None"]


def start_eagerly(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run the work up to its first wait at once (Python 3.12). Most of it waits for nothing, and
    a turn of the event loop costs as much as the work itself."""
    eager: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
    return asyncio.Task(work, loop=asyncio.get_running_loop(), **eager)


async def run_to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Complete the work before a cancellation takes effect: a connection that ends must not
    leave half a durable write."""
    task = start_eagerly(work)
    if task.done():
        return task.result()
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def deliver_row(
    row: OutboxRow, queue: DurableQueue, dialect: Dialect, channel: CallChannel, post_event: Callable[[Event], None]
) -> None:
    """Send one row and settle it. Silence is no attempt, unless the version says so; a refusal
    is one. An answer to an earlier CALL of the same row that arrives now counts as the answer.
    Raises ``ConnectionLost``."""
    prepared = await run_to_the_end(_prepare_row(row, queue, dialect))
    if prepared is None:
        return
    row, out, payload, known = prepared
    is_unknown = action_key(out, row) in channel.unknown_actions
    if is_unknown and not known and not queue.outlives_refusals(row, is_unknown=True):
        await run_to_the_end(queue.row_delivered(row, ResponseEffects()))
        return
    try:
        if not known:
            if not await run_to_the_end(queue.record_sending(row)):
                return
            await asyncio.sleep(0)  # a turn for others: to encode takes as long as to send
            known = queue.known_answer(row)  # an answer to an earlier CALL may have arrived in it
        effects: ResponseEffects | None = known[0] if known else await channel.send_call(out, row, payload)
    except NoAnswer as e:
        if earlier := queue.answers.pop_late(row):
            await run_to_the_end(_settle_row(row, earlier, queue, post_event))
        else:
            await run_to_the_end(queue.row_unanswered(row, channel.last_answer_s, str(e)))
    except NotExpressibleError as e:
        await run_to_the_end(queue.move_to_dead_letters(row, str(e)))
    except NotProcessed as e:
        await run_to_the_end(queue.row_unanswered(row, channel.last_answer_s, e.why))
        raise
    except NotReceived:
        await run_to_the_end(queue.row_not_received(row))
        raise
    except (ConnectionLost, asyncio.CancelledError):
        queue.sending_interrupted(row, channel.last_answer_s)
        raise
    else:
        effects = effects or queue.answers.pop_late(row)
        if effects is not None:  # before the turn that a task takes to begin: the next request may name what it brings
            queue.answers.keep_unstored(row, effects)
        await run_to_the_end(_settle_row(row, effects, queue, post_event, "" if known else channel.refusal_code))


async def _prepare_row(row: OutboxRow, queue: DurableQueue, dialect: Dialect) -> _Prepared | None:
    """Return the row with the followers that travel in its message, its dialect row and payload;
    None if the row is settled and needs no sending. The last part is an answer that is already
    known: then only the store is behind."""
    known = queue.known_answer(row)
    out = dialect.message_row(type(row.message))
    if isinstance(out, MessageRow):
        out = out.row_for(row.message)
        if known:
            return row, out, {}, known
    if await queue.settle_unsent(row):
        return None
    if isinstance(out, NotExpressible):
        await queue.row_delivered(row, ResponseEffects())
        return None
    if out is None:
        await queue.move_to_dead_letters(row, "unreadable record")
        return None
    try:
        row, payload = await queue.encode_payload(row, out, dialect)
    except NotExpressibleError as e:
        await queue.move_to_dead_letters(row, str(e), elsewhere=e.elsewhere)
        return None
    except NoTime as e:
        queue.rows.wait_for_clock(row, str(e))
        return None
    if payload is None:
        await queue.row_delivered(row, ResponseEffects())
        return None
    return row, out, payload, None


async def _settle_row(
    row: OutboxRow,
    effects: ResponseEffects | None,
    queue: DurableQueue,
    post_event: Callable[[Event], None],
    refusal: str = "",
) -> None:
    """Settle a row by the effects of its answer. ``refusal``: the error code of the backend. What the answer says is
    reported at once, before the store accepts it and where it does not: a refused token must not charge until the disk
    has taken that, and a request behind the answer may say something newer."""
    if effects is None:
        await queue.row_refused(row, "no valid answer", refusal)
        return
    for event in queue.events_of_answer(row, effects):
        post_event(event)
    await queue.row_delivered(row, effects)
