"""What both forms of the report show: the record, its charts, its pictures and the hashes of its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.commands.audit.bundle_manifest import REPORT_FILES, FileHash
from agent.commands.audit.charge_curve_chart import charge_curve_drawing
from agent.commands.audit.chart_drawing import Drawing
from agent.commands.audit.latency_chart import latency_drawing
from agent.commands.audit.report_pictures import PICTURES_MAX, ShownPicture, list_report_pictures, load_report_pictures
from agent.commands.audit.report_record import AuditRecord, LatencyRow
from agent.commands.audit.report_texts import limit_items
from agent.commands.audit.sequence_diagram import SequenceDiagram, draw_sequence
from agent.model.fastclass import frozen

CURVES_MAX = 6


@frozen
class ReportContent:
    """``curves_omitted``, ``pictures_omitted``: how many are left out."""

    record: AuditRecord
    curves: tuple[Drawing, ...]
    latency_rows: tuple[LatencyRow, ...]
    latency: Drawing | None
    sequence: SequenceDiagram | None
    pictures: tuple[ShownPicture, ...]
    files: tuple[FileHash, ...]
    curves_omitted: int
    pictures_omitted: int

    def pictures_at(self, paths: Sequence[str]) -> list[ShownPicture]:
        """Return the pictures with these paths."""
        return [p for p in self.pictures if p.path in paths]


def build_report_content(folder: Path, record: AuditRecord, files: Sequence[FileHash]) -> ReportContent:
    """Return the content. ``files``: all of the audit; the reports cannot name their own hashes."""
    most_readings = sorted(record.curves, key=lambda curve: -len(curve.points))[:CURVES_MAX]
    shown = [curve for curve in record.curves if curve in most_readings]
    pictures, pictures_omitted = limit_items(list_report_pictures(record), PICTURES_MAX)
    return ReportContent(
        record=record,
        curves=tuple(drawing for curve in shown if (drawing := charge_curve_drawing(curve))),
        latency_rows=tuple(sorted(record.latency, key=lambda r: (r.sender, r.action))),
        latency=latency_drawing(record.latency),
        sequence=draw_sequence(record.sequence),
        pictures=tuple(load_report_pictures(folder, pictures)),
        files=tuple(f for f in files if f.name not in REPORT_FILES),
        curves_omitted=len(record.curves) - len(shown),
        pictures_omitted=pictures_omitted,
    )
