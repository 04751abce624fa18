"""Settings of ``drivers.power_sysfs``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import Between, DevicePath


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
