"""The contract of every lamp driver: ``check_lamp`` for any ``LampPort``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from agent.model.types import Lamp, Light
from agent.ports.lamp import LampPort


async def check_lamp(
    open_port: Callable[[], AbstractAsyncContextManager[LampPort]],
    seen: Callable[[], Lamp],
    brightness: Callable[[], float],
) -> None:
    """Check the lamp: off at open, every colour (ordered twice), the brightness, off when closed.

    ``brightness``: 0 to 1.
    """
    async with open_port() as port:
        assert seen() is Lamp.OFF, "a lamp that was just opened is lit"
        for lamp in (*Lamp, *Lamp):
            await port.show(Light(lamp))
            await port.show(Light(lamp))
            assert seen() is lamp, f"{lamp} was ordered, {seen()} is seen"
        for percent in (100, 50, 1, 0):
            await port.show(Light(Lamp.GREEN, percent))
            shown = brightness()
            assert abs(shown - percent / 100) < 0.02, f"{percent} % were ordered, {shown:.0%} are seen"
            assert (shown > 0) is (percent > 0), f"{percent} % were ordered, {shown:.0%} are seen"
        await port.show(Light(Lamp.RED))
    assert seen() is Lamp.OFF, "the lamp stays lit after closing"
