"""Settings of ``drivers.display_spi``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import Between, DevicePath, OneOf, Text
from drivers.display_spi.chips import CHIPS
from drivers.panel.mounting import TURN_S, Margin, Rotation, TurnTime

SPEEDS_MHZ = (0.5, 1, 2, 4, 8, 16, 20, 24, 28, 32, 36, 40, 44, 48, 50, 52)
"""What luma takes."""


@dataclass(frozen=True, slots=True)
class SpiSettings:
    """``chip``: the panel's controller. ``bus``: "BUS.SELECT" as in ``/dev/spidevBUS.SELECT``. ``dc``, ``reset``,
    ``backlight``: lines of the GPIO chip ``gpio``; the latter two -1 where they are not wired. ``bgr``: the panel has
    blue where red should be."""

    chip: Annotated[str, OneOf(tuple(CHIPS))]
    dc: Annotated[int, Between(-1, 10_000)] = -1
    reset: Annotated[int, Between(-1, 10_000)] = -1
    backlight: Annotated[int, Between(-1, 10_000)] = -1
    bus: Annotated[str, Text(10, form=r"[0-9]+\.[0-9]+", like='as in "0.0" for /dev/spidev0.0')] = "0.0"
    speed_mhz: Annotated[float, OneOf(SPEEDS_MHZ)] = 8
    gpio: DevicePath = "/dev/gpiochip0"
    bgr: bool = False
    rotate: Rotation = 0
    margin: Margin = 0
    turn_s: TurnTime = TURN_S
