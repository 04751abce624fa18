"""Power-fail input from sysfs: a mains supply of the kernel's power_supply class, or any file that says 0 or 1 (the
``value`` of an exported GPIO, behind an opto-coupler)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.power import PowerPort
from drivers.power_sysfs.settings import PowerSettings


def list_complaints(settings: PowerSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    missing = [] if settings.path else ['path: is missing, for example path = "/sys/class/power_supply/mains"']
    return missing + settings_problems(settings)


@asynccontextmanager
async def open_power(settings: PowerSettings, where: Where) -> AsyncIterator[PowerPort]:
    """Yield the input. Raises ``Unreachable`` (no such file), ``Garbled``, ``Broken`` (settings)."""
    from drivers.power_sysfs.device import SysfsPower

    if wrong := list_complaints(settings):
        raise Broken(f"power_sysfs {settings.path}: " + "; ".join(wrong))
    power = SysfsPower(settings)
    power.read_supply()
    yield power


DRIVER = Driver(
    "power_sysfs",
    "power",
    PowerSettings,
    open_power,
    list_complaints,
    verify_kit="drivers.power_sysfs.verify_kit:VERIFY_KIT",
)
