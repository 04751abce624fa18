"""The report as PDF: one page that says everything in short, then each section with its evidence."""

from __future__ import annotations

from agent.commands.audit.chart_drawing import WIDTH
from agent.commands.audit.pdf_pages import (
    INK,
    MARGIN,
    MUTED,
    TEXT_WIDTH,
    PdfPages,
    TableColumn,
    TableRow,
)
from agent.commands.audit.pdf_pictures import print_drawing, print_pictures
from agent.commands.audit.pdf_summary import CHIP_WIDTH, print_summary
from agent.commands.audit.report_content import ReportContent
from agent.commands.audit.report_record import (
    ROLES,
    AuditRecord,
    Finding,
    Obligation,
    ScenarioRecord,
    Section,
    StepRecord,
)
from agent.commands.audit.report_texts import (
    BAD_VERDICTS,
    CELL_MAX,
    SAYS_MAX,
    EvidenceLimits,
    bytes_text,
    duration_text,
    evidence_limits_of,
    limit_evidence,
    milliseconds_text,
    own_evidence,
    plural_word,
    report_title,
    shorten_text,
    signing_lines,
)

FULL, BRIEF = EvidenceLimits(10, 700), EvidenceLimits(3, 260)
"""Of an obligation."""
STEP_FULL, STEP_BRIEF = EvidenceLimits(6, 500), EvidenceLimits(2, 200)
STEP_COLUMNS = (
    TableColumn("Verdict", 20),
    TableColumn("Step", 62),
    TableColumn("What was seen", TEXT_WIDTH - 98),
    TableColumn("Took", 16, "R"),
)
ACTION_COLUMNS = (
    TableColumn("Verdict", 20),
    TableColumn("Obligation", 66),
    TableColumn("What to do", TEXT_WIDTH - 112),
    TableColumn("Who", 26),
)


def report_pdf(content: ReportContent) -> bytes:
    """Return the file. The same content gives the same bytes. Raises ``RecordError`` if no font is installed."""
    record = content.record
    title = report_title(record)
    head, foot = f"{title} · {record.plan_id} · {record.verdict}", f"{record.program} · audit {record.audit_id}"
    pages = PdfPages(title, head, foot, record.ended)
    _print_front_matter(pages, record)
    for section in record.sections:
        _print_section(pages, content, section)
    _print_curves(pages, content)
    _print_latency(pages, content)
    _print_sequence(pages, content)
    _print_gallery(pages, content)
    _print_files(pages, content)
    if pages.substituted:
        pages.add_space(4)
        words = "A letter that this font lacks is printed as its code, like <U+4E2D>; report.html has the letter."
        pages.print_text(words, 7.5, color=MUTED)
    return pages.file_bytes()


def _print_front_matter(pages: PdfPages, record: AuditRecord) -> None:
    """Print the summary, and in full what it had no room for. What follows begins on a new page."""
    summary = print_summary(pages, record)
    if summary.station_is_cut:
        pages.pdf.add_page()
        pages.print_heading("Station", 0, 13)
        columns = (TableColumn("", 46), TableColumn("", 92), TableColumn("", TEXT_WIDTH - 138))
        rows = [TableRow((fact.title, fact.value or "–", fact.source)) for fact in record.station]
        pages.print_table(columns, rows, heads=False)
    if summary.actions < len(record.findings):
        pages.pdf.add_page()
        pages.print_heading("Actions to take", 0, 13)
        pages.print_table(ACTION_COLUMNS, [_action_row(finding) for finding in record.findings])
    pages.pdf.add_page()


def _action_row(finding: Finding) -> TableRow:
    title = f"{finding.title} ({finding.obligation_id})"
    seen = f" Seen: {finding.says}" if finding.says else ""
    return TableRow((finding.verdict, title, f"{finding.action}{seen}", finding.addressee), finding.verdict)


# --- sections ---------------------------------------------------------------------------------------------------------


