"""A free font, as installed on the board; Pillow's own as a last resort."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

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
_PLAIN = ("DejaVuSansCondensed.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf")


@lru_cache(maxsize=2)
def _installed_font(bold: bool) -> str | None:
    for name in _BOLD if bold else _PLAIN:
        for folder in _FOLDERS:
            if (path := Path(folder, name)).is_file():
                return str(path)
    return None


@lru_cache(maxsize=2)
def font_of_size(px: int, bold: bool) -> Font:
    """Return the font at ``px`` pixels per em. To open one takes 20 us, but each maps the whole file."""
    path = _installed_font(bold)
    # the simple layout engine: the other one fails on some texts, and no language here needs it
    return ImageFont.truetype(path, px, layout_engine=ImageFont.Layout.BASIC) if path else ImageFont.load_default(px)


def drawable_text(text: str) -> str:
    """Return ``text`` in letters that the font has, with single blanks. Pillow's own font knows ASCII only, so that é
    becomes e."""
    text = " ".join(text.split())
    if _installed_font(True):
        return text
    text = text.replace("€", "EUR").replace("…", "...").replace("’", "'").replace("–", "-").replace("ß", "ss")
    return unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()
