"""Status lamp on the kernel's LED class: one LED per colour, each a folder in ``/sys/class/leds``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.lamp import LampPort
from drivers.lamp_leds.settings import LampSettings


def list_complaints(settings: LampSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    colours = {c: n for c in ("green", "red", "blue", "yellow") if (n := getattr(settings, c))}
    names = list(colours.values())
    wrong = [] if names else ['no LED is named, for example green = "charger:green:status"']
    wrong += settings_problems(settings)
    wrong += [
        f"{colour}: must be a name in {settings.folder}, no path, is {n!r}"
        for colour, n in colours.items()
        if "/" in n or n in (".", "..")
    ]
    wrong += [f"{n!r} is named twice" for n in dict.fromkeys(names) if names.count(n) > 1]
    return wrong


@asynccontextmanager
async def open_lamp(settings: LampSettings, where: Where) -> AsyncIterator[LampPort]:
    """Yield the lamp, off. Raises ``Unreachable`` (no such LED, no access), ``Broken`` (settings)."""
    from drivers.lamp_leds.device import LedLamp

    if wrong := list_complaints(settings):
        raise Broken("lamp_leds: " + "; ".join(wrong))
    lamp = LedLamp(settings)
    try:
        yield lamp
    finally:
        lamp.close_lamp()


DRIVER = Driver(
    "lamp_leds", "lamp", LampSettings, open_lamp, list_complaints, verify_kit="drivers.lamp_leds.verify_kit:VERIFY_KIT"
)