def _print_section(pages: PdfPages, content: ReportContent, section: Section) -> None:
    pages.print_heading(section.title, 0, 13, 76, section.verdict)
    if not section.obligations:
        pages.print_text("This section has no obligation.", color=MUTED)
    for obligation in section.obligations:
        _print_obligation(pages, content, obligation)
    pages.add_space(4)


def _print_obligation(pages: PdfPages, content: ReportContent, obligation: Obligation) -> None:
    _print_obligation_head(pages, obligation)
    if obligation.says:
        pages.print_text(obligation.says, characters=SAYS_MAX, indent=CHIP_WIDTH + 3)
        pages.add_space(1.4)
    if obligation.advice:
        verdict = obligation.verdict if obligation.verdict in BAD_VERDICTS else "NOT APPLICABLE"
        pages.print_box(f"To do ({obligation.advice.addressee}):", obligation.advice.action, verdict)
    facts = [TableRow((fact.title, shorten_text(fact.value, CELL_MAX))) for fact in obligation.facts]
    pages.print_table((TableColumn("", 52), TableColumn("", TEXT_WIDTH - 52)), facts, 8.3, heads=False)
    if obligation.references:
        pages.print_text(f"References: {'; '.join(obligation.references)}", 7.5, color=MUTED, characters=SAYS_MAX)
        pages.add_space(1)
    if obligation.scenario:
        _print_scenario(pages, obligation.scenario)
    pages.print_frames(limit_evidence(own_evidence(obligation), evidence_limits_of(obligation, FULL, BRIEF)))
    if pictures := content.pictures_at(obligation.pictures):
        print_pictures(pages, pictures, 3, 40)
    pages.add_space(2.5)


def _print_obligation_head(pages: PdfPages, obligation: Obligation) -> None:
    pages.ensure_room(64 if obligation.scenario else 34)  # with the first step of its scenario
    pages.print_rule()
    top = pages.y + 2
    pages.print_chip(obligation.verdict, MARGIN, top, CHIP_WIDTH, 7)
    x = MARGIN + CHIP_WIDTH + 3
    end = pages.print_cell_text(pages.cell_text(obligation.title), x, top, TEXT_WIDTH - CHIP_WIDTH - 3, 10, bold=True)
    kind = f" · {obligation.kind}" if obligation.kind else ""
    took = f" · {duration_text(obligation.took_s)}" if obligation.took_s else ""
    about = pages.cell_text(f"{obligation.obligation_id}{kind}{took}")
    end = pages.print_cell_text(about, x, end, TEXT_WIDTH - CHIP_WIDTH - 3, 7.5, color=MUTED)
    pages.pdf.set_xy(MARGIN, end + 1)


def _print_scenario(pages: PdfPages, scenario: ScenarioRecord) -> None:
    pages.ensure_room(24)
    pages.print_text(f"Scenario: {scenario.title}", 8.3, True, MUTED, CELL_MAX)
    if scenario.says:
        pages.print_text(scenario.says, 8.3, characters=SAYS_MAX)
    pages.print_table(STEP_COLUMNS, [_step_row(pages, step) for step in scenario.steps], 7.8)
    if scenario.not_reached:
        pages.print_text(f"Not reached: {'; '.join(scenario.not_reached)}", 8.3, characters=SAYS_MAX)
        pages.add_space(1)


def _step_row(pages: PdfPages, step: StepRecord) -> TableRow:
    evidence = limit_evidence(step.evidence, evidence_limits_of(step, STEP_FULL, STEP_BRIEF))
    arrows = {"station": "→", "backend": "←"}
    lines = [evidence.omitted] if evidence.omitted else []
    lines += [
        # a blank that is no place for the end of a line: a frame is one word, which would begin on the next line
        f"{frame.clock}\u00a0{arrows[frame.sender]}\u00a0{pages.cell_text(frame.frame, 620, 'code')}"
        for frame in evidence.frames
    ]
    cells = (step.verdict, step.title, step.says, duration_text(step.took_s))
    return TableRow(cells, step.verdict, "\n".join(lines))


# --- charts, pictures, files ------------------------------------------------------------------------------------------


