"""How long the link waits, in real seconds."""

from __future__ import annotations

import asyncio

from agent.model.fastclass import frozen


@frozen
class Timeouts:
    """The time-outs of a link. ``backoff_s`` None: as the settings say."""

    open_s: float = 30.0
    answer_s: float = 20.0
    pong_s: float = 20.0
    store_retry_s: float = 5.0
    backoff_s: float | None = None
    backoff_random_s: float = 0.0
    boot_retry_s: float = 30.0
    """First wait after a BootNotification without a useful answer, or with interval 0."""
    lasting_s: float = 600.0
    """A connection that lasted this long was not cut right after it was opened."""


async def wait_for_event(event: asyncio.Event, timeout_s: float | None) -> None:
    """Wait until the event is set, or the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
