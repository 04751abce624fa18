"""The charge curve of a transaction: power, energy and state of charge over one axis of time."""

from __future__ import annotations

import itertools
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
from agent.model.fastclass import frozen

LEFT, RIGHT = 52.0, WIDTH - 14.0
PANEL_HEIGHT, PANEL_GAP, TOP = 108.0, 34.0, 26.0
POINTS_MAX = 1200
SINGLE_POINT_RADIUS = 2.5
MEAN_LEAST_S = 5.0


@frozen
class Panel:
    """One quantity. ``values``: over seconds since the first reading, in the unit of the axis; None where a reading has
    none. ``high``: the least end of the axis."""

    name: str
    role: str
    unit: str
    values: tuple[tuple[float, float | None], ...]
    high: float = 0.0

    def known_values(self) -> list[float]:
        return [value for _, value in self.values if value is not None]


def panels_of_curve(curve: ChargeCurve) -> list[Panel]:
    """Return a panel for each quantity that has a value. Energy begins at 0: a register of years would be flat."""
    begin_s = curve.points[0].t_s if curve.points else 0.0
    first_wh = next((p.energy_wh for p in curve.points if p.energy_wh is not None), 0.0)

    def values_of(read: Callable[[CurvePoint], float | None]) -> tuple[tuple[float, float | None], ...]:
        return tuple((p.t_s - begin_s, read(p)) for p in curve.points)

    power = Panel("Power", "power", "kW", values_of(lambda p: None if p.power_w is None else p.power_w / 1000))
    energy_of = values_of(lambda p: None if p.energy_wh is None else (p.energy_wh - first_wh) / 1000)
    energy = Panel("Energy since the first reading", "energy", "kWh", energy_of)
    if not power.known_values():
        power = Panel("Mean power between readings of energy", "power", "kW", mean_power_steps(energy.values))
    charge = Panel("State of charge", "soc", "%", values_of(lambda p: p.soc_percent), 100.0)
    return [panel for panel in (power, energy, charge) if panel.known_values()]


def mean_power_steps(energy: Sequence[tuple[float, float | None]]) -> tuple[tuple[float, float | None], ...]:
    """Return the mean power in kW between readings of energy (s, kWh): where each begins and where it ends.

    A mean over less than ``MEAN_LEAST_S`` is not drawn: rounded times and watt-hours would make any figure of it.
    """
    readings = [(t_s, kwh) for t_s, kwh in energy if kwh is not None]
    known = readings[:1]
    for reading in readings[1:]:
        if reading[0] - known[-1][0] >= MEAN_LEAST_S:
            known.append(reading)
    if len(known) > 1:
        known[-1] = readings[-1]  # what is too short for a span of its own prolongs the last one
    steps: list[tuple[float, float | None]] = []
    for (begin_s, begin_kwh), (end_s, end_kwh) in itertools.pairwise(known):
        mean_kw = (end_kwh - begin_kwh) * 3600 / (end_s - begin_s)
        steps += [(begin_s, mean_kw), (end_s, mean_kw)]
    return tuple(steps)


def charge_curve_drawing(curve: ChargeCurve) -> Drawing | None:
    """Return the drawing; None if there is no value to draw."""
    panels = panels_of_curve(curve)
    if not panels:
        return None
    duration_s = curve.points[-1].t_s - curve.points[0].t_s
    divisor, unit = _time_unit(duration_s)
    ticks = axis_ticks(duration_s / divisor, 8)
    elements: list[Element] = []
    top = TOP
    for panel in panels:
        elements += _panel_elements(panel, ticks[-1] * divisor, top)
        top += PANEL_HEIGHT + PANEL_GAP
    bottom = top - PANEL_GAP
    for tick in ticks:
        x = LEFT + (RIGHT - LEFT) * tick / ticks[-1]
        elements.append(Label(x, bottom + 15, tick_text(tick), "muted", "middle"))
    elements.append(Label((LEFT + RIGHT) / 2, bottom + 31, f"Time since the first reading ({unit})", "muted", "middle"))
    title = f"Charge curve: {curve.title or curve.transaction}"
    return Drawing(bottom + 38, title, _curve_in_words(curve, panels), tuple(elements))


def _time_unit(duration_s: float) -> tuple[float, str]:
    """Return divisor and name of a unit for the axis of time."""
    if duration_s >= 3 * 3600:
        return 3600.0, "h"
    return (60.0, "min") if duration_s >= 180 else (1.0, "s")


def _panel_elements(panel: Panel, duration_s: float, top: float) -> Iterator[Element]:
    """Yield the axes of a panel, and its line. A negative value (energy back to the grid) widens the axis down."""
    known = panel.known_values()
    high_ticks = axis_ticks(max(*known, panel.high, 0.0), 4)
    step = high_ticks[1]
    below = axis_ticks(-min(known), 4)[1:] if min(known) < 0 else []
    ticks = [*(-t for t in reversed(below)), *high_ticks]
    low, span = ticks[0], ticks[-1] - ticks[0]

    def height_of(value: float) -> float:
        return top + PANEL_HEIGHT * (1 - (value - low) / span)

    yield Label(LEFT, top - 9, f"{panel.name} ({panel.unit})", "ink", bold=True)
    last_y = None
    for tick in ticks:
        y = height_of(tick)
        yield Stroke(((LEFT, y), (RIGHT, y)), "axis" if tick == 0 else "grid", 0.8)
        if last_y is None or last_y - y >= 12:
            yield Label(LEFT - 7, y + 4, tick_text(round(tick / step * 1000) / 1000 * step), "muted", "end")
            last_y = y
    for run in split_at_gaps(panel.values):
        points = [(LEFT + (RIGHT - LEFT) * t / duration_s, height_of(v)) for t, v in thin_out_points(run, POINTS_MAX)]
        yield from _line_elements(points, panel.role)


def _line_elements(points: Sequence[Point], role: str) -> Iterator[Element]:
    if len(points) == 1:
        yield Disc(*points[0], SINGLE_POINT_RADIUS, role)
    else:
        yield Stroke(tuple(points), role, 1.8)


def _curve_in_words(curve: ChargeCurve, panels: Sequence[Panel]) -> str:
    parts = []
    for panel in panels:
        values = panel.known_values()
        parts.append(
            f"{panel.name}: first {values[0]:.4g}, highest {max(values):.4g}, last {values[-1]:.4g} {panel.unit}"
        )
    return f"{len(curve.points)} readings. {'. '.join(parts)}."
