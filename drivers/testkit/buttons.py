"""What every buttons driver has to keep: ``check_buttons`` against any opened ``ButtonsPort``."""

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
    """Each press must be told once, by its name, before the button is let go; letting go tells nothing."""
    async with open_port() as port:
        missing = set(names) - set(port.names)
        assert not missing, f"port.names lacks {sorted(missing)}"
        presses = port.presses()
        for name in (*names, *reversed(names)):
            await press(name)
            try:
                told = await asyncio.wait_for(anext(presses), timeout_s)
            except TimeoutError:
                raise AssertionError(f"button {name!r} is down, nothing was told within {timeout_s} s") from None
            assert told == name, f"button {name!r} was pressed, {told!r} was told"
            await release(name)
        try:
            more = await asyncio.wait_for(anext(presses), quiet_s)
        except TimeoutError:
            return
        raise AssertionError(f"all buttons are released, but {more!r} was told")
