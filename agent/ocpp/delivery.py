"""One row of a durable queue on its way: encoded, said, settled. What is durable runs to its end, however the
connection ends."""

from __future__ import annotations

from collections.abc import Callable

from agent.domain.events import Event
from agent.ocpp.billing import Billing, to_the_end
from agent.ocpp.dialect import Dialect, Heard, Unspeakable
from agent.ocpp.line import Line, Silent
from agent.ports.store import OutboxRow


async def deliver(
    row: OutboxRow, dialect: Dialect, billing: Billing, line: Line, hear: Callable[[Event], None]
) -> None:
    """Silence is no attempt, unless the version says so; a refusal is. Raises ``Gone`` with the connection."""
    prepared = await to_the_end(billing.prepare(row, dialect))
    if prepared is None:
        return
    out, payload, known = prepared
    try:
        heard: Heard | None = known[0] if known else await line.call(row.id, out, row, payload)
    except Silent:
        if dialect.silence_counts or billing.silence_counts:
            await to_the_end(_settle(row, None, billing, hear))
        else:
            billing.silent()
    except Unspeakable as e:
        await to_the_end(billing.bury(row, str(e)))
    else:
        await to_the_end(_settle(row, heard, billing, hear))


async def _settle(row: OutboxRow, heard: Heard | None, billing: Billing, hear: Callable[[Event], None]) -> None:
    if heard is None:
        await billing.refused(row, "no valid answer")
    elif await billing.done(row, heard):
        for event in heard.events:
            hear(event)
