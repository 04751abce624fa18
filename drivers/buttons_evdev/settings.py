"""Settings of ``drivers.buttons_evdev``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from agent.model.key_rules import Between, DevicePath, Entries


@dataclass(frozen=True, slots=True)
class ButtonsSettings:
    """``path``: ``/dev/input/event0`` or a symlink in ``/dev/input/by-path``. ``keys``: name to key code
    (``linux/input-event-codes.h``), for example ``{language = 59, stop = 60}``. ``fields`` of a touch panel: name to
    left, top, right, bottom in percent; ``touch_max``: the panel's greatest x and y (``evtest`` shows them)."""

    path: DevicePath
    keys: dict[str, int] = field(default_factory=dict)
    fields: dict[str, list[int]] = field(default_factory=dict)
    touch_max: Annotated[tuple[Annotated[int, Between(1, 2**31 - 1)], ...], Entries(2, 2)] = (4095, 4095)
