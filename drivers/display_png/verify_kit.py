"""For ``chargy-agent verify``: the file as it is, and what only the viewer behind it shows."""

from __future__ import annotations

from pathlib import Path

from agent.ports import Unreachable
from agent.ports.verify import VerifyKit
from drivers.display_png.settings import PngSettings


def read_panel_png(settings: PngSettings) -> bytes:
    """Return the PNG that is shown now. Raises ``Unreachable``."""
    try:
        return Path(settings.path).read_bytes()
    except OSError as e:
        raise Unreachable(f"display {settings.path}: cannot be read back ({e.strerror})") from e


VERIFY_KIT = VerifyKit(
    panel=read_panel_png,
    on_hardware=(
        "The viewer shows each new picture within a second, whole, pixel for pixel (no scaling, no smoothing).",
        "After the viewer has been killed, and after a power cut, the picture comes back by itself.",
        "Legible at noon with the sun on it, at night, in polarised glasses.",
    ),
)
