"""The contract of every power-fail input driver: ``check_power`` for any ``PowerPort``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from agent.model.types import Supply
from agent.ports.power import PowerPort


async def check_power(
    open_port: Callable[[], AbstractAsyncContextManager[PowerPort]],
    mains: Callable[[bool], None],
    *,
    timeout_s: float = 2.0,
    quiet_s: float = 0.6,
) -> None:
    """Check that the state is reported at every opening, then each change once, and nothing without a change."""
    for first in (True, False):
        mains(first)
        async with open_port() as port:
            supplies = port.supplies()
            assert (await _next_supply(supplies, timeout_s)).mains is first, (
                f"mains is {first}, the opposite was reported"
            )
            for now in (not first, first):
                mains(now)
                assert (await _next_supply(supplies, timeout_s)).mains is now, (
                    f"mains is {now}, the opposite was reported"
                )
            try:
                more = await asyncio.wait_for(anext(supplies), quiet_s)
            except TimeoutError:
                continue
            raise AssertionError(f"nothing has changed, but {more} was reported")


async def _next_supply(supplies: AsyncIterator[Supply], timeout_s: float) -> Supply:
    try:
        return await asyncio.wait_for(anext(supplies), timeout_s)
    except TimeoutError:
        raise AssertionError(f"the supply has changed, nothing was reported within {timeout_s} s") from None
