"""``kit document``: the configuration document of a station as PDF. It lists every key of the kit and of the station
file; the value of a secret key is not shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent import __version__
from agent.commands.kit.kit_explanation import PROFILES
from agent.commands.kit.kit_file import Kit, leaf_paths
from agent.commands.kit.print_measures import font_path
from agent.commands.kit.station_changes import (
    ABSENT,
    SIM_KEYS,
    KeyPath,
    path_text,
    planned_changes,
    read_station_tables,
    sim_bearer,
    value_at,
    value_text,
)
from agent.commands.kit.sticker_print import file_word, require_print_extra
from agent.model.fastclass import frozen

KIT_ONLY = ("kit", "sim", "sticker")
"""Tables that do not go into a station file."""
HEAD_COLOR, GREY = (230, 236, 242), (95, 95, 95)
MARGIN_MM = 16


@frozen
class DocumentTable:
    """A heading, and rows under the names of their columns. ``shares``: how wide each column is."""

    heading: str
    columns: tuple[str, ...]
    shares: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]


def write_document(kit: Kit, station: Path, folder: Path) -> Path:
    """Write the document; return its file. Raises ``SettingsError`` and ``OSError``."""
    require_print_extra()
    tables = document_tables(kit, read_station_tables(station), station.resolve().parent)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"configuration-{file_word(kit.station.number)}.pdf"
    file.write_bytes(document_pdf(kit, station, tables))
    return file


def document_tables(kit: Kit, station: Mapping[str, Any], folder: Path) -> list[DocumentTable]:
    """Return the tables of the document. Raises ``SettingsError``."""
    open_paths = {change.path for change in planned_changes(kit, station, folder)}
    rows = []
    for path, value in leaf_paths(kit.raw):
        agreement = _agreement(_station_path(kit, path, station), station, open_paths)
        rows.append((_kit_name(kit, path), value_text(path, value), agreement))
    columns = ("key", "value", "station")
    return [
        DocumentTable("What the operator asks for (kit)", columns, (50, 50, 34), tuple(rows)),
        *(DocumentTable(f"Station file: [{n}]", columns[:2], (50, 84), _station_rows(n, station[n])) for n in station),
    ]


def _station_rows(name: str, table: Any) -> tuple[tuple[str, ...], ...]:
    rows = tuple((path_text(path), value_text(path, value)) for path, value in leaf_paths({name: table}))
    return rows or ((name, "(no keys)"),)


def _outlet_places(station: Mapping[str, Any]) -> dict[Any, int]:
    tables = station.get("evse", [])
    listed = tables if isinstance(tables, list) else [tables]
    return {table.get("number", place + 1): place for place, table in enumerate(listed)}


def _station_path(kit: Kit, path: KeyPath, station: Mapping[str, Any]) -> KeyPath:
    """Return the path in the station file of a key of the kit. Outlets are known by their number."""
    if path[0] == "sim" and (bearer := sim_bearer(kit, station)) is not None:
        return ("bearer", bearer, SIM_KEYS[str(path[1])])
    if path[0] != "evse" or not isinstance(path[1], int):
        return path
    places = _outlet_places(station)
    return ("evse", places[kit.raw["evse"][path[1]]["number"]], *path[2:])


def _kit_name(kit: Kit, path: KeyPath) -> str:
    if path[0] != "evse" or not isinstance(path[1], int):
        return path_text(path)
    return path_text(("evse", kit.raw["evse"][path[1]]["number"] - 1, *path[2:]))


def _agreement(path: KeyPath, station: Mapping[str, Any], open_paths: set[KeyPath]) -> str:
    if path[0] in KIT_ONLY:
        return "not in the station file"
    if any(path[: len(p)] == p for p in open_paths):
        return "NOT SET" if value_at(station, path) is ABSENT else "DIFFERENT"
    if path[0] == "bearer" and value_at(station, path) is ABSENT:
        return "NOT SET"  # the driver has no such key
    return "as asked"


def _summary(kit: Kit, station: Path) -> Iterator[tuple[str, str]]:
    yield "Station", kit.station.number
    yield "Type of station", kit.header.station_type or "-"
    yield "Hotline", kit.station.hotline
    yield "Charge point id", kit.backend.charge_point_id
    yield "Backend", f"{kit.backend.url}, OCPP {' or '.join(kit.backend.versions)}"
    yield "Security", PROFILES[kit.backend.security_profile]
    yield "SIM", f"APN {kit.sim.apn}, ICCID {kit.sim.iccid or 'any'}" if kit.sim else "none in the kit"
    yield "Files", f"{kit.path.name} (version {kit.header.version}), {station.name}"
    yield "Made", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, chargy-agent {__version__}"


def document_pdf(kit: Kit, station: Path, tables: Sequence[DocumentTable]) -> bytes:
    """Return the document: A4, the summary, the tables, lines to sign on."""
    from fpdf import FPDF

    title = f"Configuration of charging station {kit.station.number}"
    pdf = FPDF(unit="mm", format="A4")
    pdf.set_title(title)
    pdf.set_margins(MARGIN_MM, MARGIN_MM, MARGIN_MM)
    pdf.set_auto_page_break(True, margin=20)
    for bold in (False, True):
        pdf.add_font("document", "B" if bold else "", font_path(bold))
    pdf.add_page()
    _write_heading(pdf, title, 18)
    _write_table(pdf, DocumentTable("", (), (34, 100), tuple(_summary(kit, station))))
    for table in tables:
        _write_heading(pdf, table.heading, 12)
        _write_table(pdf, table)
    _write_signatures(pdf)
    _write_footers(pdf, title)
    return bytes(pdf.output())


def _write_heading(pdf: Any, text: str, size: int) -> None:
    if pdf.will_page_break(size + 18):  # a heading stays with the first rows of its table
        pdf.add_page()
    pdf.ln(5)
    pdf.set_font("document", "B", size)
    pdf.multi_cell(0, size * 0.5, text, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(1.5)


def _write_table(pdf: Any, table: DocumentTable) -> None:
    from fpdf.fonts import FontFace

    pdf.set_font("document", "", 8.5)
    pdf.set_draw_color(190, 190, 190)
    head = FontFace(emphasis="BOLD", fill_color=HEAD_COLOR)
    with pdf.table(
        col_widths=table.shares,
        text_align="LEFT",
        line_height=4.4,
        padding=0.8,
        headings_style=head,
        first_row_as_headings=bool(table.columns),
        borders_layout="HORIZONTAL_LINES",
        wrapmode="CHAR",
    ) as written:
        for cells in (table.columns, *table.rows) if table.columns else table.rows:
            row = written.row()
            for cell in cells:
                row.cell(cell, style=FontFace(emphasis="BOLD") if cell in ("DIFFERENT", "NOT SET") else None)


def _write_signatures(pdf: Any) -> None:
    if pdf.will_page_break(40):
        pdf.add_page()
    pdf.ln(16)
    pdf.set_font("document", "", 8.5)
    for who in ("Configured by (name, date, signature)", "Accepted by (name, date, signature)"):
        pdf.line(MARGIN_MM, pdf.get_y(), MARGIN_MM + 100, pdf.get_y())
        pdf.cell(0, 5, who, new_x="LMARGIN", new_y="NEXT")
        pdf.ln(12)


def _write_footers(pdf: Any, title: str) -> None:
    pdf.set_auto_page_break(False)
    pages = len(pdf.pages)
    for number in range(1, pages + 1):
        pdf.page = number
        pdf.set_y(-13)
        pdf.set_font("document", "", 8)
        pdf.set_text_color(*GREY)
        pdf.cell(0, 5, f"{title} · page {number} of {pages} · secrets are not shown")
