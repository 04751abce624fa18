"""Charts as lists of lines, areas and texts. The HTML report draws them as SVG, the PDF report with its own lines.

Units are those of the drawing, x to the right and y down. A role says what an element stands for; the report knows
its colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from agent.model.fastclass import frozen

WIDTH = 680.0
"""Of every drawing in a report. On an A4 page a unit is about a quarter of a millimetre."""
TEXT_SIZE = 11.0
LETTER_WIDTH = 0.55
"""Mean width of a letter, in parts of its size."""

Point = tuple[float, float]


@frozen
class Stroke:
    """A line through points."""

    points: tuple[Point, ...]
    role: str
    thickness: float = 1.0
    dashed: bool = False


@frozen
class Shape:
    """A filled area between points."""

    points: tuple[Point, ...]
    role: str


@frozen
class Disc:
    """``hollow``: only its edge is drawn."""

    x: float
    y: float
    radius: float
    role: str
    hollow: bool = False


@frozen
class Label:
    """``y``: the baseline. ``anchor``: which point of the text ``x`` is: start, middle or end. ``most``: the width that
    it may have."""

    x: float
    y: float
    text: str
    role: str = "ink"
    anchor: str = "start"
    size: float = TEXT_SIZE
    bold: bool = False
    most: float = WIDTH


Element = Stroke | Shape | Disc | Label


@frozen
class Drawing:
    """``says``: the content in words, for a person who does not see it."""

    height: float
    title: str
    says: str
    elements: tuple[Element, ...]
    width: float = WIDTH


def fitted_label(label: Label) -> str:
    """Return the text of a label, shortened to what about fits."""
    most = max(int(label.most / (label.size * LETTER_WIDTH)), 1)
    return label.text if len(label.text) <= most else label.text[: max(most - 1, 1)].rstrip() + "…"


def axis_ticks(high: float, most: int = 5) -> list[float]:
    """Return round values from 0 to the first one that is not below ``high``; at most ``most`` steps."""
    if not high > 0:
        return [0.0, 1.0]
    rough = high / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    return [n * step for n in range(math.ceil(high / step - 1e-9) + 1)]


def tick_text(value: float) -> str:
    return f"{value:.10g}"


def split_at_gaps(values: Sequence[tuple[float, float | None]]) -> Iterator[list[Point]]:
    """Yield the runs of readings that have a value."""
    run: list[Point] = []
    for x, y in values:
        if y is not None:
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def thin_out_points(points: Sequence[Point], most: int) -> list[Point]:
    """Return fewer points of a long line. The lowest and the highest of each part stay."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / (most // 2))
    kept = []
    for begin in range(0, len(points), size):
        part = points[begin : begin + size]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return [points[0], *kept, points[-1]]
