"""What every reader driver has to keep: ``check_reader`` against any opened ``ReaderPort``."""

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
) -> None:
    """``tap(value)`` holds a card to the reader whose token is ``value``, and takes it away. Every tap must be told
    once, unchanged and in order; waiting must not block the loop for ``lag_s``; closing must end within 1.5 s, also
    while somebody waits for a tap; and the device must open again."""
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
        assert took_s < 1.5, f"closing number {n + 1} took {took_s:.2f} s, 1.5 s are allowed"


async def _check_told(taps: AsyncIterator[Tap], value: str, timeout_s: float) -> None:
    try:
        told = await asyncio.wait_for(anext(taps), timeout_s)
    except TimeoutError:
        raise AssertionError(f"a card was held to the reader, nothing was told within {timeout_s} s") from None
    assert told.token is not None, f"the card {value!r} was told as {told.reason!r}"
    assert told.token.value == value, f"told {told.token.value!r} for the card {value!r}: it must pass unchanged"


async def _check_quiet(port: ReaderPort, taps: AsyncIterator[Tap], quiet_s: float, value: str) -> None:
    try:
        again = await asyncio.wait_for(anext(taps), quiet_s)
    except TimeoutError:
        return
    raise AssertionError(f"one presence of {value!r} was told twice, the second time as {again}")
