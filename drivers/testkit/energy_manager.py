"""The contract of every driver of an energy manager: ``check_energy_manager`` for any ``EnergyManagerPort``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from agent.model.energy_manager import LimitReport
from agent.ports.energy_manager import EnergyManagerPort


async def check_energy_manager(
    open_port: Callable[[], AbstractAsyncContextManager[EnergyManagerPort]],
    set_limit: Callable[[float | None], None],
    *,
    limits: tuple[float | None, ...] = (13.0, 6.0, None, 32.0),
    timeout_s: float = 5.0,
) -> None:
    """Check that the present limit is reported at every opening, then each change, and an unchanged limit again.
    ``set_limit``: at the energy manager, in the unit of the port; None: no limit."""
    for first in limits:
        set_limit(first)
        async with open_port() as port:
            reports = port.limits()
            await _expect_limit(reports, first, timeout_s)
            for limit in limits:
                set_limit(limit)
                await _expect_limit(reports, limit, timeout_s)
                await _expect_limit(reports, limit, timeout_s)


async def _expect_limit(reports: AsyncIterator[LimitReport], limit: float | None, timeout_s: float) -> None:
    """Wait until this limit is reported; one that was read before the change may come first."""
    report = None
    try:
        async with asyncio.timeout(timeout_s):
            while report is None or report.limit != limit or report.problem:
                report = await anext(reports)
    except TimeoutError:
        raise AssertionError(f"the limit is {limit}, {report} was reported within {timeout_s} s") from None
