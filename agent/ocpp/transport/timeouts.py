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


class WakeTimer:
    """Sets an event after a time. It may be early: who waits for the event looks again, and what is put off again and
    again (a heartbeat by each message) costs no timer each time."""

    __slots__ = ("_event", "_handle")

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event
        self._handle: asyncio.TimerHandle | None = None

    def wake_within(self, time_s: float) -> None:
        """Set the event after ``time_s`` at the latest."""
        loop = asyncio.get_running_loop()
        at_s = loop.time() + time_s
        if self._handle is not None:
            if self._handle.when() <= at_s:
                return
            self._handle.cancel()
        self._handle = loop.call_at(at_s, self._wake)

    def _wake(self) -> None:
        self._handle = None
        self._event.set()

    def cancel_timer(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


async def wait_for_event(event: asyncio.Event, timeout_s: float | None) -> None:
    """Wait until the event is set, or the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
