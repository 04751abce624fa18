"""Power-fail input from sysfs: a mains supply of the kernel's power_supply class, or any file that says 0 or 1 (the
``value`` of an exported GPIO, behind an opto-coupler)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.power import PowerPort


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """``path``: ``/sys/class/power_supply/NAME`` (its ``online`` is read), or a file. ``lost``: the number in it that
    says that mains is lost. ``backup``: power_supply folder of the battery or capacitor, "" if it tells nothing;
    ``backup_min_percent``: with less charge than this (or without being ``present``) it carries nothing. ``poll_s``:
    seconds between two looks."""

    path: str
    lost: int = 0
    backup: str = ""
    backup_min_percent: int = 10
    poll_s: float = 0.2


def complaints(settings: PowerSettings, where: Where | None = None) -> list[str]:
    """What is wrong with the settings, one line each, without touching a device."""
    wrong = []
    if not settings.path:
        wrong.append('path: is missing, for example path = "/sys/class/power_supply/mains"')
    if not 0.02 <= settings.poll_s <= 0.5:
        wrong.append(f"poll_s: must be 0.02 to 0.5 seconds, is {settings.poll_s:g}")
    if not 0 <= settings.backup_min_percent <= 100:
        wrong.append(f"backup_min_percent: must be 0 to 100, is {settings.backup_min_percent}")
    return wrong


@asynccontextmanager
async def open_power(settings: PowerSettings, where: Where) -> AsyncIterator[PowerPort]:
    """Yields the input. Raises ``Unreachable`` (no such file), ``Garbled``, ``Broken`` (settings)."""
    from drivers.power_sysfs.device import SysfsPower

    if wrong := complaints(settings):
        raise Broken(f"power_sysfs {settings.path}: " + "; ".join(wrong))
    power = SysfsPower(settings)
    power.look()
    yield power


DRIVER = Driver(
    "power_sysfs", "power", PowerSettings, open_power, complaints, fitting="drivers.power_sysfs.fitting:FITTING"
)
