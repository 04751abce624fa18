"""A free font, as installed on the board; Pillow's own as a last resort."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont

from agent.model.installed_fonts import find_installed_font

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=2)
def font_of_size(px: int, bold: bool) -> Font:
    """Return the font at ``px`` pixels per em. To open one takes 20 us, but each maps the whole file."""
    path = find_installed_font(bold)
    # the simple layout engine: the other one fails on some texts, and no language here needs it
    return ImageFont.truetype(path, px, layout_engine=ImageFont.Layout.BASIC) if path else ImageFont.load_default(px)


def drawable_text(text: str) -> str:
    """Return ``text`` in letters that the font has, with single blanks. Pillow's own font knows ASCII only, so that é
    becomes e."""
    text = " ".join(text.split())
    if find_installed_font(True):
        return text
    text = text.replace("€", "EUR").replace("…", "...").replace("’", "'").replace("–", "-").replace("ß", "ss")
    return unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()
