"""Far end of a status lamp: a folder that looks like ``/sys/class/leds``, read as somebody in the street sees it."""

from __future__ import annotations

from pathlib import Path

COLOURS = ("green", "red", "blue")
MOST = 255


class Lamp:
    def __init__(self, folder: Path, outlet: int) -> None:
        self.folder = folder
        self.names = {colour: f"outlet{outlet}:{colour}:status" for colour in COLOURS}

    def start(self) -> None:
        """As a kernel brings it up: dark, or what another life left."""
        for name in self.names.values():
            led = self.folder / name
            led.mkdir(parents=True, exist_ok=True)
            (led / "max_brightness").write_text(f"{MOST}\n")
            (led / "trigger").write_text("none [heartbeat] default-on\n")
            (led / "brightness").write_text("0\n")

    def read_brightness(self, colour: str) -> int:
        """What was written last: a shorter text lies over the rest of a longer one."""
        # ten times a second for each colour: no layer that decodes
        with open(f"{self.folder}/{self.names[colour]}/brightness", "rb", buffering=0) as file:
            text = file.read().split(b"\n")[0]
        return int(text) if text.isdigit() else 0

    def seen_color(self) -> str:
        """The colour: red with green is yellow."""
        lit = tuple(c for c in COLOURS if self.read_brightness(c) > 0)
        return {(): "off", ("green", "red"): "yellow"}.get(lit, lit[0] if len(lit) == 1 else "+".join(lit))
