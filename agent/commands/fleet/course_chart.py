"""The course of a run: stations on line, outlets that charge, answers and errors per second, over one axis of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.commands.audit.chart_drawing import (
    WIDTH,
    Drawing,
    Element,
    Label,
    Point,
    Shape,
    Stroke,
    axis_ticks,
    thin_out_points,
    tick_text,
)
from agent.model.fastclass import frozen

LEFT, RIGHT, TOP = 60.0, WIDTH - 14.0, 24.0
PANEL_HEIGHT, PANEL_GAP = 84.0, 30.0
POINTS_MAX, TICKS = 900, 3
LEAST_S = 10.0
"""A shorter run is drawn on an axis of this length."""


@frozen
class CoursePanel:
    """One quantity: its key in the course of a report, and its name."""

    key: str
    name: str
    role: str


PANELS = (
    CoursePanel("online", "Stations on line", "energy"),
    CoursePanel("charging", "Outlets that charge", "power"),
    CoursePanel("power_kw", "Power (kW)", "soc"),
    CoursePanel("calls", "Answers per second", "power"),
    CoursePanel("errors", "Errors per second", "error"),
)


def course_drawing(course: Sequence[Mapping[str, Any]]) -> Drawing | None:
    """Return the drawing; None if the run was over before there was anything to draw."""
    if len(course) < 2:
        return None
    ticks = axis_ticks(max(course[-1]["at_s"], LEAST_S), 8)
    elements: list[Element] = []
    top = TOP
    for panel in PANELS:
        elements += _panel_elements(panel, course, ticks[-1], top)
        top += PANEL_HEIGHT + PANEL_GAP
    bottom = top - PANEL_GAP
    for tick in ticks:
        elements.append(Label(_time_x(tick, ticks[-1]), bottom + 15, tick_text(tick), "muted", "middle"))
    elements.append(Label((LEFT + RIGHT) / 2, bottom + 31, "Real time since the start (s)", "muted", "middle"))
    return Drawing(bottom + 38, "Course of the run", _course_in_words(course), tuple(elements))


def _time_x(at_s: float, end_s: float) -> float:
    return LEFT + (RIGHT - LEFT) * at_s / end_s


def _panel_elements(
    panel: CoursePanel, course: Sequence[Mapping[str, Any]], end_s: float, top: float
) -> Iterator[Element]:
    bottom = top + PANEL_HEIGHT
    ticks = axis_ticks(max(float(point[panel.key]) for point in course), TICKS)

    def height_of(value: float) -> float:
        return bottom - PANEL_HEIGHT * value / ticks[-1]

    yield Label(LEFT, top - 8, panel.name, "ink", bold=True)
    for tick in ticks:
        yield Stroke(((LEFT, height_of(tick)), (RIGHT, height_of(tick))), "grid", 0.8)
        yield Label(LEFT - 6, height_of(tick) + 4, tick_text(tick), "muted", "end")
    points: list[Point] = [(_time_x(point["at_s"], end_s), height_of(float(point[panel.key]))) for point in course]
    if panel.key == "errors":  # a single second must be seen
        seen = [(x, y) for x, y in points if y < bottom]
        yield from (Shape(((x - 1, y), (x + 1, y), (x + 1, bottom), (x - 1, bottom)), panel.role) for x, y in seen)
    else:
        yield Stroke(tuple(thin_out_points(points, POINTS_MAX)), panel.role, 1.4)


def _course_in_words(course: Sequence[Mapping[str, Any]]) -> str:
    highest = {panel.key: max(point[panel.key] for point in course) for panel in PANELS}
    return (
        f"{len(course)} seconds. At most {highest['online']} stations were on line and {highest['charging']} outlets"
        f" charged. At most {highest['calls']} answers and {highest['errors']} errors came in a second."
    )
