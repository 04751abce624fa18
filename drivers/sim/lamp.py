"""Far end of a status lamp: a folder like ``/sys/class/leds``, read as a person in the street sees the lamp."""

from __future__ import annotations

import os
from pathlib import Path

COLOURS = ("green", "red", "blue")
MOST = 255


class Lamp:
    def __init__(self, folder: Path, outlet: int) -> None:
        self.folder = folder
        self.names = {colour: f"outlet{outlet}:{colour}:status" for colour in COLOURS}
        self._opened: dict[str, int] = {}

    def start(self) -> None:
        """Make the LEDs as a kernel does: dark."""
        for name in self.names.values():
            led = self.folder / name
            led.mkdir(parents=True, exist_ok=True)
            (led / "max_brightness").write_text(f"{MOST}\n")
            (led / "trigger").write_text("none [heartbeat] default-on\n")
            (led / "brightness").write_text("0\n")

    def read_brightness(self, colour: str) -> int:
        """Return the brightness written last. A shorter text overwrites only the begin of a longer one."""
        # read ten times a second for each color: opening a file takes ten times as long as reading it
        if colour not in self._opened:
            self._opened[colour] = os.open(self.folder / self.names[colour] / "brightness", os.O_RDONLY | os.O_CLOEXEC)
        text = os.pread(self._opened[colour], 16, 0).split(b"\n")[0]
        return int(text) if text.isdigit() else 0

    def close(self) -> None:
        while self._opened:
            os.close(self._opened.popitem()[1])

    def seen_color(self) -> str:
        """Return the visible color. Red with green is yellow."""
        lit = tuple(c for c in COLOURS if self.read_brightness(c) > 0)
        return {(): "off", ("green", "red"): "yellow"}.get(lit, lit[0] if len(lit) == 1 else "+".join(lit))
