"""LEDs by their files. Source: Linux Documentation/ABI/testing/sysfs-class-led (``brightness``, ``max_brightness``,
``trigger``)."""

from __future__ import annotations

import errno
from pathlib import Path

from agent.model.types import Lamp, Light
from agent.ports import Unreachable
from drivers.lamp_leds.settings import LampSettings

_INSTEAD: dict[Lamp, tuple[tuple[str, ...], ...]] = {
    Lamp.OFF: ((),),
    Lamp.GREEN: (("green",), ("blue",), ("yellow",)),
    Lamp.BLUE: (("blue",), ("green",), ("yellow",)),
    Lamp.YELLOW: (("yellow",), ("red", "green"), ("blue",), ("green",)),
    Lamp.RED: (("red",), ("yellow",)),
}
"""What shows a colour, best first; the first of which every LED is fitted is taken. Red is never shown as good."""


class LedLamp:
    """``LampPort``. The constructor raises ``Unreachable``: one LED that is missing makes the lamp lie."""

    def __init__(self, settings: LampSettings) -> None:
        names = {c: getattr(settings, c) for c in ("green", "red", "blue", "yellow")}
        self._leds = {c: _Led(Path(settings.folder) / name) for c, name in names.items() if name}
        for led in self._leds.values():
            led.take_over()

    async def show(self, light: Light) -> None:
        lit = next((s for s in _INSTEAD[light.lamp] if all(c in self._leds for c in s)), ())
        for colour, led in self._leds.items():
            led.set_brightness(light.percent if colour in lit else 0)

    def close_lamp(self) -> None:
        for led in self._leds.values():
            try:
                led.set_brightness(0)
            except Unreachable:
                pass  # it went away: then it is dark, or not ours


class _Led:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._most = 1
        self._now = -1

    def take_over(self) -> None:
        """Take the lamp over from whatever the kernel lets it show (a heartbeat, the disk)."""
        try:
            self._most = max(1, int((self._folder / "max_brightness").read_text()))
            if (self._folder / "trigger").exists():
                _write_sysfs(self._folder / "trigger", "none")
        except (OSError, ValueError) as e:
            raise _unreachable_error(self._folder, e) from e
        self.set_brightness(0)

    def set_brightness(self, percent: int) -> None:
        """Set the brightness. Anything above nothing is at least one step."""
        value = 0 if percent <= 0 else max(1, round(self._most * min(percent, 100) / 100))
        if value != self._now:
            try:
                _write_sysfs(self._folder / "brightness", str(value))
            except OSError as e:
                raise _unreachable_error(self._folder, e) from e
            self._now = value


def _write_sysfs(path: Path, text: str) -> None:
    with path.open("r+b", buffering=0) as file:  # never creates a file: sysfs has none to create
        file.write(text.encode() + b"\n")


def _unreachable_error(folder: Path, e: Exception) -> Unreachable:
    no_access = isinstance(e, OSError) and e.errno in (errno.EACCES, errno.EROFS)
    advice = "see docs/operations.md, access to LEDs" if no_access else "check its name and the kernel driver"
    why = e.strerror if isinstance(e, OSError) else e
    return Unreachable(f"LED {folder}: {why}; {advice}; it is tried again")
