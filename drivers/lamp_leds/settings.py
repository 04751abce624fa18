"""Settings of ``drivers.lamp_leds``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from agent.model.key_rules import DevicePath, Text

LedName: TypeAlias = Annotated[str, Text(255)]


@dataclass(frozen=True, slots=True)
class LampSettings:
    """Names of the LEDs in ``folder``, "" for a colour that is not fitted: ``yellow`` is then red with green, every
    other colour that is missing is shown by the one that is fitted and nearest in meaning."""

    green: LedName = ""
    red: LedName = ""
    blue: LedName = ""
    yellow: LedName = ""
    folder: DevicePath = "/sys/class/leds"
