"""Buzzer as a Linux input device that takes EV_SND events (``pwm-beeper``, ``gpio-beeper``, the PC speaker), or a FIFO
that takes the same records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.buzzer import BuzzerPort
from agent.ports.driver import Driver, Where
from drivers.buzzer_evdev.settings import BuzzerSettings


def list_complaints(settings: BuzzerSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    return (
        settings_problems(settings) if settings.path else ['path: is missing, for example path = "/dev/input/event1"']
    )


@asynccontextmanager
async def open_buzzer(settings: BuzzerSettings, where: Where) -> AsyncIterator[BuzzerPort]:
    """Yield the buzzer, silent. Raises ``Unreachable`` (no such device, no access), ``Broken`` (settings)."""
    from drivers.buzzer_evdev.device import EvdevBuzzer

    if wrong := list_complaints(settings):
        raise Broken("buzzer_evdev: " + "; ".join(wrong))
    buzzer = EvdevBuzzer(settings)
    try:
        yield buzzer
    finally:
        buzzer.close_device()


DRIVER = Driver(
    "buzzer_evdev",
    "buzzer",
    BuzzerSettings,
    open_buzzer,
    list_complaints,
    verify_kit="drivers.buzzer_evdev.verify_kit:VERIFY_KIT",
)
