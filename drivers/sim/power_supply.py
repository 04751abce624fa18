"""Far end of a power-fail input: a folder like that of the kernel's power_supply class for a mains supply."""

from __future__ import annotations

from pathlib import Path


class PowerSupply:
    """The folder. ``set_online`` rewrites the file ``online`` in place, so that a reader that holds it open sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, on: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "type").write_text("Mains\n")
        self.set_online(on)

    def set_online(self, on: bool) -> None:
        (self.folder / "online").write_bytes(b"1\n" if on else b"0\n")
