"""Settings of ``drivers.display_framebuffer``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import DevicePath, OneOf
from drivers.panel.mounting import TURN_S, Margin, PanelSide, Rotation, TurnTime

FORMATS = ("auto", "RGB565", "RGB888", "XRGB8888", "MONO")


@dataclass(frozen=True, slots=True)
class FramebufferSettings:
    """``path``: ``/dev/fb0`` or a file. ``width``, ``height`` (pixels of the panel as the bytes lie) and ``format``:
    0 and ``auto`` ask the kernel, a plain file needs all three. ``rotate``: clockwise, 0, 90, 180 or 270, for a panel
    that is mounted turned. ``margin``: pixels on each side that the bezel hides. ``turn_s``: seconds for each of
    several faces."""

    path: DevicePath
    width: PanelSide = 0
    height: PanelSide = 0
    format: Annotated[str, OneOf(FORMATS)] = "auto"
    rotate: Rotation = 0
    margin: Margin = 0
    turn_s: TurnTime = TURN_S
