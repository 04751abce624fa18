"""Power-fail input from sysfs: a mains supply of the kernel's power_supply class, or any file that says 0 or 1 (the
``value`` of an exported GPIO, behind an opto-coupler)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import Between, DevicePath, settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.power import PowerPort


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """``path``: ``/sys/class/power_supply/NAME`` (its ``online`` is read), or a file. ``lost``: the number in it that
    says that mains is lost. ``backup``: power_supply folder of the battery or capacitor, "" if there is none;
    ``backup_min_percent``: with less charge than this (or without being ``present``) it carries nothing. ``poll_s``:
    seconds between two looks."""

    path: DevicePath
    lost: Annotated[int, Between(-(2**31), 2**31 - 1)] = 0
    backup: DevicePath = ""
    backup_min_percent: Annotated[int, Between(0, 100, "percent")] = 10
    poll_s: Annotated[float, Between(0.02, 0.5, "seconds")] = 0.2


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