def _print_curves(pages: PdfPages, content: ReportContent) -> None:
    for number, drawing in enumerate(content.curves):
        if number == 0:
            pages.print_heading("Charge curves", 0, 13, drawing.height * TEXT_WIDTH / WIDTH + 24)
        pages.ensure_room(drawing.height * TEXT_WIDTH / WIDTH + 9)
        pages.print_text(drawing.title, 9, True, characters=CELL_MAX)
        print_drawing(pages, drawing)
        pages.print_text(drawing.says, 7.5, color=MUTED)
        pages.add_space(5)
    if more := content.curves_omitted:
        pages.print_text(f"{more} more {plural_word('curve', more)} in audit.json.", color=MUTED)


def _print_latency(pages: PdfPages, content: ReportContent) -> None:
    if content.latency is None:
        return
    height = content.latency.height * TEXT_WIDTH / WIDTH + 5.2 * len(content.latency_rows) + 34
    pages.print_heading("Response times", 0, 13, min(height, 255))  # plot and table together, if a page is enough
    print_drawing(pages, content.latency)
    pages.print_text(content.latency.says, 7.5, color=MUTED)
    pages.add_space(3)
    names = ("Count", "Median (ms)", "95 % (ms)", "Slowest (ms)")
    columns = (TableColumn("Request", 66), TableColumn("Sender", 28), *(TableColumn(n, 21, "R") for n in names))
    rows = [
        TableRow((r.action, r.sender, str(r.count), *map(milliseconds_text, (r.p50_ms, r.p95_ms, r.max_ms))))
        for r in content.latency_rows
    ]
    pages.print_table(columns, rows)
    pages.add_space(3)


def _print_sequence(pages: PdfPages, content: ReportContent) -> None:
    if content.sequence is None:
        return
    drawing = content.sequence.drawing
    pages.print_heading("Sequence of messages", 0, 13, min(drawing.height * TEXT_WIDTH / WIDTH + 14, 255))
    print_drawing(pages, drawing)
    about = "Full line: request; dashed line: answer; times in seconds since the audit began."
    pages.print_text(f"{about} {content.sequence.omitted}".strip(), 7.5, color=MUTED)
    pages.add_space(4)


def _print_gallery(pages: PdfPages, content: ReportContent) -> None:
    if not content.pictures:
        return
    pages.print_heading("Pictures", 0, 13, 80)
    print_pictures(pages, content.pictures, 2, 62)
    if more := content.pictures_omitted:
        pages.print_text(f"{more} more {plural_word('picture', more)} in the folder.", color=MUTED)
    pages.add_space(3)


def _print_files(pages: PdfPages, content: ReportContent) -> None:
    pages.print_heading("Files and signatures", 0, 13, 60)
    about = (
        "manifest.json has the SHA-256 of each file of the audit, of this report too. It shows the content of these:"
    )
    pages.print_text(about)
    pages.add_space(1)
    columns = (TableColumn("File", 58), TableColumn("Bytes", 20, "R"), TableColumn("SHA-256", TEXT_WIDTH - 78))
    rows = [TableRow((file.name, bytes_text(file.bytes), file.sha256)) for file in content.files]
    pages.print_table(columns, rows, 7)
    _print_signatures(pages, content.record)


def _print_signatures(pages: PdfPages, record: AuditRecord) -> None:
    pages.ensure_room(64)
    pages.print_text("Signatures", 10, bold=True)
    for line in signing_lines(record):
        pages.print_text(line, 8.5)
        pages.add_space(0.8)
    pages.pdf.ln(20)
    y, width = pages.y, (TEXT_WIDTH - 14) / 2
    pages.pdf.set_draw_color(*INK)
    pages.pdf.set_line_width(0.25)
    for number, role in enumerate(record.required_roles or ROLES):
        x = MARGIN + number * (width + 14)
        pages.pdf.line(x, y, x + width, y)
        pages.print_cell_text(f"For the {role}: name, date, signature", x, y + 1, width, 8)
