"""The contract of every reader driver: ``check_reader`` for any ``ReaderPort``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from agent.ports.reader import ReaderPort, Tap
from drivers.testkit.display import loop_lag


async def check_reader(
    open_port: Callable[[], AbstractAsyncContextManager[ReaderPort]],
    tap: Callable[[str], Awaitable[None]],
    values: Sequence[str],
    *,
    timeout_s: float = 5.0,
    quiet_s: float = 0.3,
    lag_s: float = 0.05,
    close_s: float = 1.5,
) -> None:
    """Check that every tap is reported once, unchanged and in order.

    ``tap(value)`` holds a card with the token ``value`` to the reader and takes it away. Waiting must not block the
    loop for ``lag_s``. Closing must end within ``close_s``, also while a caller waits for a tap. The device must open
    again.
    """
    for n, value in enumerate(values):
        async with open_port() as port:
            taps = port.taps()
            async with loop_lag() as lag:
                await tap(value)
                await _check_told(taps, value, timeout_s)
                await _check_quiet(port, taps, quiet_s, value)
            assert lag.worst_s < lag_s, f"the reader blocked the event loop for {lag.worst_s * 1000:.1f} ms"
            closing_s = time.monotonic()
        took_s = time.monotonic() - closing_s
        assert took_s < close_s, f"closing number {n + 1} took {took_s:.2f} s, {close_s:g} s are allowed"


async def _check_told(taps: AsyncIterator[Tap], value: str, timeout_s: float) -> None:
    try:
        reported = await asyncio.wait_for(anext(taps), timeout_s)
    except TimeoutError:
        raise AssertionError(f"a card was held to the reader, nothing was reported within {timeout_s} s") from None
    assert reported.token is not None, f"the card {value!r} was reported as {reported.reason!r}"
    assert reported.token.value == value, (
        f"reported {reported.token.value!r} for the card {value!r}: it must pass unchanged"
    )


async def _check_quiet(port: ReaderPort, taps: AsyncIterator[Tap], quiet_s: float, value: str) -> None:
    try:
        again = await asyncio.wait_for(anext(taps), quiet_s)
    except TimeoutError:
        return
    raise AssertionError(f"one presence of {value!r} was reported twice, the second time as {again}")
