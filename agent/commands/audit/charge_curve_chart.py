"""The charge curve of a transaction: power, energy and state of charge over one axis of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from agent.commands.audit.chart_drawing import (
    WIDTH,
    Disc,
    Drawing,
    Element,
    Label,
    Point,
    Stroke,
    axis_ticks,
    split_at_gaps,
    thin_out_points,
    tick_text,
)
from agent.commands.audit.report_record import ChargeCurve, CurvePoint
from agent.model.fastclass import frozen, replace

LEFT, RIGHT = 52.0, WIDTH - 14.0
PANEL_HEIGHT, PANEL_GAP, TOP = 108.0, 34.0, 26.0
POINTS_MAX = 1200
SINGLE_POINT_RADIUS = 2.5


@frozen
class Series:
    """``read``: the value of a reading in the unit of the axis. ``high``: the least end of the axis."""

    name: str
    role: str
    unit: str
    read: Callable[[CurvePoint], float | None]
    high: float


SERIES = (
    Series("Power", "power", "kW", lambda p: _in_thousands(p.power_w), 0.0),
    Series("Energy since the first reading", "energy", "kWh", lambda p: _in_thousands(p.energy_wh), 0.0),
    Series("State of charge", "soc", "%", lambda p: p.soc_percent, 100.0),
)


def _in_thousands(value: float | None) -> float | None:
    return None if value is None else value / 1000


def charge_curve_drawing(curve: ChargeCurve) -> Drawing | None:
    """Return the drawing; None if there is no value to draw."""
    curve = _since_first_reading(curve)
    shown = [s for s in SERIES if any(s.read(p) is not None for p in curve.points)]
    if not shown:
        return None
    begin_s = curve.points[0].t_s
    divisor, unit = _time_unit(curve.points[-1].t_s - begin_s)
    times = [(p.t_s - begin_s) / divisor for p in curve.points]
    elements: list[Element] = []
    top = TOP
    for series in shown:
        elements += _panel_elements(series, curve, times, top)
        top += PANEL_HEIGHT + PANEL_GAP
    bottom = top - PANEL_GAP
    ticks = axis_ticks(max(times), 8)
    for tick in ticks:
        elements.append(Label(_time_x(tick, ticks), bottom + 15, tick_text(tick), "muted", "middle"))
    elements.append(Label((LEFT + RIGHT) / 2, bottom + 31, f"Time since the first reading ({unit})", "muted", "middle"))
    title = f"Charge curve: {curve.title or curve.transaction}"
    return Drawing(bottom + 38, title, _curve_in_words(curve, shown), tuple(elements))


def _since_first_reading(curve: ChargeCurve) -> ChargeCurve:
    """Return the curve with energy from 0 on. A register of years would be a flat line at the top of its axis."""
    first_wh = next((p.energy_wh for p in curve.points if p.energy_wh is not None), 0.0)
    points = (p if p.energy_wh is None else replace(p, energy_wh=p.energy_wh - first_wh) for p in curve.points)
    return replace(curve, points=tuple(points))


def _time_unit(duration_s: float) -> tuple[float, str]:
    """Return divisor and name of a unit for the axis of time."""
    if duration_s >= 3 * 3600:
        return 3600.0, "h"
    return (60.0, "min") if duration_s >= 180 else (1.0, "s")


def _time_x(time: float, ticks: Sequence[float]) -> float:
    return LEFT + (RIGHT - LEFT) * time / ticks[-1]


def _panel_elements(series: Series, curve: ChargeCurve, times: Sequence[float], top: float) -> Iterator[Element]:
    """Yield the axes of one series, and its line. A negative value (energy back to the grid) widens the axis down."""
    values = [series.read(p) for p in curve.points]
    known = [v for v in values if v is not None]
    high_ticks = axis_ticks(max(*known, series.high, 0.0), 4)
    step = high_ticks[1]
    below = axis_ticks(-min(known), 4)[1:] if min(known) < 0 else []
    ticks = [*(-t for t in reversed(below)), *high_ticks]
    low, span = ticks[0], ticks[-1] - ticks[0]

    def height_of(value: float) -> float:
        return top + PANEL_HEIGHT * (1 - (value - low) / span)

    yield Label(LEFT, top - 9, f"{series.name} ({series.unit})", "ink", bold=True)
    last_y = None
    for tick in ticks:
        y = height_of(tick)
        yield Stroke(((LEFT, y), (RIGHT, y)), "axis" if tick == 0 else "grid", 0.8)
        if last_y is None or last_y - y >= 12:
            yield Label(LEFT - 7, y + 4, tick_text(round(tick / step * 1000) / 1000 * step), "muted", "end")
            last_y = y
    time_ticks = axis_ticks(max(times), 8)
    for run in split_at_gaps(list(zip(times, values, strict=True))):
        yield from _line_elements(
            [(_time_x(t, time_ticks), height_of(v)) for t, v in thin_out_points(run, POINTS_MAX)], series.role
        )


def _line_elements(points: Sequence[Point], role: str) -> Iterator[Element]:
    if len(points) == 1:
        yield Disc(*points[0], SINGLE_POINT_RADIUS, role)
    else:
        yield Stroke(tuple(points), role, 1.8)


def _curve_in_words(curve: ChargeCurve, shown: Sequence[Series]) -> str:
    parts = []
    for series in shown:
        values = [v for p in curve.points if (v := series.read(p)) is not None]
        parts.append(
            f"{series.name}: first {values[0]:.4g}, highest {max(values):.4g}, last {values[-1]:.4g} {series.unit}"
        )
    return f"{len(curve.points)} readings. {'. '.join(parts)}."
