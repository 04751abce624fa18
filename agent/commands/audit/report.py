"""The report of an audit: ``report.html``, ``report.pdf`` and ``manifest.json``, made of ``audit.json``."""

from __future__ import annotations

from pathlib import Path

from agent.commands.audit.bundle_manifest import REPORT_FILES, hash_audit_files, list_signature_files, write_manifest
from agent.commands.audit.json_reading import RecordError
from agent.commands.audit.report_record import load_audit_record

EXTRA = "chargy-agent[report]"


def write_report(folder: Path) -> None:
    """Write both forms of the report, and the manifest of the folder.

    Raises ``RecordError`` if the folder is no audit, is signed, or a package of the extra is missing; ``OSError``.
    """
    require_report_extra()
    if list_signature_files(folder):
        raise RecordError(f"{folder.name}: is signed; another report would make the signatures wrong")
    from agent.commands.audit.report_content import build_report_content
    from agent.commands.audit.report_html import report_html
    from agent.commands.audit.report_pdf import report_pdf

    record = load_audit_record(folder)
    content = build_report_content(folder, record, hash_audit_files(folder))
    (folder / REPORT_FILES[0]).write_text(report_html(content), "utf-8")
    (folder / REPORT_FILES[1]).write_bytes(report_pdf(content))
    write_manifest(folder, record.audit_id)


def require_report_extra() -> None:
    """Raise ``RecordError`` if the packages that make a report are not installed."""
    from agent.ports.driver import missing_module

    if missing := missing_module(("fpdf", "jinja2"), EXTRA):
        raise RecordError(missing)
