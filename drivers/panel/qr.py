"""QR codes: modules of whole pixels, dark on light, with their quiet zone."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

from PIL import Image

from drivers.panel.canvas import Box, Canvas, Placed

QUIET_ZONE = 4
"""Modules of white around a QR code, ISO/IEC 18004."""

Matrix: TypeAlias = tuple[tuple[bool, ...], ...]


LEVELS = {"Low": 1, "Medium": 0, "Quartile": 3, "High": 2}
"""What OCPP calls the levels of error correction, and their two bits in a code (ISO/IEC 18004): L, M, Q, H."""


def modules_per_side(url: str, quality: str = "") -> int:
    """Return the modules of one side with the quiet zone; 0 if there is no code, or none so long."""
    matrix = qr_matrix(url, quality) if url else None
    return len(matrix) + 2 * QUIET_ZONE if matrix else 0


def draw_qr(c: Canvas, url: str, at: tuple[int, int], px: int, quality: str = "") -> Box:
    """Draw a code. ``at``: left and top of the quiet zone. Return what the code covers with its quiet zone."""
    matrix, n = qr_matrix(url, quality), modules_per_side(url, quality)
    assert matrix
    box = Box(*at, at[0] + n * px, at[1] + n * px)
    if not c.dry:
        bits = Image.new("L", (n, n), 255)
        bits.putdata([0 if _is_dark(matrix, x, y) else 255 for y in range(n) for x in range(n)])
        c.image.paste(bits.resize((n * px, n * px), Image.Resampling.NEAREST).convert("RGB"), at)
    c.placed.append(Placed("qr", url, box.shrink_by(QUIET_ZONE * px), box, px))
    return box


def _is_dark(matrix: Matrix, x: int, y: int) -> bool:
    n = len(matrix)
    x, y = x - QUIET_ZONE, y - QUIET_ZONE
    return 0 <= x < n and 0 <= y < n and matrix[y][x]


@lru_cache(maxsize=8)
def qr_matrix(url: str, quality: str = "") -> Matrix | None:
    """Return the modules of a QR code, None if the text is too long for one. The error correction level is M unless
    ``quality`` names another."""
    import qrcode
    from qrcode.exceptions import DataOverflowError

    code = qrcode.QRCode(error_correction=LEVELS.get(quality, LEVELS["Medium"]), border=0)
    code.add_data(url)
    try:
        code.make(fit=True)
    except (DataOverflowError, ValueError):
        return None
    return tuple(tuple(bool(m) for m in row) for row in code.get_matrix())
