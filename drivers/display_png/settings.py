"""Settings of ``drivers.display_png``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import DevicePath, OneOf
from drivers.panel.mounting import TURN_S, Margin, PanelSide, Rotation, TurnTime

DEPTHS = (1, 24)


@dataclass(frozen=True, slots=True)
class PngSettings:
    """``path``: the file; it is replaced as a whole, so that no reader ever sees half a picture. ``width``, ``height``:
    pixels. ``depth``: bits per pixel, 1 (black and white) or 24. ``rotate``, ``margin``, ``turn_s``: as of any
    panel."""

    path: DevicePath
    width: PanelSide = 800
    height: PanelSide = 480
    depth: Annotated[int, OneOf(DEPTHS)] = 24
    rotate: Rotation = 0
    margin: Margin = 0
    turn_s: TurnTime = TURN_S
