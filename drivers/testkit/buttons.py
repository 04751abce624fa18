"""The contract of every buttons driver: ``check_buttons`` for any ``ButtonsPort``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from agent.ports.buttons import ButtonsPort


async def check_buttons(
    open_port: Callable[[], AbstractAsyncContextManager[ButtonsPort]],
    press: Callable[[str], Awaitable[None]],
    release: Callable[[str], Awaitable[None]],
    names: Sequence[str],
    *,
    timeout_s: float = 2.0,
    quiet_s: float = 0.1,
) -> None:
    """Check that each press is reported once, by its name, before the button is released; a release reports nothing."""
    async with open_port() as port:
        missing = set(names) - set(port.names)
        assert not missing, f"port.names lacks {sorted(missing)}"
        presses = port.presses()
        for name in (*names, *reversed(names)):
            await press(name)
            try:
                reported = await asyncio.wait_for(anext(presses), timeout_s)
            except TimeoutError:
                raise AssertionError(f"button {name!r} is down, nothing was reported within {timeout_s} s") from None
            assert reported == name, f"button {name!r} was pressed, {reported!r} was reported"
            await release(name)
        try:
            more = await asyncio.wait_for(anext(presses), quiet_s)
        except TimeoutError:
            return
        raise AssertionError(f"all buttons are released, but {more!r} was reported")
