"""A drawing as SVG: inside an HTML page, whose style sheet has its colours, or as a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from agent.commands.audit.chart_drawing import Disc, Drawing, Element, Label, Shape, Stroke, fitted_label

PALETTE = {
    "ink": "#1b1f24", "muted": "#59636e", "grid": "#d8dee4", "axis": "#8c959f", "error": "#b42318",
    "station": "#0b5cad", "backend": "#8a4b08", "outside": "#1a7f37", "paper": "#ffffff",
}  # fmt: skip
"""The colour of each role in a file of its own; dark enough on white for small text (WCAG 2.1, 1.4.3)."""


def drawing_svg(drawing: Drawing) -> str:
    """Return the SVG. It has no style attributes, which a strict content security policy would refuse."""
    head = f'<svg class="chart" {_svg_attributes(drawing)}>'
    return head + "".join(part for element in drawing.elements for part in _element_svg(element)) + "</svg>"


def standalone_svg(drawing: Drawing) -> str:
    """Return the SVG as a file that any browser shows, without a network."""
    rules = [
        f".fill-{role}{{fill:{colour}}}.line-{role}{{stroke:{colour};fill:none}}" for role, colour in PALETTE.items()
    ]
    size = f'width="{drawing.width:g}" height="{drawing.height:g}"'
    parts = (part for element in drawing.elements for part in _element_svg(element))
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_svg_attributes(drawing)}>',
        f"<title>{escape(drawing.title)}</title><desc>{escape(drawing.says)}</desc>",
        f"<style>text{{font-family:system-ui,'DejaVu Sans',sans-serif}}{''.join(rules)}</style>",
        f'<rect class="fill-paper" {size}/>', *parts, "</svg>\n",
    ))  # fmt: skip


def _svg_attributes(drawing: Drawing) -> str:
    label = escape(f"{drawing.title}. {drawing.says}")
    return f'viewBox="0 0 {drawing.width:g} {drawing.height:g}" role="img" aria-label="{label}"'


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
