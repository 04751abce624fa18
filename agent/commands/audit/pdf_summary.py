"""The first page of the printed report: verdict, station, counts and actions, on one page whatever the record has."""

from __future__ import annotations

from collections.abc import Sequence

from agent.commands.audit.pdf_pages import MARGIN, MUTED, PAGE_WIDTH, TEXT_WIDTH, PdfPages, TableColumn, TableRow
from agent.commands.audit.report_record import VERDICTS, AuditRecord, Finding
from agent.commands.audit.report_texts import (
    audit_facts,
    instant_text,
    limit_items,
    plural_word,
    report_title,
    verdict_sentence,
)
from agent.model.fastclass import frozen

CHIP_WIDTH = 27.0
SECTION_ROWS_MAX = 12
PAIRS_HEIGHT = 92.0
"""Room for the facts about station and audit."""
SIZE = 8.4


@frozen
class PrintedSummary:
    """What the first page had room for. ``actions``: how many were printed in full."""

    station_is_cut: bool
    actions: int


def print_summary(pages: PdfPages, record: AuditRecord) -> PrintedSummary:
    """Print the first page."""
    pages.pdf.start_section("Summary", level=0)
    with pages.no_page_breaks():
        _print_title(pages, record)
        station_is_cut = _print_identity(pages, record)
        _print_counts(pages, record)
        return PrintedSummary(station_is_cut, _print_actions(pages, record.findings))


def _print_title(pages: PdfPages, record: AuditRecord) -> None:
    pages.print_chip(record.verdict, PAGE_WIDTH - MARGIN - 46, MARGIN, 46, 13 if len(record.verdict) < 10 else 11)
    width = TEXT_WIDTH - 52
    title = pages.fit_lines(report_title(record), width, 16, 2, bold=True)
    end = pages.print_cell_text(title, MARGIN, MARGIN, width, 16, bold=True)
    plan = pages.fit_lines(f"{record.plan_title or record.plan_id} · {instant_text(record.ended)}", width, 9, 2)
    end = pages.print_cell_text(plan, MARGIN, end + 0.8, width, 9, color=MUTED)
    pages.print_cell_text(verdict_sentence(record), MARGIN, max(end, MARGIN + 12) + 1.5, TEXT_WIDTH, 9.5)
    pages.pdf.ln(3)


def _print_identity(pages: PdfPages, record: AuditRecord) -> bool:
    """Print station and audit side by side; return whether something of the station was left out or shortened."""
    width = (TEXT_WIDTH - 8) / 2
    station = [(fact.title, fact.value or "–") for fact in record.station]
    top = pages.y
    left_end, is_cut = _print_pairs(pages, "Station", station, MARGIN, top, width, 43)
    right_end, _ = _print_pairs(pages, "Audit", audit_facts(record), PAGE_WIDTH - MARGIN - width, top, width, 20)
    pages.pdf.set_xy(MARGIN, max(left_end, right_end) + 3)
    return is_cut


def _print_pairs(
    pages: PdfPages, head: str, pairs: Sequence[tuple[str, str]], x: float, top: float, width: float, names: float
) -> tuple[float, bool]:
    """Print names and values; return the y below them, and whether something was left out or shortened."""
    is_cut = False
    y = pages.print_cell_text(head, x, top, width, 10, bold=True) + 0.8
    for number, (name, value) in enumerate(pairs):
        shown = pages.fit_lines(value, width - names, SIZE, 2)
        height = pages.text_height(shown, width - names, SIZE) + 0.7
        if y + height > top + PAIRS_HEIGHT:
            words = f"{len(pairs) - number} more on the next page"
            return pages.print_cell_text(words, x, y, width, SIZE, color=MUTED), True
        is_cut = is_cut or shown != pages.cell_text(value, len(value) * 10)
        pages.print_cell_text(pages.fit_lines(name, names - 1.5, SIZE, 1), x, y, names - 1.5, SIZE, color=MUTED)
        pages.print_cell_text(shown, x + names, y, width - names, SIZE)
        y += height
    return y, is_cut


def _print_counts(pages: PdfPages, record: AuditRecord) -> None:
    """Print how many obligations of each section have which verdict."""
    widths = (15.0, 17.0, 19.0, 15.0, 28.0)
    names = TEXT_WIDTH - 28 - sum(widths)
    columns = (
        TableColumn("Verdict", 28),
        TableColumn("Section", names),
        *(TableColumn(verdict, width, "R") for verdict, width in zip(VERDICTS, widths, strict=True)),
    )
    shown, more = limit_items(record.sections, SECTION_ROWS_MAX)
    rows = []
    for section in shown:
        counts = section.count_verdicts()
        title = pages.fit_lines(section.title, names - 3, 7.6, 1)
        rows.append(TableRow((section.verdict, title, *(str(counts[v] or "·") for v in VERDICTS)), section.verdict))
    counts = record.count_verdicts()
    name = f"All, with {more} more {plural_word('section', more)}" if more else "All"
    rows.append(TableRow((record.verdict, name, *(str(counts[v]) for v in VERDICTS)), record.verdict, bold=True))
    pages.print_table(columns, rows, 7.6)


def _print_actions(pages: PdfPages, findings: Sequence[Finding]) -> int:
    """Print as many actions as the page has room for; return how many were printed, none of them shortened."""
    pages.print_text("Actions to take", 10, bold=True)
    pages.add_space(0.8)
    if not findings:
        pages.print_text("None.")
    x, width = MARGIN + CHIP_WIDTH + 3, TEXT_WIDTH - CHIP_WIDTH - 3
    for number, finding in enumerate(findings):
        title = pages.cell_text(finding.title)
        action = pages.cell_text(f"{finding.action} ({finding.addressee})")
        height = pages.text_height(title, width, 8.5, True) + pages.text_height(action, width, 8.5) + 1.4
        if pages.room < height + (0 if number + 1 == len(findings) else 5):
            left = len(findings) - number
            pages.print_text(f"{left} more {plural_word('action', left)}: see the list on the next pages.", 8.5, True)
            return number
        top = pages.y
        pages.print_chip(finding.verdict, MARGIN, top + 0.2, CHIP_WIDTH, 7)
        end = pages.print_cell_text(title, x, top, width, 8.5, bold=True)
        pages.print_cell_text(action, x, end, width, 8.5)
        pages.pdf.ln(1.4)
    return len(findings)
