"""A receipt as PDF, of the same document as its page. Needs the extra ``print``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from agent.commands.audit.pdf_pages import MUTED, TEXT_WIDTH, PdfPages, TableColumn, TableRow
from agent.services.receipts.receipt_document import ReceiptDocument, Row

AMOUNT_WIDTH, LABEL_WIDTH = 40.0, 62.0
RECORD_MAX = 20_000
"""Characters of a signed record."""


def receipt_pdf(document: ReceiptDocument) -> bytes:
    """Return the file. The same document gives the same bytes. Raises ``RecordError`` if no font is installed."""
    title = f"{document.title} {document.number}"
    pages = PdfPages(title, title, title, datetime.fromtimestamp(document.made_utc_s or 0.0, UTC))
    pages.pdf.set_lang(document.language)
    pages.print_heading(document.title, 0, 18)
    for line in document.seller:
        pages.print_text(line, 10)
    pages.add_space(5)
    _print_facts(pages, document.facts)
    _print_bill(pages, document)
    if document.state:
        pages.print_text(document.state, 11, bold=True)
        pages.add_space(3)
    _print_facts(pages, document.card)
    if document.signed:
        pages.add_space(3)
        for label, value in document.signed:
            pages.print_text(label, 8, bold=True)
            pages.print_text(value, 7, color=MUTED, characters=RECORD_MAX)
    return pages.file_bytes()


def _print_facts(pages: PdfPages, rows: Iterable[Row]) -> None:
    columns = (TableColumn("", LABEL_WIDTH), TableColumn("", TEXT_WIDTH - LABEL_WIDTH))
    pages.print_table(columns, [TableRow(row) for row in rows], 9, heads=False)


def _print_bill(pages: PdfPages, document: ReceiptDocument) -> None:
    columns = (
        TableColumn(document.heads[0], TEXT_WIDTH - AMOUNT_WIDTH),
        TableColumn(document.heads[1], AMOUNT_WIDTH, "R"),
    )
    rows = [
        TableRow((": ".join((one.title, "; ".join(one.counted))) if one.counted else one.title, one.amount))
        for one in document.components
    ]
    totals = [TableRow(row, bold=number == 0) for number, row in enumerate(document.totals)]
    pages.print_table(columns, [*rows, *totals], 9.5)
