"""Pages of a printed report: headings, paragraphs, tables, verdicts and frames, one below the other.

All measures are millimetres, sizes of letters are points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from agent.commands.audit.json_reading import RecordError
from agent.commands.audit.report_texts import CELL_MAX, SAYS_MAX, ShownEvidence, shorten_text
from agent.model.fastclass import frozen
from agent.model.installed_fonts import find_installed_font, find_monospaced_font

Color = tuple[int, int, int]

MARGIN, BOTTOM = 16.0, 18.0
PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0
TEXT_WIDTH = PAGE_WIDTH - 2 * MARGIN
POINT = 25.4 / 72
CODE_SIZE, CODE_LINE = 6.7, 3.1
GUTTER, ROW_PADDING = 1.6, 0.7
"""Of tables: between columns, above and below the text of a row."""
LEADING = 1.34
"""Height of a line, in sizes of its letters."""
INK, MUTED, LINE, CODE_GROUND, HEAD_GROUND = (
    (24, 33, 43),
    (80, 92, 105),
    (205, 212, 220),
    (243, 245, 248),
    (232, 236, 241),
)
VERDICT_COLORS: dict[str, tuple[Color, Color]] = {
    "PASS": ((11, 93, 52), (223, 243, 230)),
    "FAIL": ((163, 20, 31), (253, 228, 230)),
    "ERROR": ((107, 42, 143), (242, 230, 249)),
    "PARTIAL": ((106, 75, 0), (251, 240, 200)),
    "NOT APPLICABLE": ((71, 82, 94), (232, 236, 240)),
}
"""Letters and ground."""


@frozen
class TableColumn:
    """``align``: L or R."""

    name: str
    width: float
    align: str = "L"


@frozen
class TableRow:
    """``verdict``: the first cell is a verdict and has its colours. ``below``: text over the whole width below it."""

    cells: tuple[str, ...]
    verdict: str = ""
    below: str = ""
    bold: bool = False


class PdfPages:
    """The pages. ``head`` and ``foot`` are texts for each page, ``made`` is the date of the file.

    Raises ``RecordError`` if no font is installed.
    """

    def __init__(self, title: str, head: str, foot: str, made: datetime) -> None:
        from fpdf import FPDF

        self.pdf: Any = FPDF(unit="mm", format="A4")
        self.pdf.set_title(title)
        self.pdf.set_lang("en")
        self.pdf.set_creator("chargy-agent")
        self.pdf.set_creation_date(made)  # the same record gives the same bytes
        self.pdf.set_margins(MARGIN, MARGIN, MARGIN)
        self.pdf.set_auto_page_break(True, margin=BOTTOM)
        self.pdf.c_margin = 0
        for name, style, path in _report_fonts():
            self.pdf.add_font(name, style, path)
        self._letters = {name: set(self.pdf.fonts[name].cmap) for name in ("report", "code")}
        self.substituted = False
        self._heights: dict[tuple[str, float, float, bool], float] = {}
        self._head, self._foot = self.cell_text(head, 120), self.cell_text(foot, 100)
        self.pdf.header, self.pdf.footer = self._print_head, self._print_foot
        self.pdf.add_page()

    def printable_text(self, text: str, font: str = "report") -> str:
        """Return the text with each letter that the font lacks as its code."""
        letters = self._letters[font]
        return "".join(c if c == "\n" or ord(c) in letters else self._substitute_letter(c) for c in text)

    def _substitute_letter(self, letter: str) -> str:
        if letter.isspace():
            return " "
        self.substituted = True
        return f"<U+{ord(letter):04X}>"

    @property
    def y(self) -> float:
        return float(self.pdf.get_y())

    @property
    def room(self) -> float:
        """What is left of the page."""
        return PAGE_HEIGHT - BOTTOM - self.y

    def ensure_room(self, height: float) -> None:
        """Begin a new page if ``height`` does not fit on this one."""
        if self.room < height:
            self.pdf.add_page()

    @contextmanager
    def no_page_breaks(self) -> Iterator[None]:
        """Print everything on this page."""
        self.pdf.set_auto_page_break(False)
        yield
        self.pdf.set_auto_page_break(True, margin=BOTTOM)

    def add_space(self, height: float) -> None:
        if self.room > height:
            self.pdf.ln(height)

    def set_letters(self, size: float, bold: bool = False, color: Color = INK, font: str = "report") -> None:
        self.pdf.set_font(font, "B" if bold else "", size)
        self.pdf.set_text_color(*color)

    # --- texts --------------------------------------------------------------------------------------------------------

    def print_heading(self, text: str, level: int, size: float, room: float = 40.0, verdict: str = "") -> None:
        """Print a heading, with an entry in the outline. It stays with what follows (``room``)."""
        self.ensure_room(room)
        shown = self.cell_text(text)
        self.pdf.start_section(shown[:120], level=level, strict=False)
        width = TEXT_WIDTH - (32 if verdict else 0)
        top = self.y
        self.set_letters(size, bold=True)
        self.pdf.multi_cell(width, size * POINT * LEADING, shown, align="L", new_x="LMARGIN", new_y="NEXT")
        if verdict:
            self.print_chip(verdict, PAGE_WIDTH - MARGIN - 28, top + 0.4, 28)
        self.add_space(1.5)

    def print_text(
        self, text: str, size: float = 9.0, bold: bool = False, color: Color = INK, characters: int = 6000,
        indent: float = 0.0,
    ) -> None:  # fmt: skip
        """Print a paragraph. It may go over several pages."""
        self.set_letters(size, bold, color)
        shown = shorten_text(self.printable_text(text), characters)
        self.pdf.set_left_margin(MARGIN + indent)
        self.pdf.multi_cell(0, size * POINT * LEADING, shown, align="L", new_x="LMARGIN", new_y="NEXT")
        self.pdf.set_left_margin(MARGIN)

    def text_height(self, text: str, width: float, size: float, bold: bool = False) -> float:
        """Return the height of a paragraph of this width."""
        self.set_letters(size, bold)
        wanted = (text, width, size, bold)
        if wanted not in self._heights:  # names of columns, titles and facts come again and again
            self._heights[wanted] = float(
                self.pdf.multi_cell(width, size * POINT * LEADING, text, align="L", dry_run=True, output="HEIGHT")
            )
        return self._heights[wanted]

    def fit_lines(self, text: str, width: float, size: float, lines: int, bold: bool = False) -> str:
        """Return the text, or as much of its beginning as fits in so many lines."""
        most = lines * size * POINT * LEADING + 0.1
        kept = self.cell_text(text, 1000)
        shown = kept
        while self.text_height(shown, width, size, bold) > most and len(kept) > 1:
            kept = kept[: len(kept) * 9 // 10].rstrip()
            shown = f"{kept}…"
        return shown

    def print_cell_text(
        self, text: str, x: float, y: float, width: float, size: float, align: str = "L", **letters: Any
    ) -> float:
        """Print a text at a place; return the y below it."""
        self.set_letters(size, **letters)
        self.pdf.set_xy(x, y)
        self.pdf.multi_cell(width, size * POINT * LEADING, text, align=align, new_x="LMARGIN", new_y="NEXT")
        return self.y

    def print_chip(self, verdict: str, x: float, y: float, width: float, size: float = 7.5) -> None:
        """Print a verdict on its ground."""
        ink, ground = VERDICT_COLORS[verdict]
        height = size * POINT * 1.9
        self.pdf.set_fill_color(*ground)
        self.pdf.rect(x, y, width, height, style="F", round_corners=True, corner_radius=min(1.2, height / 4))
        self.set_letters(size, bold=True, color=ink)
        text_width = self.pdf.get_string_width(verdict)
        self.pdf.text(x + (width - text_width) / 2, y + height / 2 + size * POINT * 0.36, verdict)

    def print_box(self, head: str, text: str, verdict: str) -> None:
        """Print a text that stands out, in the colours of a verdict."""
        ink, ground = VERDICT_COLORS[verdict]
        self.ensure_room(14)
        self.pdf.set_fill_color(*ground)
        self.set_letters(9)
        shown = shorten_text(self.printable_text(f"{head} {text}"), SAYS_MAX)
        top, page = self.y, self.pdf.page
        self.pdf.multi_cell(
            0, 4.3, shown, align="L", fill=True, padding=(1.6, 2, 1.6, 3.4), new_x="LMARGIN", new_y="NEXT"
        )
        if self.pdf.page == page:
            self.pdf.set_fill_color(*ink)
            self.pdf.rect(MARGIN, top, 1.1, self.y - top, style="F")
        self.add_space(1.5)

    def print_frames(self, evidence: ShownEvidence) -> None:
        """Print frames of the conversation."""
        if evidence.omitted:
            self.print_text(evidence.omitted, 7.5, color=MUTED)
        for frame in evidence.frames:
            self.ensure_room(10)
            arrow = "station → backend" if frame.sender == "station" else "backend → station"
            self.print_text(f"{frame.clock}  {arrow}".strip(), 7, color=MUTED)
            self._print_code(shorten_text(self.printable_text(frame.frame, "code"), SAYS_MAX))
            self.add_space(1)

    # --- tables -------------------------------------------------------------------------------------------------------

    def print_table(
        self, columns: Sequence[TableColumn], rows: Sequence[TableRow], size: float = 8.0, heads: bool = True
    ) -> None:
        """Print a table. Its head is repeated on each page. A cell has at most ``CELL_MAX`` characters."""
        head = TableRow(tuple(c.name for c in columns), bold=True)
        for number, row in enumerate(rows):
            cells = [self.cell_text(cell) for cell in row.cells]
            height = max(self.text_height(t, c.width - GUTTER, size, True) for t, c in zip(cells, columns, strict=True))
            wanted = height + min(self._below_height(row), 40)
            if number == 0 or self.room < wanted + 2 * ROW_PADDING:
                self.ensure_room(wanted + 12)
                if heads:
                    self._print_table_row(columns, head, list(head.cells), size, MUTED)
            self._print_table_row(columns, row, cells, size, INK)
        self.add_space(2.5)

    def _below_height(self, row: TableRow) -> float:
        if not row.below:
            return 0.0
        self.set_letters(CODE_SIZE, font="code")
        height = self.pdf.multi_cell(0, CODE_LINE, row.below, align="L", dry_run=True, output="HEIGHT")
        return float(height) + 2

    def _print_table_row(
        self, columns: Sequence[TableColumn], row: TableRow, cells: Sequence[str], size: float, color: Color
    ) -> None:
        """Print the cells of a row beside each other, and a line below them. There is room for them."""
        top, x, ends = self.y + ROW_PADDING, MARGIN, []
        for number, (column, cell) in enumerate(zip(columns, cells, strict=True)):
            is_verdict = bool(row.verdict) and number == 0
            ink = VERDICT_COLORS[row.verdict][0] if is_verdict else color
            width = column.width - (0 if number + 1 == len(columns) else GUTTER)
            bold = row.bold or is_verdict
            ends.append(self.print_cell_text(cell, x, top, width, size, column.align, bold=bold, color=ink))
            x += column.width
        self.pdf.set_xy(MARGIN, max(ends) + ROW_PADDING)
        if row.below:
            self._print_code(row.below)
        self.print_rule()

    def print_rule(self) -> None:
        """Draw a thin line over the width of the text."""
        self.pdf.set_draw_color(*LINE)
        self.pdf.set_line_width(0.2)
        self.pdf.line(MARGIN, self.y, PAGE_WIDTH - MARGIN, self.y)

    def _print_code(self, text: str) -> None:
        self.set_letters(CODE_SIZE, font="code")
        self.pdf.set_fill_color(*CODE_GROUND)
        padding = (0.8, 1.4)
        self.pdf.multi_cell(0, CODE_LINE, text, align="L", fill=True, padding=padding, new_x="LMARGIN", new_y="NEXT")

    def cell_text(self, text: str, characters: int = CELL_MAX, font: str = "report") -> str:
        """Return a text for a cell: on one line, and never higher than a page, which could not be printed."""
        return shorten_text(" ".join(self.printable_text(text, font).split()), characters)

    # --- head and foot ------------------------------------------------------------------------------------------------

    def _print_head(self) -> None:
        """Print the head of a page. The first page has none. The library calls it at the beginning of each page."""
        if self.pdf.page_no() > 1:
            self.set_letters(7.5, color=MUTED)
            self.pdf.text(MARGIN, 10.5, self._head)
            self.pdf.set_y(12)
            self.print_rule()
            self.pdf.set_y(MARGIN)

    def _print_foot(self) -> None:
        """Print the foot of a page. The library calls it at the end of each page."""
        self.set_letters(7.5, color=MUTED)
        self.pdf.text(MARGIN, PAGE_HEIGHT - 9, self._foot)
        self.pdf.set_xy(PAGE_WIDTH - MARGIN - 30, PAGE_HEIGHT - 12)
        self.pdf.cell(30, 4, f"{self.pdf.page_no()} / {{nb}}", align="R")

    def file_bytes(self) -> bytes:
        """Return the file."""
        return bytes(self.pdf.output())


def _report_fonts() -> Iterator[tuple[str, str, str]]:
    """Yield name, style and file of each font."""
    plain, bold = find_installed_font(False), find_installed_font(True)
    if plain is None or bold is None:
        raise RecordError("no font to print with: install the DejaVu fonts (Debian: fonts-dejavu-core)")
    yield "report", "", plain
    yield "report", "B", bold
    yield "code", "", find_monospaced_font() or plain
