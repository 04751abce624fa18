"""How long answers took: a line for each action, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from agent.commands.audit.chart_drawing import WIDTH, Disc, Drawing, Element, Label, Stroke, tick_text
from agent.commands.audit.report_record import LatencyRow

ROWS_MAX = 30
ROW_HEIGHT, TOP = 17.0, 46.0
NAMES_WIDTH, RIGHT = 232.0, WIDTH - 24.0
LEAST_MS = 0.1
"""A shorter time is drawn here: a logarithmic axis has no zero."""


def slowest_rows(rows: Sequence[LatencyRow]) -> list[LatencyRow]:
    """Return the rows to draw, the slowest first."""
    return sorted(rows, key=lambda r: (-r.p95_ms, r.action))[:ROWS_MAX]


def latency_drawing(rows: Sequence[LatencyRow]) -> Drawing | None:
    """Return the drawing; None if there are no rows."""
    shown = slowest_rows(rows)
    if not shown:
        return None
    low, high = _decades_of(shown)
    bottom = TOP + ROW_HEIGHT * len(shown)
    elements: list[Element] = [*_legend_elements(), *_axis_elements(low, high, bottom)]
    for number, row in enumerate(shown):
        elements += _row_elements(row, TOP + ROW_HEIGHT * (number + 0.5), low, high)
    slowest = shown[0]
    says = (
        f"{len(shown)} actions. The slowest 95th percentile is that of {slowest.action}"
        f" with {slowest.p95_ms:.4g} ms. The table has all figures."
    )
    return Drawing(bottom + 38, "Response times", says, tuple(elements))


def _decades_of(rows: Sequence[LatencyRow]) -> tuple[int, int]:
    """Return the powers of ten between which all values are."""
    low = min(max(r.p50_ms, LEAST_MS) for r in rows)
    high = max(max(r.p50_ms, r.p95_ms, r.max_ms, LEAST_MS) for r in rows)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return first, max(last, first + 1)


def _time_x(ms: float, low: int, high: int) -> float:
    share = (math.log10(max(ms, LEAST_MS)) - low) / (high - low)
    return NAMES_WIDTH + (RIGHT - NAMES_WIDTH) * min(max(share, 0.0), 1.0)


def _legend_elements() -> Iterator[Element]:
    x, y = NAMES_WIDTH, 16.0
    yield Disc(x + 4, y - 4, 4, "power")
    yield Label(x + 14, y, "half came sooner")
    yield Disc(x + 154, y - 4, 4, "power", hollow=True)
    yield Label(x + 164, y, "95 % came sooner")
    yield Stroke(((x + 304, y - 9), (x + 304, y + 1)), "power", 1.6)
    yield Label(x + 313, y, "slowest answer")


def _axis_elements(low: int, high: int, bottom: float) -> Iterator[Element]:
    for power in range(low, high + 1):
        x = _time_x(10.0**power, low, high)
        yield Stroke(((x, TOP - 4), (x, bottom)), "grid", 0.8)
        yield Label(x, bottom + 15, tick_text(10.0**power), "muted", "middle")
    yield Label((NAMES_WIDTH + RIGHT) / 2, bottom + 31, "Time until the answer (ms, logarithmic)", "muted", "middle")


def _row_elements(row: LatencyRow, y: float, low: int, high: int) -> Iterator[Element]:
    p50, p95, slowest = (_time_x(ms, low, high) for ms in (row.p50_ms, row.p95_ms, row.max_ms))
    yield Label(NAMES_WIDTH - 12, y + 4, f"{row.action} ({row.sender})", "ink", "end", most=NAMES_WIDTH - 14)
    yield Stroke(((p50, y), (max(p50, p95, slowest), y)), "power", 1.2)
    yield Stroke(((slowest, y - 5), (slowest, y + 5)), "power", 1.6)
    yield Disc(p95, y, 4, "power", hollow=True)
    yield Disc(p50, y, 4, "power")
