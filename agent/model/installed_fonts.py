"""Free fonts as Linux distributions install them: for displays and for what is printed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

_FOLDERS = (
    "/usr/share/fonts/truetype/dejavu",
    "/usr/share/fonts/truetype/liberation",
    "/usr/share/fonts/dejavu",
    "/usr/share/fonts/dejavu-sans-fonts",
    "/usr/share/fonts/liberation-sans",
    "/usr/share/fonts/liberation",
    "/usr/share/fonts/TTF",
    "/usr/share/fonts/ttf",
    "/usr/share/fonts",
    "/usr/local/share/fonts",
)
_BOLD = ("DejaVuSansCondensed-Bold.ttf", "DejaVuSans-Bold.ttf", "LiberationSans-Bold.ttf")
_MONOSPACED = ("DejaVuSansMono.ttf", "LiberationMono-Regular.ttf")
_PLAIN = ("DejaVuSansCondensed.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf")


@lru_cache(maxsize=2)
def find_installed_font(bold: bool) -> str | None:
    """Return the path of the font file, None if no known font is installed."""
    return _find_font_file(_BOLD if bold else _PLAIN)


def find_monospaced_font() -> str | None:
    """Return the path of a font whose letters have one width, None if no known one is installed."""
    return _find_font_file(_MONOSPACED)


def _find_font_file(names: tuple[str, ...]) -> str | None:
    for name in names:
        for folder in _FOLDERS:
            if (path := Path(folder, name)).is_file():
                return str(path)
    return None
