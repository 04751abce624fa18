"""A drawing as SVG that stands inside an HTML page. Its colours are classes of the page's style sheet."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from agent.commands.audit.chart_drawing import WIDTH, Disc, Drawing, Element, Label, Shape, Stroke, fitted_label


def drawing_svg(drawing: Drawing) -> str:
    """Return the SVG. It has no style attributes, which a strict content security policy would refuse."""
    head = (
        f'<svg class="chart" viewBox="0 0 {WIDTH:g} {drawing.height:g}" role="img"'
        f' aria-label="{escape(f"{drawing.title}. {drawing.says}")}">'
    )
    return head + "".join(part for element in drawing.elements for part in _element_svg(element)) + "</svg>"


def _element_svg(element: Element) -> Iterator[str]:
    match element:
        case Stroke(points, role, thickness, dashed):
            dash = ' stroke-dasharray="5 3"' if dashed else ""
            yield f'<polyline class="line-{role}" points="{_points_svg(points)}" stroke-width="{thickness:g}"{dash}/>'
        case Shape(points, role):
            yield f'<polygon class="fill-{role}" points="{_points_svg(points)}"/>'
        case Disc(x, y, radius, role, hollow):
            kind = "ring" if hollow else "fill"
            yield f'<circle class="{kind}-{role}" cx="{x:.4g}" cy="{y:.4g}" r="{radius:g}"/>'
        case Label(x, y, _, role, anchor, size, bold):
            weight = ' font-weight="bold"' if bold else ""
            place = f'x="{x:.5g}" y="{y:.5g}" text-anchor="{anchor}" font-size="{size:g}"'
            yield f'<text class="fill-{role}" {place}{weight}>{escape(fitted_label(element))}</text>'


def _points_svg(points: tuple[tuple[float, float], ...]) -> str:
    return " ".join(f"{x:.5g},{y:.5g}" for x, y in points)
