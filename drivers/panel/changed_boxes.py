"""What differs between two pictures, as few boxes: a clock in one corner and a number in another do not bring along all
that lies between them. On a slow wire the bytes are the time."""

from __future__ import annotations

from itertools import groupby

from PIL import Image, ImageChops

from drivers.panel.canvas import Box

_CELL = (8, 16)
"""Pixels that are looked at as one. A box costs its addresses, too, so that smaller gaps are written through."""
_ANY = [0] + [255] * 255


def changed_boxes(before: Image.Image | None, now: Image.Image) -> list[Box]:
    """Return the changed boxes of ``now`` (RGB), from the top; all of it if there is no picture before."""
    if before is None or before.size != now.size:
        return [Box(0, 0, *now.size)]
    red, green, blue = ImageChops.difference(before, now).split()
    differs = ImageChops.lighter(ImageChops.lighter(red, green), blue).point(_ANY)
    cells = differs.reduce(_CELL)
    marks = cells.tobytes()
    found: list[Box] = []
    for row in range(cells.height):
        for left, right in _marked_runs(marks[row * cells.width : (row + 1) * cells.width]):
            coarse = (left * _CELL[0], row * _CELL[1], min(now.width, right * _CELL[0]), (row + 1) * _CELL[1])
            _add_box(found, _exact_box(differs, Box(*coarse[:3], min(now.height, coarse[3]))))
    return found


def _marked_runs(marks: bytes) -> list[tuple[int, int]]:
    """Yield marked cells that are side by side: the first, and the one after the last."""
    runs, at = [], 0
    for marked, group in groupby(marks, bool):
        n = sum(1 for _ in group)
        if marked:
            runs.append((at, at + n))
        at += n
    return runs


def _exact_box(differs: Image.Image, coarse: Box) -> Box:
    part = differs.crop(coarse).getbbox() or (0, 0, coarse.width_px, coarse.height_px)
    return Box(coarse.x0 + part[0], coarse.y0 + part[1], coarse.x0 + part[2], coarse.y0 + part[3])


def _add_box(found: list[Box], box: Box) -> None:
    """Add a box; join what lies right below and is as wide: one box costs less than two."""
    for n, above in enumerate(found):
        if above.y1 == box.y0 and (above.x0, above.x1) == (box.x0, box.x1):
            found[n] = Box(above.x0, above.y0, above.x1, box.y1)
            return
    found.append(box)
