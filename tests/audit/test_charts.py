"""Charts: what is drawn is what was measured, and what is left out is named."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from agent.commands.audit.charge_curve_chart import charge_curve_drawing, mean_power_steps
from agent.commands.audit.chart_drawing import WIDTH, Disc, Drawing, Label, Shape, Stroke, axis_ticks, thin_out_points
from agent.commands.audit.chart_svg import drawing_svg
from agent.commands.audit.json_reading import JsonPart
from agent.commands.audit.latency_chart import latency_drawing
from agent.commands.audit.report_record import ChargeCurve, CurvePoint, LatencyRow, SequenceEntry, read_audit_record
from agent.commands.audit.sequence_diagram import ROWS_MAX, draw_sequence, fold_repetitions, select_rows
from tests.audit import sample_records


def curve_of(*rows: tuple[float, float | None, float | None, float | None]) -> ChargeCurve:
    return ChargeCurve("17", 1, "", tuple(CurvePoint(*row) for row in rows))


def strokes_of(drawing: Drawing, role: str) -> list[Stroke]:
    return [e for e in drawing.elements if isinstance(e, Stroke) and e.role == role]


def labels_of(drawing: Drawing) -> list[str]:
    return [e.text for e in drawing.elements if isinstance(e, Label)]


def inside(drawing: Drawing) -> bool:
    """Whether every point of the drawing is in its area."""
    points: list[tuple[float, float]] = []
    for element in drawing.elements:
        if isinstance(element, Stroke | Shape):
            points += element.points
        elif isinstance(element, Disc | Label):
            points.append((element.x, element.y))
    return all(0 <= x <= WIDTH and 0 <= y <= drawing.height for x, y in points)


@pytest.mark.parametrize(
    ("high", "last"), [(0, 1), (-3, 1), (0.003, 0.003), (1, 1), (11, 12.5), (22.08, 25), (99, 100), (1e9, 1e9)]
)
def test_an_axis_ends_at_a_round_value(high: float, last: float) -> None:
    ticks = axis_ticks(high)
    assert ticks[0] == 0
    assert ticks[-1] == pytest.approx(last)
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 6


def test_a_curve_is_drawn_to_scale() -> None:
    drawing = charge_curve_drawing(curve_of((0, 0, 1000, None), (60, 5000, 1050, None), (120, 10000, 1200, None)))
    assert drawing is not None
    (power,) = strokes_of(drawing, "power")
    (left, bottom), middle, (right, top) = power.points
    assert middle == (pytest.approx((left + right) / 2), pytest.approx((bottom + top) / 2))
    (energy,) = strokes_of(drawing, "energy")
    heights = [energy.points[0][1] - y for _, y in energy.points]
    assert heights == [0, pytest.approx(heights[2] / 4), heights[2]]
    assert strokes_of(drawing, "soc") == []
    assert "State of charge (%)" not in labels_of(drawing)
    assert "highest 0.2, last 0.2 kWh" in drawing.says
    assert inside(drawing)


def test_a_gap_is_a_gap_and_a_single_reading_a_point() -> None:
    rows: list[tuple[float, float | None, float | None, float | None]] = [
        (0, 100, None, 20), (60, None, None, None), (120, 300, None, None), (180, 200, None, None)
    ]  # fmt: skip
    drawing = charge_curve_drawing(curve_of(*rows))
    assert drawing is not None
    assert [len(s.points) for s in strokes_of(drawing, "power")] == [2]
    assert [e.role for e in drawing.elements if isinstance(e, Disc)] == ["power", "soc"]


def test_energy_back_to_the_grid_is_below_the_axis() -> None:
    drawing = charge_curve_drawing(curve_of((0, 5000, None, None), (60, -5000, None, None)))
    assert drawing is not None
    (power,) = strokes_of(drawing, "power")
    (axis,) = strokes_of(drawing, "axis")
    assert power.points[0][1] < axis.points[0][1] < power.points[1][1]
    assert inside(drawing)


def test_without_power_its_mean_between_readings_is_drawn() -> None:
    """6 kW for a minute, nothing for a minute; a reading without energy between them changes nothing."""
    drawing = charge_curve_drawing(
        curve_of((0, None, 1000, 20), (60, None, 1100, 21), (90, None, None, 22), (120, None, 1100, 23))
    )
    assert drawing is not None
    (power,) = strokes_of(drawing, "power")
    heights = [y for _, y in power.points]
    (axis, *_) = strokes_of(drawing, "axis")
    assert heights[0] == heights[1] < heights[2] == heights[3] == axis.points[0][1]
    assert "Mean power between readings of energy: first 6, highest 6, last 0 kW" in drawing.says
    assert "Mean power between readings of energy (kW)" in labels_of(drawing)
    assert len(strokes_of(drawing, "soc")) == 1
    assert inside(drawing)


def test_two_readings_of_one_instant_make_no_power() -> None:
    """The last reading of a transaction follows the periodic one within a second, and watt-hours are whole."""
    steps = mean_power_steps([(0, 0.0), (0.5, 0.001), (10, 0.02), (20, 0.04), (20.8, 0.044), (21, None)])
    assert steps == (
        (0, pytest.approx(7.2)), (10, pytest.approx(7.2)), (10, pytest.approx(8.0)), (20.8, pytest.approx(8.0))
    )  # fmt: skip
    assert mean_power_steps([(0, 0.0), (4, 1.0)]) == ()
    assert mean_power_steps([(3, 1.0), (3, 2.0)]) == ()
    every_second = mean_power_steps([(n, n / 1000) for n in range(21)])
    assert [t_s for t_s, _ in every_second] == [0, 5, 5, 10, 10, 15, 15, 20]
    assert mean_power_steps([]) == ()


@pytest.mark.parametrize("rows", [[], [(0.0, None, None, None)]])
def test_without_values_there_is_no_curve(rows: list[tuple[float, None, None, None]]) -> None:
    assert charge_curve_drawing(curve_of(*rows)) is None


def test_one_reading_is_enough() -> None:
    drawing = charge_curve_drawing(curve_of((5, 1000, 10, 50)))
    assert drawing is not None
    assert len([e for e in drawing.elements if isinstance(e, Disc)]) == 3
    assert inside(drawing)


def test_a_dip_stays_when_a_long_curve_is_thinned_out() -> None:
    points = [(float(n), 0.0 if n == 12345 else 10.0) for n in range(20000)]
    thin = thin_out_points(points, 1000)
    assert len(thin) <= 1002
    assert (12345.0, 0.0) in thin
    assert thin == sorted(thin)
    assert (thin[0], thin[-1]) == (points[0], points[-1])


def test_latencies_are_ordered_and_drawn_inside() -> None:
    rows = [
        LatencyRow("Fast", "station", 3, 0.0, 0.01, 0.02),
        LatencyRow("Slow", "backend", 3, 10.0, 90000.0, 100000.0),
        *(LatencyRow(f"Action{n}", "station", 1, 5, 5, 5) for n in range(60)),
    ]
    drawing = latency_drawing(rows)
    assert drawing is not None
    names = [text for text in labels_of(drawing) if text.endswith(")") and "logarithmic" not in text]
    assert names[0] == "Slow (backend)"
    assert len(names) == 30
    assert inside(drawing)
    assert latency_drawing([]) is None


def exchange(at_s: float, action: str, label: str = "", kind: str = "result") -> list[SequenceEntry]:
    return [
        SequenceEntry(at_s, "station", "call", action, label), SequenceEntry(at_s + 0.1, "backend", kind, action, "")
    ]  # fmt: skip


def test_repetitions_are_counted_not_repeated() -> None:
    entries = [*exchange(0, "BootNotification")]
    for n in range(5):
        entries += exchange(1 + n, "MeterValues", f"{n} Wh")
    entries += [*exchange(10, "StatusNotification", "Preparing"), *exchange(11, "StatusNotification", "Charging")]
    rows = fold_repetitions(entries)
    assert [(r.entry.action, r.entry.kind, r.times) for r in rows] == [
        ("BootNotification", "call", 1), ("BootNotification", "result", 1),
        ("MeterValues", "call", 5), ("MeterValues", "result", 5),
        ("StatusNotification", "call", 1), ("StatusNotification", "result", 1),
        ("StatusNotification", "call", 1), ("StatusNotification", "result", 1),
    ]  # fmt: skip


def test_a_repeated_error_is_not_folded() -> None:
    rows = fold_repetitions([*exchange(0, "DataTransfer", kind="error"), *exchange(1, "DataTransfer", kind="error")])
    assert [r.times for r in rows] == [1, 1, 1, 1]


def test_errors_and_first_messages_are_drawn_and_the_others_are_named() -> None:
    entries: list[SequenceEntry] = []
    for n in range(200):
        entries += exchange(n, "TriggerMessage", f"number {n}")
    entries += exchange(300, "SecurityEventNotification", kind="error")
    entries += exchange(301, "StartTransaction")
    diagram = draw_sequence(entries)
    assert diagram is not None
    texts = labels_of(diagram.drawing)
    assert "SecurityEventNotification: error" in texts
    assert any(text.startswith("StartTransaction") for text in texts)
    rows = select_rows(fold_repetitions(entries))
    assert len(rows) == ROWS_MAX
    assert [r.entry.at_s for r in rows] == sorted(r.entry.at_s for r in rows)
    assert diagram.omitted.startswith(f"{404 - ROWS_MAX} messages are not drawn (requests and answers): TriggerMessage")
    assert inside(diagram.drawing)


def test_no_message_no_diagram() -> None:
    assert draw_sequence([]) is None


def test_the_svg_is_well_formed_and_says_what_it_shows() -> None:
    record = read_audit_record(JsonPart(sample_records.dc_record(), "audit.json"))
    drawing = charge_curve_drawing(record.curves[0])
    assert drawing is not None
    hostile = Drawing(drawing.height, 'a "title" <b>', "says & more", (*drawing.elements, Label(1, 1, "<text>&")))
    root = ElementTree.fromstring(drawing_svg(hostile))
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a "title" <b>. says & more'
    assert [e for e in root.iter() if e.get("style") is not None] == []
    assert [e.text for e in root.iter("text")][-1] == "<text>&"
