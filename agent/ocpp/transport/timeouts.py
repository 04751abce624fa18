"""How long the link waits for what, in real seconds."""

from __future__ import annotations

import asyncio

from agent.model.fastclass import frozen


@frozen
class Timeouts:
    """``backoff_s`` None: as the settings say."""

    open_s: float = 30.0
    answer_s: float = 20.0
    pong_s: float = 20.0
    store_retry_s: float = 5.0
    backoff_s: float | None = None
    backoff_random_s: float = 0.0
    boot_retry_s: float = 30.0
    """First wait after a BootNotification that was not answered usefully, or with interval 0."""
    lasting_s: float = 600.0
    """A connection that lasted so long was not one that is cut as soon as it is there."""


async def wait_for_event(event: asyncio.Event, timeout_s: float | None) -> None:
    """Until the event, or the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
